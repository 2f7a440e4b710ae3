//! Counts of passed, failed and skipped tests, and how they are read from what a
//! test program prints.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(
            formatter,
            "{passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

/// The one line by which a virtual machine is judged:
/// `TRACER-VERDICT: N passed, N failed, N skipped`.
pub(crate) fn verdict(line: &str) -> Option<Tally> {
    let counts = line.trim().strip_prefix("TRACER-VERDICT: ")?;
    let tally = Tally {
        passed: count_before(counts, " passed")?,
        failed: count_before(counts, " failed")?,
        skipped: count_before(counts, " skipped")?,
    };
    (tally.to_string() == counts).then_some(tally)
}

/// The line that says why the suite did not run, as tracer refuses the hooks:
/// `TRACER-RULED-OUT: …`.
pub(crate) fn ruled_out(line: &str) -> Option<String> {
    let why = line.trim().strip_prefix("TRACER-RULED-OUT: ")?;
    Some(why.to_owned())
}

/// The summary of a test program of cargo's kind:
/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(crate) fn summary(line: &str) -> Option<Tally> {
    let counts = line.trim().strip_prefix("test result: ")?;
    Some(Tally {
        passed: count_before(counts, " passed;")?,
        failed: count_before(counts, " failed;")?,
        skipped: count_before(counts, " ignored;")?,
    })
}

fn count_before(text: &str, word: &str) -> Option<u64> {
    let (before, _) = text.split_once(word)?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALLY: Tally = Tally {
        passed: 12,
        failed: 0,
        skipped: 3,
    };

    #[test]
    fn a_verdict_is_taken_only_in_full() {
        assert_eq!(
            verdict("TRACER-VERDICT: 12 passed, 0 failed, 3 skipped\r"),
            Some(TALLY)
        );
        for line in [
            "",
            "TRACER-VERDICT:",
            "TRACER-VERDICT: 12 passed",
            "TRACER-VERDICT: 12 passed, 0 failed, 3 skip",
            "TRACER-VERDICT: 12 passed, -1 failed, 3 skipped",
            "TRACER-VERDICT: 12 passed, 0 failed, 3 skipped and more",
            "said: TRACER-VERDICT: 12 passed, 0 failed, 3 skipped",
        ] {
            assert_eq!(verdict(line), None, "{line}");
        }
    }

    #[test]
    fn a_summary_of_the_standard_runner_is_understood() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.31s";
        assert_eq!(summary(line), Some(TALLY));
        assert_eq!(summary("test result: FAILED."), None);
        assert_eq!(summary("test a ... ok"), None);
    }
}
