//! Keeps the account of what was seen, delivered and lost.

use aya::maps::{MapData, MapError, PerCpuArray};
use tracer_common::{Counts, Kind as KernelKind};

use super::decode::Undecodable;
use crate::model::{Counter, Coverage, Ledger, Loss, Lost, Tally, Timestamp};

/// Newtype for the right to be copied from the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct PodCounts(Counts);

// SAFETY: `Counts` is `repr(C)` of `u64`s only: no padding, no pointers.
unsafe impl aya::Pod for PodCounts {}

/// The kernel side's counters and our own.
pub(super) struct Account {
    counts: PerCpuArray<MapData, PodCounts>,
    /// What they were before the interval of the capture, plus events that are left out.
    before: [Counts; KernelKind::COUNT],
    delivered: [u64; KernelKind::COUNT],
    undecodable: [u64; KernelKind::COUNT],
    reported: Ledger<Lost>,
    reported_missed: u64,
    reported_until: Timestamp,
}

/// The counter of the model that a counter of the kernel side is.
fn counter(kernel: usize) -> Option<Counter> {
    Some(match KernelKind(u32::try_from(kernel).ok()?) {
        KernelKind::CONNECT => Counter::Connect,
        KernelKind::ACCEPT => Counter::Accept,
        KernelKind::CLOSE => Counter::Close,
        KernelKind::FAIL => Counter::Fail,
        KernelKind::LISTEN => Counter::Listen,
        KernelKind::UNLISTEN => Counter::Unlisten,
        KernelKind::EXISTING => Counter::Existing,
        KernelKind::EXEC => Counter::Exec,
        KernelKind::EXIT => Counter::Exit,
        KernelKind::FORK => Counter::Fork,
        KernelKind::CGROUP => Counter::Cgroup,
        KernelKind::MESSAGE => Counter::Dns,
        KernelKind::REDIRECT => Counter::Redirect,
        KernelKind::TOTALS => Counter::Totals,
        _ => return None,
    })
}

impl Account {
    pub(super) fn new(counts: PerCpuArray<MapData, PodCounts>) -> Self {
        Self {
            counts,
            before: [Counts::default(); KernelKind::COUNT],
            delivered: [0; KernelKind::COUNT],
            undecodable: [0; KernelKind::COUNT],
            reported: Ledger::default(),
            reported_missed: 0,
            reported_until: Timestamp::from_ns(0),
        }
    }

    /// Begins the account: subtracts all that was counted until now.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub(super) fn begin(&mut self) -> Result<(), MapError> {
        for index in 0..KernelKind::COUNT {
            self.before[index] = self.sum(index)?;
        }
        Ok(())
    }

    /// The first loss is reported from `from` on.
    pub(super) fn begin_at(&mut self, from: Timestamp) {
        self.reported_until = from;
    }

    /// Subtracts an event that was counted and is not to be reported.
    pub(super) fn leave_out(&mut self, kind: KernelKind) {
        if let Some(before) = self.before.get_mut(kind.0 as usize) {
            before.seen += 1;
        }
    }

    fn sum(&self, index: usize) -> Result<Counts, MapError> {
        let mut sum = Counts::default();
        let Ok(key) = u32::try_from(index) else {
            return Ok(sum);
        };
        for PodCounts(counts) in self.counts.get(&key, 0)?.iter() {
            sum.seen += counts.seen;
            sum.ring_full += counts.ring_full;
            sum.table_full += counts.table_full;
        }
        Ok(sum)
    }

    pub(super) fn delivered(&mut self, kind: KernelKind) {
        if let Some(count) = self.delivered.get_mut(kind.0 as usize) {
            *count += 1;
        }
    }

    pub(super) fn undecodable(&mut self, bytes: Undecodable) {
        tracing::error!(?bytes, "the kernel side sent a record that cannot be read");
        let kind = bytes.kind.map(|kind| kind.0 as usize);
        if let Some(count) = kind.and_then(|kind| self.undecodable.get_mut(kind)) {
            *count += 1;
        }
    }

    /// The account as it stands.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub(super) fn tallies(&self) -> Result<Ledger<Tally>, MapError> {
        let mut tallies = Ledger::default();
        for index in 0..KernelKind::COUNT {
            let Some(counter) = counter(index) else {
                continue;
            };
            let (sum, before) = (self.sum(index)?, &self.before[index]);
            *tallies.get_mut(counter) = Tally {
                seen: sum.seen.saturating_sub(before.seen),
                delivered: self.delivered[index],
                lost: Lost {
                    ring_full: sum.ring_full.saturating_sub(before.ring_full),
                    table_full: sum.table_full.saturating_sub(before.table_full),
                    undecodable: self.undecodable[index],
                },
            };
        }
        Ok(tallies)
    }

    /// What was lost until `now` since the last call that returned something; `missed` is how often
    /// the kernel skipped a program until now.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub(super) fn loss(&mut self, missed: u64, now: Timestamp) -> Result<Option<Loss>, MapError> {
        let lost = self.tallies()?.lost();
        let since = lost.since(&self.reported);
        let interval = Coverage {
            from: self.reported_until,
            to: now,
        };
        self.reported_until = now;
        let missed_since = missed.saturating_sub(self.reported_missed);
        if since.total() == 0 && missed_since == 0 {
            return Ok(None);
        }
        self.reported = lost;
        self.reported_missed = missed;
        Ok(Some(Loss {
            lost: since,
            missed: missed_since,
            interval,
        }))
    }

    /// Whether everything that was seen is accounted for: nothing is on its way.
    pub(super) fn is_settled(&self) -> Result<bool, MapError> {
        let tallies = self.tallies()?;
        Ok(tallies
            .iter()
            .all(|(_, tally)| tally.seen <= tally.delivered + tally.lost.total()))
    }
}
