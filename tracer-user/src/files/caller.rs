//! Who asks, and acting with no more rights than they have.

use std::io;

use rustix::{
    process::{getegid, geteuid, getgid, getuid},
    thread::{
        CapabilitySet, CapabilitySets, Gid, Uid, capabilities, set_capabilities,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use super::error::Refusal;

/// Calls `act` without the rights that tracer has and its caller has not: those of capabilities, and
/// of another user if its file says so (setuid). Where root calls there are none. Of this thread
/// only: capabilities are a thread's own (capabilities(7)).
///
/// # Errors
/// Of `act`, or if the rights cannot be put off.
pub(super) fn as_caller<T>(act: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    if getuid().is_root() {
        return act();
    }
    let _lowered = Lowered::new()?;
    act()
}

/// Whose files may be written to: the caller's.
pub(super) fn caller() -> u32 {
    match getuid() {
        uid if uid.is_root() => geteuid().as_raw(),
        uid => uid.as_raw(),
    }
}

/// The group that the caller's own files have.
pub(super) fn group() -> u32 {
    getgid().as_raw()
}

/// Who called by `sudo`: root's file may lie in their folder, as they can do what root does.
pub(super) fn called_by() -> Option<u32> {
    let uid = std::env::var("SUDO_UID").ok();
    uid.filter(|_| caller() == 0)?.parse().ok()
}

/// Rights that are put off until this is dropped.
struct Lowered {
    sets: CapabilitySets,
    user: Uid,
    group: Gid,
}

impl Lowered {
    fn new() -> io::Result<Self> {
        let lowered = Self {
            sets: capabilities(None)?,
            user: geteuid(),
            group: getegid(),
        };
        // Last, as it takes the right to change others.
        if lowered.group != getgid() {
            set_thread_res_gid(None::<Gid>, getgid(), None::<Gid>)?;
        }
        if lowered.user != getuid() {
            set_thread_res_uid(None::<Uid>, getuid(), None::<Uid>)?;
        }
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            ..lowered.sets
        };
        set_capabilities(None, none)?;
        Ok(lowered)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        // Should any of it fail, there are fewer rights than before: what needs them will say so.
        if self.user != getuid() {
            let _ = set_thread_res_uid(None::<Uid>, self.user, None::<Uid>);
        }
        if self.group != getgid() {
            let _ = set_thread_res_gid(None::<Gid>, self.group, None::<Gid>);
        }
        let _ = set_capabilities(None, self.sets);
    }
}
