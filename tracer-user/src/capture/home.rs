//! Which network namespace is the host's own. Most sockets are in it, so the owner of theirs need not be looked up;
//! and root's sockets there have room of their own.

use std::{
    fs::File,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

/// `NS_GET_USERNS` of the kernel's `include/uapi/linux/nsfs.h`: a descriptor of the user namespace
/// that a namespace belongs to.
const NS_GET_USERNS: libc::Ioctl = 0xb701;
/// `PROC_USER_INIT_INO` of the kernel's `include/linux/proc_ns.h`: inode number of the first user
/// namespace on every host.
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// The network namespace of process 1; if that may not be read, that of tracer.
const OWN: [&str; 2] = ["/proc/1/ns/net", "/proc/self/ns/net"];

/// Inode number of the host's own network namespace, if it belongs to the first user namespace, and so
/// to root; else 0, which no namespace has.
pub(super) fn netns() -> u32 {
    let Some(own) = OWN.iter().find_map(|path| File::open(path).ok()) else {
        return 0;
    };
    let number = own.metadata().map_or(0, |it| it.ino());
    match of_first_user_namespace(&own) {
        true => u32::try_from(number).unwrap_or(0),
        false => 0,
    }
}

/// Whether a namespace belongs to the first user namespace.
fn of_first_user_namespace(namespace: &File) -> bool {
    // SAFETY: the descriptor is open, and this call takes no argument.
    let user = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    if user < 0 {
        return false;
    }
    // SAFETY: the kernel has just made this descriptor, for us alone.
    let user = File::from(unsafe { OwnedFd::from_raw_fd(user) });
    user.metadata()
        .is_ok_and(|it| it.ino() == FIRST_USER_NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_told_by_its_number_or_not_at_all() {
        let mut own = OWN.iter().filter_map(|path| std::fs::metadata(path).ok());
        let own = own.next().expect("a namespace");
        let number = netns();
        assert!(number == 0 || u64::from(number) == own.ino());
        // A user namespace belongs to the one around it; the first to none.
        let other = File::open("/proc/self/ns/user").expect("a namespace");
        assert!(
            !of_first_user_namespace(&other)
                || other
                    .metadata()
                    .is_ok_and(|it| it.ino() != FIRST_USER_NAMESPACE)
        );
    }
}
