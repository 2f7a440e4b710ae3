//! Answers → bytes: for people as tables, for programs as JSON, for sheets as CSV, and what other
//! tools take up: pictures, units, rules of firewalls.
//!
//! What an answer says in words is a [`Page`]; each question has a file that makes one.

mod balance;
mod compose;
mod diff;
mod failures;
mod groups;
mod idle;
mod impact;
mod networkpolicy;
mod nftables;
mod page;
mod party;
mod proof;
mod recovery_order;
mod rules;
mod systemd;
mod verify;
mod yaml;

use serde::Serialize;

use super::{colour_for_stdout, map, width_of_stdout};
use crate::{
    ask::{
        self, Answer, AnyAnswer, Proof, QuestionKind,
        failures::{Failing, Failures},
        groups::Groups,
        recovery_order::RecoveryOrder,
    },
    model::View,
};

pub use page::Shown;

use page::Page;
use party::Parties;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerFormat {
    /// For people: may change with any release.
    Table,
    /// One JSON object, for programs: every field.
    Json,
    /// For spreadsheets.
    Csv,
    /// A picture for Graphviz.
    Dot,
    /// A picture for Mermaid.
    Mermaid,
    /// Drop-ins for units of systemd.
    Systemd,
    /// An override file for compose.
    Compose,
    /// Rules for nftables, which let through what crosses.
    Nftables,
    /// Network policies of Kubernetes, which do.
    Networkpolicy,
}

impl AnswerFormat {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 9] = [
        Self::Table,
        Self::Json,
        Self::Csv,
        Self::Dot,
        Self::Mermaid,
        Self::Systemd,
        Self::Compose,
        Self::Nftables,
        Self::Networkpolicy,
    ];

    /// Those that any answer has, and with them those of the answer to `question` alone.
    pub fn of(question: Option<QuestionKind>) -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(move |it| it.only_of().is_none_or(|only| question == Some(only)))
    }

    /// The question whose answer alone has this format; none if any has.
    fn only_of(self) -> Option<QuestionKind> {
        match self {
            Self::Table | Self::Json | Self::Csv => None,
            Self::Dot | Self::Mermaid => Some(QuestionKind::Impact),
            Self::Systemd | Self::Compose => Some(QuestionKind::RecoveryOrder),
            Self::Nftables | Self::Networkpolicy => Some(QuestionKind::Groups),
        }
    }

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Systemd => "systemd",
            Self::Compose => "compose",
            Self::Nftables => "nftables",
            Self::Networkpolicy => "networkpolicy",
        }
    }

    /// For people on a terminal, else for programs.
    pub fn for_stdout() -> Self {
        match super::Format::for_stdout() {
            super::Format::Json => Self::Json,
            super::Format::Text => Self::Table,
        }
    }
}

/// An answer about `view` for standard output. In a format that it does not have it is JSON.
pub fn render(answer: &AnyAnswer, view: &View, format: AnswerFormat) -> Vec<u8> {
    let own = match answer {
        AnyAnswer::Impact(it) => picture(&ask::impact::picture(view, &it.found), format),
        AnyAnswer::RecoveryOrder(it) => order(it, view, format).map(String::into_bytes),
        AnyAnswer::Groups(it) => rules(it, view, format).map(String::into_bytes),
        AnyAnswer::Idle(_)
        | AnyAnswer::Failures(_)
        | AnyAnswer::Balance(_)
        | AnyAnswer::Diff(_)
        | AnyAnswer::Verify(_) => None,
    };
    own.unwrap_or_else(|| {
        let mut buf = Vec::new();
        write(answer, format, &mut buf);
        buf
    })
}

impl Shown for AnyAnswer {
    fn page(&self) -> Page {
        shown(self).page()
    }

    fn proof(&self) -> &Proof {
        shown(self).proof()
    }
}

fn shown(answer: &AnyAnswer) -> &dyn Shown {
    match answer {
        AnyAnswer::Impact(it) => it,
        AnyAnswer::Groups(it) => it,
        AnyAnswer::RecoveryOrder(it) => it,
        AnyAnswer::Idle(it) => it,
        AnyAnswer::Failures(it) => it,
        AnyAnswer::Balance(it) => it,
        AnyAnswer::Diff(it) => it,
        AnyAnswer::Verify(it) => it,
    }
}

/// The answer as a table, as JSON or as CSV, for standard output.
pub fn write<T: Shown + Serialize>(answer: &T, format: AnswerFormat, buf: &mut Vec<u8>) {
    match format {
        AnswerFormat::Csv => page::csv(&answer.page(), answer.proof(), buf),
        AnswerFormat::Table => {
            page::table(answer, colour_for_stdout(), width_of_stdout(), buf);
        }
        _ => {
            super::wire::json::line(answer, buf);
        }
    }
}

/// A line about an edge with failures: as JSON, or for people.
pub fn line(failing: &Failing, of: &Answer<Failures>, format: AnswerFormat, buf: &mut Vec<u8>) {
    match format {
        AnswerFormat::Json => super::wire::json::line(failing, buf),
        _ => failures::line(failing, of, colour_for_stdout(), buf),
    }
}

/// A picture of the part of a map that an answer is about; none if `format` is no picture.
fn picture(view: &View, format: AnswerFormat) -> Option<Vec<u8>> {
    let format = match format {
        AnswerFormat::Dot => map::MapFormat::Dot,
        AnswerFormat::Mermaid => map::MapFormat::Mermaid,
        _ => return None,
    };
    let mut buf = Vec::new();
    map::write(view, format, false, None, &mut buf);
    Some(buf)
}

/// An order of recovery for systemd or compose; none if `format` is neither.
pub fn order(answer: &Answer<RecoveryOrder>, view: &View, format: AnswerFormat) -> Option<String> {
    let write = match format {
        AnswerFormat::Systemd => systemd::write,
        AnswerFormat::Compose => compose::write,
        _ => return None,
    };
    let rules = write(&answer.found, &Parties::of(view));
    Some(rules.end(answer.proof(), answer.page().absent))
}

/// What crosses a division as rules that let it through; none if `format` has no rules.
pub fn rules(answer: &Answer<Groups>, view: &View, format: AnswerFormat) -> Option<String> {
    let split = answer.found.split.as_ref();
    let crossing = split.map_or(&[][..], |it| &it.crossing);
    let write = match format {
        AnswerFormat::Nftables => nftables::write,
        AnswerFormat::Networkpolicy => networkpolicy::write,
        _ => return None,
    };
    let rules = write(crossing, &Parties::of(view));
    Some(rules.end(answer.proof(), answer.page().absent))
}

/// `text` as the formats that are YAML write it.
#[cfg(test)]
pub(crate) fn quoted_yaml(text: &str) -> String {
    yaml::Quoted(text).to_string()
}

#[cfg(test)]
mod clauses;
#[cfg(test)]
mod tests;
