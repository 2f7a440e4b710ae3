//! What was watched, and what was lost meanwhile.

use std::sync::Arc;

use crate::model::{Blind, Body, Event, Gap, Host, HostCoverage, Ledger, Lost, Timestamp};

/// Gaps that are kept for each host.
const MAX_GAPS: usize = 4096;

/// Of one host.
#[derive(Debug)]
pub(super) struct Watched {
    from: Timestamp,
    to: Timestamp,
    gaps: Vec<Gap>,
    /// Of the runs that are over.
    lost: Ledger<Lost>,
    missed: u64,
    /// Of the run that goes on.
    lost_now: Ledger<Lost>,
    missed_now: u64,
    pub(super) untracked: u64,
    pub(super) recounted: u64,
    blind: Vec<Blind>,
    /// Something was told before.
    told: bool,
    /// The run that goes on, or was the last one, counts from its beginning.
    is_whole: bool,
}

impl Watched {
    pub(super) fn new(time: Timestamp) -> Self {
        Self {
            from: time,
            to: time,
            gaps: Vec::new(),
            lost: Ledger::default(),
            missed: 0,
            lost_now: Ledger::default(),
            missed_now: 0,
            untracked: 0,
            recounted: 0,
            blind: Vec::new(),
            told: false,
            is_whole: true,
        }
    }

    /// What counts begins at `since`: nothing that was told so far does, but what cannot be seen.
    pub(super) fn begin_at(&mut self, since: Timestamp) {
        *self = Self {
            blind: std::mem::take(&mut self.blind),
            told: true,
            is_whole: false,
            ..Self::new(since)
        };
    }

    /// Whether a run of the tracer begins here that is not the first one.
    pub(super) fn see(&mut self, event: &Event) -> bool {
        let mut begins = false;
        match &event.body {
            Body::Start(start) => {
                begins = self.told;
                if begins && event.time > self.to && self.gaps.len() < MAX_GAPS {
                    self.gaps.push(Gap {
                        from: self.to,
                        to: event.time,
                    });
                }
                self.close_account();
                self.is_whole = true;
                self.blind.clone_from(&start.blind);
            }
            Body::Loss(loss) => {
                self.lost_now.add(&loss.lost);
                self.missed_now += loss.missed;
            }
            Body::Stop(stop) => {
                if self.is_whole {
                    // The account of the whole run, with what no `loss` told.
                    self.lost_now = stop.totals.lost();
                    self.missed_now = stop.missed;
                }
                self.close_account();
            }
            _ => {}
        }
        self.from = self.from.min(event.time);
        self.to = self.to.max(event.time);
        self.told = true;
        begins
    }

    fn close_account(&mut self) {
        self.lost.add(&std::mem::take(&mut self.lost_now));
        self.missed += std::mem::take(&mut self.missed_now);
    }

    pub(super) fn snapshot(&self, host: &Arc<Host>) -> HostCoverage {
        let mut lost = self.lost.clone();
        lost.add(&self.lost_now);
        HostCoverage {
            host: Arc::clone(host),
            from: self.from,
            to: self.to,
            gaps: self.gaps.clone(),
            lost,
            missed: self.missed + self.missed_now,
            recounted: self.recounted,
            untracked: self.untracked,
            blind: self.blind.clone(),
        }
    }
}
