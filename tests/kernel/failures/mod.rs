//! Attempts that come to nothing: one `fail` each, with its reason, and nothing else.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    expect::{self, endpoint},
    netns::Netns,
    skip, tests,
    tracer::Tracer,
};

tests!("failures":
    refused,
    timed_out,
    timed_out_behind_a_firewall,
    abandoned_by_close,
    abandoned_by_death,
    refused_and_then_accepted_on_the_same_socket,
    non_blocking_success_is_no_failure,
    a_failure_does_not_hide_the_next_connection,
);

/// A namespace with one process that dials and one that listens.
struct World {
    netns: Netns,
    tracer: Tracer,
    client: Agent,
    server: Agent,
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug)]
struct Way {
    server: &'static str,
    mapped: bool,
    nonblocking: bool,
}

const fn way(server: &'static str, mapped: bool, nonblocking: bool) -> Way {
    Way {
        server,
        mapped,
        nonblocking,
    }
}

const WAYS: [Way; 6] = [
    way("127.0.0.1:0", false, false),
    way("127.0.0.1:0", false, true),
    way("[::1]:0", false, false),
    way("[::1]:0", false, true),
    way("127.0.0.1:0", true, false),
    way("127.0.0.1:0", true, true),
];

impl World {
    fn new() -> Result<Self> {
        let netns = Netns::new()?;
        let tracer = Tracer::stream(&[])?;
        let (client, server) = (Agent::new(&netns)?, Agent::new(&netns)?);
        Ok(Self {
            netns,
            tracer,
            client,
            server,
        })
    }

    /// An address that nobody listens at.
    fn dead(&mut self, at: &str) -> Result<SocketAddr> {
        let (slot, address) = self.server.listen(Listen::at(at.parse()?))?;
        self.server.close(slot)?;
        Ok(address)
    }

    /// An address that never answers.
    fn deaf(&mut self, at: &str) -> Result<SocketAddr> {
        Ok(self
            .server
            .listen(Listen {
                deaf: true,
                ..Listen::at(at.parse()?)
            })?
            .1)
    }

    /// The connections' events, those of the listeners aside.
    fn finish(self) -> Result<Vec<Value>> {
        let run = self.tracer.stop()?;
        run.expect_code(0)?;
        let events = run.events()?;
        expect::well_formed(&events)?;
        let mut events = expect::within(self.netns.inode(), &events);
        events.retain(|event| event["connection"].is_object());
        Ok(events)
    }
}

/// Dials and waits for the outcome, which must be `expected`.
fn attempt(client: &mut Agent, way: Way, to: SocketAddr, expected: Errno) -> Result<()> {
    let dial = Dial {
        mapped: way.mapped,
        nonblocking: way.nonblocking,
        retries: Some(1),
        ..Dial::to(to)
    };
    let mut answer = client.dial(dial)?;
    let slot = answer.slot.context("a socket")?;
    if answer.errno == Some(Errno::INPROGRESS.raw_os_error()) {
        answer = client.outcome(slot)?;
    }
    ensure!(
        answer.errno == Some(expected.raw_os_error()),
        "{way:?} to {to}: {answer:?}, not {expected:?}"
    );
    client.close(slot)
}

/// Exactly one `fail` of `pid` to `to`.
fn one_failure(events: &[Value], pid: u32, to: SocketAddr, failure: &Value) -> Result<()> {
    let pattern = json!({
        "event": "fail",
        "connection": {
            "direction": "outbound",
            "family": if to.is_ipv4() { "ipv4" } else { "ipv6" },
            "server": endpoint(to),
            "existing": false,
            "opened": null,
            "sent_bytes": null,
        },
        "process": {"pid": pid},
        "evidence": {"process": "hook"},
        "failure": failure,
    });
    expect::one("a failed attempt", &pattern, events)?;
    expect::exactly(
        1,
        "anything of this attempt",
        &json!({"connection": {"server": endpoint(to)}}),
        events,
    )?;
    Ok(())
}

fn refused() -> Result<()> {
    let mut world = World::new()?;
    let pid = world.client.pid();
    let mut dialled = Vec::new();
    for way in WAYS {
        let to = world.dead(way.server)?;
        attempt(&mut world.client, way, to, Errno::CONNREFUSED)?;
        dialled.push(to);
    }
    let events = world.finish()?;
    for to in dialled {
        one_failure(
            &events,
            pid,
            to,
            &json!({"phase": "remote", "reason": "refused", "errno": "ECONNREFUSED"}),
        )?;
    }
    ensure!(events.len() == WAYS.len(), "{} events", events.len());
    Ok(())
}

fn timed_out() -> Result<()> {
    let mut world = World::new()?;
    let (mut clients, mut attempts) = (Vec::new(), Vec::new());
    for way in WAYS {
        attempts.push((Agent::new(&world.netns)?, way, world.deaf(way.server)?));
    }
    // All at once: each takes seconds.
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = attempts
            .into_iter()
            .map(|(mut agent, way, to)| {
                scope.spawn(move || {
                    attempt(&mut agent, way, to, Errno::TIMEDOUT).map(|()| (agent.pid(), to))
                })
            })
            .collect();
        for thread in threads {
            clients.push(
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client's thread panicked"))??,
            );
        }
        Ok(())
    })?;
    let events = world.finish()?;
    for (pid, to) in clients {
        one_failure(
            &events,
            pid,
            to,
            &json!({"phase": "network", "reason": "timed_out", "errno": "ETIMEDOUT"}),
        )?;
    }
    ensure!(events.len() == WAYS.len(), "{} events", events.len());
    Ok(())
}

fn timed_out_behind_a_firewall() -> Result<()> {
    skip::need("nft")?;
    let mut world = World::new()?;
    let pid = world.client.pid();
    let to = world.server.listen(Listen::at("127.0.0.1:0".parse()?))?.1;
    let rules = format!(
        "add table inet t; add chain inet t input {{ type filter hook input priority 0; }}; \
         add rule inet t input tcp dport {} drop",
        to.port()
    );
    if let Err(error) = world.netns.command("nft", &[&rules]) {
        return skip::skip("nft", format!("{error:#}"));
    }
    world.netns.set("ipv4/tcp_syn_retries", "1")?;
    let answer = world.client.dial(Dial::to(to))?;
    ensure!(
        answer.errno == Some(Errno::TIMEDOUT.raw_os_error()),
        "{answer:?}"
    );
    let events = world.finish()?;
    one_failure(
        &events,
        pid,
        to,
        &json!({"phase": "network", "reason": "timed_out", "errno": "ETIMEDOUT"}),
    )?;
    ensure!(events.len() == 1, "{} events", events.len());
    Ok(())
}

const ABANDONED: [(&str, bool); 3] = [
    ("127.0.0.1:0", false),
    ("[::1]:0", false),
    ("127.0.0.1:0", true),
];

fn abandoned_by_close() -> Result<()> {
    let mut world = World::new()?;
    let pid = world.client.pid();
    let mut dialled = Vec::new();
    for (at, mapped) in ABANDONED {
        for reset in [false, true] {
            let to = world.deaf(at)?;
            let answer = world.client.dial(Dial {
                mapped,
                nonblocking: true,
                ..Dial::to(to)
            })?;
            ensure!(
                answer.errno == Some(Errno::INPROGRESS.raw_os_error()),
                "{answer:?}"
            );
            let slot = answer.slot.context("a socket")?;
            if reset {
                world.client.reset(slot)?;
            } else {
                world.client.close(slot)?;
            }
            dialled.push(to);
        }
    }
    let events = world.finish()?;
    for to in dialled {
        one_failure(
            &events,
            pid,
            to,
            &json!({"phase": "abandoned", "reason": "abandoned", "errno": null}),
        )?;
    }
    ensure!(
        events.len() == 2 * ABANDONED.len(),
        "{} events",
        events.len()
    );
    Ok(())
}

fn abandoned_by_death() -> Result<()> {
    let mut world = World::new()?;
    let to = world.deaf("127.0.0.1:0")?;
    let pid = world.client.pid();
    let answer = world.client.dial(Dial {
        nonblocking: true,
        ..Dial::to(to)
    })?;
    ensure!(
        answer.errno == Some(Errno::INPROGRESS.raw_os_error()),
        "{answer:?}"
    );
    world.client.kill()?;
    let events = world.finish()?;
    one_failure(
        &events,
        pid,
        to,
        &json!({"phase": "abandoned", "reason": "abandoned", "errno": null}),
    )?;
    ensure!(events.len() == 1, "{} events", events.len());
    Ok(())
}

fn refused_and_then_accepted_on_the_same_socket() -> Result<()> {
    let mut world = World::new()?;
    let pid = world.client.pid();
    let dead = world.dead("127.0.0.1:0")?;
    let (listener, alive) = world.server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let answer = world.client.dial(Dial::to(dead))?;
    ensure!(
        answer.errno == Some(Errno::CONNREFUSED.raw_os_error()),
        "{answer:?}"
    );
    let slot = answer.slot.context("a socket")?;
    let answer = world.client.dial(Dial {
        again: Some(slot),
        ..Dial::to(alive)
    })?;
    ensure!(answer.errno.is_none(), "{answer:?}");
    let accepted = world.server.accept(listener)?.socket()?;
    world.client.close(slot)?;
    world.server.receive_end(accepted)?;
    world.server.close(accepted)?;
    world.netns.wait_settled()?;

    let events = world.finish()?;
    one_failure(
        &events,
        pid,
        dead,
        &json!({"phase": "remote", "reason": "refused", "errno": "ECONNREFUSED"}),
    )?;
    let of = |event| {
        json!({"event": event, "connection": {"direction": "outbound", "server": endpoint(alive)},
        "process": {"pid": pid}})
    };
    let connect = expect::one("the second attempt", &of("connect"), &events)?;
    let close = expect::one("the second attempt's end", &of("close"), &events)?;
    let fail = expect::one("the first attempt", &json!({"event": "fail"}), &events)?;
    ensure!(
        connect["connection"]["id"] == close["connection"]["id"],
        "{connect}\n{close}"
    );
    ensure!(
        connect["connection"]["id"] != fail["connection"]["id"],
        "{connect}\n{fail}"
    );
    Ok(())
}

fn non_blocking_success_is_no_failure() -> Result<()> {
    let mut world = World::new()?;
    let pid = world.client.pid();
    let (listener, to) = world.server.listen(Listen::at("[::1]:0".parse()?))?;
    let answer = world.client.dial(Dial {
        nonblocking: true,
        ..Dial::to(to)
    })?;
    let slot = answer.slot.context("a socket")?;
    let answer = world.client.outcome(slot)?;
    ensure!(answer.errno.is_none(), "{answer:?}");
    let accepted = world.server.accept(listener)?.socket()?;
    world.client.close(slot)?;
    world.server.receive_end(accepted)?;
    world.server.close(accepted)?;
    world.netns.wait_settled()?;
    let events = world.finish()?;
    expect::none("a failure", &json!({"event": "fail"}), &events)?;
    for event in ["connect", "close"] {
        let pattern = json!({"event": event, "connection": {"direction": "outbound"}, "process": {"pid": pid}});
        expect::one("the client's end", &pattern, &events)?;
    }
    ensure!(events.len() == 4, "{} events", events.len());
    Ok(())
}

/// From the same port to the same port: first nobody listens, then somebody does.
fn a_failure_does_not_hide_the_next_connection() -> Result<()> {
    let mut world = World::new()?;
    let to = world.dead("127.0.0.1:0")?;
    let from = world.dead("127.0.0.1:0")?;
    let dial = Dial {
        from: Some(from),
        ..Dial::to(to)
    };
    let answer = world.client.dial(dial)?;
    ensure!(
        answer.errno == Some(Errno::CONNREFUSED.raw_os_error()),
        "{answer:?}"
    );
    world.client.close(answer.slot.context("a socket")?)?;
    let (listener, _) = world.server.listen(Listen::at(to))?;
    let slot = world.client.dial(dial)?.socket()?;
    let accepted = world.server.accept(listener)?.socket()?;
    world.client.close(slot)?;
    world.server.receive_end(accepted)?;
    world.server.close(accepted)?;
    world.netns.wait_settled()?;
    let events = world.finish()?;
    let ends = json!({"client": endpoint(from), "server": endpoint(to)});
    for event in ["fail", "connect", "accept"] {
        expect::one(
            "both attempts",
            &json!({"event": event, "connection": ends}),
            &events,
        )?;
    }
    expect::exactly(
        2,
        "the ends of the second",
        &json!({"event": "close", "connection": ends}),
        &events,
    )?;
    Ok(())
}
