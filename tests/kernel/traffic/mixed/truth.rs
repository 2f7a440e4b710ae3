//! What really happened, and whether it was told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect, init,
    ledger::{self, End},
    netns::Netns,
    tracer::Run,
};

use crate::failures::{Attempt, Failure, NOW_AND_THEN, Seen, is_blind_to};

/// So many runs of programs the kernel of a host may skip without counting them: that of a sandbox may run
/// none in the context of a process of its own, and so none in the interrupts of that either.
/// What was missed so is found later, and says so.
const UNCOUNTED: u64 = 2;

/// An attempt that failed, as one end of it must be told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    /// Of that end.
    pub(super) netns: u64,
    pub(super) attempt: Attempt,
    pub(super) failure: Failure,
    /// It is the end that was dialled, and perhaps the process that listens there.
    pub(super) turned_away: Option<Option<u32>>,
}

/// All that happened in some namespaces.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The namespaces.
    pub(super) scope: BTreeSet<u64>,
    /// Ends of connections.
    pub(super) ends: Vec<End>,
    pub(super) failed: Vec<Failed>,
    /// Processes that were executed, connected once, and exited.
    pub(super) short_lived: Vec<u32>,
}

impl Truth {
    pub(super) fn within(netns: &Netns) -> Self {
        Self {
            scope: [netns.inode()].into(),
            ..Self::default()
        }
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.scope.extend(other.scope);
        self.ends.extend(other.ends);
        self.failed.extend(other.failed);
        self.short_lived.extend(other.short_lived);
        self
    }

    /// Of those who dialled.
    pub(super) fn fail(&mut self, netns: &Netns, attempt: Attempt, failure: Failure) {
        self.failed.push(Failed {
            netns: netns.inode(),
            attempt,
            failure,
            turned_away: None,
        });
    }

    pub(super) fn add_ledgers(&mut self, folder: &Path, existing: bool) -> Result<()> {
        let ends = ledger::read(folder)?;
        self.ends
            .extend(ends.into_iter().map(|end| End { existing, ..end }));
        Ok(())
    }

    /// Everything must have been told, and nothing else.
    pub(super) fn compare(self, run: &Run) -> Result<()> {
        let lines = run.events()?;
        expect::well_formed(&lines)?;
        expect::sums(run.text()?.lines())?;
        let uncounted = if init::is_test_machine() {
            0
        } else {
            run.repaired()?.min(UNCOUNTED)
        };
        let missed = run.missed()? + uncounted;
        let of_failures = self.compare_failures(&lines, missed)?;
        let ends = self.compare_ends(&lines)?;
        println!("mixed: {ends}");
        println!(
            "mixed: {} attempts that failed: {of_failures:?}; {} processes that were gone at once; {missed} runs of \
             tracer's programs skipped by the kernel",
            self.failed.len(),
            self.short_lived.len(),
        );
        self.compare_short_lived(&lines, missed)?;
        ends.verdict(missed)
    }

    /// Each failure once and true; how many of each reason.
    fn compare_failures(
        &self,
        lines: &[Value],
        missed: u64,
    ) -> Result<BTreeMap<&'static str, usize>> {
        let start = lines.first().context("a start line")?;
        let forgetful = is_blind_to(start, NOW_AND_THEN)?;
        let mut told: HashMap<(u64, String), Vec<Value>> = HashMap::new();
        for line in lines.iter().filter(|line| line["event"] == "fail") {
            let connection = &line["connection"];
            let netns = connection["netns"].as_u64().unwrap_or_default();
            if self.scope.contains(&netns) {
                let server = connection["server"].to_string();
                told.entry((netns, server)).or_default().push(line.clone());
            }
        }
        let mut reasons = BTreeMap::new();
        let mut excused = Vec::new();
        let (mut without_syn, mut unseen) = (0, 0);
        for failed in &self.failed {
            *reasons.entry(failed.failure.reason).or_default() += 1;
            let server = expect::endpoint(failed.attempt.to).to_string();
            let events = told.entry((failed.netns, server)).or_default();
            let mut seen = Seen {
                start: start.clone(),
                here: failed.netns,
                far: failed.netns,
                events: std::mem::take(events),
                missed,
            };
            let taken = match failed.turned_away {
                None => seen.failed(&failed.attempt, failed.failure),
                Some(pid) => seen.turned_away(&failed.attempt, failed.failure, pid),
            };
            let is_return = failed.turned_away.is_none() && failed.failure.phase == "local";
            without_syn += usize::from(is_return);
            match taken {
                Err(error) if is_return && forgetful => {
                    unseen += 1;
                    println!("mixed: a return that was not seen: {:?}", failed.attempt);
                    ensure!(unseen <= 2 + without_syn / 100, "too many: {error:#}");
                }
                Err(error) => excused.push(error),
                Ok(_) => {}
            }
            *events = seen.events;
        }
        // What was missed may be found later, and says so.
        let left: Vec<_> = told.into_values().flatten().collect();
        let wrong = left.iter().find(|event| event["evidence"]["end"].is_null());
        ensure!(
            wrong.is_none(),
            "invented: {wrong:?}\nmissing: {excused:#?}"
        );
        ensure!(
            excused.len() as u64 <= missed && left.len() <= excused.len(),
            "{missed} runs were missed, and {} failures: {:#}",
            excused.len(),
            excused.remove(0)
        );
        Ok(reasons)
    }

    fn compare_ends(&self, lines: &[Value]) -> Result<expect::Report> {
        let scored: BTreeSet<u64> = self.ends.iter().map(|end| end.netns).collect();
        let mut told = Vec::new();
        for line in lines.iter().filter(|line| line["event"] != "fail") {
            let Some(netns) = line["connection"]["netns"].as_u64() else {
                continue;
            };
            if scored.contains(&netns) {
                told.push(line.to_string());
            } else {
                ensure!(!self.scope.contains(&netns), "invented: {line}");
            }
        }
        expect::score(&self.ends, told.iter().map(String::as_str))
    }

    /// Executed once, exited once, and known by name whatever they do. What a skipped run had told
    /// may be absent.
    fn compare_short_lived(&self, lines: &[Value], missed: u64) -> Result<()> {
        let mut by_pid: HashMap<u64, Vec<&Value>> = HashMap::new();
        for line in lines {
            if let Some(pid) = line["process"]["pid"].as_u64() {
                by_pid.entry(pid).or_default().push(line);
            }
        }
        let exe = json!(std::env::current_exe()?);
        let mut absent = 0;
        for pid in &self.short_lived {
            let told = by_pid.get(&u64::from(*pid)).map_or(&[][..], Vec::as_slice);
            let times = |event| told.iter().filter(|line| line["event"] == event).count();
            for event in ["exec", "exit", "connect", "close"] {
                let of_it = times(event);
                absent += u64::from(of_it == 0);
                ensure!(
                    of_it <= 1 && absent <= missed,
                    "process {pid}: {of_it} times `{event}`, {missed} runs were missed: {told:#?}"
                );
            }
            if times("exec") == 0 {
                continue;
            }
            for line in told {
                let args = line["process"]["args"].as_array().map_or(0, Vec::len);
                ensure!(
                    line["process"]["exe"] == exe && args > 1,
                    "a process that is gone is not whole: {line}"
                );
            }
        }
        Ok(())
    }
}
