//! Sockets in unusual hands: calls in an odd order, ends that are not a plain close().

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Answer, Dial, Listen, Slot},
    expect::{self, endpoint},
    ledger::{self, Closer, End},
    netns::Netns,
    suite::setting,
    tests,
    tracer::Tracer,
    traffic::{self, Serve, Share, Talk, Target},
};

use crate::watch::{exchanged, namespace, told};

tests!("sockets":
    one_tuple_in_two_namespaces_at_once,
    one_tuple_again_while_the_server_remembers_it,
    unread_payload_makes_a_close_a_reset,
    both_directions_shut_down_and_then_an_exit,
    a_listener_with_a_full_queue_closes,
    a_connect_too_many_is_nothing,
    a_socket_may_be_dissolved_and_used_again,
    an_attempt_may_be_dissolved,
    an_idle_connection_outlives_thousands,
);

/// A server and a client in one namespace, and the server's listener.
struct World {
    netns: Netns,
    server: Agent,
    client: Agent,
    listener: Slot,
    at: SocketAddr,
}

/// A connection, with its socket at either end.
struct Pair {
    from: SocketAddr,
    dialled: Slot,
    accepted: Slot,
}

impl World {
    fn new() -> Result<Self> {
        Self::at("127.0.0.1:0".parse()?)
    }

    fn at(at: SocketAddr) -> Result<Self> {
        let netns = namespace()?;
        let (mut server, client) = (Agent::new(&netns)?, Agent::new(&netns)?);
        let (listener, at) = server.listen(Listen::at(at))?;
        Ok(Self {
            netns,
            server,
            client,
            listener,
            at,
        })
    }

    fn connect(&mut self) -> Result<Pair> {
        self.dial(Dial::to(self.at))
    }

    fn dial(&mut self, how: Dial) -> Result<Pair> {
        let answer = self.client.dial(how)?;
        Ok(Pair {
            dialled: answer.socket()?,
            from: answer.local()?,
            accepted: self.server.accept(self.listener)?.socket()?,
        })
    }

    /// Payload from the client to the server, and a byte back.
    fn talk(&mut self, pair: &Pair, bytes: usize) -> Result<()> {
        self.client.send(pair.dialled, bytes)?;
        self.server.receive(pair.accepted, bytes)?;
        self.server.send(pair.accepted, 1)?;
        self.client.receive(pair.dialled, 1)
    }

    /// The client closes, then the server.
    fn finish(&mut self, pair: &Pair) -> Result<()> {
        self.client.close(pair.dialled)?;
        self.server.receive_end(pair.accepted)?;
        self.server.close(pair.accepted)
    }

    fn client_end(&self, pair: &Pair) -> End {
        End::client(self.netns.inode(), pair.from, self.at, self.client.pid())
    }

    fn server_end(&self, pair: &Pair) -> End {
        End::server(self.netns.inode(), pair.from, self.at, self.server.pid())
    }

    /// What is to be told of a connection after `talk` and `finish`.
    fn ends(&self, pair: &Pair, bytes: u64) -> [End; 2] {
        exchanged(self.client_end(pair), self.server_end(pair), bytes, 1)
    }

    /// A port that is free, as somebody just gave it back.
    fn free(&mut self) -> Result<SocketAddr> {
        let (slot, address) = self.server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        self.server.close(slot)?;
        Ok(address)
    }
}

fn failed_with(answer: &Answer, errno: Errno) -> Result<()> {
    ensure!(
        answer.errno == Some(errno.raw_os_error()),
        "not {errno:?}: {answer:?}"
    );
    Ok(())
}

fn one_tuple_in_two_namespaces_at_once() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut one = World::new()?;
    let mut other = World::at(one.at)?;
    let from = one.free()?;
    let dial = Dial {
        from: Some(from),
        ..Dial::to(one.at)
    };
    let (first, second) = (one.dial(dial)?, other.dial(dial)?);
    // Both are open now. Their payloads tell them apart.
    one.talk(&first, 100)?;
    other.talk(&second, 200)?;
    one.finish(&first)?;
    other.talk(&second, 300)?;
    other.finish(&second)?;
    let mut ends = one.ends(&first, 100).to_vec();
    ends.extend(exchanged(
        other.client_end(&second),
        other.server_end(&second),
        500,
        2,
    ));
    let events = told(tracer, &[&one.netns, &other.netns], &ends, 0)?;
    let ids: std::collections::BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["connection"]["id"].as_str())
        .collect();
    ensure!(ids.len() == 4, "{} ids for 4 ends: {ids:?}", ids.len());
    Ok(())
}

/// The server closes first, so its TIME_WAIT stands where the next connection comes.
fn one_tuple_again_while_the_server_remembers_it() -> Result<()> {
    const TIMES: usize = 5;
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let from = world.free()?;
    let mut ends = Vec::new();
    for n in 1..=TIMES {
        let pair = world.dial(Dial {
            from: Some(from),
            ..Dial::to(world.at)
        })?;
        world.talk(&pair, n)?;
        // A moment of its life, by which the ends of equal tuples are told apart.
        let (client, server) = (world.client_end(&pair), world.server_end(&pair));
        world.server.close(pair.accepted)?;
        world.client.receive_end(pair.dialled)?;
        world.client.close(pair.dialled)?;
        world.netns.wait_settled()?;
        let [there, back] = exchanged(client, server, n as u64, 1);
        ends.push(End {
            closed_by: Some(Closer::Remote),
            ..there
        });
        ends.push(End {
            closed_by: Some(Closer::Local),
            ..back
        });
    }
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

fn unread_payload_makes_a_close_a_reset() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let mut ends = Vec::new();
    for server_closes in [true, false] {
        let pair = world.connect()?;
        world.talk(&pair, 10)?;
        let (client, server) = (world.client_end(&pair), world.server_end(&pair));
        let (mut there, mut back) = (11, 1);
        // One byte more, which is not read.
        let ended = if server_closes {
            world.client.send(pair.dialled, 1)?;
            world.server.close(pair.accepted)?;
            let ended = world.client.receive_end(pair.dialled)?;
            world.client.close(pair.dialled)?;
            ended
        } else {
            (there, back) = (10, 2);
            world.server.send(pair.accepted, 1)?;
            world.client.close(pair.dialled)?;
            let ended = world.server.receive_end(pair.accepted)?;
            world.server.close(pair.accepted)?;
            ended
        };
        failed_with(&ended, Errno::CONNRESET)?;
        let (by_client, by_server) = if server_closes {
            (Closer::Remote, Closer::Local)
        } else {
            (Closer::Local, Closer::Remote)
        };
        let [client, server] = exchanged(client, server, there, back);
        ends.push(End {
            closed_by: Some(by_client),
            reset: server_closes,
            ..client
        });
        ends.push(End {
            closed_by: Some(by_server),
            reset: !server_closes,
            ..server
        });
    }
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

/// The connection is over before its process is, which never closes.
fn both_directions_shut_down_and_then_an_exit() -> Result<()> {
    let mut tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let pair = world.connect()?;
    world.talk(&pair, 10)?;
    let ends = world.ends(&pair, 10);
    world.client.shutdown_both(pair.dialled)?;
    world.server.receive_end(pair.accepted)?;
    world.server.close(pair.accepted)?;
    world.netns.wait_settled()?;
    let netns = world.netns.inode();
    tracer.wait_for("the end of the connection", |line| {
        line["event"] == "close"
            && line["connection"]["netns"] == netns
            && line["connection"]["direction"] == "outbound"
    })?;
    world.client.finish()?;
    world.server.finish()?;
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

fn a_listener_with_a_full_queue_closes() -> Result<()> {
    const BACKLOG: i32 = 3;
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen {
        backlog: BACKLOG,
        ..Listen::at("127.0.0.1:0".parse()?)
    })?;
    // The kernel lets one more in than it was told.
    let queued: Vec<Answer> = (0..=BACKLOG)
        .map(|_| client.connect(at))
        .collect::<Result<_>>()?;
    for answer in &queued {
        client.send(answer.socket()?, 5)?;
    }
    // The next one finds the queue full, and goes on trying.
    let late = client.dial(Dial {
        nonblocking: true,
        ..Dial::to(at)
    })?;
    failed_with(&late, Errno::INPROGRESS)?;
    let late = late.slot.context("a socket")?;
    server.close(listener)?;
    let mut clients = Vec::new();
    for answer in queued {
        let (slot, from) = (answer.socket()?, answer.local()?);
        failed_with(&client.receive_end(slot)?, Errno::CONNRESET)?;
        client.close(slot)?;
        clients.push(End {
            sent: 5,
            closed_by: Some(Closer::Remote),
            reset: true,
            ..End::client(netns.inode(), from, at, client.pid())
        });
    }
    failed_with(&client.outcome(late)?, Errno::CONNREFUSED)?;
    client.close(late)?;
    // Of the server's ends either nothing is told, or all of their lives: accept() itself tells
    // of none, and where only handshakes are seen, each was one.
    let mut tracer = tracer;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    let mut ends = clients.clone();
    if hooks == "tracepoint" {
        ends.extend(clients.iter().map(|end| End {
            received: 5,
            closed_by: None,
            ..End::server(netns.inode(), end.client, at, server.pid())
        }));
    }
    let events = told(tracer, &[&netns], &ends, 1)?;
    let refused = json!({"event": "fail", "connection": {"direction": "outbound", "server": endpoint(at)},
        "failure": {"phase": "remote", "reason": "refused"}, "process": {"pid": client.pid()}});
    expect::one("the one that came too late", &refused, &events)?;
    for event in ["listen", "unlisten"] {
        let pattern = json!({"event": event, "process": {"pid": server.pid()},
            "listener": {"port": at.port(), "backlog": BACKLOG}});
        expect::one("the listener", &pattern, &events)?;
    }
    Ok(())
}

/// connect() on a socket that is connected, or about to be.
fn a_connect_too_many_is_nothing() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let elsewhere = world.free()?;
    let pair = world.connect()?;
    for to in [world.at, elsewhere] {
        let again = world.client.dial(Dial {
            again: Some(pair.dialled),
            ..Dial::to(to)
        })?;
        failed_with(&again, Errno::ISCONN)?;
    }
    world.talk(&pair, 10)?;
    world.finish(&pair)?;
    let ends = world.ends(&pair, 10);

    let deaf = Listen {
        deaf: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    };
    let (_, silent) = world.server.listen(deaf)?;
    let attempt = world.client.dial(Dial {
        nonblocking: true,
        ..Dial::to(silent)
    })?;
    failed_with(&attempt, Errno::INPROGRESS)?;
    let slot = attempt.slot.context("a socket")?;
    for to in [silent, world.at] {
        let again = world.client.dial(Dial {
            again: Some(slot),
            ..Dial::to(to)
        })?;
        failed_with(&again, Errno::ALREADY)?;
    }
    world.client.close(slot)?;
    let events = told(tracer, &[&world.netns], &ends, 1)?;
    abandoned(silent, world.client.pid(), &events)
}

/// One attempt at `to` that its caller gave up.
fn abandoned(to: SocketAddr, pid: u32, events: &[Value]) -> Result<()> {
    let pattern = json!({"event": "fail", "connection": {"direction": "outbound", "server": endpoint(to)},
        "failure": {"phase": "abandoned", "reason": "abandoned", "errno": null},
        "process": {"pid": pid}, "evidence": {"process": "hook"}});
    expect::one("an attempt that was given up", &pattern, events).map(drop)
}

fn a_socket_may_be_dissolved_and_used_again() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let mut ends = Vec::new();
    let mut again = None;
    for bytes in [10, 20, 30] {
        let pair = world.dial(Dial {
            again,
            ..Dial::to(world.at)
        })?;
        world.talk(&pair, bytes)?;
        let [client, server] = world.ends(&pair, bytes as u64);
        again = Some(pair.dialled);
        if bytes == 30 {
            world.finish(&pair)?;
            ends.extend([client, server]);
            break;
        }
        world.client.dissolve(pair.dialled)?;
        failed_with(&world.server.receive_end(pair.accepted)?, Errno::CONNRESET)?;
        world.server.close(pair.accepted)?;
        ends.extend([
            client,
            End {
                reset: true,
                ..server
            },
        ]);
    }
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

fn an_attempt_may_be_dissolved() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let deaf = Listen {
        deaf: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    };
    let (_, silent) = world.server.listen(deaf)?;
    let attempt = world.client.dial(Dial {
        nonblocking: true,
        ..Dial::to(silent)
    })?;
    failed_with(&attempt, Errno::INPROGRESS)?;
    let slot = attempt.slot.context("a socket")?;
    world.client.dissolve(slot)?;
    // The same socket, to one that answers.
    let answer = world.client.dial(Dial {
        again: Some(slot),
        ..Dial::to(world.at)
    })?;
    failed_with(&answer, Errno::INPROGRESS)?;
    let answer = world.client.outcome(slot)?;
    ensure!(answer.errno.is_none(), "{answer:?}");
    let pair = Pair {
        from: answer.local()?,
        dialled: slot,
        accepted: world.server.accept(world.listener)?.socket()?,
    };
    world.client.send(slot, 10)?;
    world.server.receive(pair.accepted, 10)?;
    world.finish(&pair)?;
    let ends = exchanged(world.client_end(&pair), world.server_end(&pair), 10, 0);
    let events = told(tracer, &[&world.netns], &ends, 1)?;
    abandoned(silent, world.client.pid(), &events)
}

/// Nothing of it moves while so many others come and go that a table which forgets what it has
/// not seen for long would have forgotten it. Hours would show the same.
fn an_idle_connection_outlives_thousands() -> Result<()> {
    let others = setting("TRACER_LEDGER", 20_000)? / 8;
    // Room for all that is open at once, by far; not for all.
    let tracer = Tracer::stream(&["--connections", &(others / 2).to_string()])?;
    let mut world = World::new()?;
    let begun = Instant::now();
    let pair = world.connect()?;
    let open = Instant::now();
    world.talk(&pair, 10)?;

    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let server = traffic::serve(
        &world.netns,
        &Serve {
            listen: vec!["127.0.0.1:0".parse()?],
            share: Share::Alone,
            talk: Talk::Full,
            ledger: folder.path().to_owned(),
        },
    )?;
    let plan = traffic::Dial {
        targets: vec![Target::plain(server.addresses[0])],
        count: others,
        talk: Talk::Full,
        first_port: 0,
        bound: 0,
        seed: 0,
        ledger: folder.path().to_owned(),
    };
    traffic::go(vec![traffic::dial(&world.netns, &plan)?])?;

    let idle = open.elapsed();
    world.talk(&pair, 20)?;
    world.finish(&pair)?;
    world.netns.wait_settled()?;
    let whole = begun.elapsed();
    server.helper.finish()?;
    let mut ends = ledger::read(folder.path())?;
    ensure!(
        ends.len() == 2 * others as usize,
        "the ledgers have {} ends",
        ends.len()
    );
    ends.extend(exchanged(
        world.client_end(&pair),
        world.server_end(&pair),
        30,
        2,
    ));
    let events = told(tracer, &[&world.netns], &ends, 0)?;
    let close = json!({"event": "close", "connection": {"client": endpoint(pair.from), "server": endpoint(world.at)}});
    for close in expect::exactly(2, "its ends", &close, &events)? {
        let duration = close["connection"]["duration_ns"].as_u64();
        let duration = Duration::from_nanos(duration.context("a duration")?);
        // Bounds by what happened before and after, not by how long anything should take.
        ensure!(
            idle <= duration && duration <= whole,
            "idle for {idle:?}, all in all {whole:?}: {close}"
        );
    }
    Ok(())
}
