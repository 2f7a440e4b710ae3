//! A control group of a test's own, where an eBPF program forbids to connect, or sends elsewhere.

use std::{
    fs::File,
    io,
    net::SocketAddrV4,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{bpf, netns::Netns, skip, tracer::Helper, wait};

/// A control group. It goes with its value, which must outlive the processes' part in the test.
#[derive(Debug)]
pub struct Cgroup {
    parent: PathBuf,
    path: PathBuf,
    _links: Vec<OwnedFd>,
}

/// Tells the groups of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Cgroup {
    /// Makes one where every connect() fails with `EPERM`, or skips.
    pub fn without_connect() -> Result<Self> {
        // r0 = 0; exit
        Self::with(&[
            (INET4_CONNECT, &[0xb7, 0x95]),
            (INET6_CONNECT, &[0xb7, 0x95]),
        ])
    }

    /// Makes one where every connect() over IPv4 leads to `server`, or skips.
    pub fn leading_to(server: SocketAddrV4) -> Result<Self> {
        // Members of `struct bpf_sock_addr`, in network byte order.
        const USER_IP4: u64 = 4;
        const USER_PORT: u64 = 24;
        let store = |offset: u64| 0x2163 | offset << 16; // *(u32 *)(r1 + offset) = r2
        let set = |value: u32| 0x02b4 | u64::from(value) << 32; // w2 = value
        let address = u32::from_ne_bytes(server.ip().octets());
        Self::with(&[(
            INET4_CONNECT,
            &[
                set(address),
                store(USER_IP4),
                set(u32::from(server.port().to_be())),
                store(USER_PORT),
                0x01_0000_00b7, // r0 = 1
                0x95,           // exit
            ],
        )])
    }

    /// Makes the one at `path`, from the root of v2, or skips.
    pub fn at(path: &str) -> Result<Self> {
        match mounted()? {
            Some(mount) => Self::under(&mount, path),
            None => skip::skip("cgroup2", "it is not mounted"),
        }
    }

    fn under(mount: &Path, path: &str) -> Result<Self> {
        let path = mount.join(path.trim_start_matches('/'));
        if let Err(error) = std::fs::create_dir_all(&path) {
            return skip::skip(
                "control groups",
                format!("make {}: {error}", path.display()),
            );
        }
        Ok(Self {
            parent: mount.to_owned(),
            path,
            _links: Vec::new(),
        })
    }

    /// Gives it to a user, who may make groups in it from here on.
    pub fn give(&self, uid: u32) -> Result<()> {
        for file in ["", "cgroup.procs"] {
            let path = self.path.join(file);
            std::os::unix::fs::chown(&path, Some(uid), None)
                .with_context(|| format!("give {} to a user", path.display()))?;
        }
        Ok(())
    }

    /// Makes one in it, as that user.
    pub fn below(&self, name: &str, uid: u32) -> Result<Self> {
        let path = self.path.join(name);
        let made = path.clone();
        let make = move || -> io::Result<()> {
            // SAFETY: takes numbers only. As a system call it is of this thread alone, which ends.
            if unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) } != 0 {
                return Err(io::Error::last_os_error());
            }
            std::fs::create_dir(made)
        };
        let made = std::thread::spawn(make).join();
        made.map_err(|_| anyhow::anyhow!("the thread that made a group panicked"))?
            .with_context(|| format!("make {} as a user", path.display()))?;
        Ok(Self {
            parent: self.path.clone(),
            path,
            _links: Vec::new(),
        })
    }

    /// Starts `program` in it, and in the network namespace `netns`.
    pub fn start(&self, netns: &Netns, program: &Path, args: &[String]) -> Result<Helper> {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        enter_by(&mut command, self.path.join("cgroup.procs"));
        netns.enter(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Helper::new(child))
    }

    fn with(programs: &[(u32, &[u64])]) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut group = Self::at(&format!("tracer-tests-{}-{number}", std::process::id()))?;
        for (attach_type, code) in programs {
            match attach_in_time(&group.path, *attach_type, code) {
                Ok(link) => group._links.push(link),
                Err(error) => return skip::skip("eBPF programs for cgroups", format!("{error:#}")),
            }
        }
        Ok(group)
    }

    /// Makes `command` start in it.
    pub fn enter(&self, command: &mut Command) {
        enter_by(command, self.path.join("cgroup.procs"));
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        enter(&self.path, pid).context("move a process into a control group")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let processes = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        // A process may be gone by now; and if the group stays, it is empty and harmless.
        for pid in processes.lines().filter_map(|pid| pid.parse().ok()) {
            let _ = enter(&self.parent, pid);
        }
        // With the folders around it that nobody else uses.
        let mut folder = Some(self.path.as_path());
        while let Some(path) = folder.filter(|path| *path != self.parent) {
            if std::fs::remove_dir(path).is_err() {
                return;
            }
            folder = path.parent();
        }
    }
}

/// Has `command` enter the group of `processes` before it becomes its program.
pub(crate) fn enter_by(command: &mut Command, processes: PathBuf) {
    // SAFETY: the closure opens and writes a file; nobody else's lock is waited for.
    unsafe { command.pre_exec(move || std::fs::write(&processes, "0")) };
}

/// A hierarchy of the first version with no controllers, as systemd makes itself one.
#[derive(Debug)]
pub struct V1 {
    mount: PathBuf,
    /// Mounted by us, and so unmounted with the value.
    folder: Option<tempfile::TempDir>,
}

impl V1 {
    /// The one of this name; made if there is none, or skips.
    pub fn named(name: &str) -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
        let option = format!("name={name}");
        let found = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup" && options.split(',').any(|it| it == option)).then(|| at.into())
        });
        if let Some(mount) = found {
            return Ok(Self {
                mount,
                folder: None,
            });
        }
        let folder = tempfile::tempdir().context("make a folder")?;
        let options = std::ffi::CString::new(format!("none,{option}"))?;
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("cgroup", folder.path(), "cgroup", flags, options.as_c_str()) {
            Ok(()) => Ok(Self {
                mount: folder.path().to_owned(),
                folder: Some(folder),
            }),
            Err(error) => skip::skip("control groups of v1", error),
        }
    }

    /// Makes the group at `path`, from the root of this hierarchy.
    pub fn at(&self, path: &str) -> Result<Cgroup> {
        Cgroup::under(&self.mount, path)
    }
}

impl Drop for V1 {
    fn drop(&mut self) {
        if self.folder.is_some() {
            let flags = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(&self.mount, flags);
        }
    }
}

fn enter(group: &Path, pid: u32) -> io::Result<()> {
    std::fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Where the second version of control groups is mounted.
pub(crate) fn mounted() -> Result<Option<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    Ok(mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| at.into())
    }))
}

// From the kernel's `include/uapi/linux/bpf.h`.
const BPF_LINK_CREATE: libc::c_int = 28;
const CGROUP_SOCK_ADDR: u32 = 18;
const INET4_CONNECT: u32 = 10;
const INET6_CONNECT: u32 = 11;

/// The part of `union bpf_attr` that attaches a program.
#[repr(C)]
struct Link {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// How long a kernel may take to give back the memory of a program that is gone.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// [`attach`], with patience: before Linux 5.11 a user's eBPF memory is limited
/// (`RLIMIT_MEMLOCK`), and that of the tracer of the last test may still be counted.
fn attach_in_time(group: &Path, attach_type: u32, code: &[u64]) -> Result<OwnedFd> {
    let mut last = None;
    let attached = wait::until_at_most(GIVEN_BACK, "room for an eBPF program", || {
        match attach(group, attach_type, code) {
            Ok(link) => Ok(Some(link)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                last = Some(error);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    });
    attached.map_err(|error| last.map_or(error, Into::into))
}

/// Attaches the program with these instructions; it stays as long as the link that is returned.
fn attach(group: &Path, attach_type: u32, code: &[u64]) -> io::Result<OwnedFd> {
    let program = bpf::load(CGROUP_SOCK_ADDR, attach_type, code)?;
    let group = File::open(group)?;
    let number = |fd: i32| u32::try_from(fd).unwrap_or_default();
    bpf::make(
        BPF_LINK_CREATE,
        &mut Link {
            program: number(program.as_raw_fd()),
            target: number(group.as_raw_fd()),
            attach_type,
            flags: 0,
        },
    )
}
