//! A map against the truth: how many connections and failures its edges have, at least and at most.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    Ports,
    judge::{hidden, wall_now},
    line::wall,
    truth::{Between, Life, Truth, Why, now},
};
use crate::ledger::Side;

/// No line says how the clocks are to each other at the time, so the edges of the map's time are known to this only.
const DRIFT_NS: i64 = 5_000_000;

/// Holds a map against the truth.
pub fn judge_map(truth: &Truth, ports: Ports, text: &str) -> Result<()> {
    let map: Value = serde_json::from_str(text).context("read the map")?;
    let court = Court::new(truth, &map)?;
    for (port, what) in [(ports.short, "short"), (ports.held, "held")] {
        court.connections(port, what)?;
    }
    court.failures(ports.refused, &[Why::Refused, Why::NotListening])?;
    let unanswered = [Why::Abandoned, Why::TimedOut, Why::AcceptQueueFull];
    court.failures(ports.deaf, &unanswered)
}

/// So many at least, and so many at most.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    least: u64,
    most: u64,
}

/// What edges are held against.
struct Court<'a> {
    truth: &'a Truth,
    edges: &'a [Value],
    /// When it was watched, by the kernel's clock.
    watched: Between,
    /// So many may not be told.
    missed: u64,
    blind: &'a [Value],
}

impl<'a> Court<'a> {
    fn new(truth: &'a Truth, map: &'a Value) -> Result<Self> {
        let coverage = &map["coverage"][0];
        let clock = wall_now() - now();
        let time = |name: &str| {
            let text = coverage[name].as_str().context("coverage of the map")?;
            anyhow::Ok(wall(text)? - clock)
        };
        let lost = &coverage["lost"];
        ensure!(lost == &json!({}), "lost: {lost}");
        let missed = coverage["missed"].as_u64().context("missed")?;
        Ok(Self {
            truth,
            edges: map["edges"].as_array().context("edges")?,
            watched: Between {
                earliest: time("from")?,
                latest: time("to")?,
            },
            missed: missed + hidden(2 * truth.lives.len()) as u64,
            blind: coverage["blind"].as_array().context("blind")?,
        })
    }

    /// Those of a server at this port.
    fn edges(&self, port: u16) -> Vec<&'a Value> {
        let edges = self.edges.iter();
        edges.filter(|edge| edge["port"] == port).collect()
    }

    /// How many of these steps are in the map.
    fn count(&self, steps: impl Iterator<Item = Between>) -> Count {
        let mut count = Count::default();
        for step in steps {
            let (earliest, latest) = (step.earliest - DRIFT_NS, step.latest + DRIFT_NS);
            let is_within = earliest > self.watched.earliest && latest < self.watched.latest;
            let may_be = latest > self.watched.earliest && earliest < self.watched.latest;
            count.least += u64::from(is_within);
            count.most += u64::from(may_be);
        }
        count.least = count.least.saturating_sub(self.missed);
        count
    }

    /// None of them failed, and there are as many as there were.
    fn connections(&self, port: u16, what: &str) -> Result<()> {
        let edges = self.edges(port);
        if let Some(edge) = edges.iter().find(|edge| edge["failed"] != json!({})) {
            bail!("a failure of connections that succeeded: {edge}");
        }
        let opened = |life: &Life| Between {
            earliest: life.handshake.earliest,
            ..life.opened
        };
        let ended = |life: &Life| life.ended;
        let established = self.ends(port, opened);
        let terminated = self.ends(port, ended);
        check(&format!("{what}, established"), established, &edges, |it| {
            &it["established"]
        })?;
        check(&format!("{what}, terminated"), terminated, &edges, |it| {
            &it["terminated"]
        })
    }

    /// A connection counts as soon as either end tells of it, and each has its own moments.
    fn ends(&self, port: u16, step: impl Fn(&Life) -> Between) -> Count {
        let of_side = |side: Side| {
            let lives = self.truth.lives.values();
            let lives = lives.filter(|life| life.side == side && life.server.port() == port);
            self.count(lives.map(&step))
        };
        let (client, server) = (of_side(Side::Client), of_side(Side::Server));
        Count {
            least: client.least.min(server.least),
            most: client.most.max(server.most),
        }
    }

    /// Only these reasons, and of each as many as there were.
    fn failures(&self, port: u16, reasons: &[Why]) -> Result<()> {
        let edges = self.edges(port);
        let told: BTreeSet<&str> = edges
            .iter()
            .filter_map(|edge| edge["failed"].as_object())
            .flat_map(|failed| failed.keys().map(String::as_str))
            .collect();
        let mut known: BTreeSet<&str> = reasons.iter().map(|why| why.words().1).collect();
        if sum(&edges, |edge| &edge["failed"]["other"]) <= self.missed {
            // Why those failed whose end was missed is not known.
            known.insert("other");
        }
        ensure!(
            told.is_subset(&known),
            "{told:?} of {known:?}: {}",
            all(&edges)
        );
        for why in reasons {
            let steps = self.truth.failed.values();
            let steps = steps.filter(|failed| failed.why == *why && failed.server.port() == port);
            let mut count = self.count(steps.map(|failed| Between {
                latest: failed.again.unwrap_or(failed.at.latest),
                ..failed.at
            }));
            let is_unseen = why
                .excuse()
                .is_some_and(|id| self.blind.iter().any(|it| it["id"] == id));
            // Both ends may tell of one attempt, and it is one.
            let is_of_server = matches!(why, Why::NotListening | Why::AcceptQueueFull);
            if is_unseen || is_of_server {
                count.least = 0;
            }
            let (_, reason, _) = why.words();
            check(reason, count, &edges, |edge| &edge["failed"][reason])?;
        }
        Ok(())
    }
}

fn check(
    what: &str,
    count: Count,
    edges: &[&Value],
    figure: impl Fn(&Value) -> &Value,
) -> Result<()> {
    let number = sum(edges, figure);
    ensure!(
        (count.least..=count.most).contains(&number),
        "{what}: {number}, and {} to {} were: {}",
        count.least,
        count.most,
        all(edges)
    );
    Ok(())
}

fn sum(edges: &[&Value], figure: impl Fn(&Value) -> &Value) -> u64 {
    edges.iter().filter_map(|edge| figure(edge).as_u64()).sum()
}

/// All of these, a line each.
fn all(edges: &[&Value]) -> String {
    edges.iter().map(|edge| format!("\n    {edge}")).collect()
}
