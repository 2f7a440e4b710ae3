//! Which eBPF programs and links the kernel holds, by their numbers.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

/// Numbers of all programs and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Links, where the kernel has them (5.8).
    pub links: BTreeSet<u32>,
}

impl Held {
    /// Asks the kernel.
    pub fn now() -> Result<Self> {
        Ok(Self {
            programs: ids(BPF_PROG_GET_NEXT_ID).context("list eBPF programs")?,
            links: ids(BPF_LINK_GET_NEXT_ID).context("list eBPF links")?,
        })
    }

    /// What is held here and was not `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            programs: self
                .programs
                .difference(&before.programs)
                .copied()
                .collect(),
            links: self.links.difference(&before.links).copied().collect(),
        }
    }

    /// What of `other` is held here too.
    pub fn of(&self, other: &Self) -> Self {
        Self {
            programs: self
                .programs
                .intersection(&other.programs)
                .copied()
                .collect(),
            links: self.links.intersection(&other.links).copied().collect(),
        }
    }
}

/// How often the kernel did not run one of these programs as it was running already, on the
/// same CPU: an interrupt came in the midst of it. Programs that are gone count nothing.
pub fn skipped_runs(programs: &BTreeSet<u32>) -> Result<u64> {
    let mut total = 0;
    for id in programs {
        let mut attr = NextId {
            start: *id,
            ..NextId::default()
        };
        // SAFETY: the attribute is as large as the size says, and outlives the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_PROG_GET_FD_BY_ID,
                &raw mut attr,
                size_of::<NextId>(),
            )
        };
        let Ok(fd @ 0..) = i32::try_from(fd) else {
            continue;
        };
        // SAFETY: the kernel just made this descriptor for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut info = [0_u64; INFO_WORDS];
        let mut attr = InfoByFd {
            fd: u32::try_from(fd.as_raw_fd()).unwrap_or_default(),
            length: u32::try_from(size_of_val(&info)).unwrap_or_default(),
            info: info.as_mut_ptr() as u64,
        };
        // SAFETY: the attribute names a buffer as large as it says; both outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_OBJ_GET_INFO_BY_FD,
                &raw mut attr,
                size_of::<InfoByFd>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error()).context("ask about an eBPF program");
        }
        total += info[RECURSION_MISSES];
    }
    Ok(total)
}

/// Words of `struct bpf_prog_info` up to `recursion_misses` (Linux 5.12), its last here.
const INFO_WORDS: usize = RECURSION_MISSES + 1;
/// Offset of `recursion_misses`, in words.
const RECURSION_MISSES: usize = 208 / 8;

const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// The part of `union bpf_attr` that asks about an object.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;

/// The part of `union bpf_attr` that the two commands use.
#[repr(C)]
#[derive(Default)]
struct NextId {
    start: u32,
    next: u32,
    open_flags: u32,
}

fn ids(command: libc::c_int) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    let mut attr = NextId::default();
    loop {
        // SAFETY: the attribute is as large as the size says, and outlives the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<NextId>()) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENOENT) {
                Ok(found)
            } else {
                Err(error)
            };
        }
        found.insert(attr.next);
        attr = NextId {
            start: attr.next,
            ..NextId::default()
        };
    }
}
