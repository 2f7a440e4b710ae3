//! What failed tests had to say, kept for the end of a long run.

/// Lines kept of one suite.
const LINES: usize = 60;

/// Characters kept of a line.
const WIDTH: usize = 600;

/// The part of a test program's output that explains its failures.
#[derive(Default)]
pub(super) struct Failures {
    lines: Vec<String>,
    within: bool,
}

impl Failures {
    /// Reads one line of the output.
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if line == "failures:" {
            // Named once more at the end, without a reason.
            self.within = self.lines.is_empty();
        } else if line.starts_with("test result:") {
            self.within = false;
        } else if self.within && !line.is_empty() {
            if self.lines.len() < LINES {
                self.lines.push(line.chars().take(WIDTH).collect());
            } else if self.lines.len() == LINES {
                self.lines.push("…".to_owned());
            }
        }
    }

    /// All that was kept.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_kept_and_nothing_else() {
        let mut failures = Failures::default();
        for line in [
            "test a::b ... FAILED",
            "test a::c ... ok",
            "",
            "failures:",
            "",
            "---- a::b ----",
            "expected 1, got 2\r",
            "",
            "failures:",
            "    a::b",
            "",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
            "1 passed, 1 failed, 0 skipped",
        ] {
            failures.read(line);
        }
        assert_eq!(
            failures.into_lines(),
            ["---- a::b ----", "expected 1, got 2"]
        );
    }

    #[test]
    fn a_flood_is_cut() {
        let mut failures = Failures::default();
        failures.read("failures:");
        for _ in 0..1000 {
            failures.read(&"x".repeat(10_000));
        }
        let lines = failures.into_lines();
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
    }
}
