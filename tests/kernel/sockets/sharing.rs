//! Sockets that several processes share: who listens, who accepts and who closes may differ.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen, Slot},
    expect::{self, endpoint},
    ledger::{self, Closer, End},
    skip, tests,
    tracer::Tracer,
    traffic::{self, Dial, Serve, Share, Talk, Target},
    wait,
};

use crate::{
    identity::services::{self, PORT},
    watch::told,
    world::{exchanged, namespace},
};

tests!("sharing":
    nginx_workers_that_share_a_listener,
    nginx_workers_with_a_listener_each,
    servers_that_share_a_port,
    a_listener_from_its_parent,
    a_listener_passed_to_another_process,
    who_reads_from_a_connection_has_it,
    connections_passed_to_other_processes,
    a_connection_passed_on_is_reset,
    an_accept_that_waited_before_tracer_came,
    many_accepts_that_wait_at_once,
);

fn any() -> Result<Listen> {
    Ok(Listen::at("127.0.0.1:0".parse()?))
}

fn nginx_workers_that_share_a_listener() -> Result<()> {
    nginx(4, "", 1)
}

fn nginx_workers_with_a_listener_each() -> Result<()> {
    nginx(4, "reuseport", 4)
}

/// Every connection is of the worker that answered, by nginx's own log.
fn nginx(workers: usize, options: &str, listeners: usize) -> Result<()> {
    const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    const COUNT: usize = 40;
    skip::need("nginx")?;
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let service = services::nginx_with(netns, workers, options)?;
    let at = SocketAddr::new([127, 0, 0, 1].into(), PORT);
    // All are open before the first is answered, so that no worker can have them all for being
    // the quickest.
    let answers: Vec<(SocketAddr, u64)> = service.netns.run(|| {
        let streams: Vec<TcpStream> = (0..COUNT)
            .map(|_| TcpStream::connect(at).context("dial nginx"))
            .collect::<Result<_>>()?;
        streams
            .into_iter()
            .map(|mut stream| {
                stream.write_all(REQUEST).context("ask nginx")?;
                let count = stream.read_to_end(&mut Vec::new()).context("its answer")?;
                Ok((stream.local_addr()?, count as u64))
            })
            .collect()
    })?;
    let log = service.folder.path().join("access");
    let log = wait::until("nginx to write its log", || {
        let text = std::fs::read_to_string(&log).context("read nginx's log")?;
        Ok((text.lines().count() == COUNT).then_some(text))
    })?;
    let worker = |port: u16| -> Result<u32> {
        let line = log
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{port} ")));
        let pid = line.with_context(|| format!("no port {port} in nginx's log:\n{log}"))?;
        Ok(pid.parse()?)
    };
    let (own, master) = (std::process::id(), service.program.pid());
    let mut served = BTreeSet::new();
    let mut ends = Vec::new();
    for (from, received) in answers {
        let pid = worker(from.port())?;
        ensure!(service.workers.contains(&pid), "{pid} is no worker");
        served.insert(pid);
        let inode = service.netns.inode();
        ends.push(End {
            sent: REQUEST.len() as u64,
            received,
            closed_by: Some(Closer::Remote),
            ..End::client(inode, from, at, own)
        });
        ends.push(End {
            listener: Some(master),
            sent: received,
            received: REQUEST.len() as u64,
            closed_by: Some(Closer::Local),
            ..End::server(inode, from, at, pid)
        });
    }
    // The kernel spreads connections over listeners by a hash of their ends.
    ensure!(
        listeners == 1 || served.len() > 1,
        "only worker {served:?} served"
    );
    let events = told(tracer, &[&service.netns], &ends, 0)?;
    let listen = json!({"event": "listen", "listener": {"port": PORT}, "process": {"pid": master}});
    expect::exactly(listeners, "the listeners", &listen, &events)?;
    Ok(())
}

fn servers_that_share_a_port() -> Result<()> {
    const SERVERS: usize = 3;
    let netns = namespace()?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let tracer = Tracer::stream(&[])?;
    let plan = Serve {
        listen: vec!["127.0.0.1:0".parse()?, "[::1]:0".parse()?],
        share: Share::EachOwn(SERVERS),
        talk: Talk::Full,
        ledger: folder.path().to_owned(),
    };
    let server = traffic::serve(&netns, &plan)?;
    let clients = (0..2)
        .map(|seed| {
            let plan = Dial {
                targets: server
                    .addresses
                    .iter()
                    .copied()
                    .map(Target::plain)
                    .collect(),
                count: 60,
                talk: Talk::Full,
                first_port: 0,
                bound: 0,
                seed,
                ledger: folder.path().to_owned(),
            };
            traffic::dial(&netns, &plan)
        })
        .collect::<Result<_>>()?;
    traffic::go(clients)?;
    netns.wait_settled()?;
    let addresses = server.addresses.clone();
    server.helper.finish()?;
    let ends = ledger::read(folder.path())?;
    ensure!(ends.len() == 240, "the ledgers have {} ends", ends.len());
    let served: BTreeSet<u32> = ends.iter().filter_map(|end| end.listener).collect();
    ensure!(served.len() == SERVERS, "only {served:?} served");
    let events = told(tracer, &[&netns], &ends, 0)?;
    for at in addresses {
        for pid in &served {
            for event in ["listen", "unlisten"] {
                let pattern = json!({"event": event, "process": {"pid": pid},
                    "listener": {"address": at.ip().to_string(), "port": at.port()}});
                expect::one("each server's listener", &pattern, &events)?;
            }
        }
    }
    Ok(())
}

/// As systemd does: one process listens, and starts another one that finds the socket as file
/// descriptor 3.
fn a_listener_from_its_parent() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let listener = netns.run(|| TcpListener::bind("127.0.0.1:0").context("listen"))?;
    let at = listener.local_addr()?;
    let mut command = traffic::command("agent", &())?;
    command.env("LISTEN_FDS", "1");
    netns.enter(&mut command);
    let fd = listener.as_raw_fd();
    // SAFETY: the closure only makes a system call; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(fd, 3) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut server = Agent::start(&mut command)?;
    let mut client = Agent::new(&netns)?;
    let dialled = client.connect(at)?;
    let accepted = server.accept(server.inherited())?.socket()?;
    let slot = dialled.socket()?;
    client.send(slot, 10)?;
    server.receive(accepted, 10)?;
    server.send(accepted, 20)?;
    client.receive(slot, 20)?;
    client.close(slot)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    // The parent's copy goes first: the other one is the listener's end.
    drop(listener);
    let from = dialled.local()?;
    let (parent, child) = (std::process::id(), server.pid());
    server.close(server.inherited())?;
    let ends = exchanged(
        End::client(netns.inode(), from, at, client.pid()),
        End {
            listener: Some(parent),
            ..End::server(netns.inode(), from, at, child)
        },
        10,
        20,
    );
    let events = told(tracer, &[&netns], &ends, 0)?;
    one_listener(at, parent, child, &events)
}

/// One `listen` by the one that listened, one `unlisten` by it or the last to close.
fn one_listener(at: SocketAddr, first: u32, last: u32, events: &[serde_json::Value]) -> Result<()> {
    let listener = json!({"address": at.ip().to_string(), "port": at.port()});
    let begun = json!({"event": "listen", "listener": listener, "process": {"pid": first},
        "evidence": {"process": "hook"}});
    let ended = json!({"event": "unlisten", "listener": listener,
        "process": {"pid": {"$any": [first, last]}}});
    expect::one("the listener", &begun, events)?;
    expect::one("its end", &ended, events)?;
    let both = json!({"event": {"$any": ["listen", "unlisten"]}});
    expect::exactly(2, "no more of it", &both, events)?;
    Ok(())
}

fn a_listener_passed_to_another_process() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut first, mut second) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut client = Agent::new(&netns)?;
    let (given, at) = first.listen(any()?)?;
    let taken = first.pass(given, &mut second)?;
    let mut ends = Vec::new();
    // While both have it, and when only the second one has it.
    for close_first in [false, true] {
        if close_first {
            first.close(given)?;
        }
        let dialled = client.connect(at)?;
        let accepted = second.accept(taken)?.socket()?;
        let slot = dialled.socket()?;
        client.send(slot, 30)?;
        second.receive(accepted, 30)?;
        client.close(slot)?;
        second.receive_end(accepted)?;
        second.close(accepted)?;
        let from = dialled.local()?;
        ends.extend(exchanged(
            End::client(netns.inode(), from, at, client.pid()),
            End {
                listener: Some(first.pid()),
                ..End::server(netns.inode(), from, at, second.pid())
            },
            30,
            0,
        ));
    }
    second.close(taken)?;
    let events = told(tracer, &[&netns], &ends, 0)?;
    one_listener(at, first.pid(), second.pid(), &events)
}

/// One of them stays open, and the other is reset from outside: nobody here closes any.
fn who_reads_from_a_connection_has_it() -> Result<()> {
    let netns = namespace()?;
    let mut tracer = Tracer::stream(&[])?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    let (mut first, mut second) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut client = Agent::new(&netns)?;
    let (given, at) = first.listen(any()?)?;
    let taken = first.pass(given, &mut second)?;
    let mut talk = || -> Result<_> {
        let dialled = client.connect(at)?;
        let (from, slot) = (dialled.local()?, dialled.socket()?);
        let accepted = second.accept(taken)?.socket()?;
        client.send(slot, 30)?;
        second.receive(accepted, 30)?;
        Ok((from, slot, accepted))
    };
    let (open, ..) = talk()?;
    let (reset, slot, accepted) = talk()?;
    client.reset(slot)?;
    second.receive_end(accepted)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let evidence = match hooks.as_str() {
        // accept() is not seen.
        Some("tracepoint") => "read",
        _ => "hook",
    };
    for (event, from) in [("totals", open), ("close", reset)] {
        let line = json!({"event": event,
            "connection": {"direction": "inbound", "client": endpoint(from), "received_bytes": 30},
            "process": {"pid": second.pid()}, "evidence": {"process": evidence}});
        expect::one(event, &line, &events)?;
    }
    Ok(())
}

/// At both ends, and the process that opened it closes its copy first.
fn connections_passed_to_other_processes() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut client, mut client_heir) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (mut server, mut server_heir) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(any()?)?;
    let dialled = client.connect(at)?;
    let (from, slot) = (dialled.local()?, dialled.socket()?);
    let accepted = server.accept(listener)?.socket()?;
    client.send(slot, 1)?;
    server.receive(accepted, 1)?;
    let slot_there = client.pass(slot, &mut client_heir)?;
    let accepted_there = server.pass(accepted, &mut server_heir)?;
    client.close(slot)?;
    server.close(accepted)?;
    client_heir.send(slot_there, 10)?;
    server_heir.receive(accepted_there, 10)?;
    server_heir.send(accepted_there, 100)?;
    client_heir.receive(slot_there, 100)?;
    client_heir.close(slot_there)?;
    server_heir.receive_end(accepted_there)?;
    server_heir.close(accepted_there)?;
    let ends = exchanged(
        End {
            closer: client_heir.pid(),
            ..End::client(netns.inode(), from, at, client.pid())
        },
        End {
            closer: server_heir.pid(),
            ..End::server(netns.inode(), from, at, server.pid())
        },
        11,
        100,
    );
    let events = told(tracer, &[&netns], &ends, 0)?;
    for (direction, heir) in [("outbound", &client_heir), ("inbound", &server_heir)] {
        let close = json!({"event": "close", "connection": {"direction": direction},
            "process": {"pid": heir.pid()}, "evidence": {"process": "close"}});
        expect::one("who closed it", &close, &events)?;
    }
    Ok(())
}

/// No FIN says who ends it.
fn a_connection_passed_on_is_reset() -> Result<()> {
    let netns = namespace()?;
    let mut tracer = Tracer::stream(&[])?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    let (mut client, mut client_heir) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut server = Agent::new(&netns)?;
    let (listener, at) = server.listen(any()?)?;
    let dialled = client.connect(at)?;
    let accepted = server.accept(listener)?.socket()?;
    let slot = dialled.socket()?;
    let passed = client.pass(slot, &mut client_heir)?;
    client.close(slot)?;
    client_heir.reset(passed)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let line = |event, pid: u32, evidence| {
        json!({"event": event, "connection": {"direction": "outbound"}, "process": {"pid": pid},
            "evidence": {"process": evidence}})
    };
    let connect = line("connect", client.pid(), "hook");
    let close = line("close", client_heir.pid(), "close");
    expect::one("who dialled", &connect, &events)?;
    expect::one(&format!("who reset it, by {hooks}"), &close, &events)?;
    Ok(())
}

fn an_accept_that_waited_before_tracer_came() -> Result<()> {
    let netns = namespace()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(any()?)?;
    let (accepted, (tracer, dialled)) = server.accept_before(listener, || {
        let tracer = Tracer::stream(&[])?;
        Ok((tracer, client.connect(at)?))
    })?;
    let mut tracer = tracer;
    let waited = (dialled, accepted);
    // What was missed of the first must not spoil the next.
    let dialled = client.connect(at)?;
    let seen = (dialled, server.accept(listener)?);
    for (dialled, accepted) in [&waited, &seen] {
        let (slot, accepted) = (dialled.socket()?, accepted.socket()?);
        client.send(slot, 10)?;
        server.receive(accepted, 10)?;
        client.close(slot)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    netns.wait_settled()?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    let run = tracer.stop()?;
    run.expect_code(0)?;
    expect::sums(run.text()?.lines())?;
    let events = expect::within(netns.inode(), &run.events()?);
    let evidence = match hooks.as_str() {
        // accept() is not seen: the listener's owner stands for it.
        Some("tracepoint") => "listener",
        _ => "hook",
    };
    for (dialled, _) in [waited, seen] {
        let from = dialled.local()?;
        let ends = json!({"direction": "inbound", "client": endpoint(from), "server": endpoint(at),
            "existing": false});
        let accept = json!({"event": "accept", "connection": ends, "process": {"pid": server.pid()},
            "evidence": {"process": evidence}});
        let accept = expect::one("the accept", &accept, &events)?;
        let mut ends = ends;
        ends["received_bytes"] = json!(10);
        ends["closed_by"] = json!("remote");
        ends["id"] = accept["connection"]["id"].clone();
        let close = json!({"event": "close", "connection": ends, "process": {"pid": server.pid()}});
        expect::one("the close", &close, &events)?;
    }
    for (event, count) in [("connect", 2), ("accept", 2), ("close", 4), ("fail", 0)] {
        expect::exactly(count, "in all", &json!({"event": event}), &events)?;
    }
    Ok(())
}

/// A server, its listener, and where that is.
type Waiting = (Agent, Slot, SocketAddr);

/// Does `then` once all of them wait in accept(). Gives back what they accepted, in their order.
fn once_all_wait(
    servers: &mut [Waiting],
    then: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Slot>> {
    let Some(((server, listener, _), others)) = servers.split_first_mut() else {
        then()?;
        return Ok(Vec::new());
    };
    let (own, mut all) = server.accept_before(*listener, || once_all_wait(others, then))?;
    all.insert(0, own.socket()?);
    Ok(all)
}

/// Of so many calls, a kretprobe would miss the return of some on a machine with few processors.
fn many_accepts_that_wait_at_once() -> Result<()> {
    let netns = namespace()?;
    let mut client = Agent::new(&netns)?;
    let mut servers: Vec<Waiting> = Vec::new();
    for _ in 0..16 {
        let mut server = Agent::new(&netns)?;
        let (listener, at) = server.listen(any()?)?;
        servers.push((server, listener, at));
    }
    let addresses: Vec<SocketAddr> = servers.iter().map(|(_, _, at)| *at).collect();
    let tracer = Tracer::stream(&[])?;
    let mut dialled = Vec::new();
    let accepted = once_all_wait(&mut servers, &mut || {
        for at in &addresses {
            dialled.push(client.connect(*at)?);
        }
        Ok(())
    })?;
    let mut ends = Vec::new();
    for (((server, _, at), accepted), dialled) in servers.iter_mut().zip(accepted).zip(dialled) {
        client.close(dialled.socket()?)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        let (here, from) = (netns.inode(), dialled.local()?);
        ends.push(End::client(here, from, *at, client.pid()));
        ends.push(End::server(here, from, *at, server.pid()));
    }
    told(tracer, &[&netns], &ends, 0).map(drop)
}
