//! Who fills a table, and how much of it that may be.
//!
//! Whoever fills a table takes room from others. So each entry is charged to a payer, and no payer may have more
//! than [`PART`] times what is free: the dynamic thresholds of shared-memory switches (Choudhury and Hahne, 1998). The
//! kernel side goes by the same rule (`tracer_common::share`).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

/// How many times as much as is free one payer may have.
const PART: usize = 7;
/// Users whose number is below this pay for themselves. Those above are handed out in blocks of as many, to one
/// user's containers (`/etc/subuid`) or to a directory, and a block pays together: else one user would be many.
const OWN: u32 = 1 << 16;

/// Who pays for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payer {
    /// Nobody knows.
    Nobody,
    /// A user.
    User(u32),
    /// A block of users, by its first one.
    Users(u32),
    /// What is root's is many services: it is told apart by the network namespace (an inode number) and,
    /// where connections come in, by the port, as strangers choose how many. Elsewhere the port is 0.
    Root {
        /// The network namespace.
        netns: u32,
        /// The port.
        port: u16,
    },
}

impl Payer {
    /// Who pays for what a process of the user `uid` has.
    pub fn of(uid: Option<u32>, netns: u32, port: u16) -> Self {
        match uid {
            None => Self::Nobody,
            Some(0) => Self::Root { netns, port },
            Some(uid) if uid < OWN => Self::User(uid),
            Some(uid) => Self::Users(Self::of_block(uid)),
        }
    }

    /// The user that stands for `uid`: the first one of its block, if it is in one.
    pub fn of_block(uid: u32) -> u32 {
        match uid < OWN {
            true => uid,
            false => uid / OWN * OWN,
        }
    }

    /// Whether who has `own` of the `all` entries of a table for `room` may have one more. Alone that is
    /// seven eighths of it; what two and more leave free is for those who have little.
    pub fn has_room(own: usize, all: usize, room: usize) -> bool {
        let free = room.saturating_sub(all);
        own < free.saturating_mul(PART)
    }
}

/// How much of one table each payer has; `P` is a [`Payer`], and of which host.
#[derive(Clone, Debug)]
pub struct Shares<P> {
    room: usize,
    all: usize,
    /// Who has nothing is not in it.
    own: HashMap<P, usize>,
}

impl<P: Copy + Eq + Hash> Shares<P> {
    /// Of a table for `room` entries that is empty.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            all: 0,
            own: HashMap::default(),
        }
    }

    /// Whether `payer` may have one more entry, which is counted then.
    pub fn take(&mut self, payer: P) -> bool {
        let own = self.own.get(&payer).copied().unwrap_or(0);
        let has_room = Payer::has_room(own, self.all, self.room);
        if has_room {
            self.add(payer);
        }
        has_room
    }

    /// `payer` has one more entry, whether that fits or not.
    pub fn add(&mut self, payer: P) {
        *self.own.entry(payer).or_default() += 1;
        self.all += 1;
    }

    /// `payer` has one entry less.
    pub fn give_back(&mut self, payer: P) {
        if let Entry::Occupied(mut own) = self.own.entry(payer) {
            *own.get_mut() -= 1;
            self.all -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::share;

    use super::*;

    /// The kernel side tells the same apart, and leaves as much to others.
    #[test]
    fn both_sides_go_by_one_rule() {
        for uid in [1, 1000, OWN - 1, OWN, 100_000, 165_535, 524_288, u32::MAX] {
            let expected = match Payer::of(Some(uid), 7, 80) {
                Payer::User(uid) | Payer::Users(uid) => Some(uid),
                Payer::Nobody | Payer::Root { .. } => None,
            };
            assert_eq!(share::user(share::payer(uid, 7, 80)), expected, "{uid}");
        }
        assert_eq!(Payer::of(None, 7, 80), Payer::Nobody);
        let root = Payer::Root { netns: 7, port: 80 };
        assert_eq!(Payer::of(Some(0), 7, 80), root);
        let mut shares = Shares::new(16);
        assert_eq!((0..20).filter(|_| shares.take(1)).count(), 14);
        assert!(shares.take(2) && !shares.take(1));
        shares.give_back(1);
        assert!(shares.take(1));
        shares.add(1);
        (0..50).for_each(|_| shares.give_back(1));
        assert_eq!((shares.all, shares.own.len()), (1, 1));
        for own in 0..40_i32 {
            for all in own..60 {
                for room in [0, 1, 16, 50] {
                    let ours = Payer::has_room(own as usize, all as usize, room as usize);
                    assert_eq!(
                        ours,
                        share::has_room(own, all, room),
                        "{own} of {all} of {room}"
                    );
                }
            }
        }
    }
}
