//! What was watched, and what was lost meanwhile.
//!
//! A host is watched in runs. The `start` and the `stop` of a run say when it began and when it ended, and `stop` has its
//! account. A recording that was cut has the one without the other, or neither: what there is of such
//! a run lasts from its first event to its last one, and the map says what is missing.

use std::sync::Arc;

use super::{Options, hosts::Spans};
use crate::model::{
    Blind, Body, Coverage, Event, Gap, Host, HostCoverage, HostCut, Kind, Ledger, Lost, Run, Start,
    StepsBack, Stop, Timestamp,
};

/// Runs that are kept for each host. The time of one that gives way counts as not watched.
const MAX_RUNS: usize = 1024;
/// What cannot be seen, of each host: kinds of it that are kept.
const MAX_BLIND: usize = 256;
/// The clock of the kernel is turned into wall-clock time with an offset that may change: an event
/// that is so little out of its run belongs to it.
const SLACK_NS: u64 = 1_000_000_000;
/// Kinds of which each event that is delivered is a line: where there are fewer lines, some are
/// missing.
const LINES: [Kind; 6] = [
    Kind::Connect,
    Kind::Accept,
    Kind::Existing,
    Kind::Close,
    Kind::Listen,
    Kind::Unlisten,
];
/// Of these, what the kernel side tells again is left out: that there is none at all where some were
/// delivered is all that shows.
const AT_LEAST_ONE: Kind = Kind::Fail;

/// Of one host.
#[derive(Debug)]
pub(super) struct Watched {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    counts_lines: bool,
    runs: Vec<Told>,
    /// The run that the last event was of.
    current: usize,
    lost: Ledger<Lost>,
    missed: u64,
    pub(super) untracked: u64,
    unattributed: u64,
    pub(super) recounted: u64,
    /// The time of the event before.
    last: Option<Timestamp>,
    steps_back: StepsBack,
}

/// What was told of a run.
#[derive(Debug)]
struct Told {
    /// When it began, by its `start` or by its `stop`: the two of one run name the same moment.
    begun: Option<Timestamp>,
    /// What is here of it.
    from: Timestamp,
    to: Timestamp,
    has_start: bool,
    has_stop: bool,
    /// Nothing later is of this run: it has its `stop`, or another one began since.
    is_over: bool,
    blind: Vec<Blind>,
    /// Of each of [`LINES`], how many are missing; less than none as long as there is no `stop`.
    absent: [i64; LINES.len()],
    /// Lines that are here, and how many its `stop` says were written before it.
    here: u64,
    written: Option<u64>,
    /// Of [`AT_LEAST_ONE`], whether there is one, and whether there should be.
    has_one: bool,
    owes_one: bool,
    /// What its `loss` events told, until `stop` tells all.
    told: Option<Box<(Ledger<Lost>, u64)>>,
}

impl Told {
    fn new(time: Timestamp) -> Self {
        Self {
            begun: None,
            from: time,
            to: time,
            has_start: false,
            has_stop: false,
            is_over: false,
            blind: Vec::new(),
            absent: [0; LINES.len()],
            here: 0,
            written: None,
            has_one: false,
            owes_one: false,
            told: None,
        }
    }

    /// Whether an event of that time is of this run.
    fn has(&self, time: Timestamp) -> bool {
        let from = self.begun.map_or(self.from, |begun| begun.min(self.from));
        time.as_ns().saturating_add(SLACK_NS) >= from.as_ns()
            && (!self.is_over || time.as_ns() <= self.to.as_ns().saturating_add(SLACK_NS))
    }

    /// Whether all that there is of another run may be of this one, of which both ends are known.
    fn contains(&self, other: &Self) -> bool {
        let is_known = self.has_start && self.has_stop;
        other.begun.is_none() && is_known && self.has(other.from) && self.has(other.to)
    }

    /// An event of it was told: its ends, where they are told, say how long it lasted.
    fn stretch(&mut self, time: Timestamp) {
        if !self.has_start {
            self.from = self.from.min(time);
        }
        if !self.has_stop {
            self.to = self.to.max(time);
        }
    }

    /// Adds so many lines to those that are missing; what is here is less than none.
    fn count(&mut self, kind: Kind, lines: i64) {
        if kind == AT_LEAST_ONE {
            self.has_one |= lines < 0;
            self.owes_one |= lines > 0;
        }
        if let Some(at) = LINES.iter().position(|it| *it == kind) {
            self.absent[at] = self.absent[at].saturating_add(lines);
        }
    }
}

impl Watched {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            since: options.since,
            until: options.until,
            counts_lines: options.counts_lines,
            runs: Vec::new(),
            current: 0,
            lost: Ledger::default(),
            missed: 0,
            untracked: 0,
            unattributed: 0,
            recounted: 0,
            last: None,
            steps_back: StepsBack::default(),
        }
    }

    /// Whether something later was told before what is of that time.
    pub(super) fn is_late(&self, time: Timestamp) -> bool {
        self.last.is_some_and(|last| last > time)
    }

    /// Takes an event into account, of whatever time. Whether a run of the tracer begins here that
    /// is not the first one.
    pub(super) fn see(&mut self, event: &Event) -> bool {
        if let Some(last) = self.last.replace(event.time) {
            let back = last.as_ns().saturating_sub(event.time.as_ns());
            // A run begins with its `start`: which run found what came before that nobody knows.
            let slack = if let Body::Start(_) = event.body {
                0
            } else {
                SLACK_NS
            };
            if back > slack {
                self.steps_back.times += 1;
                self.steps_back.most_ns = self.steps_back.most_ns.max(back);
            }
        }
        match &event.body {
            Body::Start(start) => return self.start(event.time, start),
            Body::Stop(stop) => self.stop(stop),
            Body::Loss(loss) => {
                let counts = self.counts(loss.interval.from.min(event.time), event.time);
                let run = self.run(event.time);
                run.here = run.here.saturating_add(1);
                // What was told before in the account of the whole run is not lost twice.
                if run.has_stop {
                    return false;
                }
                let told = run.told.get_or_insert_default();
                told.0.add(&loss.lost);
                told.1 = told.1.saturating_add(loss.missed);
                if counts {
                    self.lost.add(&loss.lost);
                    self.missed = self.missed.saturating_add(loss.missed);
                }
            }
            body => {
                let counts = self.counts_lines;
                let run = self.run(event.time);
                if counts {
                    run.here = run.here.saturating_add(1);
                    run.count(body.kind(), -1);
                }
            }
        }
        false
    }

    /// Whether what happened between the two is asked for, or part of it.
    fn counts(&self, from: Timestamp, to: Timestamp) -> bool {
        self.since.is_none_or(|since| to >= since) && self.until.is_none_or(|until| from <= until)
    }

    fn start(&mut self, time: Timestamp, start: &Start) -> bool {
        let is_first = self.runs.is_empty();
        let named = self.runs.iter().rposition(|it| it.begun == Some(time));
        // Told twice, or its end came first: what is open is its own.
        let begins = !is_first && named.is_none();
        for before in self.runs.iter_mut().filter(|it| it.from < time) {
            before.is_over = true;
        }
        let at = named.unwrap_or_else(|| self.add(Told::new(time)));
        let run = &mut self.runs[at];
        if !run.has_start {
            (run.begun, run.from, run.has_start) = (Some(time), time, true);
            run.blind.clone_from(&start.blind);
            run.here = run.here.saturating_add(1);
        }
        self.current = at;
        self.absorb(at);
        begins
    }

    fn stop(&mut self, stop: &Stop) {
        let Coverage { from, to } = stop.coverage;
        let named = self.runs.iter().rposition(|it| it.begun == Some(from));
        let at = match named {
            // Told twice.
            Some(at) if self.runs[at].has_stop => return,
            Some(at) => at,
            None => self.without_start(from, to),
        };
        self.current = at;
        let run = &mut self.runs[at];
        run.begun = Some(from);
        // A clock that was set back says nothing of when this run ended.
        if to >= run.from {
            let last = std::mem::replace(&mut run.to, to);
            (run.has_stop, run.is_over) = (true, true);
            if !run.has(last) {
                // It is of another run, whose own ends are to be told.
                self.add(Told::new(last));
            }
        }
        let at = self.absorb(at);
        let run = &mut self.runs[at];
        run.written = stop.lines;
        for (counter, tally) in stop.totals.iter() {
            if let Some(kind) = counter.kind() {
                run.count(kind, i64::try_from(tally.delivered).unwrap_or(i64::MAX));
            }
        }
        let told = run.told.take().unwrap_or_default();
        let (from, to) = (run.from, run.to);
        if self.counts(from, to) {
            // What no `loss` told, of the whole run: when it was lost nobody knows.
            self.lost.add(&stop.totals.lost().since(&told.0));
            let missed = stop.missed.saturating_sub(told.1);
            self.missed = self.missed.saturating_add(missed);
            self.unattributed = self.unattributed.saturating_add(stop.unattributed);
        }
    }

    /// The run between these two of which there is no `start`. A run before it whose end was not
    /// told did not last longer.
    fn without_start(&mut self, from: Timestamp, to: Timestamp) -> usize {
        let open = |it: &Told| !it.has_stop && it.begun.is_some_and(|begun| begun < from);
        if let Some(at) = self.runs.iter().rposition(open) {
            let run = &mut self.runs[at];
            run.is_over = true;
            if run.to > from {
                let mut rest = Told::new(from);
                rest.to = std::mem::replace(&mut run.to, from);
                return self.add(rest);
            }
        }
        let mut this = Told::new(to);
        (this.begun, this.is_over) = (Some(from), true);
        let found = self
            .runs
            .iter()
            .rposition(|it| it.begun.is_none() && this.has(it.from));
        found.unwrap_or_else(|| self.add(this))
    }

    /// What was told before both ends of a run were known is of it. Returns where that run is then.
    fn absorb(&mut self, mut at: usize) -> usize {
        for other in (0..self.runs.len()).rev() {
            if !self.runs[at].contains(&self.runs[other]) {
                continue;
            }
            let part = self.runs.remove(other);
            at -= usize::from(other < at);
            let run = &mut self.runs[at];
            for (sum, more) in run.absent.iter_mut().zip(part.absent) {
                *sum = sum.saturating_add(more);
            }
            run.has_one |= part.has_one;
            run.here = run.here.saturating_add(part.here);
            if let Some(told) = part.told {
                let sum = run.told.get_or_insert_default();
                sum.0.add(&told.0);
                sum.1 = sum.1.saturating_add(told.1);
            }
            self.current = at;
        }
        at
    }

    /// The run that an event of that time is of.
    fn run(&mut self, time: Timestamp) -> &mut Told {
        let is_current = self.runs.get(self.current).is_some_and(|it| it.has(time));
        if !is_current {
            self.current = self.find(time);
        }
        let run = &mut self.runs[self.current];
        run.stretch(time);
        run
    }

    fn find(&mut self, time: Timestamp) -> usize {
        if let Some(at) = self.runs.iter().rposition(|it| it.has(time)) {
            return at;
        }
        // Lines out of order: one that was cut at its beginning, if none lies in between.
        let later = |it: &Told| it.from > time;
        let next = self.runs.iter().enumerate().filter(|(_, it)| later(it));
        let next = next.min_by_key(|(_, it)| it.from);
        match next {
            Some((at, next)) if next.begun.is_none() => at,
            _ => self.add(Told::new(time)),
        }
    }

    /// Where there is no more room, the newest one gives way.
    fn add(&mut self, run: Told) -> usize {
        if self.runs.len() == MAX_RUNS {
            self.runs.pop();
        }
        self.runs.push(run);
        self.runs.len() - 1
    }

    /// When somebody watched, in order.
    pub(super) fn spans(&self) -> Spans {
        let mut spans: Spans = self.runs.iter().map(|it| (it.from, it.to)).collect();
        spans.sort_unstable();
        spans
    }

    /// Whether two runs were told of at once: of two hosts, or of one that was watched twice.
    fn at_once(&self) -> bool {
        let known = self.runs.iter().filter(|it| it.begun.is_some());
        let mut spans: Vec<_> = known.map(|it| (it.from, it.to)).collect();
        spans.sort_unstable();
        let mut last: Option<Timestamp> = None;
        spans.into_iter().any(|(from, to)| {
            let overlaps = last.is_some_and(|last| last > from);
            last = last.max(Some(to));
            overlaps
        })
    }

    pub(super) fn snapshot(&self, host: &Arc<Host>) -> HostCoverage {
        let mut told: Vec<(&Told, Run)> = self
            .runs
            .iter()
            // What came in no order may be of a run that was known only later.
            .filter(|it| !self.runs.iter().any(|run| run.contains(it)))
            .filter_map(|it| Some((it, self.part(it)?)))
            .collect();
        told.sort_by_key(|(_, run)| (run.from, run.to));
        if self.counts_lines {
            self.count_absent(&mut told);
        }
        let runs: Vec<Run> = told.iter().map(|(_, run)| *run).collect();
        let first = runs.first().map(|it| it.from);
        let last = runs.iter().map(|it| it.to).max();
        // Of a host that nobody watched then, the moment that it would have been from.
        let nobody = self.since.or(self.until).unwrap_or(Timestamp::from_ns(0));
        HostCoverage {
            host: Arc::clone(host),
            from: first.unwrap_or(nobody),
            to: last.unwrap_or(nobody),
            gaps: self.gaps(&runs),
            runs,
            lost: self.lost.clone(),
            missed: self.missed,
            recounted: self.recounted,
            steps_back: Some(self.steps_back).filter(|it| it.times > 0),
            untracked: self.untracked,
            unattributed: self.unattributed,
            cut: HostCut::default(),
            names_before: Vec::new(),
            twins: Vec::new(),
            twins_cut: 0,
            taken_for_one: self.at_once(),
            blind: blind(told.iter().flat_map(|(it, _)| &it.blind)),
        }
    }

    /// What is asked for of a run, if anything is.
    fn part(&self, run: &Told) -> Option<Run> {
        let from = self.since.map_or(run.from, |since| since.max(run.from));
        let to = self.until.map_or(run.to, |until| until.min(run.to));
        let is_cut_away = from > to || (from == to && run.from < run.to);
        // What is later than all that is asked for tells that it was watched until then, and soon
        // enough also what was lost until then.
        let goes_on = self
            .until
            .is_some_and(|until| run.to.as_ns() > until.as_ns().saturating_add(SLACK_NS));
        (!is_cut_away).then_some(Run {
            from,
            to,
            started: run.has_start,
            stopped: run.has_stop || goes_on,
            absent: 0,
        })
    }

    /// How many lines are missing of `runs`, which are in order. Where some overlap it is not known which
    /// of them a line is of: they are counted together, and told of the last one.
    fn count_absent(&self, runs: &mut [(&Told, Run)]) {
        let mut at = 0;
        while at < runs.len() {
            let mut absent = [0_i64; LINES.len()];
            let (first, mut to) = (at, runs[at].0.to);
            let (mut has_one, mut owes_one) = (false, false);
            let (mut here, mut written) = (0_u64, 0_u64);
            while at < runs.len() && (at == first || runs[at].0.from < to) {
                let run = runs[at].0;
                to = to.max(run.to);
                // What came in no order may be of it.
                let parts = self.runs.iter().filter(|it| run.contains(it));
                let counted = parts.chain(Some(run)).filter(|_| run.has_stop);
                for part in counted {
                    has_one |= part.has_one;
                    owes_one |= part.owes_one;
                    here = here.saturating_add(part.here);
                    // Where it is not told how many, all are here.
                    written = written.saturating_add(match part.has_stop {
                        true => part.written.unwrap_or(part.here),
                        false => 0,
                    });
                    for (sum, more) in absent.iter_mut().zip(part.absent) {
                        *sum = sum.saturating_add(more);
                    }
                }
                at += 1;
            }
            let absent = absent.iter().map(|it| u64::try_from(*it).unwrap_or(0));
            let owed = u64::from(owes_one && !has_one);
            let absent = absent.fold(owed, u64::saturating_add);
            runs[at - 1].1.absent = absent.max(written.saturating_sub(here));
        }
    }

    /// When nobody watched: of the time asked about, and between the runs, which are in order.
    fn gaps(&self, runs: &[Run]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut put = |from: Timestamp, to: Timestamp, least_ns: u64| {
            if to.as_ns() > from.as_ns().saturating_add(least_ns) {
                gaps.push(Gap { from, to });
            }
        };
        // Tables print seconds: a time that was copied from one is a little off.
        if let (Some(since), Some(first)) = (self.since, runs.first()) {
            put(since, first.from, SLACK_NS);
        }
        let mut watched = None;
        for run in runs {
            let before = watched.unwrap_or(run.to);
            put(before, run.from, 0);
            watched = Some(before.max(run.to));
        }
        if let (Some(last), Some(until)) = (watched.or(self.since), self.until) {
            put(last, until, SLACK_NS);
        }
        gaps
    }
}

/// What could not be seen in any of the runs, each told once.
fn blind<'a>(all: impl Iterator<Item = &'a Blind>) -> Vec<Blind> {
    let mut blind: Vec<Blind> = Vec::new();
    for it in all {
        if blind.iter().any(|known| known.words() == it.words()) {
            continue;
        }
        if blind.len() == MAX_BLIND {
            blind.push(Blind {
                id: None,
                what: "more than is kept of what cannot be seen".into(),
                why: "the recording names too much".into(),
            });
            break;
        }
        blind.push(it.clone());
    }
    blind
}

#[cfg(test)]
mod tests;
