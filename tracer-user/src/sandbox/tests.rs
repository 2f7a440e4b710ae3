//! What whoever took this process over could try, in a process of its own: it gives up what a run gives
//! up, and then tries.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::UdpSocket,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities},
};

use super::{Attaches, Needs, begin, close, rights::WATCHING};

const WATCHES: Needs = Needs {
    watches: true,
    attaches: Attaches::Nothing,
    asks_names: false,
    opens_terminal: false,
};

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Exited(i32),
    Killed(i32),
}

/// Runs `act` in a process of its own that has given up what `needs` does not say. What it returns is
/// where it failed.
fn inside(needs: Needs, act: impl FnOnce() -> Result<(), String>) -> End {
    // SAFETY: the child runs on the one thread that it has, and ends without returning. That others may
    // have held a lock at this moment is what glibc sees to for its allocator.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no process");
    if child == 0 {
        let refused = begin(needs.watches);
        close(needs);
        let result = match refused.is_empty() {
            true => act(),
            false => Err(refused.join(", ")),
        };
        if let Err(what) = &result {
            // Not by the harness, which may be locked.
            let _ = writeln!(io::stderr(), "in the sandbox: {what}");
        }
        // SAFETY: ends this process, and nothing of it is left to be cleaned up.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child, with room for how it ended.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    match libc::WIFSIGNALED(status) {
        true => End::Killed(libc::WTERMSIG(status)),
        false => End::Exited(libc::WEXITSTATUS(status)),
    }
}

/// A system call with these arguments; an error is what the kernel says.
fn call(number: libc::c_long, args: [u64; 5]) -> Result<(), Option<i32>> {
    let [a, b, c, d, e] = args;
    // SAFETY: what the calls of these tests point to is valid or null, and none changes this process in a
    // way that the rest of the child would notice.
    match unsafe { libc::syscall(number, a, b, c, d, e) } {
        -1 => Err(io::Error::last_os_error().raw_os_error()),
        _ => Ok(()),
    }
}

fn refused(what: &str, number: libc::c_long, args: [u64; 5]) -> Result<(), String> {
    match call(number, args) {
        Err(Some(libc::EPERM)) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    }
}

fn text(text: &CStr) -> u64 {
    text.as_ptr() as u64
}

fn bits(number: i32) -> u64 {
    number.cast_unsigned().into()
}

#[test]
fn nothing_is_changed_and_nothing_is_loaded() {
    let path = std::env::temp_dir().join(format!("tracer-sandbox-{}", std::process::id()));
    fs::write(&path, "before").expect("a file");
    let name = std::ffi::CString::new(path.to_str().expect("text")).expect("no zero");
    let here = bits(libc::AT_FDCWD);
    let end = inside(WATCHES, || {
        for flags in [
            libc::O_WRONLY,
            libc::O_RDWR,
            libc::O_RDONLY | libc::O_TRUNC,
            libc::O_RDONLY | libc::O_CREAT,
            // Both at once is a mode, too: neither read nor write, but ioctl().
            3,
        ] {
            let what = format!("opening with {flags:#o}");
            let open = [here, text(&name), bits(flags), 0o600, 0];
            refused(&what, libc::SYS_openat, open)?;
            #[cfg(target_arch = "x86_64")]
            refused(&what, libc::SYS_open, [text(&name), bits(flags), 0, 0, 0])?;
        }
        let at = [here, text(&name), 0, 0, 0];
        refused("removing", libc::SYS_unlinkat, at)?;
        refused(
            "renaming",
            libc::SYS_renameat2,
            [here, text(&name), here, text(c"/x"), 0],
        )?;
        refused(
            "linking",
            libc::SYS_linkat,
            [here, text(&name), here, text(c"/x"), 0],
        )?;
        refused(
            "making a folder",
            libc::SYS_mkdirat,
            [here, text(c"/tmp/x"), 0o700, 0, 0],
        )?;
        refused(
            "making a device",
            libc::SYS_mknodat,
            [here, text(c"/tmp/x"), 0o60600, 0, 0],
        )?;
        refused(
            "changing the mode",
            libc::SYS_fchmodat,
            [here, text(&name), 0o777, 0, 0],
        )?;
        refused("changing the mode", libc::SYS_fchmod, [0, 0o777, 0, 0, 0])?;
        refused(
            "changing the owner",
            libc::SYS_fchownat,
            [here, text(&name), 1, 1, 0],
        )?;
        refused("cutting", libc::SYS_truncate, [text(&name), 0, 0, 0, 0])?;
        refused("the keys", libc::SYS_add_key, [0; 5])?;
        refused("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0])?;
        refused("killing", libc::SYS_kill, [1, 0, 0, 0, 0])?;
        refused("a signal to others", libc::SYS_tgkill, [1, 1, 0, 0, 0])?;
        refused("limits of others", libc::SYS_prlimit64, [1, 7, 0, 0, 0])?;
        refused("the clock", libc::SYS_clock_settime, [0; 5])?;
        refused(
            "the name of the host",
            libc::SYS_sethostname,
            [text(c"x"), 1, 0, 0, 0],
        )?;
        refused("priority", libc::SYS_setpriority, [0; 5])?;
        refused(
            "typing into a terminal",
            libc::SYS_ioctl,
            [0, libc::TIOCSTI, text(c"x"), 0, 0],
        )?;
        // Of eBPF: what loads, makes, pins, takes from others, and attaches what does not wait.
        for command in [0, 5, 6, 7, 8, 14, 17, 18, 30, 35, 36] {
            refused(
                &format!("bpf({command})"),
                libc::SYS_bpf,
                [command, 0, 0, 0, 0],
            )?;
        }
        for namespaces in [
            0,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
        ] {
            refused(
                "other namespaces",
                libc::SYS_setns,
                [0, bits(namespaces), 0, 0, 0],
            )?;
        }
        for (family, kind, protocol) in [
            (libc::AF_PACKET, libc::SOCK_RAW, 0),
            (libc::AF_INET, libc::SOCK_STREAM, 0),
            (libc::AF_INET, libc::SOCK_RAW, 255),
            (libc::AF_INET6, libc::SOCK_DGRAM, 0),
            (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
            (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            (libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
            (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
            (libc::AF_UNIX, libc::SOCK_SEQPACKET, 0),
        ] {
            let what = format!("a socket of family {family}");
            let socket = [bits(family), bits(kind), bits(protocol), 0, 0];
            refused(&what, libc::SYS_socket, socket)?;
        }
        refused("listening", libc::SYS_listen, [0; 5])?;
        refused("stacks of others", libc::SYS_perf_event_open, [0; 5])?;
        for request in [0x2400, 0x4004_2408] {
            refused("a kprobe", libc::SYS_ioctl, [0, request, 0, 0, 0])?;
        }
        refused("code", libc::SYS_mmap, [0, 4096, 7, 0x22, u64::MAX])?;
        refused(
            "a process",
            libc::SYS_clone,
            [bits(libc::SIGCHLD), 0, 0, 0, 0],
        )?;
        #[cfg(target_arch = "x86_64")]
        refused("a process", libc::SYS_fork, [0; 5])?;
        for missing in [libc::SYS_clone3, libc::SYS_openat2] {
            if call(missing, [0; 5]) != Err(Some(libc::ENOSYS)) {
                return Err(format!("{missing} is there"));
            }
        }
        refused("another filter", libc::SYS_seccomp, [1, 0, 0, 0, 0])
    });
    let after = fs::read(&path).expect("still there");
    fs::remove_file(&path).expect("removed");
    assert_eq!(end, End::Exited(0));
    assert_eq!(after, b"before");
}

#[test]
fn what_only_an_intruder_calls_ends_the_process() {
    let path = text(c"/bin/true");
    for (number, args) in [
        (libc::SYS_execve, [path, 0, 0, 0, 0]),
        (libc::SYS_execveat, [bits(libc::AT_FDCWD), path, 0, 0, 0]),
        (libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        (libc::SYS_process_vm_writev, [1, 0, 0, 0, 0]),
        (libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]),
        (libc::SYS_mount, [0; 5]),
        (libc::SYS_unshare, [0; 5]),
        (libc::SYS_open_by_handle_at, [0; 5]),
        (libc::SYS_init_module, [0; 5]),
        (libc::SYS_finit_module, [0; 5]),
        (libc::SYS_kexec_load, [0; 5]),
        (libc::SYS_reboot, [0; 5]),
    ] {
        for needs in [WATCHES, Needs::default()] {
            let end = inside(needs, || {
                let _ = call(number, args);
                Ok(())
            });
            assert_eq!(end, End::Killed(libc::SIGSYS), "system call {number}");
        }
    }
}

#[test]
fn no_rights_are_left_but_those_that_are_needed() {
    let before = capabilities(None).expect("ours").permitted;
    for (needs, kept) in [
        (WATCHES, WATCHING),
        (
            Needs::default(),
            CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE,
        ),
    ] {
        let end = inside(needs, || {
            let has = capabilities(None).map_err(|error| error.to_string())?;
            let is_exact = has.permitted == before & kept
                && has.effective == has.permitted
                && has.inheritable.is_empty();
            let status = fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
            let is = |line: &str| status.lines().any(|it| it == line);
            let bounding = format!("CapBnd:\t{:016x}", kept.bits());
            match is_exact
                && is("NoNewPrivs:\t1")
                && is("Seccomp:\t2")
                && is("CapAmb:\t0000000000000000")
                && (is(&bounding) || !before.contains(CapabilitySet::SETPCAP))
                && getrlimit(Resource::Core).current == Some(0)
                && getrlimit(Resource::Core).maximum == Some(0)
            {
                true => Ok(()),
                false => Err(format!("{has:?}, {status}")),
            }
        });
        assert_eq!(end, End::Exited(0));
    }
}

#[test]
fn what_a_run_needs_goes_on() {
    let end = inside(WATCHES, || {
        let wrong = |error: io::Error| error.to_string();
        let mut text = String::new();
        File::open("/proc/self/status")
            .and_then(|mut it| it.read_to_string(&mut text))
            .map_err(wrong)?;
        fs::read_dir("/proc/self/fd").map_err(wrong)?.count();
        fs::read_link("/proc/self/ns/net").map_err(wrong)?;
        // More than an allocator has lying about, and given back.
        drop(vec![1_u8; 64 << 20]);
        let thread = thread::Builder::new().name("a name".to_owned());
        let joined = thread.spawn(|| thread::sleep(Duration::from_millis(1)));
        joined
            .map_err(wrong)?
            .join()
            .map_err(|_| "a thread broke")?;
        let (mut one, mut other) = UnixStream::pair().map_err(wrong)?;
        one.write_all(b"x").map_err(wrong)?;
        other.read_exact(&mut [0]).map_err(wrong)?;
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(wrong)?;
        tokio.block_on(tokio::time::sleep(Duration::from_millis(1)));
        // Nobody is there, and that is what is said.
        match UnixStream::connect("/nonexistent") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return Err(format!("{other:?}")),
        }
        // Of a panic the message is told, with where it was.
        match thread::spawn(|| std::panic::resume_unwind(Box::new(()))).join() {
            Err(_) => Ok(()),
            Ok(()) => Err("no panic".to_owned()),
        }
    });
    assert_eq!(end, End::Exited(0));
}

#[test]
fn name_servers_are_asked_only_where_that_is_wanted() {
    let ask = || {
        UdpSocket::bind("127.0.0.1:0")
            .map(drop)
            .map_err(|it| it.to_string())
    };
    let needs = Needs {
        asks_names: true,
        ..WATCHES
    };
    assert_eq!(inside(needs, ask), End::Exited(0));
    assert_eq!(inside(Needs::default(), ask), End::Exited(1));
}

/// Where hooks wait, the ways to attach them are there, each for its kind only.
#[test]
fn what_waits_to_be_attached_can_be() {
    let refuses = |number, args| call(number, args) == Err(Some(libc::EPERM));
    for attaches in [Attaches::Nothing, Attaches::Typed, Attaches::Kprobes] {
        let needs = Needs {
            attaches,
            ..WATCHES
        };
        let end = inside(needs, || {
            // What is asked for makes no sense, which is another error.
            let typed = refuses(libc::SYS_bpf, [17, 0, 0, 0, 0]);
            let opens = refuses(libc::SYS_perf_event_open, [0; 5]);
            let enables = refuses(libc::SYS_ioctl, [u64::MAX, 0x2400, 0, 0, 0]);
            let expected = match attaches {
                Attaches::Nothing => (true, true, true),
                Attaches::Typed => (false, true, true),
                Attaches::Kprobes => (true, false, false),
            };
            match (typed, opens, enables) == expected {
                true => Ok(()),
                false => Err(format!("{attaches:?}: {typed} {opens} {enables}")),
            }
        });
        assert_eq!(end, End::Exited(0));
    }
}

#[test]
fn descriptors_are_raised_as_far_as_that_is_of_use() {
    use rustix::process::{Rlimit, setrlimit};
    for (limit, raised) in [
        ((Some(64), Some(1024)), (Some(1024), Some(1024))),
        ((Some(1024), Some(1 << 20)), (Some(8192), Some(1 << 20))),
        ((Some(9000), Some(9000)), (Some(9000), Some(9000))),
    ] {
        // SAFETY: as in `inside`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "no process");
        if child == 0 {
            let (current, maximum) = limit;
            let set = setrlimit(Resource::Nofile, Rlimit { current, maximum });
            super::raise_limits();
            let is = getrlimit(Resource::Nofile);
            let right = set.is_err() || (is.current, is.maximum) == raised;
            // SAFETY: likewise.
            unsafe { libc::_exit(i32::from(!right)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child, with room for how it ended.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "{limit:?}");
    }
}
