//! Landlock: a process forbids itself something, for good. Linux 6.7 and later for connections.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `struct landlock_ruleset_attr`, as far as it is about the network.
#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
}

/// `LANDLOCK_ACCESS_NET_CONNECT_TCP`
const CONNECT_TCP: u64 = 1 << 1;

/// From now on every TCP connect() of the calling thread fails with `EACCES`.
pub fn forbid_connect() -> io::Result<()> {
    let ruleset = Ruleset {
        handled_access_fs: 0,
        handled_access_net: CONNECT_TCP,
    };
    // SAFETY: the ruleset is as large as the size says, and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size_of::<Ruleset>(),
            0,
        )
    };
    let Ok(fd @ 0..) = i32::try_from(fd) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel just made this descriptor for us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // A ruleset without a rule allows nothing of what it handles.
    // SAFETY: both calls take numbers only.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
