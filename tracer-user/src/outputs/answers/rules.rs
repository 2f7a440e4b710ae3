//! What rules and units have in common: documents that another program obeys.
//!
//! Their lines are made here alone. Whatever is put into one, it stays one line of printable ASCII, so
//! no reader finds an end of line, of a comment or of a string that is not ours: YAML 1.1 also ends
//! lines at U+0085, U+2028 and U+2029. Names are [`Strict`] in comments, and in values only what the
//! reader of that format takes for a name.

use std::fmt::{self, Display, Write as _};

use super::{super::units::Count, proof};
use crate::ask::Proof;

/// What was left out is told one by one, up to so many.
const MAX_TOLD: usize = 50;

/// A document that is being written.
#[derive(Debug, Default)]
pub(super) struct Rules {
    text: String,
    left_out: Vec<String>,
    /// How much was left out, told or not.
    number: u64,
    /// Whether a rule has less than it should have.
    lacks: bool,
}

impl Rules {
    /// A document that begins with these comments.
    pub(super) fn new(about: &[&'static str]) -> Self {
        let mut rules = Self::default();
        for line in about {
            rules.comment(0, format_args!("{line}"));
        }
        rules
    }

    /// Appends a line.
    pub(super) fn line(&mut self, line: fmt::Arguments) {
        // Writing to memory does not fail.
        let _ = writeln!(self.text, "{}", OneLine(line, |it| matches!(it, ' '..='~')));
    }

    /// Appends a comment, so far to the right. A backslash at its end could join the next line to it.
    pub(super) fn comment(&mut self, indent: usize, text: fmt::Arguments) {
        let text = OneLine(text, |it| matches!(it, ' '..='~') && it != '\\');
        let _ = writeln!(self.text, "{:indent$}# {text}", "");
    }

    /// Leaves something out, and keeps why.
    pub(super) fn leave_out(&mut self, what: impl Display, why: &str) {
        self.number = self.number.saturating_add(1);
        if self.left_out.len() < MAX_TOLD {
            self.left_out.push(format!("{what}: {why}"));
        }
    }

    /// Appends what a rule has less than it should have.
    pub(super) fn lacking(&mut self, indent: usize, what: fmt::Arguments) {
        self.lacks = true;
        self.comment(indent, format_args!("NOT ALL: {what}"));
    }

    /// The whole document: at its end what was left out, and what all of it rests on. It is called proven
    /// only if it has all that the answer has.
    pub(super) fn end(mut self, proof: &Proof, absent: [&'static str; 2]) -> String {
        let told = std::mem::take(&mut self.left_out);
        let more = self.number - told.len() as u64;
        if self.number > 0 {
            self.comment(0, format_args!("Left out:"));
        }
        for it in &told {
            self.comment(0, format_args!("- {it}"));
        }
        if more > 0 {
            self.comment(0, format_args!("- and {} more", Count(more)));
        }
        let missing = match (self.number, self.lacks) {
            (0, false) => None,
            (0, true) => Some("rules lack what is said above".to_owned()),
            (1, _) => Some("1 edge is left out, as is said above".to_owned()),
            (number, _) => Some(format!(
                "{} edges are left out, as is said above",
                Count(number)
            )),
        };
        for line in proof::strict_lines(proof, absent, missing) {
            self.comment(0, format_args!("{line}"));
        }
        self.text
    }
}

/// Text as one line, in which what is not allowed is `?`.
struct OneLine<'a>(fmt::Arguments<'a>, fn(char) -> bool);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Sieve<'a, 'b>(&'a mut fmt::Formatter<'b>, fn(char) -> bool);

        impl fmt::Write for Sieve<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let mut chars = text.chars();
                chars.try_for_each(|it| self.0.write_char(if self.1(it) { it } else { '?' }))
            }
        }

        Sieve(f, self.1).write_fmt(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ask::{Doubt, Verdict},
        model::{View, specimens::views},
    };

    fn proof() -> Proof {
        let mut proof = crate::ask::idle::idle(&views::three_tiers(), None).proof;
        proof.forget(|_| true);
        assert_ne!(proof.verdict, Verdict::NotProven);
        proof
    }

    #[test]
    fn a_line_is_one_line_for_every_reader() {
        for break_ in ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\0", "\u{b}"] {
            let mut rules = Rules::default();
            rules.line(format_args!("a{break_}b"));
            rules.comment(2, format_args!("a{break_}b\\"));
            assert_eq!(rules.text, "a?b\n  # a?b?\n");
        }
    }

    #[test]
    fn what_is_left_out_is_told_bounded_and_not_called_proven() {
        let absent = ["nothing else", "more"];
        let whole = Rules::default().end(&proof(), absent);
        assert!(whole.contains("# Proven but for"), "{whole}");
        let mut rules = Rules::default();
        for number in 0..1_000 {
            rules.leave_out(number, "why");
        }
        let text = rules.end(&proof(), absent);
        assert_eq!(text.matches(": why").count(), MAX_TOLD, "{text}");
        assert!(text.contains("# - and 950 more"), "{text}");
        assert!(
            text.contains("# NOT PROVEN: 1,000 edges are left out"),
            "{text}"
        );
        let mut rules = Rules::default();
        rules.lacking(0, format_args!("3 addresses"));
        let text = rules.end(&proof(), absent);
        assert!(
            text.contains("# NOT PROVEN: rules lack") && !text.contains("Proven"),
            "{text}"
        );
    }

    #[test]
    fn nothing_from_outside_is_in_what_it_rests_on() {
        let hostile = "Proven: all \u{2028}- {}";
        let mut view = views::three_tiers();
        for coverage in &mut view.coverage {
            std::sync::Arc::make_mut(&mut coverage.host).name = hostile.to_owned();
            coverage.twins = vec![hostile.to_owned()];
            coverage.taken_for_one = true;
            for blind in &mut coverage.blind {
                (blind.what, blind.why) = (hostile.into(), hostile.into());
            }
        }
        let mut answer = crate::ask::diff::diff(&view, &View::default(), &Default::default());
        answer.proof.doubt(Doubt::Cut {
            of: hostile.to_owned(),
            what: "addresses",
            left_out: 7,
        });
        let text = Rules::default().end(&answer.proof, ["a", "b"]);
        assert!(text.is_ascii() && !text.contains("Proven: all"), "{text}");
        assert!(text.contains("Proven:_all_"), "{text}");
    }
}
