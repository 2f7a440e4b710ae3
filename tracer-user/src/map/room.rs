//! Quotas of entries and bytes: of all, of all users, of the users of a host, and of one user.
//!
//! A user may run many programs with long names and arguments. So each user is charged for what the user's programs
//! fill, and cannot use up the room of others, least of all that of root. The caller merges and counts what does
//! not fit.

use std::collections::hash_map::Entry;

use foldhash::HashMap;

use super::numbers::HostId;
use crate::model::{Payer, Process};

/// Who is charged: root of a host, or one of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) host: HostId,
    /// None for root, and if the user is unknown.
    pub(super) user: Option<u32>,
}

impl Owner {
    /// Who is charged for `process`: the owner of its control group or network namespace, who may run programs as
    /// many users there; else the user that it runs as.
    pub(super) fn of(host: HostId, process: &Process) -> Self {
        let place = process.workload.as_ref().and_then(|it| it.uid);
        Self {
            host,
            user: place
                .or(process.uid)
                .filter(|uid| *uid != 0)
                .map(Payer::of_block),
        }
    }

    /// The host itself.
    pub(super) fn root(host: HostId) -> Self {
        Self { host, user: None }
    }
}

/// An owner, and the bytes charged.
pub(super) type Paid = (Owner, usize);

/// Entries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// So many times as much.
    fn times(self, times: usize) -> Self {
        Self {
            entries: self.entries.saturating_mul(times),
            bytes: self.bytes.saturating_mul(times),
        }
    }

    fn is_within(self, bound: Self) -> bool {
        self.entries <= bound.entries && self.bytes <= bound.bytes
    }
}

/// How many times as much as is free for users those of one host may have: alone that is seven eighths of it.
const PART: usize = 7;

/// How much there is room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of all hosts.
    pub(super) all: Amount,
    /// Of all users of all hosts but root.
    pub(super) users: Amount,
    /// Of one of them.
    pub(super) user: Amount,
}

/// The use of the quotas.
#[derive(Debug)]
pub(super) struct Room {
    bounds: Bounds,
    all: Amount,
    all_users: Amount,
    /// Of those of one host.
    users: HashMap<HostId, Amount>,
    /// Owners without an entry are left out.
    user: HashMap<Owner, Amount>,
}

impl Room {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            all: Amount::default(),
            all_users: Amount::default(),
            users: HashMap::default(),
            user: HashMap::default(),
        }
    }

    /// Whether `owner` has room for one more entry of so many bytes, which is taken then.
    pub(super) fn take(&mut self, owner: Owner, bytes: usize) -> bool {
        let more = Amount { entries: 1, bytes };
        let fits = self.fits(owner, more);
        if fits {
            self.add(owner, more);
        }
        fits
    }

    /// Whether there is room for `new` in the place of `old`, in an entry of whomever; then the place is taken.
    /// What does not grow always fits.
    pub(super) fn swap(&mut self, old: Option<Paid>, new: Paid) -> bool {
        let amount = |bytes| Amount { entries: 0, bytes };
        if let Some((owner, bytes)) = old {
            self.remove(owner, amount(bytes));
        }
        let is_less = old.is_some_and(|(owner, bytes)| owner == new.0 && new.1 <= bytes);
        let fits = is_less || self.fits(new.0, amount(new.1));
        if let Some((owner, bytes)) = old.filter(|_| !fits) {
            self.add(owner, amount(bytes));
        } else if fits {
            self.add(new.0, amount(new.1));
        }
        fits
    }

    /// Whether `owner` has any entry here.
    pub(super) fn has(&self, owner: Owner) -> bool {
        self.user.get(&owner).is_some_and(|it| it.entries > 0)
    }

    fn fits(&self, owner: Owner, more: Amount) -> bool {
        let Bounds { all, users, user } = self.bounds;
        let is_root = owner.user.is_none();
        let of_users = self.users.get(&owner.host).copied().unwrap_or_default();
        let own = self.user.get(&owner).copied().unwrap_or_default();
        let free = users.minus(self.all_users);
        self.all.plus(more).is_within(all)
            && (is_root
                || more.is_within(free)
                    && of_users.plus(more).is_within(free.times(PART))
                    && own.plus(more).is_within(user))
    }

    fn add(&mut self, owner: Owner, more: Amount) {
        self.all = self.all.plus(more);
        if owner.user.is_some() {
            self.all_users = self.all_users.plus(more);
            let users = self.users.entry(owner.host).or_default();
            *users = users.plus(more);
            if more != Amount::default() {
                let user = self.user.entry(owner).or_default();
                *user = user.plus(more);
            }
        }
    }

    fn remove(&mut self, owner: Owner, less: Amount) {
        self.all = self.all.minus(less);
        if let Some(users) = self
            .users
            .get_mut(&owner.host)
            .filter(|_| owner.user.is_some())
        {
            *users = users.minus(less);
            self.all_users = self.all_users.minus(less);
        }
        if let Entry::Occupied(mut user) = self.user.entry(owner) {
            *user.get_mut() = user.get().minus(less);
            if *user.get() == Amount::default() {
                user.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        all: Amount {
            entries: 10,
            bytes: 1000,
        },
        users: Amount {
            entries: 7,
            bytes: 700,
        },
        user: Amount {
            entries: 3,
            bytes: 300,
        },
    };

    fn user(uid: u32) -> Owner {
        Owner {
            host: HostId::at(0),
            user: Some(uid),
        }
    }

    fn taken(room: &mut Room, owner: Owner, bytes: usize) -> usize {
        (0..100).filter(|_| room.take(owner, bytes)).count()
    }

    #[test]
    fn a_user_fills_its_own_part_and_users_never_that_of_root() {
        let mut room = Room::new(BOUNDS);
        assert_eq!(taken(&mut room, user(1), 1), 3);
        // However many users there are.
        let others: usize = (2..50).map(|uid| taken(&mut room, user(uid), 1)).sum();
        assert_eq!(others, 4);
        // Whoever got nothing is not remembered.
        assert!(room.has(user(2)) && !room.has(user(40)));
        let root = Owner::root(HostId::at(0));
        assert_eq!(taken(&mut room, root, 1), 3);
        // Another host has no part of its own, but of what all share.
        let elsewhere = Owner {
            host: HostId::at(1),
            user: Some(1),
        };
        assert_eq!(taken(&mut room, elsewhere, 1), 0);
    }

    #[test]
    fn users_of_many_hosts_leave_room_for_root_and_for_one_another() {
        let amount = |n: usize| Amount {
            entries: n,
            bytes: 100 * n,
        };
        let mut room = Room::new(Bounds {
            all: amount(1000),
            users: amount(800),
            user: amount(100),
        });
        let of = |host, user: Option<u32>| Owner {
            host: HostId::at(host),
            user,
        };
        let mut users = Vec::new();
        for host in 1..=16 {
            let each = (1..50).map(|uid| taken(&mut room, of(host, Some(uid)), 10));
            users.push(each.sum::<usize>());
        }
        assert_eq!(users[..3], [700, 88, 11]);
        assert!(users.iter().sum::<usize>() <= 800);
        assert_eq!(taken(&mut room, of(16, None), 10), 100);
        assert_eq!(taken(&mut room, of(0, None), 10), 100);

        // Of bytes it is the same.
        let mut room = Room::new(Bounds {
            all: amount(1000),
            users: amount(800),
            user: amount(800),
        });
        let each = (1..=3).map(|host| taken(&mut room, of(host, Some(1)), 10_000));
        assert_eq!(each.collect::<Vec<_>>(), [7, 1, 0]);
        assert_eq!(taken(&mut room, of(0, None), 10_000), 2);
    }

    #[test]
    fn bytes_are_bounded_at_the_bound_and_not_before() {
        let mut room = Room::new(BOUNDS);
        assert!(room.take(user(1), 200));
        assert!(!room.take(user(1), 101));
        assert!(room.take(user(1), 100));
        // Full: what grows does not fit, what does not grow does.
        let mut swap = |old, new| room.swap(Some((user(1), old)), (user(1), new));
        assert!(!swap(100, 101));
        assert!(swap(100, 100));
        assert!(swap(100, 40));
        assert!(room.swap(None, (user(1), 60)) && !room.swap(None, (user(1), 1)));
        assert!(room.take(user(2), 300) && !room.take(user(3), 101));
        assert!(room.take(Owner::root(HostId::at(0)), 400));
        assert!(!room.take(Owner::root(HostId::at(0)), 1));
    }

    #[test]
    fn whose_bytes_are_in_an_entry_pays_for_them() {
        let mut room = Room::new(BOUNDS);
        let root = Owner::root(HostId::at(0));
        assert!(room.take(root, 100));
        // In an entry of root's a user fills his own part, and has no entry by that.
        assert!(room.swap(Some((root, 50)), (user(1), 300)));
        assert!(!room.swap(None, (user(1), 1)) && !room.has(user(1)));
        assert_eq!((room.all.bytes, room.user[&user(1)].bytes), (350, 300));
        // What does not fit changes nothing; what another one had is given back to him.
        assert!(!room.swap(Some((root, 50)), (user(1), 1)));
        assert!(room.swap(Some((user(1), 300)), (root, 50)));
        assert_eq!((room.all.bytes, room.user.len()), (100, 0));
    }
}
