//! What tracer would keep alive: an observer changes nothing, so whatever others are done with is gone,
//! though tracer looked at it, and whatever tracer waits for.

use std::{fs, io, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    netns::Netns,
    skip, tests,
    tracer::{Process, Tracer, stream_command},
    wait,
};

tests!("pins":
    a_namespace_goes_with_its_last_process,
    a_namespace_goes_with_its_last_descriptor,
    a_namespace_goes_with_its_last_mount,
    files_and_folders_are_not_kept_open,
);

/// A thread that does not go on, as if it waited for who reads its output; the rest of its process does.
struct Halted(libc::pid_t);

impl Halted {
    /// Halts the main thread of a process, which is the one that reads events.
    fn main_thread(process: &Process) -> Result<Self> {
        let pid = libc::pid_t::try_from(process.pid())?;
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: neither request reads or writes memory of this process.
            if unsafe { libc::ptrace(request, pid, 0_usize, 0_usize) } != 0 {
                return skip::skip("ptrace", io::Error::last_os_error());
            }
        }
        // SAFETY: waits for the stop; nobody asks for its status.
        let stopped = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
        ensure!(stopped == pid, "it does not stop");
        Ok(Self(pid))
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        // SAFETY: as above. If the process is gone there is nothing to let go on.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0_usize, 0_usize) };
    }
}

/// Lets tracer know that connections are tracked on this host, or skips.
fn track(netns: &Netns) -> Result<()> {
    skip::need("nft")?;
    let rules = "add table ip t; add chain ip t c { type nat hook output priority -100; }";
    match netns.command("nft", &[rules]) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("nft", format!("{error:#}")),
    }
}

/// Waits until a socket of the namespace hears of what is tracked there.
fn wait_heard(netns: &Netns) -> Result<()> {
    wait::until("tracer to listen in the namespace", || {
        netns.run(|| {
            let sockets = fs::read_to_string("/proc/thread-self/net/netlink")
                .context("read the netlink sockets")?;
            let hears = |line: &str| {
                let mut fields = line.split_ascii_whitespace().skip(1);
                // `NETLINK_NETFILTER`, and the group of new entries.
                fields.next() == Some("12") && fields.nth(1) == Some("00000001")
            };
            Ok(sockets.lines().any(hears).then_some(()))
        })
    })
}

/// A namespace that tracer listens to and that `keep` keeps in its own way: when what that returns is
/// dropped, its device at our end must go, whatever tracer waits for.
fn goes_with<T>(keep: impl FnOnce(&Netns) -> Result<T>) -> Result<()> {
    let (near, far) = Netns::pair()?;
    track(&near)?;
    let mut tracer = Tracer::stream(&[])?;
    let kept = keep(&far)?;
    wait_heard(&far)?;
    let _halted = Halted::main_thread(tracer.process())?;
    drop(far);
    drop(kept);
    wait::until("the device to go with its namespace", || {
        let devices = near.run(|| fs::read_to_string("/proc/thread-self/net/dev").context("read"));
        Ok((!devices?.contains("cable")).then_some(()))
    })
}

fn a_namespace_goes_with_its_last_process() -> Result<()> {
    goes_with(Agent::new)
}

fn a_namespace_goes_with_its_last_descriptor() -> Result<()> {
    goes_with(|far| {
        // Found by a process that is gone, and kept by a descriptor.
        let mut agent = Agent::new(far)?;
        wait_heard(far)?;
        agent.kill()?;
        Ok(far.clone())
    })
}

/// Removes a mount when it is dropped.
struct Mount {
    place: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

fn a_namespace_goes_with_its_last_mount() -> Result<()> {
    goes_with(|far| {
        let folder = tempfile::tempdir().context("make a folder")?;
        let place = folder.path().join("netns");
        fs::write(&place, "").context("make a file")?;
        mount_bind(far.path(), &place).context("mount a namespace")?;
        Ok(Mount {
            place,
            _folder: folder,
        })
    })
}

/// Everything that tracer has open, but what it was started with and what has no place in a file system.
fn files_and_folders_are_not_kept_open() -> Result<()> {
    let netns = Netns::new()?;
    track(&netns)?;
    let mut process = Process::spawn(&mut stream_command(&["-v", "-o", "json"])?, true)?;
    process.wait_until_watching()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let dialled = client.dial(Dial::to(at))?;
    server.accept(listener)?;
    client.close(dialled.slot.context("a socket")?)?;
    wait_heard(&netns)?;
    let mine = PathBuf::from(format!("/proc/{}", process.pid()));
    let own = fs::read_link("/proc/self/ns/net")?;
    // It looks at files while it works: what matters is that it lets go of them.
    wait::until("tracer to have nothing open that others may want", || {
        let mut kept = Vec::new();
        for entry in fs::read_dir(mine.join("fd"))?.flatten() {
            if let Ok(path) = fs::read_link(entry.path()) {
                kept.push(path);
            }
        }
        for thread in fs::read_dir(mine.join("task"))?.flatten() {
            if let Ok(netns) = fs::read_link(thread.path().join("ns/net"))
                && netns != own
            {
                kept.push(netns);
            }
        }
        kept.retain(|path| {
            let text = path.to_string_lossy();
            (text.starts_with('/') && text != "/dev/null") || text.starts_with("net:")
        });
        kept.retain(|path| *path != own);
        Ok(kept.is_empty().then_some(()))
    })
}
