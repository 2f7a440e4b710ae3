//! Fair shares of bounded tables.
//!
//! Each entry of a table is charged to a payer, and no payer may have more than [`PART`] times what is free: the
//! dynamic thresholds of shared-memory switches (Choudhury and Hahne, 1998). Payers who fill a table one after the
//! other would leave nothing, so what is free is computed for a [`Group`] of payers, each of which has an eighth of
//! the table reserved. The eBPF side has the same rule (`tracer_common::share`).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

use super::{Process, WorkloadKind};

/// A payer may have this many times what is free.
const PART: usize = 7;
/// A group has a table divided by this reserved.
const OWN_ROOM: usize = 8;
/// Users whose number is below this pay for themselves. Those above are handed out in blocks of as many, to one
/// user's containers (`/etc/subuid`) or to a directory, and a block pays together: else one user would be many.
const OWN: u32 = 1 << 16;

/// Users from this number on are people (`SYS_UID_MAX` of login.defs, and systemd's).
const PEOPLE: u32 = 1000;

/// Whether `uid` is an account of the system: what root installed runs as it, and no user can become it.
pub fn is_of_system(uid: u32) -> bool {
    uid < PEOPLE
}

/// Who is charged for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payer {
    /// Unknown.
    Nobody,
    /// A user.
    User(u32),
    /// A block of users, by its first one.
    Users(u32),
    /// What is root's, and in no container, is many services: it is told apart by the network namespace (an inode
    /// number) and, where connections come in, by the port, as strangers choose how many. Elsewhere the port is 0.
    Root {
        /// The network namespace.
        netns: u32,
        /// The port.
        port: u16,
    },
    /// Root of a container chooses ports, so the network namespace pays.
    Contained {
        /// The network namespace.
        netns: u32,
        /// For what comes in, or for all else.
        inbound: bool,
    },
}

/// Payers that share a reserved part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Users, containers, and unknown payers.
    Others,
    /// What comes in at ports of root's: strangers choose how much.
    Inbound,
    /// What else is root's.
    Root,
}

impl Group {
    /// The number of groups.
    const COUNT: usize = 3;

    /// What is free for this group of a table for `room` entries, of which the groups have `held`.
    fn free(self, held: [usize; Self::COUNT], room: usize) -> usize {
        let part = room / OWN_ROOM;
        // All have their part at least, also where it is not used; but this group can use its own.
        let taken = held
            .iter()
            .fold(0_usize, |sum, held| sum.saturating_add(part.max(*held)));
        let own = part.saturating_sub(held[self as usize]);
        room.saturating_add(own).saturating_sub(taken)
    }
}

/// The key of shares: a [`Payer`], with its host if there are several.
pub trait Pays: Copy + Eq + Hash {
    /// Its group.
    fn group(self) -> Group;
}

impl Pays for Payer {
    fn group(self) -> Group {
        match self {
            Self::Root { port: 0, .. } => Group::Root,
            Self::Root { .. } => Group::Inbound,
            Self::Nobody | Self::User(_) | Self::Users(_) | Self::Contained { .. } => Group::Others,
        }
    }
}

impl<H: Copy + Eq + Hash> Pays for (H, Payer) {
    fn group(self) -> Group {
        self.1.group()
    }
}

impl Payer {
    /// Who pays for what a process of the user `uid` has in no container.
    pub fn of(uid: Option<u32>, netns: u32, port: u16) -> Self {
        match uid {
            None => Self::Nobody,
            Some(0) => Self::Root { netns, port },
            Some(uid) if uid < OWN => Self::User(uid),
            Some(uid) => Self::Users(Self::of_block(uid)),
        }
    }

    /// The payer of `process`: the user who owns its control group or network namespace, who may run programs as many
    /// users there; else the user that it runs as.
    pub fn of_process(process: Option<&Process>, netns: u32, port: u16) -> Self {
        let Some(process) = process else {
            return Self::Nobody;
        };
        let workload = process.workload.as_ref();
        let place = workload.and_then(|it| it.uid).or(process.netns_owner);
        let payer = Self::of(place.or(process.uid), netns, port);
        match workload.map(|it| it.kind) {
            Some(WorkloadKind::Container | WorkloadKind::Pod) => payer.contained(),
            _ => payer,
        }
    }

    /// The same in a container, or in a network namespace that is not the host's own.
    #[must_use]
    pub fn contained(self) -> Self {
        match self {
            Self::Root { netns, port } => Self::Contained {
                netns,
                inbound: port != 0,
            },
            other => other,
        }
    }

    /// The user that stands for `uid`: the first one of its block, if it is in one.
    pub fn of_block(uid: u32) -> u32 {
        match uid < OWN {
            true => uid,
            false => uid / OWN * OWN,
        }
    }

    /// Whether who has `own` entries may have one more of those that are `free` for its group. Alone that is
    /// seven eighths of these; what two and more leave free is for those who have little.
    fn has_room(own: usize, free: usize) -> bool {
        own < free.saturating_mul(PART)
    }
}

/// The entries of each payer in one table; `P` is a [`Payer`], with its host if there are several.
#[derive(Clone, Debug)]
pub struct Shares<P> {
    room: usize,
    held: [usize; Group::COUNT],
    /// Payers without an entry are left out.
    own: HashMap<P, usize>,
}

impl<P: Pays> Shares<P> {
    /// Of an empty table for `room` entries.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            held: [0; Group::COUNT],
            own: HashMap::default(),
        }
    }

    /// Charges `payer` for one more entry, if it may have one. Returns whether.
    pub fn take(&mut self, payer: P) -> bool {
        let own = self.own.get(&payer).copied().unwrap_or(0);
        let free = payer.group().free(self.held, self.room);
        let has_room = Payer::has_room(own, free);
        if has_room {
            self.add(payer);
        }
        has_room
    }

    /// Charges `payer` for one more entry in any case.
    pub fn add(&mut self, payer: P) {
        *self.own.entry(payer).or_default() += 1;
        self.held[payer.group() as usize] += 1;
    }

    /// Returns one entry of `payer`.
    pub fn give_back(&mut self, payer: P) {
        if let Entry::Occupied(mut own) = self.own.entry(payer) {
            *own.get_mut() -= 1;
            self.held[payer.group() as usize] -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracer_common::share;

    use super::*;
    use crate::model::specimens::events;

    const HOME: u32 = 7;

    const OF_ROOT: Payer = Payer::Root {
        netns: HOME,
        port: 0,
    };

    fn filled(shares: &mut Shares<Payer>, payer: Payer) -> usize {
        (0..1000).filter(|_| shares.take(payer)).count()
    }

    /// The kernel side tells the same apart, and leaves as much to others.
    #[test]
    fn both_sides_go_by_one_rule() {
        for uid in [1, 1000, OWN - 1, OWN, 100_000, 165_535, 524_288, u32::MAX] {
            let expected = match Payer::of(Some(uid), HOME, 80) {
                Payer::User(uid) | Payer::Users(uid) => Some(uid),
                _ => None,
            };
            let theirs = share::payer(uid, HOME, HOME, 80);
            assert_eq!(share::user(theirs), expected, "{uid}");
        }
        assert_eq!(Payer::of(None, HOME, 80), Payer::Nobody);
        for (netns, port) in [(HOME, 0), (HOME, 80), (8, 0), (8, 80)] {
            let at_home = Payer::of(Some(0), netns, port);
            let ours = match netns == HOME {
                true => at_home,
                false => at_home.contained(),
            };
            let theirs = share::Group::of(share::payer(0, netns, HOME, port));
            let theirs = match theirs {
                share::Group::Others => Group::Others,
                share::Group::Inbound => Group::Inbound,
                share::Group::Home => Group::Root,
            };
            assert_eq!(ours.group(), theirs, "{netns} {port}");
        }
        for room in [0, 1, 7, 16, 50] {
            for held in (0..20_i32).flat_map(|a| (0..20).map(move |b| [a, b, (a + b) % 9])) {
                let theirs = share::free(held[1], held, room);
                let ours = Group::Inbound.free(held.map(|it| it as usize), room as usize);
                assert_eq!(ours, theirs.max(0) as usize, "{held:?} of {room}");
                for own in 0..40_i32 {
                    assert_eq!(
                        Payer::has_room(own as usize, ours),
                        share::has_room(own, theirs),
                        "{own} of {held:?} of {room}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_is_room_for_others() {
        let (one, other) = (Payer::User(1), Payer::User(2));
        let mut shares = Shares::new(64);
        assert_eq!(filled(&mut shares, one), 42);
        assert!(shares.take(other) && !shares.take(one));
        shares.give_back(one);
        assert!(shares.take(one));
        shares.add(one);
        (0..50).for_each(|_| shares.give_back(one));
        assert_eq!((shares.held, shares.own.len()), ([1, 0, 0], 1));
    }

    #[test]
    fn who_fills_in_turn_leaves_root_its_part() {
        let of_host = |at: u32| {
            let users = (1..20).map(Payer::User);
            let blocks = (1..4).map(|it| Payer::of(Some(it * OWN), HOME, 0));
            let containers = (1..20).map(|it| Payer::of(Some(0), it, 0).contained());
            let inside = (1..20).map(|it| Payer::of(Some(0), it, it as u16).contained());
            let ports = (1..20).map(|port| Payer::of(Some(0), HOME, port));
            let all = users.chain(blocks).chain(containers).chain(inside);
            all.chain(ports)
                .chain([Payer::Nobody])
                .map(move |it| (at, it))
        };
        let mut shares = Shares::new(512);
        for payer in (0..3).flat_map(of_host) {
            while shares.take(payer) {}
        }
        // Six of one kind took all of it.
        let told = (0..1000).filter(|_| shares.take((0, OF_ROOT))).count();
        assert_eq!(told, 56, "seven eighths of an eighth");
        assert_eq!(shares.held.iter().sum::<usize>(), 512 - 8);
    }

    #[test]
    fn who_pays_is_whose_the_place_is() {
        let mut process = Process::clone(&events::process("nginx"));
        process.uid = Some(0);
        let mut of = |kind, owner| {
            let mut workload = events::workload(kind);
            workload.uid = owner;
            process.workload = Some(Arc::new(workload));
            Payer::of_process(Some(&process), HOME, 80)
        };
        let root = Payer::of(Some(0), HOME, 80);
        assert_eq!(of(WorkloadKind::Systemd, None), root);
        assert_eq!(of(WorkloadKind::Executable, None), root);
        for kind in [WorkloadKind::Container, WorkloadKind::Pod] {
            let inbound = true;
            let netns = HOME;
            assert_eq!(of(kind, None), Payer::Contained { netns, inbound });
            // As many users as it has there.
            assert_eq!(of(kind, Some(1000)), Payer::User(1000));
        }
        assert_eq!(of(WorkloadKind::Executable, Some(1000)), Payer::User(1000));
        assert_eq!(Payer::of_process(None, HOME, 80), Payer::Nobody);
        process.netns_owner = Some(1001);
        process.workload = None;
        let payer = Payer::of_process(Some(&process), HOME, 80);
        assert_eq!(payer, Payer::User(1001));
    }
}
