//! Which eBPF programs and links the kernel holds, by their numbers.

use std::{collections::BTreeSet, io};

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
            programs: self.programs.difference(&before.programs).copied().collect(),
            links: self.links.difference(&before.links).copied().collect(),
        }
    }

    /// What of `other` is held here too.
    pub fn of(&self, other: &Self) -> Self {
        Self {
            programs: self.programs.intersection(&other.programs).copied().collect(),
            links: self.links.intersection(&other.links).copied().collect(),
        }
    }
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
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<NextId>()) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENOENT) { Ok(found) } else { Err(error) };
        }
        found.insert(attr.next);
        attr = NextId { start: attr.next, ..NextId::default() };
    }
}
