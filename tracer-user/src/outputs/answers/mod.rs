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
        Answer,
        failures::{Failing, Failures},
        groups::Groups,
        recovery_order::RecoveryOrder,
    },
    model::View,
};

pub use page::Shown;

use party::Parties;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum AnswerFormat {
    /// For people: may change with any release
    Table,
    /// One JSON object, for programs: every field
    Json,
    /// For spreadsheets
    Csv,
    /// A picture for Graphviz
    Dot,
    /// A picture for Mermaid
    Mermaid,
    /// Drop-ins for units of systemd
    Systemd,
    /// An override file for compose
    Compose,
    /// Rules for nftables, which let through what crosses
    Nftables,
    /// Network policies of Kubernetes, which do
    Networkpolicy,
}

impl AnswerFormat {
    /// For people on a terminal, else for programs.
    pub fn for_stdout() -> Self {
        match super::Format::for_stdout() {
            super::Format::Json => Self::Json,
            super::Format::Text => Self::Table,
        }
    }

    /// The picture that it is, if it is one.
    fn picture(self) -> Option<map::MapFormat> {
        match self {
            Self::Dot => Some(map::MapFormat::Dot),
            Self::Mermaid => Some(map::MapFormat::Mermaid),
            _ => None,
        }
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
pub fn picture(view: &View, format: AnswerFormat) -> Option<Vec<u8>> {
    let format = format.picture()?;
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
