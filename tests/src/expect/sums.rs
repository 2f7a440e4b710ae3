//! Whether the `loss` and `stop` lines add up.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::KINDS;

/// Counters of one kind of event in the `stop` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names of the contract")]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub seen: u64,
    pub delivered: u64,
    pub ring_full: u64,
    pub table_full: u64,
    pub undecodable: u64,
}

impl Counts {
    /// Events that were seen and not delivered.
    pub fn lost(self) -> u64 {
        self.ring_full + self.table_full + self.undecodable
    }
}

/// Reads the totals, and checks that they add up in themselves and with the `loss` lines, and that
/// none of the [`KINDS`] is left out.
pub fn sums<'a>(lines: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, Counts>> {
    let totals = sums_of_those_told(lines)?;
    for kind in KINDS {
        ensure!(totals.contains_key(kind), "no totals of {kind}: {totals:?}");
    }
    Ok(totals)
}

/// The same of a tracer that may be of another version, which knows other kinds.
pub fn sums_of_those_told<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Counts>> {
    let mut losses: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut stop = None;
    for line in lines
        .filter(|line| line.contains("\"event\":\"loss\"") || line.contains("\"event\":\"stop\""))
    {
        let line: Value = serde_json::from_str(line).with_context(|| format!("parse {line}"))?;
        if line["event"] == "stop" {
            stop = Some(line);
        } else if line["event"] == "loss" {
            let lost = line["lost"]
                .as_object()
                .with_context(|| format!("a loss line without `lost`: {line}"))?;
            ensure!(
                line["from"].is_string() && line["to"].is_string(),
                "a loss line without its interval: {line}"
            );
            for (kind, causes) in lost {
                for (cause, count) in causes
                    .as_object()
                    .with_context(|| format!("causes in {line}"))?
                {
                    let count = count.as_u64().filter(|count| *count > 0);
                    *losses.entry((kind.clone(), cause.clone())).or_default() += count
                        .with_context(|| format!("a loss that is not a number above 0: {line}"))?;
                }
            }
        }
    }
    let stop = stop.context("no stop line")?;
    ensure!(
        stop["coverage"]["from"].is_string() && stop["coverage"]["to"].is_string(),
        "a stop line without coverage: {stop}"
    );
    let totals: BTreeMap<String, Counts> = serde_json::from_value(stop["totals"].clone())
        .with_context(|| format!("read the totals of {stop}"))?;
    // Also of those that have no lines.
    for (kind, counts) in &totals {
        ensure!(
            counts.seen == counts.delivered + counts.lost(),
            "{kind}: seen {} is not delivered + lost: {counts:?}",
            counts.seen
        );
        for (cause, count) in [
            ("ring_full", counts.ring_full),
            ("table_full", counts.table_full),
            ("undecodable", counts.undecodable),
        ] {
            let told = losses
                .remove(&(kind.clone(), cause.to_owned()))
                .unwrap_or_default();
            ensure!(
                told == count,
                "{kind}: the loss lines say {told} {cause}, the stop line {count}"
            );
        }
    }
    ensure!(
        losses.is_empty(),
        "losses of a kind or cause that the stop line does not have: {losses:?}"
    );
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stop(connect: &Value) -> Value {
        let zero =
            json!({"seen": 0, "delivered": 0, "ring_full": 0, "table_full": 0, "undecodable": 0});
        let mut totals = json!({});
        for kind in KINDS {
            totals[kind] = zero.clone();
        }
        totals["connect"] = connect.clone();
        json!({"event": "stop", "totals": totals, "coverage": {"from": "a", "to": "b"}})
    }

    fn summed(lines: &[Value]) -> Result<BTreeMap<String, Counts>> {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        sums(lines.iter().map(String::as_str))
    }

    #[test]
    fn sums_that_add_up_and_those_that_do_not() {
        let counts =
            json!({"seen": 10, "delivered": 7, "ring_full": 3, "table_full": 0, "undecodable": 0});
        let loss = |n: u64| json!({"event": "loss", "lost": {"connect": {"ring_full": n}}, "from": "a", "to": "b"});
        let totals = summed(&[loss(1), loss(2), stop(&counts)]).expect("sums");
        assert_eq!(totals["connect"].lost(), 3);
        summed(&[loss(1), stop(&counts)]).expect_err("the loss lines tell too little");
        summed(&[loss(3)]).expect_err("no stop line");
        let wrong =
            json!({"seen": 11, "delivered": 7, "ring_full": 3, "table_full": 0, "undecodable": 0});
        summed(&[loss(3), stop(&wrong)]).expect_err("seen is not delivered + lost");
    }
}
