//! How well the lines agree with the ledger.

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, ensure};

use crate::init;

/// On a host like the one this was written on, ends whose announcement the kernel hides from
/// every program (see `Netns::acknowledge_at_once`); tracer finds them by looking again.
const HIDDEN: usize = 3;

/// How often a class of discrepancies was found, with some examples.
type Classes = BTreeMap<&'static str, (usize, Vec<String>)>;

/// How well the lines agree with the ledger.
#[derive(Debug, Default)]
pub struct Report {
    /// Ends in the ledger.
    pub ends: usize,
    /// Lines that were looked at: those of the ledger's namespaces.
    pub lines: usize,
    /// How often each `evidence.process` stood on which event.
    pub evidence: BTreeMap<String, usize>,
    /// What is not so.
    pub(super) false_: Classes,
    /// What is not known.
    pub(super) unknown: Classes,
    /// Ends that tracer missed and found later, and said so: without totals.
    pub(super) found_later: usize,
    /// Other ends of which something is not known.
    pub(super) uncertain: usize,
    /// Ends that were reset when both had closed; see [`Comparison::errno`].
    pub(super) reset_at_last: usize,
}

impl Report {
    pub(super) fn is_false(&mut self, class: &'static str, example: impl fmt::Display) {
        add(&mut self.false_, class, example);
    }

    pub(super) fn is_unknown(&mut self, class: &'static str, example: impl fmt::Display) {
        add(&mut self.unknown, class, example);
    }

    /// How many discrepancies of a class there are.
    pub fn count(&self, class: &str) -> usize {
        let of = |classes: &Classes| classes.get(class).map_or(0, |(count, _)| *count);
        of(&self.false_) + of(&self.unknown)
    }

    /// Fails if anything is false, or if tracer knows too little of more ends than it says that
    /// its programs were not run for: `missed`, from the `stop` line.
    pub fn verdict(&self, missed: u64) -> Result<()> {
        let hidden = if init::is_test_machine() { 0 } else { HIDDEN };
        let unknown = self.uncertain + self.found_later.saturating_sub(hidden);
        ensure!(self.false_.is_empty(), "{self}");
        ensure!(
            self.reset_at_last <= 1 + self.ends / 1000,
            "{} ends were reset when both had closed: {self}",
            self.reset_at_last
        );
        ensure!(
            unknown as u64 <= missed,
            "{missed} runs of programs were missed, and of more ends something is not known: {self}"
        );
        Ok(())
    }
}

fn add(classes: &mut Classes, class: &'static str, example: impl fmt::Display) {
    let (count, examples) = classes.entry(class).or_default();
    *count += 1;
    if examples.len() < 4 {
        examples.push(example.to_string());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ends in the ledger, {} lines, {} ends found later, something unknown of {} others, evidence {:?}",
            self.ends, self.lines, self.found_later, self.uncertain, self.evidence
        )?;
        for (what, classes) in [("false", &self.false_), ("not known", &self.unknown)] {
            for (class, (count, examples)) in classes {
                writeln!(f, "{what}: {count} x {class}")?;
                for example in examples {
                    writeln!(f, "    {example}")?;
                }
            }
        }
        Ok(())
    }
}
