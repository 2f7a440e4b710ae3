//! Sockets in unusual hands: calls in an odd order, ends that look alike.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tracer_tests::{
    agent::{Agent, Answer, Dial, Listen},
    expect::{self, endpoint},
    ledger::{Closer, End},
    tests,
    tracer::Tracer,
};

use crate::{
    watch::told,
    world::{Pair, World, exchanged, failed_with, namespace},
};

tests!("tuples":
    one_tuple_in_two_namespaces_at_once,
    one_tuple_again_while_the_server_remembers_it,
    one_tuple_twice_at_once_is_a_failure,
    a_socket_belongs_where_it_was_made,
    a_socket_may_dial_itself,
    a_listener_with_a_full_queue_closes,
    a_listener_may_stop_and_begin_again,
    a_connect_too_many_is_nothing,
    a_socket_may_be_dissolved_and_used_again,
    an_attempt_may_be_dissolved,
);

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

/// The second connect() finds its own port and the other end's in use together.
fn one_tuple_twice_at_once_is_a_failure() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let from = world.free()?;
    let dial = Dial {
        from: Some(from),
        ..Dial::to(world.at)
    };
    let pair = world.dial(dial)?;
    let answer = world.client.dial(dial)?;
    failed_with(&answer, Errno::ADDRNOTAVAIL)?;
    world.client.close(answer.slot.context("a socket")?)?;
    world.talk(&pair, 10)?;
    world.finish(&pair)?;
    let ends = world.ends(&pair, 10);
    let events = told(tracer, &[&world.netns], &ends, 1)?;
    let pattern = json!({"event": "fail", "connection": {"direction": "outbound", "server": endpoint(world.at)},
        "failure": {"phase": "local"}, "process": {"pid": world.client.pid()},
        "evidence": {"process": "hook"}});
    expect::one("the second attempt", &pattern, &events)?;
    Ok(())
}

/// Whoever dials with it, from wherever.
fn a_socket_belongs_where_it_was_made() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let socket = world
        .netns
        .run(|| Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket"))?;
    // This thread is in another namespace.
    socket.connect(&world.at.into()).context("dial")?;
    let from = socket.local_addr()?.as_socket().context("an own end")?;
    let accepted = world.server.accept(world.listener)?.socket()?;
    drop(socket);
    world.server.receive_end(accepted)?;
    world.server.close(accepted)?;
    let inode = world.netns.inode();
    let ends = [
        End::client(inode, from, world.at, std::process::id()),
        End::server(inode, from, world.at, world.server.pid()),
    ];
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

/// Its SYN meets itself, and nobody listens: one end, which is both.
fn a_socket_may_dial_itself() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let own = world.free()?;
    let answer = world.client.dial(Dial {
        from: Some(own),
        ..Dial::to(own)
    })?;
    let slot = answer.socket()?;
    world.client.send(slot, 10)?;
    world.client.receive(slot, 10)?;
    world.client.close(slot)?;
    let end = End {
        sent: 10,
        received: 10,
        ..End::client(world.netns.inode(), own, own, world.client.pid())
    };
    told(tracer, &[&world.netns], &[end], 0)?;
    Ok(())
}

fn a_listener_may_stop_and_begin_again() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    // The kernel takes a port back that it had chosen itself.
    world.at = world.free()?;
    (world.listener, _) = world.server.listen(Listen::at(world.at))?;
    let pid = world.server.pid();
    let mut ends = Vec::new();
    for backlog in [64, 32] {
        // A second listen() only changes the backlog.
        world.server.listen_again(world.listener, backlog)?;
        let pair = world.connect()?;
        world.talk(&pair, 10)?;
        world.finish(&pair)?;
        ends.extend(world.ends(&pair, 10));
        world.server.shutdown_both(world.listener)?;
    }
    let events = told(tracer, &[&world.netns], &ends, 0)?;
    for event in ["listen", "unlisten"] {
        let pattern =
            json!({"event": event, "listener": {"port": world.at.port()}, "process": {"pid": pid}});
        // Once it was `free`.
        expect::exactly(3, "a listener that began twice", &pattern, &events)?;
    }
    Ok(())
}
