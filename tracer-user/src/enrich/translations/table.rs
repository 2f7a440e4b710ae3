//! Addresses that were replaced within connect(), by the ends of the connection.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::model::{Ends, Translation};

/// How many are kept; those that were not asked for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();
/// In how many network namespaces the same two ends may be translated.
const MAX_ALIKE: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    known: LruCache<Ends, Vec<(u32, Translation)>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            known: LruCache::new(CAPACITY),
        }
    }
}

impl Table {
    /// Remembers what became of the connection between `ends` in the network namespace `netns`.
    pub(super) fn put(&mut self, netns: u32, ends: Ends, translation: Translation) {
        let known = self.known.get_or_insert_mut(ends, Vec::new);
        known.retain(|(other, _)| *other != netns);
        if known.len() >= MAX_ALIKE {
            known.remove(0);
        }
        known.push((netns, translation));
    }

    /// What became of a connection between `ends` that was made in `netns`.
    pub(super) fn get(&mut self, netns: u32, ends: &Ends) -> Option<Translation> {
        if self.known.is_empty() {
            return None;
        }
        let known = self.known.get(ends)?;
        let own = known.iter().find(|(other, _)| *other == netns);
        own.map(|(_, translation)| *translation)
    }

    /// Forgets what `get` would tell: the connection is over.
    pub(super) fn forget(&mut self, netns: u32, ends: &Ends) {
        if self.known.is_empty() {
            return;
        }
        let Some(known) = self.known.get_mut(ends) else {
            return;
        };
        known.retain(|(other, _)| *other != netns);
        if known.is_empty() {
            self.known.pop(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AddressEvidence;

    fn ends(port: u16) -> Ends {
        Ends {
            local: ([10, 0, 0, 5], port).into(),
            remote: ([10, 96, 0, 17], 80).into(),
        }
    }

    fn to(last: u8) -> Translation {
        Translation {
            dialled: ([10, 96, 0, 17], 80).into(),
            server: ([10, 0, 0, last], 8080).into(),
            evidence: AddressEvidence::Rewrite,
        }
    }

    #[test]
    fn each_namespace_has_its_own() {
        let mut table = Table::default();
        assert_eq!(table.get(1, &ends(1)), None);
        table.put(7, ends(1), to(7));
        table.put(8, ends(1), to(8));
        assert_eq!(table.get(1, &ends(1)), None);
        assert_eq!(table.get(7, &ends(1)), Some(to(7)));
        assert_eq!(table.get(8, &ends(2)), None);
        table.forget(1, &ends(1));
        table.forget(7, &ends(1));
        assert_eq!(table.get(7, &ends(1)), None);
        table.forget(8, &ends(1));
        assert!(table.known.is_empty());
    }

    #[test]
    fn a_later_translation_takes_the_place_of_an_earlier_one() {
        let mut table = Table::default();
        table.put(1, ends(1), to(1));
        table.put(1, ends(1), to(2));
        assert_eq!(table.get(1, &ends(1)), Some(to(2)));
    }

    #[test]
    fn it_is_bounded() {
        let mut table = Table::default();
        for n in 0..200_000_u32 {
            let mut ends = ends(n as u16);
            ends.local.set_ip(std::net::Ipv4Addr::from(n).into());
            table.put(n, ends, to(1));
        }
        assert_eq!(table.known.len(), CAPACITY.get());
        for netns in 0..100 {
            table.put(netns, ends(1), to(1));
        }
        assert!(
            table
                .known
                .peek(&ends(1))
                .is_some_and(|it| it.len() <= MAX_ALIKE)
        );
    }
}
