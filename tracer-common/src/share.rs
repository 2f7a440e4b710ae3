//! Who fills a table of the kernel side, and how much of it that may be.
//!
//! Whoever fills a table takes room from others. So each entry is charged to a *payer*, and nobody may have more
//! than [`PART`] times what is free: the dynamic thresholds of shared-memory switches (Choudhury and Hahne, 1998). One
//! who is alone has seven eighths of a table; of `n` who want all of it, each has `7 / (1 + 7n)`, and the rest
//! stays free for those who have little.

/// How many times as much as is free one payer may have.
const PART: i32 = 7;

/// Users whose number is below this pay for themselves. Those above are handed out in blocks of as many, to one
/// user's containers (`/etc/subuid`) or to a directory, and a block pays together: else one user would be many.
const OWN: u32 = 1 << 16;

/// How many payers are told apart: users, blocks of users, and ports of root's.
pub const PAYERS: u32 = 3 * OWN;

/// Pays for what is nobody's, as far as is known. Root does not pay by its number.
pub const NOBODY: u32 = 0;

/// Who pays for what a process of `uid` has in the network namespace `netns`. What is root's is many services: it
/// is told apart by the namespace, and by `port` where connections come in, as strangers choose how many.
#[inline(always)]
pub const fn payer(uid: u32, netns: u32, port: u16) -> u32 {
    if uid == 0 {
        // Namespaces have consecutive numbers.
        let mixed = (netns ^ (port as u32).wrapping_mul(0x9e35)) % OWN;
        2 * OWN + mixed
    } else if uid < OWN {
        uid
    } else {
        OWN + (uid >> 16)
    }
}

/// Whether a payer that has `own` of the `all` entries of a table for `room` may have one more. The counts are of
/// several processors at work, and may be less than none for a moment.
#[inline(always)]
pub const fn has_room(own: i32, all: i32, room: i32) -> bool {
    let free = room.wrapping_sub(all);
    free > 0 && (own as i64) < PART as i64 * free as i64
}

/// The user, or the first of a block of users, that this payer stands for; none if it is root's, or nobody's.
pub const fn user(payer: u32) -> Option<u32> {
    match payer {
        NOBODY => None,
        _ if payer < OWN => Some(payer),
        _ if payer < 2 * OWN => Some((payer - OWN) << 16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Fills a table for `room` by `payers` who all want all of it, in turns. What each has.
    fn filled(room: i32, payers: usize) -> Vec<i32> {
        let mut own = std::vec![0; payers];
        loop {
            let all = own.iter().sum();
            let Some(next) = own.iter_mut().filter(|it| has_room(**it, all, room)).min() else {
                return own;
            };
            *next += 1;
        }
    }

    #[test]
    fn who_is_alone_has_nearly_all() {
        assert_eq!(filled(131_072, 1), [114_688]);
        assert_eq!(filled(16, 1), [14]);
        assert_eq!(filled(1, 1), [1]);
        assert_eq!(filled(0, 1), [0]);
    }

    #[test]
    fn whoever_fills_it_leaves_room_for_others() {
        for greedy in [1, 2, 3, 10, 100] {
            let all: i32 = filled(131_072, greedy).iter().sum();
            let free = 131_072 - all;
            assert!(
                free >= 131_072 / (2 + 7 * greedy as i32),
                "{greedy}: {free}"
            );
            assert!(has_room(0, all, 131_072) && has_room(free, all, 131_072));
        }
    }

    #[test]
    fn one_user_is_one_payer() {
        assert_ne!(payer(1000, 1, 0), payer(1001, 1, 0));
        assert_eq!(payer(1000, 1, 80), payer(1000, 2, 81), "whatever it makes");
        // The users that a user has by /etc/subuid, 65,536 of them, are two payers at most.
        let all: Vec<u32> = (100_000..165_536).map(|uid| payer(uid, 1, 0)).collect();
        assert!(all.iter().all(|it| *it == all[0] || *it == all[65_535]));
        // Services of root are told apart.
        assert_ne!(payer(0, 1, 80), payer(0, 1, 22));
        assert_ne!(payer(0, 1, 0), payer(0, 2, 0));
        assert_eq!(user(payer(1000, 1, 0)), Some(1000));
        assert_eq!(user(payer(100_000, 1, 0)), Some(65_536));
        assert_eq!(user(payer(0, 1, 80)), None);
        assert_eq!(user(NOBODY), None);
    }

    #[test]
    fn every_payer_has_a_place() {
        for uid in [0, 1, OWN - 1, OWN, u32::MAX] {
            for netns in [0, 1, u32::MAX] {
                for port in [0, 1, u16::MAX] {
                    let payer = payer(uid, netns, port);
                    assert!(payer < PAYERS && payer != NOBODY, "{uid} {netns} {port}");
                }
            }
        }
    }
}
