//! Who fills a table of the kernel side, and how much of it that may be.
//!
//! Whoever fills a table takes room from others. So each entry is charged to a *payer*, and nobody may have more
//! than [`PART`] times what is free: the dynamic thresholds of shared-memory switches (Choudhury and Hahne, 1998). Of
//! what there is room for, one who is alone has seven eighths; of `n` who want all of it, each has `7 / (1 + 7n)`, and the
//! rest stays free for those who have little.
//!
//! Payers who fill it one after the other leave an eighth of an eighth, and so on: six leave nothing. So payers are in
//! three *groups*, and what is free is asked of the payer's own. Each group has an eighth of the table to itself, and what
//! remains is for whoever comes first: so each may have three quarters, and none takes all from another, however
//! many are in it.

/// How many times as much as is free one payer may have.
const PART: i64 = 7;

/// A group has to itself what is left of a table after so many bits are shifted out: an eighth.
const OWN_ROOM: u32 = 3;

/// Users whose number is below this pay for themselves. Those above are handed out in blocks of as many, to one
/// user's containers (`/etc/subuid`) or to a directory, and a block pays together: else one user would be many.
const OWN: u32 = 1 << 16;

/// The first of the payers for what root has in other network namespaces than the host's own.
const ELSEWHERE: u32 = 2 * OWN;

/// Pays for what root has in the host's own. The payers for what comes in there follow, by port.
const HOME: u32 = 3 * OWN;

/// How many payers are told apart: users, blocks of users, network namespaces and ports of root's.
pub const PAYERS: u32 = 4 * OWN;

/// The number of a payer's group is in its first bits.
const GROUP: u32 = 30;

/// Pays for what is nobody's, as far as is known. Root does not pay by its number.
pub const NOBODY: u32 = 0;

/// Payers who have room together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Users, and root in network namespaces that are not the host's own: in containers, as a rule.
    Others,
    /// What comes in at ports of root's in the host's own: strangers choose how much.
    Inbound,
    /// What else root has there.
    Home,
}

impl Group {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The number of the group of `payer`.
    #[inline(always)]
    pub const fn number(payer: u32) -> u32 {
        payer >> GROUP
    }

    /// The one of `payer`.
    pub const fn of(payer: u32) -> Self {
        match Self::number(payer) {
            0 => Self::Others,
            1 => Self::Inbound,
            _ => Self::Home,
        }
    }
}

/// What is free of a table for `room` entries for the group that has `own`, where the groups have `held`. The counts
/// are of several processors at work, and may be less than none for a moment.
#[inline(always)]
pub fn free(own: i32, held: [i32; Group::COUNT], room: i32) -> i64 {
    let room = i64::from(room);
    let part = room >> OWN_ROOM;
    // All have their part at least, also where it is not used; but this group can use its own.
    let [others, inbound, home] = held.map(|held| or_none(i64::from(held) - part));
    room - 3 * part - others - inbound - home + or_none(part - i64::from(own))
}

/// Who pays for what is of the user `uid` in the network namespace `netns`; `home` is the host's own, or 0 if that
/// is not known. `port` is where connections come in, else 0.
///
/// What is root's is many services. In the host's own namespace it is told apart by port where connections come
/// in, as strangers choose how many. Elsewhere whoever is root in a container chooses ports, so there the namespace pays,
/// once for what comes in and once for all else.
#[inline(always)]
pub fn payer(uid: u32, netns: u32, home: u32, port: u16) -> u32 {
    let is_root = is_zero(uid);
    let at_home = is_root & !is_zero(home) & is_zero(netns ^ home);
    let is_small = is_negative(i64::from(uid) - i64::from(OWN));
    let [is_root, at_home, is_small] = [is_root, at_home, is_small].map(|it| it as u32);
    // Namespaces have consecutive numbers.
    let is_inbound = !is_zero(u32::from(port)) as u32;
    let place = (netns << 1) | (is_inbound & 1);
    let group = (is_inbound & Group::Inbound as u32) | (!is_inbound & Group::Home as u32);
    (at_home & ((group << GROUP) | (HOME + u32::from(port))))
        | (is_root & !at_home & (ELSEWHERE + place % OWN))
        | (!is_root & is_small & uid)
        | (!is_root & !is_small & (OWN + (uid >> 16)))
}

/// Where what `payer` has is counted: less than [`PAYERS`].
#[inline(always)]
pub const fn place(payer: u32) -> u32 {
    payer & ((1 << GROUP) - 1)
}

/// Whether a payer that has `own` entries may have one more of those that are `free` for its group.
#[inline(always)]
pub fn has_room(own: i32, free: i64) -> bool {
    is_negative(-free) & is_negative(i64::from(own) - PART * free) != 0
}

/// The user, or the first of a block of users, that this payer stands for; none if it is root's, or nobody's.
pub const fn user(payer: u32) -> Option<u32> {
    match payer {
        NOBODY => None,
        _ if payer < OWN => Some(payer),
        _ if payer < ELSEWHERE => Some((payer - OWN) << 16),
        _ => None,
    }
}

// The kernel tries every path of a program before it lets it run, and what each of these asks would double their
// number. So they are masks, of all bits or none.

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn is_negative(number: i64) -> i64 {
    let mut mask = number;
    // SAFETY: nothing but a number is changed. The compiler, which would make a branch of it, does not see what it is.
    unsafe {
        core::arch::asm!(
            "{mask} s>>= 63",
            mask = inout(reg) mask,
            options(pure, nomem, nostack),
        );
    }
    mask
}

#[cfg(not(target_arch = "bpf"))]
fn is_negative(number: i64) -> i64 {
    number >> 63
}

#[inline(always)]
fn is_zero(number: u32) -> i64 {
    is_negative(i64::from(number) - 1)
}

/// The number, or 0 if it is less.
#[inline(always)]
fn or_none(number: i64) -> i64 {
    number & !is_negative(number)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::BTreeMap, vec::Vec};

    use super::*;

    const HOST: u32 = 9;

    /// A table, and who has how much of it.
    struct Table {
        room: i32,
        held: [i32; Group::COUNT],
        own: BTreeMap<u32, i32>,
    }

    impl Table {
        fn new(room: i32) -> Self {
            Self {
                room,
                held: [0; Group::COUNT],
                own: BTreeMap::new(),
            }
        }

        fn take(&mut self, payer: u32) -> bool {
            let group = Group::of(payer);
            let own = self.own.entry(payer).or_default();
            let has_room = has_room(*own, free(self.held[group as usize], self.held, self.room));
            if has_room {
                *own += 1;
                self.held[group as usize] += 1;
            }
            has_room
        }

        fn give_back(&mut self, payer: u32) {
            if let Some(own) = self.own.get_mut(&payer).filter(|own| **own > 0) {
                *own -= 1;
                self.held[Group::of(payer) as usize] -= 1;
            }
        }

        /// As much as it gets.
        fn fill(&mut self, payer: u32) -> i32 {
            (0..).take_while(|_| self.take(payer)).count() as i32
        }

        fn all(&self) -> i32 {
            self.held.iter().sum()
        }
    }

    /// Numbers that look like chance.
    fn chance(state: &mut u64) -> usize {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) as usize
    }

    fn root(port: u16) -> u32 {
        payer(0, HOST, HOST, port)
    }

    /// All payers of which one attacker can have some: users, blocks, nobody's, containers, ports of root's.
    fn greedy() -> Vec<u32> {
        let users = [1000, 1001, 100_000, 165_536].map(|uid| payer(uid, HOST, HOST, 0));
        let containers = [1, 2, 3].map(|netns| payer(0, netns, HOST, 0));
        let inside = [1, 2, 3].map(|netns| payer(0, netns, HOST, 80));
        let ports = [22, 25, 80, 111, 443, 2049, 6443, 10_250].map(root);
        let all = [&users[..], &[NOBODY], &containers, &inside, &ports];
        all.concat()
    }

    #[test]
    fn who_is_alone_has_two_thirds() {
        for payer in [1000, root(0), root(80)] {
            assert_eq!(Table::new(131_072).fill(payer), 86_016);
            assert_eq!(Table::new(16).fill(payer), 11);
            assert_eq!(Table::new(1).fill(payer), 1);
            assert_eq!(Table::new(0).fill(payer), 0);
        }
    }

    #[test]
    fn who_fills_in_turn_leaves_other_groups_their_part() {
        for room in [8, 64, 256, 4096] {
            let part = room >> OWN_ROOM;
            // What one payer of a group has of its part: nearly all.
            let least = part - part / (PART as i32 + 1) - 1;
            for many in 1..=greedy().len() {
                let mut state = many as u64;
                for _ in 0..20 {
                    let mut payers = greedy();
                    let mut table = Table::new(room);
                    for _ in 0..many {
                        let next = payers.swap_remove(chance(&mut state) % payers.len());
                        table.fill(next);
                    }
                    let told = table.fill(root(0));
                    assert!(told >= least && told > 0, "{room}: {told} of root's own");
                    assert!(table.all() <= room, "{room}");
                }
            }
            // Users, and all that root has in containers, leave what comes in to root, and the reverse.
            for (first, then) in [(Group::Others, root(7)), (Group::Inbound, 7)] {
                let mut table = Table::new(room);
                let payers = greedy();
                for payer in payers.iter().filter(|it| Group::of(**it) == first) {
                    table.fill(*payer);
                }
                table.fill(root(0));
                assert!(table.held[first as usize] <= room - 2 * part, "{room}");
                let told = table.fill(then);
                assert!(told >= least && told > 0, "{room}: {told} of {then}");
            }
        }
    }

    #[test]
    fn whatever_comes_and_goes_each_group_has_its_part() {
        const ROOM: i32 = 512;
        let payers: Vec<u32> = greedy().into_iter().chain([root(0)]).collect();
        let mut table = Table::new(ROOM);
        let mut state = 7;
        let mut is_greedy = true;
        for step in 0..100_000 {
            if step % 500 == 0 {
                is_greedy = !is_greedy;
            }
            let payer = payers[chance(&mut state) % payers.len()];
            match is_greedy || chance(&mut state).is_multiple_of(4) {
                true => _ = table.take(payer),
                false => table.give_back(payer),
            }
            assert!(table.all() <= ROOM, "{:?}", table.held);
            for group in [Group::Others, Group::Inbound, Group::Home] {
                let held = table.held[group as usize];
                let free = free(held, table.held, ROOM) as i32;
                assert!(held + free >= ROOM >> OWN_ROOM, "{:?}", table.held);
                assert!(free <= ROOM - table.all(), "{:?}", table.held);
            }
        }
    }

    #[test]
    fn who_has_little_finds_room_in_a_group_that_many_fill() {
        for greedy in [1, 2, 3, 10, 100] {
            let mut table = Table::new(16_384);
            let payers: Vec<u32> = (1000..1000 + greedy).collect();
            // In turns.
            while payers.iter().filter(|it| table.take(**it)).count() > 0 {}
            let free = free(table.held[0], table.held, 16_384);
            assert!(
                free >= 12_288 / (2 + 7 * i64::from(greedy)),
                "{greedy}: {free}"
            );
            assert!(has_room(0, free) && has_room(free as i32, free));
        }
    }

    #[test]
    fn counts_that_are_less_than_none_for_a_moment_make_no_room() {
        assert_eq!(free(0, [-3, 0, 0], 64), free(0, [0; 3], 64));
        assert!(has_room(-1, 1) && !has_room(-1, 0));
        assert!(!has_room(0, free(i32::MAX, [i32::MAX, 0, 0], 64)));
    }

    #[test]
    fn one_user_is_one_payer() {
        let of = |uid, netns, port| payer(uid, netns, HOST, port);
        assert_ne!(of(1000, 1, 0), of(1001, 1, 0));
        assert_eq!(of(1000, 1, 80), of(1000, 2, 81), "whatever it makes");
        // The users that a user has by /etc/subuid, 65,536 of them, are two payers at most.
        let all: Vec<u32> = (100_000..165_536).map(|uid| of(uid, 1, 0)).collect();
        assert!(all.iter().all(|it| *it == all[0] || *it == all[65_535]));
        // Services of root are told apart.
        assert_ne!(root(80), root(22));
        assert_ne!(of(0, 1, 0), of(0, 2, 0));
        assert_ne!(of(0, 1, 0), of(0, 1, 80));
        assert_eq!(user(of(1000, 1, 0)), Some(1000));
        assert_eq!(user(of(100_000, 1, 0)), Some(65_536));
        assert_eq!(user(root(80)), None);
        assert_eq!(user(of(0, 1, 80)), None);
        assert_eq!(user(NOBODY), None);
    }

    #[test]
    fn no_container_takes_the_place_of_a_service_of_the_host() {
        let ports = [0, 1, 22, 80, u16::MAX];
        let services = ports.map(root);
        for netns in (0..200_000).chain(u32::MAX - 200_000..=u32::MAX) {
            if netns == HOST {
                continue;
            }
            for port in ports {
                let of = payer(0, netns, HOST, port);
                assert_eq!(Group::of(of), Group::Others, "{netns} {port}");
                assert!(!services.contains(&of), "{netns} {port}");
            }
            // Whatever ports it chooses, it is two.
            assert_eq!(payer(0, netns, HOST, 1), payer(0, netns, HOST, 2));
        }
        // Where the host's own is not known, root has no group of its own.
        assert_eq!(Group::of(payer(0, 0, 0, 0)), Group::Others);
        assert_eq!(Group::of(root(0)), Group::Home);
        assert_eq!(Group::of(root(1)), Group::Inbound);
        assert_eq!(Group::of(root(u16::MAX)), Group::Inbound);
    }

    #[test]
    fn every_payer_has_a_place() {
        for uid in [0, 1, OWN - 1, OWN, u32::MAX] {
            for netns in [0, 1, HOST, u32::MAX] {
                for port in [0, 1, u16::MAX] {
                    let payer = payer(uid, netns, HOST, port);
                    assert!(
                        place(payer) < PAYERS && payer != NOBODY,
                        "{uid} {netns} {port}"
                    );
                }
            }
        }
    }
}
