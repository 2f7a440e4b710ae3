//! What was watched, and what was lost meanwhile.

use std::sync::Arc;

use super::hosts::Spans;
use crate::model::{Blind, Body, Event, Gap, Host, HostCoverage, HostCut, Ledger, Lost, Timestamp};

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
    blind: Vec<Blind>,
    /// Something was told before.
    told: bool,
    /// The run that goes on, or was the last one, counts from its beginning.
    is_whole: bool,
    /// Runs that began, and whose end was not told.
    runs: u32,
    /// When the last one began.
    started: Option<Timestamp>,
    /// When one ended, if none began since.
    stopped: Option<Timestamp>,
    /// Two runs were told of at once: of two hosts, or of one that was watched twice.
    at_once: bool,
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
            blind: Vec::new(),
            told: false,
            is_whole: true,
            runs: 0,
            started: None,
            stopped: None,
            at_once: false,
        }
    }

    /// What counts begins at `since`: nothing that was told so far does, but what cannot be seen.
    pub(super) fn begin_at(&mut self, since: Timestamp) {
        *self = Self {
            blind: std::mem::take(&mut self.blind),
            told: true,
            is_whole: false,
            runs: self.runs,
            started: self.started,
            stopped: self.stopped,
            ..Self::new(since)
        };
    }

    /// Whether a run of the tracer begins here that is not the first one.
    pub(super) fn see(&mut self, event: &Event) -> bool {
        let mut begins = false;
        self.count_runs(event);
        match &event.body {
            Body::Start(start) => {
                begins = self.told;
                if begins && event.time > self.to {
                    let gap = Gap {
                        from: self.to,
                        to: event.time,
                    };
                    let is_full = self.gaps.len() >= MAX_GAPS;
                    match self.gaps.last_mut() {
                        // One that is too long promises nothing that is not so.
                        Some(last) if is_full => last.to = gap.to,
                        _ => self.gaps.push(gap),
                    }
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

    /// When somebody watched.
    pub(super) fn spans(&self) -> Spans {
        let mut spans = Vec::with_capacity(self.gaps.len() + 1);
        let mut from = self.from;
        for gap in &self.gaps {
            spans.push((from, gap.from));
            from = gap.to;
        }
        spans.push((from, self.to));
        spans
    }

    /// Notes that two runs are told of at once, if they are: an end or anything else comes after the
    /// end of one, though none began since.
    fn count_runs(&mut self, event: &Event) {
        match &event.body {
            // A recording that is given twice begins twice at one moment.
            Body::Start(_) if self.started == Some(event.time) => {}
            Body::Start(_) => {
                self.runs = self.runs.saturating_add(1);
                self.started = Some(event.time);
                self.stopped = None;
            }
            Body::Stop(_) if self.stopped == Some(event.time) => {}
            _ => {
                self.at_once |= self.stopped.is_some_and(|it| it < event.time) && self.runs > 0;
                if matches!(event.body, Body::Stop(_)) {
                    self.runs = self.runs.saturating_sub(1);
                    self.stopped = Some(event.time);
                }
            }
        }
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
            untracked: self.untracked,
            cut: HostCut::default(),
            names_before: Vec::new(),
            twins: Vec::new(),
            taken_for_one: self.at_once,
            blind: self.blind.clone(),
        }
    }
}
