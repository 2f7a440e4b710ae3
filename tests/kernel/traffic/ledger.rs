//! Thousands of connections of every kind, each held against the ledger of those who made it.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen},
    bpf::{self, Held},
    expect::{self, KINDS, Report},
    init, ledger,
    netns::Netns,
    skip,
    suite::setting,
    tests,
    tracer::{Helper, Run, Tracer},
    traffic::{self, Dial, Serve, Server, Share, Talk, Target},
};

tests!("ledger": every_connection_is_told_truly, two_namespaces_joined_by_a_cable, interrupts_hide_no_end);

/// Client processes at most, half of them in each namespace.
const CLIENTS: u32 = 50;

/// Connections of a client at least: seven targets, each with five endings, and some more.
const EACH: u32 = 40;

/// A namespace with servers of every kind.
pub(crate) struct World {
    pub(crate) netns: Netns,
    pub(crate) servers: Vec<Server>,
}

impl World {
    /// Starts the servers, at the ports of another world if there is one.
    pub(crate) fn new(ledger: &Path, like: Option<&Self>) -> Result<Self> {
        let netns = Netns::new()?;
        if !init::is_test_machine() {
            netns.acknowledge_at_once();
        }
        let kinds = [
            ("127.0.0.1:0", Share::Prefork(3)),
            ("[::1]:0", Share::Alone),
            ("[::]:0", Share::Prefork(2)),
            ("127.0.0.1:0", Share::Fork),
        ];
        let mut servers = Vec::new();
        for (n, (at, share)) in kinds.into_iter().enumerate() {
            let mut at: SocketAddr = at.parse()?;
            if let Some(like) = like {
                at.set_port(like.servers[n].addresses[0].port());
            }
            let plan = Serve {
                listen: vec![at],
                share,
                talk: Talk::Full,
                ledger: ledger.to_owned(),
            };
            servers.push(traffic::serve(&netns, &plan)?);
        }
        Ok(Self { netns, servers })
    }

    /// Every server by every family it takes.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        let port = |n: usize| self.servers[n].addresses[0].port();
        let v4 = |n: usize| SocketAddr::new([127, 0, 0, 1].into(), port(n));
        let v6 = |n: usize| SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), port(n));
        let mapped = |to: SocketAddr| Target {
            mapped: true,
            ..Target::plain(to)
        };
        Ok(vec![
            Target::plain(v4(0)),
            mapped(v4(0)),
            Target::plain(v6(1)),
            Target::plain(v4(2)),
            mapped(v4(2)),
            Target::plain(v6(2)),
            Target::plain(v4(3)),
        ])
    }

    fn clients(&self, count: u32, each: u32, ledger: &Path) -> Result<Vec<Helper>> {
        let targets = self.targets()?;
        (0..count)
            .map(|n| {
                let plan = Dial {
                    targets: targets.clone(),
                    count: each,
                    talk: Talk::Full,
                    // The same in both worlds, so that whole tuples are the same there.
                    first_port: 10_000 + u16::try_from(n)? * 21,
                    bound: 21,
                    seed: n,
                    ledger: ledger.to_owned(),
                };
                traffic::dial(&self.netns, &plan)
            })
            .collect()
    }

    /// Waits for the last connection to end, then ends the servers.
    pub(crate) fn finish(self) -> Result<()> {
        self.netns.wait_settled()?;
        self.servers
            .into_iter()
            .try_for_each(|server| server.helper.finish())
    }
}

fn every_connection_is_told_truly() -> Result<()> {
    let count = setting("TRACER_LEDGER", 20_000)?;
    let half = (count / EACH / 2).clamp(1, CLIENTS / 2);
    let each = count.div_ceil(2 * half);
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let tracer = Tracer::stream(&[])?;

    let first = World::new(folder.path(), None)?;
    let second = World::new(folder.path(), Some(&first))?;
    let mut clients = first.clients(half, each, folder.path())?;
    clients.extend(second.clients(half, each, folder.path())?);
    traffic::go(clients)?;
    first.finish()?;
    second.finish()?;

    let run = tracer.stop()?;
    run.expect_code(0)?;
    let ends = ledger::read(folder.path())?;
    ensure!(
        ends.len() == 2 * (each * 2 * half) as usize,
        "the ledgers have {} ends",
        ends.len()
    );
    let text = run.text()?;
    // Servers announce themselves by `listen` and `unlisten`; those are the listeners' tests.
    let report = expect::score(&ends, text.lines())?;
    println!("ledger: {report}");
    agree(&report, &run)
}

/// The score and the sums, both told if either is wrong.
fn agree(report: &Report, run: &Run) -> Result<()> {
    let missed = run.missed()?;
    println!("ledger: {missed} runs of tracer's programs skipped by the kernel");
    print!("{}", run.stderr);
    match (report.verdict(missed), nothing_lost(run)) {
        (Ok(()), sums) => sums,
        (score, Ok(())) => score.context("the sums are right, the score is not"),
        (Err(score), Err(sums)) => bail!("{score}\nand {sums}"),
    }
}

/// Nothing lost, and every delivered record printed.
fn nothing_lost(run: &Run) -> Result<()> {
    let totals = expect::sums(run.text()?.lines())?;
    for kind in KINDS {
        let counts = totals[kind];
        ensure!(counts.lost() == 0, "{kind}: lost {counts:?}");
    }
    for kind in ["connect", "accept", "close", "fail"] {
        let marker = format!("\"event\":\"{kind}\"");
        let printed = run
            .text()?
            .lines()
            .filter(|line| line.contains(&marker))
            .count() as u64;
        ensure!(
            totals[kind].delivered == printed,
            "{kind}: delivered {:?}, printed {printed}",
            totals[kind]
        );
    }
    Ok(())
}

/// The two ends of a connection in two namespaces.
fn two_namespaces_joined_by_a_cable() -> Result<()> {
    skip::need("ip")?;
    let (near, far) = match Netns::pair() {
        Ok(pair) => pair,
        Err(error) => return skip::skip("veth", format!("{error:#}")),
    };
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let tracer = Tracer::stream(&[])?;
    let plan = Serve {
        listen: vec!["10.77.0.2:0".parse()?, "[fd77::2]:0".parse()?],
        share: Share::Prefork(2),
        talk: Talk::Full,
        ledger: folder.path().to_owned(),
    };
    let server = traffic::serve(&far, &plan)?;
    let mut targets: Vec<Target> = server
        .addresses
        .iter()
        .copied()
        .map(Target::plain)
        .collect();
    targets.push(Target {
        mapped: true,
        ..targets[0]
    });
    let plan = Dial {
        targets,
        count: 60,
        talk: Talk::Full,
        first_port: 0,
        bound: 0,
        seed: 3,
        ledger: folder.path().to_owned(),
    };
    traffic::go(vec![traffic::dial(&near, &plan)?])?;
    near.wait_settled()?;
    far.wait_settled()?;
    server.helper.finish()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let ends = ledger::read(folder.path())?;
    ensure!(ends.len() == 120, "the ledgers have {} ends", ends.len());
    agree(&expect::score(&ends, run.text()?.lines())?, &run)
}

/// A FIN that nobody reads is acknowledged by a timer, whose interrupt may come in the midst of
/// one of tracer's own programs; the kernel does not run a program inside itself.
fn interrupts_hide_no_end() -> Result<()> {
    if !init::is_test_machine() {
        return skip::not_here(
            "machine of its own",
            "what a host's interrupts hit is not the suite's to say (see Netns::acknowledge_at_once)",
        );
    }
    // Few on each machine: it is the many machines that make up the number.
    let each = setting("TRACER_INTERRUPTS", 200)?;
    let netns = Netns::new()?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let before = Held::now()?;
    let tracer = Tracer::stream(&[])?;
    let programs = Held::now()?.since(&before).programs;
    let mut server = Agent::new(&netns)?;
    let (mut listeners, mut clients) = (Vec::new(), Vec::new());
    for seed in 0..3 {
        // It never accepts: all wait in the queue.
        let listen = Listen {
            backlog: 4096,
            ..Listen::at("127.0.0.1:0".parse()?)
        };
        let (slot, to) = server.listen(listen)?;
        listeners.push(slot);
        let plan = Dial {
            targets: vec![Target::plain(to)],
            count: each,
            talk: Talk::Silence,
            first_port: 0,
            bound: 0,
            seed,
            ledger: folder.path().to_owned(),
        };
        clients.push(traffic::dial(&netns, &plan)?);
    }
    let count = clients.len() * each as usize;
    traffic::go(clients)?;
    for slot in listeners {
        server.close(slot)?;
    }
    netns.wait_settled()?;
    let skipped = bpf::skipped_runs(&programs)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let mut ends = ledger::read(folder.path())?;
    ensure!(ends.len() == count, "the ledgers have {} ends", ends.len());
    // An end that was told in place of a skipped run may not know who closed it; it must not
    // say that it was the other.
    for end in &mut ends {
        end.closed_by = None;
    }
    let wrong = json!({"connection": {"direction": "outbound", "closed_by": "remote"}});
    let events = expect::within(netns.inode(), &run.events()?);
    expect::none("a client that did not close first", &wrong, &events)?;
    // Nobody has the servers' ends in a ledger, as nobody accepted them.
    let lines = run.text()?.lines();
    let report = expect::score(&ends, lines.filter(|line| line.contains("\"outbound\"")))?;
    agree(&report, &run)?;
    let stop = run.only("stop")?;
    ensure!(
        stop["missed"].as_u64() >= Some(skipped),
        "{skipped} runs were skipped: {stop}"
    );
    let told: u64 = run
        .events()?
        .iter()
        .filter(|event| event["event"] == "loss")
        .filter_map(|loss| loss["missed"].as_u64())
        .sum();
    ensure!(
        Some(told) == stop["missed"].as_u64(),
        "the loss lines tell of {told} skipped runs: {stop}"
    );
    Ok(())
}
