//! Whose network namespaces are listened to: any user can make thousands, and is to take no place from root's.

use std::{
    collections::HashMap,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use crate::model::Payer;

/// Of all, one part in so many may be users'.
const OF_USERS: usize = 2;
/// And one user's.
const OF_ONE: usize = 16;

/// Whose a network namespace is: the owner's of the user namespace that it was made in, which may do there what
/// it likes. What root made is root's, also if root gave it a user namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    Root,
    /// A user, or the first one of a block of users.
    User(u32),
    /// It is not told: its user namespace is not below our own.
    Unknown,
}

impl Owner {
    fn of(uid: u32) -> Self {
        match uid {
            0 => Self::Root,
            uid => Self::User(Payer::of_block(uid)),
        }
    }

    /// The owner of the network namespace `file`.
    pub(super) fn of_namespace(file: impl AsFd) -> Self {
        /// `NS_GET_USERNS` of the kernel's `include/uapi/linux/nsfs.h`: a new descriptor of the user namespace.
        const GET_USERNS: libc::Ioctl = 0xb701;
        /// `NS_GET_OWNER_UID`: the owner of a user namespace.
        const GET_OWNER_UID: libc::Ioctl = 0xb704;
        // SAFETY: the request takes no argument and returns a new descriptor.
        let user = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GET_USERNS) };
        if user < 0 {
            return Self::Unknown;
        }
        // SAFETY: it was made for us just now.
        let user = unsafe { OwnedFd::from_raw_fd(user) };
        let mut uid: libc::uid_t = 0;
        // SAFETY: the kernel writes one `uid_t` there.
        match unsafe { libc::ioctl(user.as_raw_fd(), GET_OWNER_UID, &raw mut uid) } {
            0 => Self::of(uid),
            _ => Self::Unknown,
        }
    }
}

/// How many of whom are listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    all: usize,
    of_users: usize,
    of_one: HashMap<Owner, usize>,
}

impl Shares {
    /// Of `all`, as many may be users', and as many one user's.
    pub(super) const fn of(all: usize) -> (usize, usize) {
        (all / OF_USERS, all / OF_ONE)
    }

    pub(super) fn add(&mut self, owner: Owner) {
        self.all += 1;
        if owner != Owner::Root {
            self.of_users += 1;
            *self.of_one.entry(owner).or_default() += 1;
        }
    }

    /// Whether there is a place for one more of `owner`'s, if there are `max` in all.
    pub(super) fn has_place(&self, owner: Owner, max: usize) -> bool {
        let (of_users, of_one) = Self::of(max);
        let own = self.of_one.get(&owner).copied().unwrap_or(0);
        self.all < max && (owner == Owner::Root || (self.of_users < of_users && own < of_one))
    }
}

impl FromIterator<Owner> for Shares {
    fn from_iter<T: IntoIterator<Item = Owner>>(owners: T) -> Self {
        let mut shares = Self::default();
        owners.into_iter().for_each(|it| shares.add(it));
        shares
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::unix::process::CommandExt as _,
        path::PathBuf,
        process::{Command, Stdio},
    };

    use super::*;

    /// Of many users, each with as many namespaces as it likes, and before root has any.
    #[test]
    fn users_leave_half_to_root_and_most_to_others() {
        const MAX: usize = 1024;
        let mut shares = Shares::default();
        let mut take = |owner, wanted: usize| {
            let is_taken = |_: &usize| {
                let has_place = shares.has_place(owner, MAX);
                if has_place {
                    shares.add(owner);
                }
                has_place
            };
            (0..wanted).filter(is_taken).count()
        };
        assert_eq!(take(Owner::of(1000), 5000), 64);
        // Its containers have users of a block.
        let block = (100_000..105_000).map(|uid| take(Owner::of(uid), 1));
        assert!(block.sum::<usize>() <= 128);
        assert_eq!(take(Owner::Unknown, 5000), 64);
        let others: usize = (2000..2100).map(|uid| take(Owner::of(uid), 5000)).sum();
        assert!(others >= 256);
        assert_eq!(take(Owner::Root, 5000), 512);
        assert_eq!((take(Owner::Root, 1), take(Owner::of(7), 1)), (0, 0));
        // Without users, all is root's.
        let none = Shares::from_iter([Owner::Root; MAX - 1]);
        assert!(none.has_place(Owner::Root, MAX) && none.has_place(Owner::of(7), MAX));
    }

    #[test]
    fn the_kernel_tells_whose_a_namespace_is() {
        let of = |path: PathBuf| File::open(path).map(Owner::of_namespace);
        let own = of("/proc/self/ns/net".into()).expect("a namespace");
        if !rustix::process::geteuid().is_root() || own != Owner::Root {
            println!("skipped: not root, or in a namespace of a user");
            return;
        }
        // It says so once it is there, and stays until its input ends.
        let child = Command::new("unshare")
            .args(["--user", "--net", "sh", "-c", "echo; read x"])
            .uid(1000)
            .gid(1000)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: there is no unshare");
            return;
        };
        let mut said = [0];
        let out = child.stdout.as_mut().expect("a pipe");
        if std::io::Read::read_exact(out, &mut said).is_err() {
            let _ = child.wait();
            println!("skipped: a user may make no namespaces");
            return;
        }
        let its = of(format!("/proc/{}/ns/net", child.id()).into());
        drop(child.stdin.take());
        let _ = child.wait();
        assert_eq!(its.expect("a namespace"), Owner::User(1000));
    }
}
