//! What a run told of a world.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{expect, init};

use super::{Attempt, Failure, NOT_LISTENING, REFUSED};

/// Whether a run said at its start that it does not see what `id` names: see `start.blind[].id`.
pub(crate) fn is_blind_to(start: &Value, id: &str) -> Result<bool> {
    let lines = start["blind"].as_array().context("start.blind")?;
    let line = lines.iter().find(|line| line["id"] == id);
    if let Some(line) = line {
        let why = line["why"].as_str().unwrap_or_default();
        ensure!(!why.is_empty(), "blind without a reason: {line}");
    }
    Ok(line.is_some())
}

/// What a run told of a world. Each test takes out what must be there; nothing may be left.
pub(crate) struct Seen {
    pub(crate) start: Value,
    pub(crate) here: u64,
    pub(crate) far: u64,
    pub(crate) events: Vec<Value>,
    /// How many runs of its programs the kernel skipped.
    pub(crate) missed: u64,
}

impl Seen {
    /// Takes out a line that is like `pattern`. One that is there twice is left over in the end.
    pub(crate) fn take(&mut self, what: &str, pattern: &Value) -> Result<Value> {
        let is_like = |event: &Value| expect::differences(pattern, event).is_empty();
        match self.events.iter().position(is_like) {
            Some(place) => Ok(self.events.remove(place)),
            None => expect::one(what, pattern, &self.events).cloned(),
        }
    }

    /// Takes out the `fail` of a process here that dialled, unless this run cannot have it.
    pub(crate) fn failed(&mut self, attempt: &Attempt, failure: Failure) -> Result<Option<Value>> {
        let of_it = json!({
            "direction": "outbound",
            "netns": self.here,
            "existing": false,
            "opened": null,
            "sent_bytes": null,
        });
        let by_it = json!({"process": {"pid": attempt.pid}, "evidence": {"process": "hook"}});
        let told = self.one_or_excused(attempt, failure, [of_it, by_it]);
        let may_be_hidden = self.missed > 0 || !init::is_test_machine();
        if told.is_err()
            && may_be_hidden
            && (self.was_hidden(attempt)? || self.begun_unseen(attempt, failure)?)
        {
            return Ok(None);
        }
        told
    }

    /// Takes out the `fail` of an attempt whose beginning was in a skipped run: tracer takes it for
    /// one from before the start, and does not know whose it is.
    fn begun_unseen(&mut self, attempt: &Attempt, failure: Failure) -> Result<bool> {
        let mut pattern = json!({
            "event": "fail",
            "connection": attempt.ends(),
            "failure": failure.json(),
            "process": null,
            "evidence": {"process": "unknown"},
        });
        let of_it = json!({"direction": "outbound", "netns": self.here, "existing": true});
        add(&mut pattern["connection"], of_it);
        let is_there = self.missed > 0
            && self
                .events
                .iter()
                .any(|event| expect::differences(&pattern, event).is_empty());
        if is_there {
            println!("failures: a beginning was skipped: {attempt:?}");
            self.take("an attempt from before", &pattern)?;
        }
        Ok(is_there)
    }

    /// Takes out the `fail` of an attempt whose own one no program was run for: the kernel skipped
    /// it, and says so, or, on some hosts, a timer's interrupt was hidden from them all (see
    /// `Netns::acknowledge_at_once`). tracer then tells that it is over when the socket goes, says
    /// so, and does not guess why.
    fn was_hidden(&mut self, attempt: &Attempt) -> Result<bool> {
        let mut pattern = json!({
            "event": "fail",
            "connection": attempt.ends(),
            "process": {"pid": attempt.pid},
            "failure": {"reason": "other", "errno": null},
            "evidence": {"end": "scan"},
        });
        let is_there = |pattern: &Value| {
            let mut events = self.events.iter();
            events.any(|event| expect::differences(pattern, event).is_empty())
        };
        let hidden = is_there(&pattern) || {
            // The port is chosen after the entry is made. What is run where the error is shown notes it, in the
            // same interrupt as the end, and may be hidden with it.
            pattern["connection"]["client"]["port"] = Value::Null;
            is_there(&pattern)
        };
        if hidden {
            println!("failures: an end was hidden by the machine: {attempt:?}");
            self.take("a hidden end", &pattern)?;
        }
        Ok(hidden)
    }

    /// Takes out the `fail` of an attempt that this host turned away, unless this run cannot
    /// have it. A process only has to do with it if it listens.
    pub(crate) fn turned_away(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        listener: Option<u32>,
    ) -> Result<Option<Value>> {
        let of_it = json!({"direction": "inbound", "netns": self.far, "opened": null});
        let by_it = match listener {
            Some(pid) => json!({"process": {"pid": pid}, "evidence": {"process": "listener"}}),
            None => json!({"process": null, "evidence": {"process": "unknown"}}),
        };
        self.one_or_excused(attempt, failure, [of_it, by_it])
    }

    fn one_or_excused(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        [of_it, by_it]: [Value; 2],
    ) -> Result<Option<Value>> {
        if let Some(id) = failure.excuse()
            && is_blind_to(&self.start, id)?
        {
            // If it is told all the same, it is left over in the end.
            return Ok(None);
        }
        let mut pattern = json!({
            "event": "fail",
            "connection": attempt.ends(),
            "failure": failure.json(),
        });
        add(&mut pattern["connection"], of_it);
        add(&mut pattern, by_it);
        let what = format!("{failure:?} of {attempt:?}");
        self.take(&what, &pattern).map(Some)
    }

    /// Both ends of attempts that a host of this world refused.
    pub(crate) fn refused(&mut self, attempts: &[Attempt]) -> Result<()> {
        for attempt in attempts {
            self.failed(attempt, REFUSED)?;
            self.turned_away(attempt, NOT_LISTENING, None)?;
        }
        Ok(())
    }

    /// Everything was taken out.
    pub(crate) fn nothing_more(self) -> Result<()> {
        ensure!(self.events.is_empty(), "not expected:\n{self}");
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        write!(f, "start: {}", self.start)
    }
}

/// Adds the members of one object to another.
pub(crate) fn add(to: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(more)) = (to, more) {
        to.extend(more);
    }
}
