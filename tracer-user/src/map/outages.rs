//! When attempts failed, and when they succeeded again.
//!
//! Kept by half, at the time of each event: a connection may be counted hours after it was opened. The result does
//! not depend on the order of events. A few times are all kept. Of many, neighbours of one kind are joined, the
//! nearest first, and never across one of the other kind. So the limits of a stretch of failures stay exact, unless
//! a late event falls into joined times.

use smallvec::SmallVec;

use super::half::HalfId;
use crate::model::{Failure, Outage, Reason, Timestamp};

/// Maximum of stretches of failures, and of successes. Between two of failures is one of successes.
const MAX_FAILURES: usize = 16;
const MAX_SUCCESSES: usize = 24;
/// The first distance at which neighbours are joined, nanoseconds.
const LEAST_GRAIN: u64 = 1 << 20;

/// Stretches of all halves.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// By number of the half.
    of: Vec<Course>,
}

impl Outages {
    /// An attempt of `half` succeeded.
    pub(super) fn succeeded(&mut self, half: HalfId, time: Timestamp) {
        self.course(half).succeed(time);
    }

    /// An attempt of `half` failed.
    pub(super) fn failed(&mut self, half: HalfId, failure: &Failure, time: Timestamp) {
        self.course(half).fail(failure.reason, failure.errno, time);
    }

    fn course(&mut self, half: HalfId) -> &mut Course {
        let at = half.index();
        if self.of.len() <= at {
            self.of.resize_with(at + 1, Course::default);
        }
        &mut self.of[at]
    }

    /// The course of the attempts of `half`; none if there was none yet.
    pub(super) fn of(&self, half: HalfId) -> Option<&Course> {
        self.of.get(half.index())
    }
}

/// Attempts of one kind without one of the other kind in between, unless that came late. Neighbours in it are at
/// most a grain apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

/// A stretch of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failures {
    span: Span,
    failed: [u32; Reason::ALL.len()],
    /// The last error, and when.
    errno: Option<(Timestamp, &'static str)>,
}

/// The attempts of a half, or of an edge, over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// Usually one.
    successes: SmallVec<[Span; 1]>,
    failures: Vec<Failures>,
    /// The grain: neighbours up to this distance are joined, nanoseconds.
    successes_grain: u64,
    failures_grain: u64,
    /// Stretches of failures that did not fit.
    cut: u64,
}

impl Course {
    fn succeed(&mut self, time: Timestamp) {
        // The common case: in order, and no failure since the last success.
        if let Some(last) = self.successes.last_mut()
            && last.first <= time
            && time.as_ns().saturating_sub(last.last.as_ns()) <= self.successes_grain
            && self
                .failures
                .last()
                .is_none_or(|it| it.span.last <= last.last)
        {
            last.last = last.last.max(time);
            return;
        }
        self.add_successes(Span {
            first: time,
            last: time,
        });
        self.make_room();
    }

    fn fail(&mut self, reason: Reason, errno: Option<&'static str>, time: Timestamp) {
        let mut failed = [0; Reason::ALL.len()];
        failed[reason as usize] = 1;
        self.add_failures(Failures {
            span: Span {
                first: time,
                last: time,
            },
            failed,
            errno: errno.map(|it| (time, it)),
        });
        self.make_room();
    }

    /// Merges the course of other attempts.
    pub(super) fn merge(&mut self, other: &Self) {
        let grains = [
            self.successes_grain.max(other.successes_grain),
            self.failures_grain.max(other.failures_grain),
        ];
        // What is between two of one kind is known when all are there.
        (self.successes_grain, self.failures_grain) = (0, 0);
        self.cut = self.cut.saturating_add(other.cut);
        for span in &other.successes {
            self.add_successes(*span);
        }
        for failures in &other.failures {
            self.add_failures(failures.clone());
        }
        [self.successes_grain, self.failures_grain] = grains;
        self.make_room();
    }

    /// Keeps it within its bounds.
    fn make_room(&mut self) {
        while self.failures.len() > MAX_FAILURES {
            if !self.join_failures() {
                self.cut_one();
            }
        }
        while self.successes.len() > MAX_SUCCESSES && self.join_successes() {}
    }

    fn add_successes(&mut self, mut span: Span) {
        // Those that it is one with are next to each other.
        let mut from = self.successes.partition_point(|it| it.last < span.first);
        let mut to = from;
        while let Some(next) = self.successes.get(to)
            && next.first <= span.last
        {
            span = span.and(*next);
            to += 1;
        }
        let grain = self.successes_grain;
        if let Some(before) = from.checked_sub(1).map(|at| self.successes[at])
            && before.is_near(span, grain)
            && !self.fails_between(before.last, span.first)
        {
            span = span.and(before);
            from -= 1;
        }
        if let Some(next) = self.successes.get(to).copied()
            && span.is_near(next, grain)
            && !self.fails_between(span.last, next.first)
        {
            span = span.and(next);
            to += 1;
        }
        if from == to {
            self.successes.insert(from, span);
        } else {
            self.successes[from] = span;
            self.successes.drain(from + 1..to);
        }
    }

    fn add_failures(&mut self, mut new: Failures) {
        let mut from = self
            .failures
            .partition_point(|it| it.span.last < new.span.first);
        let mut to = from;
        while let Some(next) = self.failures.get(to)
            && next.span.first <= new.span.last
        {
            new.add(next);
            to += 1;
        }
        let grain = self.failures_grain;
        if let Some(before) = from.checked_sub(1).map(|at| &self.failures[at])
            && before.span.is_near(new.span, grain)
            && !self.succeeds_between(before.span.last, new.span.first)
        {
            new.add(before);
            from -= 1;
        }
        if let Some(next) = self.failures.get(to)
            && new.span.is_near(next.span, grain)
            && !self.succeeds_between(new.span.last, next.span.first)
        {
            new.add(next);
            to += 1;
        }
        match to - from {
            0 => {
                // Most halves have one, ever.
                self.failures
                    .reserve_exact(usize::from(self.failures.is_empty()));
                self.failures.insert(from, new);
            }
            _ => {
                self.failures[from] = new;
                self.failures.drain(from + 1..to);
            }
        }
    }

    /// Whether an attempt failed after the success at `from` and until the one at `to`: of two of one
    /// moment the failure counts as the earlier one.
    fn fails_between(&self, from: Timestamp, to: Timestamp) -> bool {
        let after = self.failures.partition_point(|it| it.span.last <= from);
        let next = self.failures.get(after);
        next.is_some_and(|it| it.span.first <= to)
    }

    /// Whether an attempt succeeded since the failure at `from` and before the one at `to`.
    fn succeeds_between(&self, from: Timestamp, to: Timestamp) -> bool {
        let since = self.successes.partition_point(|it| it.last < from);
        let next = self.successes.get(since);
        next.is_some_and(|it| it.first < to)
    }

    /// Joins successes that are nearer to each other than others; false if failures are between all.
    fn join_successes(&mut self) -> bool {
        let gaps = self.successes.windows(2).filter_map(|two| {
            let (from, to) = (two[0].last, two[1].first);
            (!self.fails_between(from, to)).then(|| to.as_ns().saturating_sub(from.as_ns()))
        });
        let Some(least) = gaps.min() else {
            return false;
        };
        self.successes_grain = grain(self.successes_grain, least);
        let spans = std::mem::take(&mut self.successes);
        let mut joined: SmallVec<[Span; 1]> = SmallVec::new();
        for span in spans {
            match joined.last_mut() {
                Some(last)
                    if last.is_near(span, self.successes_grain)
                        && !self.fails_between(last.last, span.first) =>
                {
                    *last = last.and(span);
                }
                _ => joined.push(span),
            }
        }
        // There are hundreds of thousands of halves, and few have many of these.
        joined.shrink_to_fit();
        self.successes = joined;
        true
    }

    /// Joins failures likewise.
    fn join_failures(&mut self) -> bool {
        let gaps = self.failures.windows(2).filter_map(|two| {
            let (from, to) = (two[0].span.last, two[1].span.first);
            (!self.succeeds_between(from, to)).then(|| to.as_ns().saturating_sub(from.as_ns()))
        });
        let Some(least) = gaps.min() else {
            return false;
        };
        self.failures_grain = grain(self.failures_grain, least);
        let all = std::mem::take(&mut self.failures);
        let mut joined: Vec<Failures> = Vec::new();
        for each in all {
            match joined.last_mut() {
                Some(last)
                    if last.span.is_near(each.span, self.failures_grain)
                        && !self.succeeds_between(last.span.last, each.span.first) =>
                {
                    last.add(&each);
                }
                _ => joined.push(each),
            }
        }
        self.failures = joined;
        true
    }

    /// Evicts the shortest stretch, and of several the one with the fewest attempts. The last one stays, as it may
    /// go on.
    fn cut_one(&mut self) {
        let older = self.failures.len().saturating_sub(1);
        let worth = |at: &usize| {
            let it = &self.failures[*at];
            let end = self.success_after(it.span.last).unwrap_or(it.span.last);
            let ns = end.as_ns().saturating_sub(it.span.first.as_ns());
            (ns, it.attempts())
        };
        if let Some(least) = (0..older).min_by_key(worth) {
            self.failures.remove(least);
            self.cut = self.cut.saturating_add(1);
        }
    }

    /// The first success since `time`; an upper bound if many were joined.
    fn success_after(&self, time: Timestamp) -> Option<Timestamp> {
        let at = self.successes.partition_point(|it| it.last < time);
        let span = self.successes.get(at)?;
        let soon = Timestamp::from_ns(time.as_ns().saturating_add(self.successes_grain));
        Some(match span.first >= time {
            true => span.first,
            false => span.last.min(soon),
        })
    }

    /// The last success before `time`; a lower bound if many were joined.
    fn success_before(&self, time: Timestamp) -> Option<Timestamp> {
        let at = self.successes.partition_point(|it| it.first < time);
        let span = self.successes[..at].last()?;
        let lately = Timestamp::from_ns(time.as_ns().saturating_sub(self.successes_grain));
        Some(match span.last < time {
            true => span.last,
            false => span.first.max(lately),
        })
    }

    /// The stretches of failures, the oldest first, and how many did not fit.
    pub(super) fn stretches(&self) -> (Vec<Outage>, u64) {
        let mut stretches: Vec<Failures> = Vec::new();
        for each in &self.failures {
            match stretches.last_mut() {
                Some(last) if !self.succeeds_between(last.span.last, each.span.first) => {
                    last.add(each);
                }
                _ => stretches.push(each.clone()),
            }
        }
        let outage = |it: &Failures| {
            let failed = Reason::ALL.into_iter().zip(it.failed);
            Outage {
                after: self.success_before(it.span.first),
                begin: it.span.first,
                last: it.span.last,
                end: self.success_after(it.span.last),
                attempts: it.attempts(),
                failed: failed
                    .filter(|(_, times)| *times > 0)
                    .map(|(reason, times)| (reason, u64::from(times)))
                    .collect(),
                errno: it.errno.map(|(_, errno)| errno),
            }
        };
        (stretches.iter().map(outage).collect(), self.cut)
    }
}

/// What is at most `least` apart is joined from here on, nanoseconds, and a little more, so that it does not come
/// to this often.
fn grain(before: u64, least: u64) -> u64 {
    let least = least.max(LEAST_GRAIN).checked_next_power_of_two();
    least.unwrap_or(u64::MAX).max(before)
}

impl Span {
    fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether `next`, which is later, begins so soon.
    fn is_near(self, next: Self, grain: u64) -> bool {
        next.first.as_ns().saturating_sub(self.last.as_ns()) <= grain
    }
}

impl Failures {
    fn add(&mut self, other: &Self) {
        self.span = self.span.and(other.span);
        for (sum, more) in self.failed.iter_mut().zip(other.failed) {
            *sum = sum.saturating_add(more);
        }
        self.errno = self.errno.max(other.errno);
    }

    fn attempts(&self) -> u64 {
        self.failed.iter().map(|it| u64::from(*it)).sum()
    }
}
