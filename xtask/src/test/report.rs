//! The closing table: what ran, on which kernel, with which hooks, and how it went.

use crate::tally::Tally;

/// How a suite went.
pub(super) enum Outcome {
    /// To its end, and what its failed tests had to say.
    Ran(Tally, Vec<String>),
    /// Not at all, and that is no fault of the project; why.
    Skipped(String),
    /// It broke down; how.
    Broken(String),
}

/// One suite on one kernel.
pub(super) struct Row {
    pub(super) suite: String,
    pub(super) kernel: String,
    pub(super) hooks: &'static str,
    pub(super) outcome: Outcome,
    pub(super) seconds: u64,
}

impl Row {
    /// A suite that did not run counts as one test, skipped or failed: it must not go unseen.
    fn tally(&self) -> Tally {
        match &self.outcome {
            Outcome::Ran(tally, _) => *tally,
            Outcome::Skipped(_) => Tally {
                skipped: 1,
                ..Tally::default()
            },
            Outcome::Broken(_) => Tally {
                failed: 1,
                ..Tally::default()
            },
        }
    }

    /// Says how it went, as soon as that is known.
    pub(super) fn announce(&self) {
        let verb = match self.outcome {
            Outcome::Ran(..) => "ran",
            Outcome::Skipped(_) => "skipped",
            Outcome::Broken(_) => "failed",
        };
        let (suite, hooks, tally, note) = (&self.suite, self.hooks, self.tally(), self.note());
        println!("{suite} {hooks} {verb}: {tally} {note}");
    }

    fn note(&self) -> &str {
        match &self.outcome {
            Outcome::Ran(..) => "",
            // The rest, such as the end of a console, is printed apart.
            Outcome::Skipped(reason) | Outcome::Broken(reason) => {
                reason.lines().next().unwrap_or_default()
            }
        }
    }
}

/// What has run so far.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Whether there was a test to run in a suite that could run.
    pub(super) fn has_run(&self) -> bool {
        self.rows.iter().any(|row| match row.outcome {
            Outcome::Ran(tally, _) => tally != Tally::default(),
            Outcome::Skipped(_) => false,
            Outcome::Broken(_) => true,
        })
    }

    /// Of all suites together.
    pub(super) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for row in &self.rows {
            total += row.tally();
        }
        total
    }

    /// Prints why tests failed, then the table and, as the last line, the total.
    pub(super) fn print(&self) {
        for row in &self.rows {
            let why = match &row.outcome {
                Outcome::Ran(_, failures) => failures.join("\n"),
                Outcome::Skipped(_) => continue,
                Outcome::Broken(how) => how.clone(),
            };
            if !why.is_empty() {
                println!("\nfailed in {} {}:\n{why}", row.suite, row.hooks);
            }
        }
        println!();
        for line in self.table() {
            println!("{line}");
        }
        println!("\n{}", self.total());
    }

    fn table(&self) -> Vec<String> {
        let heading = [
            "suite", "kernel", "hooks", "passed", "failed", "skipped", "seconds", "note",
        ];
        let mut cells = vec![heading.map(str::to_owned)];
        cells.extend(self.rows.iter().map(|row| {
            let tally = row.tally();
            let numbers = [tally.passed, tally.failed, tally.skipped, row.seconds];
            let [passed, failed, skipped, seconds] = numbers.map(|number| number.to_string());
            let (suite, kernel) = (row.suite.clone(), row.kernel.clone());
            [
                suite,
                kernel,
                row.hooks.to_owned(),
                passed,
                failed,
                skipped,
                seconds,
                row.note().to_owned(),
            ]
        }));
        let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<_> = (0..heading.len()).map(width).collect();
        cells
            .iter()
            .map(|row| {
                let mut line = String::new();
                for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                    let is_number = (3..7).contains(&column);
                    let cell = if is_number {
                        format!("{cell:>width$}  ")
                    } else {
                        format!("{cell:<width$}  ")
                    };
                    line.push_str(&cell);
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_no_test_is_known() {
        let mut report = Report::default();
        let mut run = |outcome| {
            report.rows.push(Row {
                suite: String::new(),
                kernel: String::new(),
                hooks: "",
                outcome,
                seconds: 0,
            });
            report.has_run()
        };
        assert!(!run(Outcome::Ran(Tally::default(), Vec::new())));
        assert!(!run(Outcome::Skipped("no network".to_owned())));
        let one = Tally {
            skipped: 1,
            ..Tally::default()
        };
        assert!(run(Outcome::Ran(one, Vec::new())));
    }

    #[test]
    fn what_did_not_run_is_counted_and_explained() {
        let row = |suite: &str, outcome| Row {
            suite: suite.to_owned(),
            kernel: "6.1".to_owned(),
            hooks: "kprobe",
            outcome,
            seconds: 7,
        };
        let mut report = Report::default();
        report.rows.push(row(
            "a",
            Outcome::Ran(
                Tally {
                    passed: 10,
                    failed: 0,
                    skipped: 2,
                },
                Vec::new(),
            ),
        ));
        report
            .rows
            .push(row("b", Outcome::Skipped("no network".to_owned())));
        report
            .rows
            .push(row("c", Outcome::Broken("no verdict\nconsole".to_owned())));
        assert_eq!(report.total().to_string(), "10 passed, 1 failed, 3 skipped");
        let expected = "\
suite  kernel  hooks   passed  failed  skipped  seconds  note
a      6.1     kprobe      10       0        2        7
b      6.1     kprobe       0       0        1        7  no network
c      6.1     kprobe       0       1        0        7  no verdict";
        assert_eq!(report.table().join("\n"), expected);
    }
}
