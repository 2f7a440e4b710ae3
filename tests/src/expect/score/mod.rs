//! A whole ledger against all lines: for every end exactly one open and one close with the
//! true process, bytes and ending, and nothing else.
//!
//! What is false is never excused. What tracer does not know is, where it says so itself: a
//! run of its programs that the kernel skipped, and that `missed` counts, may cost one end
//! what that run had told.

mod attempt;
mod comparison;
mod life;
mod line;
mod report;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};

pub use self::report::Report;
use self::{
    attempt::{Attempt, lost_attempt},
    comparison::Comparison,
    life::{Event, Key, Life, assign, read},
    line::Line,
};
use crate::ledger::End;

/// Holds a ledger against the lines of its namespaces.
pub fn score<'a>(ends: &[End], lines: impl Iterator<Item = &'a str>) -> Result<Report> {
    let mut report = Report {
        ends: ends.len(),
        ..Report::default()
    };
    let scope: BTreeSet<u64> = ends.iter().map(|end| end.netns).collect();
    let mut lives: HashMap<String, Life> = HashMap::new();
    let mut lost_attempts: HashMap<Attempt, Vec<String>> = HashMap::new();
    for text in lines {
        let line: Line<'_> = serde_json::from_str(text).with_context(|| format!("parse {text}"))?;
        if let Some(attempt) = lost_attempt(&line, &scope) {
            report.lines += 1;
            lost_attempts
                .entry(attempt)
                .or_default()
                .push(text.to_owned());
            continue;
        }
        if let Some((id, event)) = read(&line, text, &scope, &mut report) {
            let life = lives.entry(id).or_default();
            match event {
                Event::Open(open) => life.opens.push(open),
                Event::Close(close) => life.closes.push(close),
            }
        }
    }

    let mut found: HashMap<Key, Vec<(String, Life)>> = HashMap::new();
    for (id, life) in lives {
        let key = life
            .opens
            .first()
            .map(|open| open.key)
            .or(life.closes.first().map(|close| close.key));
        if let Some(key) = key {
            found.entry(key).or_default().push((id, life));
        }
    }
    let mut expected: BTreeMap<Key, Vec<&End>> = BTreeMap::new();
    for end in ends {
        let key = Key {
            netns: end.netns,
            side: end.side,
            client: end.client,
            server: end.server,
        };
        expected.entry(key).or_default().push(end);
    }
    for (key, mut ends) in expected {
        // Ends with equal addresses lived one after the other.
        ends.sort_by_key(|end| end.at);
        let lives = found.remove(&key).unwrap_or_default();
        let (of_ends, too_many) = assign(&ends, lives);
        for (_, life) in too_many {
            report.is_false("invented", format!("{key}: {life:?}"));
        }
        for (end, life) in ends.iter().zip(&of_ends) {
            match life {
                None => {
                    let attempt = Attempt::of(end);
                    match lost_attempts.get_mut(&attempt).and_then(Vec::pop) {
                        Some(text) => report.is_unknown("no outcome", text),
                        None => report.is_unknown("missing altogether", key),
                    }
                    report.uncertain += 1;
                }
                Some((id, life)) => Comparison::of(&key, end, id, life, &mut report),
            }
        }
    }
    for (key, lives) in found {
        for (_, life) in lives {
            report.is_false("invented", format!("{key}: {life:?}"));
        }
    }
    for text in lost_attempts.into_values().flatten() {
        report.is_false("invented", text);
    }
    Ok(report)
}
