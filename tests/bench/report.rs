//! The figures, as a table for people and as JSON for programs.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{Plan, arm::Arm, machine};

/// A figure that was measured several times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    median: f64,
    /// The quarter below and above it.
    quartiles: (f64, f64),
    /// The smallest and the largest.
    range: (f64, f64),
    count: usize,
}

impl Spread {
    /// Of samples; not a number if there are none.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let last = samples.len().saturating_sub(1) as f64 * part;
            let (below, above) = (last.floor(), last.ceil());
            let value = |n: f64| samples.get(n as usize).copied().unwrap_or(f64::NAN);
            value(below) + (value(above) - value(below)) * (last - below)
        };
        Self {
            median: at(0.5),
            quartiles: (at(0.25), at(0.75)),
            range: (at(0.0), at(1.0)),
            count: samples.len(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "median": self.median, "quartiles": self.quartiles, "range": self.range, "count": self.count,
        })
    }

    pub(crate) fn text(&self, digits: usize) -> String {
        let Self {
            median,
            quartiles: (low, high),
            count,
            ..
        } = self;
        if *count == 1 {
            format!("{median:.digits$}")
        } else {
            format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
        }
    }
}

/// All figures of a run.
pub(crate) struct Report {
    machine: String,
    method: String,
    storm: Vec<[String; 4]>,
    rows: Vec<[String; 2]>,
    notes: Vec<String>,
    figures: Vec<Value>,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let version =
            tracer_tests::tracer::output(tracer_tests::tracer::command()?.arg("--version"))?;
        Ok(Self {
            machine: format!("{}; {}", machine::describe(), version.text()?.trim()),
            method: format!(
                "{} rounds of {} connections, arms in turn, the order reversed every round, one more round before \
                 them discarded. A connection: loopback, a byte, a reset by the client. CPU time: busy time of the \
                 whole machine by /proc/stat. Added: the median of the differences to `nothing` in the same round, \
                 with its quartiles",
                plan.rounds, plan.connections
            ),
            storm: Vec::new(),
            rows: Vec::new(),
            notes: Vec::new(),
            figures: Vec::new(),
        })
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn storm(
        &mut self,
        arm: Arm,
        what: String,
        cpu: &Spread,
        added: &Spread,
        rate: &Spread,
    ) {
        self.figures.push(json!({
            "arm": arm.name(), "what": what, "cpu_us": cpu.json(), "added_us": added.json(),
            "connections_per_second": rate.json(),
        }));
        let added = if arm == Arm::Nothing {
            String::new()
        } else {
            added.text(1)
        };
        self.storm.push([what, cpu.text(1), added, rate.text(0)]);
    }

    pub(crate) fn row(&mut self, what: &str, spread: &Spread, unit: &str) {
        self.figures
            .push(json!({"what": what, "unit": unit, "value": spread.json()}));
        self.rows.push([
            what.to_owned(),
            format!(
                "{} {unit}",
                spread.text(if unit == "million/s" { 2 } else { 1 })
            ),
        ]);
    }

    /// As Markdown, which is also how the page has it.
    pub(crate) fn print(&self) {
        println!("\n{}\n\n{}.\n", self.machine, self.method);
        if !self.storm.is_empty() {
            println!("| beside the storm | CPU µs a connection | added | connections/s |");
            println!("| --- | --- | --- | --- |");
            for [what, cpu, added, rate] in &self.storm {
                println!("| {what} | {cpu} | {added} | {rate} |");
            }
            println!();
        }
        if !self.rows.is_empty() {
            println!("| figure | value |\n| --- | --- |");
            for [what, value] in &self.rows {
                println!("| {what} | {value} |");
            }
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let report = json!({
            "machine": self.machine, "method": self.method, "figures": self.figures, "notes": self.notes,
        });
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}
