//! Tables of the kernel side that were full: for whom, and when that is over.

use aya::{
    Ebpf,
    maps::{Array, MapError},
};
use tracer_common::share;

use crate::model::{Counter, Ledger, Tally};

/// The user who was last refused room in the table of connections, or the first of a block of users; none if
/// nobody was, or if it was root or is not known.
pub(super) fn refused(ebpf: &Ebpf) -> Option<u32> {
    let map = ebpf.map("REFUSED")?;
    let payers: Array<_, u32> = Array::try_from(map).ok()?;
    share::user(payers.get(&0, 0).ok()?)
}

/// What found no room in the table of connections until some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WithoutRoom {
    /// How often an entry was not made, also of attempts that are not decided yet.
    overflows: u64,
    /// Events that were lost for want of an entry.
    untold: u64,
}

impl WithoutRoom {
    /// A number that cannot be read counts as the greatest.
    pub(super) fn of(overflows: Option<u64>, tallies: Option<&Ledger<Tally>>) -> Self {
        // Listeners have a table of their own, and whoever has too many of them may keep them: each look
        // around counts these.
        let untold = tallies.map(|all| {
            all.iter()
                .filter(|(counter, _)| !matches!(counter, Counter::Listen | Counter::Unlisten))
                .map(|(_, tally)| tally.lost.table_full)
                .fold(0, u64::saturating_add)
        });
        Self {
            overflows: overflows.unwrap_or(u64::MAX),
            untold: untold.unwrap_or(u64::MAX),
        }
    }

    /// How often an entry was not made until `now`, if that happened before and not since.
    pub(super) fn is_all(self, now: Self) -> Option<u64> {
        let is_all = self == now && self.overflows != u64::MAX && self.untold != u64::MAX;
        (is_all && self.overflows > 0).then_some(self.overflows)
    }
}

/// The map that counts how often the table of connections was full, and after how many of these a scan found room
/// for all again.
const OVERFLOWS: &str = "OVERFLOWS";

/// How often the table of connections was full until now.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn overflows(ebpf: &Ebpf) -> Result<u64, MapError> {
    let Some(map) = ebpf.map(OVERFLOWS) else {
        return Ok(0); // not the object of this binary, which shows elsewhere
    };
    Array::<_, u64>::try_from(map)?.get(&0, 0)
}

/// Says that after the first `overflows` a scan found room for all: from here on a socket without an entry is
/// older than the programs, not one that did not fit.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn recover(ebpf: &mut Ebpf, overflows: u64) -> Result<(), MapError> {
    let Some(map) = ebpf.map_mut(OVERFLOWS) else {
        return Ok(());
    };
    Array::<_, u64>::try_from(map)?.set(1, overflows, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(losses: &[(Counter, u64)]) -> Ledger<Tally> {
        let mut tallies = Ledger::<Tally>::default();
        for (counter, table_full) in losses {
            tallies.get_mut(*counter).lost.table_full = *table_full;
        }
        tallies
    }

    #[test]
    fn what_is_full_is_so_until_a_look_around_finds_room_for_all() {
        let of = |overflows, losses: &[_]| WithoutRoom::of(Some(overflows), Some(&lost(losses)));
        let before = of(7, &[(Counter::Fail, 5)]);
        assert_eq!(before.is_all(before), Some(7));
        // Attempts that are not decided yet had no room: no event was lost.
        assert_eq!(before.is_all(of(8, &[(Counter::Fail, 5)])), None);
        assert_eq!(before.is_all(of(7, &[(Counter::Fail, 6)])), None);
        assert_eq!(
            before.is_all(of(7, &[(Counter::Fail, 5), (Counter::Existing, 1)])),
            None
        );
        // Who has too many listeners keeps them for good.
        assert_eq!(
            before.is_all(of(7, &[(Counter::Fail, 5), (Counter::Listen, 100)])),
            Some(7)
        );
        // Nothing was full; and what cannot be asked says nothing.
        assert_eq!(of(0, &[]).is_all(of(0, &[])), None);
        let unknown = [
            WithoutRoom::of(None, Some(&lost(&[]))),
            WithoutRoom::of(Some(7), None),
        ];
        for it in unknown {
            assert_eq!(it.is_all(it), None);
        }
    }
}
