//! A control group of a test's own, where an eBPF program forbids to connect, or sends elsewhere.

use std::{
    fs::File,
    io,
    net::SocketAddrV4,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{bpf, skip, wait};

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

    fn with(programs: &[(u32, &[u64])]) -> Result<Self> {
        let Some(parent) = mounted()? else {
            return skip::skip("cgroup2", "it is not mounted");
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("tracer-tests-{}-{number}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&path) {
            return skip::skip("cgroup2", format!("make {}: {error}", path.display()));
        }
        let mut group = Self {
            parent,
            path,
            _links: Vec::new(),
        };
        for (attach_type, code) in programs {
            match attach_in_time(&group.path, *attach_type, code) {
                Ok(link) => group._links.push(link),
                Err(error) => return skip::skip("eBPF programs for cgroups", format!("{error:#}")),
            }
        }
        Ok(group)
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
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn enter(group: &Path, pid: u32) -> io::Result<()> {
    std::fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Where the second version of control groups is mounted.
fn mounted() -> Result<Option<PathBuf>> {
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
