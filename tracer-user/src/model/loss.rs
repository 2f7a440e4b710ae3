//! What was seen, delivered and lost. Loss is data: the sums add up.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::{Counter, Timestamp, omit::is_zero};

/// Events that were seen but not delivered, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The ring buffer had no room: user space did not read fast enough.
    #[serde(skip_serializing_if = "is_zero")]
    pub ring_full: u64,
    /// A table of the kernel side had no room, or whoever it was of had no more of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub table_full: u64,
    /// A record arrived that could not be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub undecodable: u64,
}

impl Lost {
    /// All causes together.
    pub fn total(&self) -> u64 {
        self.ring_full
            .saturating_add(self.table_full)
            .saturating_add(self.undecodable)
    }
}

/// Why an event was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// [`Lost::ring_full`].
    RingFull,
    /// [`Lost::table_full`].
    TableFull,
    /// [`Lost::undecodable`].
    Undecodable,
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.ring_full, other.ring_full),
            (&mut self.table_full, other.table_full),
            (&mut self.undecodable, other.undecodable),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

impl Sub for Lost {
    type Output = Self;

    /// What was lost since `earlier`. Counters only grow; should one not, nothing.
    fn sub(self, earlier: Self) -> Self {
        Self {
            ring_full: self.ring_full.saturating_sub(earlier.ring_full),
            table_full: self.table_full.saturating_sub(earlier.table_full),
            undecodable: self.undecodable.saturating_sub(earlier.undecodable),
        }
    }
}

/// The account of one kind of event. In the end
/// `seen = delivered + ring_full + table_full + undecodable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Counted by the kernel side.
    pub seen: u64,
    /// Arrived and were read, whatever filters did with them later.
    pub delivered: u64,
    /// The rest, by cause.
    pub lost: Lost,
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(5))?;
        out.serialize_entry("seen", &self.seen)?;
        out.serialize_entry("delivered", &self.delivered)?;
        out.serialize_entry("ring_full", &self.lost.ring_full)?;
        out.serialize_entry("table_full", &self.lost.table_full)?;
        out.serialize_entry("undecodable", &self.lost.undecodable)?;
        out.end()
    }
}

/// One `T` for each counter of the kernel side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger<T>([T; Counter::ALL.len()]);

impl<T> Ledger<T> {
    /// The entry of `counter`.
    pub fn get_mut(&mut self, counter: Counter) -> &mut T {
        &mut self.0[counter as usize]
    }

    /// All entries, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Counter, &T)> {
        Counter::ALL.into_iter().zip(&self.0)
    }
}

impl Ledger<Tally> {
    /// What was lost, by counter.
    pub fn lost(&self) -> Ledger<Lost> {
        Ledger(self.0.each_ref().map(|tally| tally.lost))
    }
}

impl Ledger<Lost> {
    /// What was lost since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (now, before) in since.0.iter_mut().zip(&earlier.0) {
            *now = *now - *before;
        }
        since
    }

    /// Adds what was lost elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (sum, lost) in self.0.iter_mut().zip(&other.0) {
            *sum += *lost;
        }
    }

    /// Which counter has the greatest loss of one cause, and how much; none if nothing was.
    pub fn greatest(&self) -> Option<(Counter, Cause, u64)> {
        let causes = self.iter().flat_map(|(counter, lost)| {
            [
                (counter, Cause::RingFull, lost.ring_full),
                (counter, Cause::TableFull, lost.table_full),
                (counter, Cause::Undecodable, lost.undecodable),
            ]
        });
        let greatest = causes.max_by_key(|(.., events)| *events);
        greatest.filter(|(.., events)| *events > 0)
    }

    /// All counters and causes together.
    pub fn total(&self) -> u64 {
        let all = self.0.iter().map(Lost::total);
        all.fold(0, u64::saturating_add)
    }
}

impl Serialize for Ledger<Tally> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(counter, tally)| (counter.name(), tally)))
    }
}

impl Serialize for Ledger<Lost> {
    /// Leaves out the counters without a loss.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lost = self.iter().filter(|(_, lost)| lost.total() > 0);
        serializer.collect_map(lost.map(|(counter, lost)| (counter.name(), lost)))
    }
}

/// What no event told when it happened, and a later look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Connections that were there, and nobody had told of.
    pub opened: u64,
    /// Connections and attempts that were over, and nobody had told so.
    pub closed: u64,
}

/// What was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// From when, the hooks attached.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}
