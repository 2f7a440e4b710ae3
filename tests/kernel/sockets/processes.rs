//! Processes that are not one program, one thread and one pid from the first to the last.

use std::{os::unix::process::CommandExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Listen},
    expect,
    ledger::{self, End},
    netns::Netns,
    play::{self, Part, Scene, Stage},
    tests,
    tracer::Tracer,
    traffic::{self, Serve, Server, Share, Talk},
};

use crate::{
    identity::services,
    watch::told,
    world::{World, exchanged, namespace},
};

tests!("processes":
    a_connection_may_end_in_another_program,
    they_may_be_gone_at_once,
    threads_go_by_the_name_of_their_program,
    a_pid_may_be_used_again,
    pids_are_those_of_the_initial_namespace,
);

fn serve(netns: &Netns, folder: &Path) -> Result<Server> {
    let plan = Serve {
        listen: vec!["127.0.0.1:0".parse()?],
        share: Share::Alone,
        talk: Talk::Full,
        ledger: folder.to_owned(),
    };
    traffic::serve(netns, &plan)
}

/// A client's end, as told by those who had it.
fn client(netns: &Netns, server: &Server, part: Part) -> End {
    End::client(netns.inode(), part.from, server.addresses[0], part.pid)
}

/// Ends the server and reads its ledger.
fn served(netns: &Netns, server: Server, folder: &Path) -> Result<Vec<End>> {
    netns.wait_settled()?;
    server.helper.finish()?;
    ledger::read(folder)
}

fn name(event: &Value) -> Option<&str> {
    event["process"]["comm"].as_str()
}

fn a_connection_may_end_in_another_program() -> Result<()> {
    let netns = namespace()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "heir")?;
    let tracer = Tracer::stream(&[])?;
    let server = serve(&netns, folder.path())?;
    let to = server.addresses[0];
    let parts = play::play(&netns, &Scene::Heir { to, program })?;
    let [parent, child] = parts[..] else {
        anyhow::bail!("not a parent and a child: {parts:?}");
    };
    ensure!(parent.from == child.from && parent.pid != child.pid);
    let end = End {
        closer: child.pid,
        ..client(&netns, &server, parent)
    };
    let mut ends = served(&netns, server, folder.path())?;
    ends.push(end);
    let events = told(tracer, &[&netns], &ends, 0)?;
    // Whichever of the two stands on the close, it must be whole.
    let close = json!({"event": "close", "connection": {"direction": "outbound"}});
    let close = expect::one("the client's close", &close, &events)?;
    let is_heir = name(close) == Some("heir");
    ensure!(is_heir == (close["process"]["pid"] == child.pid), "{close}");
    Ok(())
}

/// Each connects, closes and exits in one go; some are dead before tracer hears of them.
fn they_may_be_gone_at_once() -> Result<()> {
    const COUNT: u32 = 200;
    let netns = namespace()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let tracer = Tracer::stream(&[])?;
    let server = serve(&netns, folder.path())?;
    let to = server.addresses[0];
    let parts = play::play(&netns, &Scene::Swarm { to, count: COUNT })?;
    let clients: Vec<End> = parts
        .into_iter()
        .map(|part| client(&netns, &server, part))
        .collect();
    let mut ends = served(&netns, server, folder.path())?;
    ends.extend(clients);
    ensure!(ends.len() == 2 * COUNT as usize, "{} ends", ends.len());
    let events = told(tracer, &[&netns], &ends, 0)?;
    let own = std::fs::read_to_string("/proc/self/comm").context("read the own name")?;
    let exe = std::env::current_exe()?;
    for event in events {
        ensure!(name(&event) == Some(own.trim_end()), "{event}");
        ensure!(event["process"]["started"].is_string(), "{event}");
        // All but the first are copies of a process whose program was told.
        ensure!(
            event["process"]["exe"] == json!(exe),
            "not {}: {event}",
            exe.display()
        );
    }
    Ok(())
}

fn threads_go_by_the_name_of_their_program() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    server.rename(b"the-server")?;
    client.rename(b"the-client")?;
    server.use_threads(b"accept-thread");
    client.use_threads(b"dial-thread");
    let (listener, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let dialled = client.connect(at)?;
    let accepted = server.accept(listener)?.socket()?;
    client.send(dialled.socket()?, 10)?;
    server.receive(accepted, 10)?;
    client.close(dialled.socket()?)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    server.close(listener)?;
    let from = dialled.local()?;
    let ends = exchanged(
        End::client(netns.inode(), from, at, client.pid()),
        End::server(netns.inode(), from, at, server.pid()),
        10,
        0,
    );
    let events = told(tracer, &[&netns], &ends, 0)?;
    ensure!(events.len() == 6, "{} events:\n{events:#?}", events.len());
    for event in events {
        let expected = if event["process"]["pid"] == client.pid() {
            "the-client"
        } else {
            "the-server"
        };
        ensure!(name(&event) == Some(expected), "not {expected}: {event}");
    }
    Ok(())
}

fn a_pid_may_be_used_again() -> Result<()> {
    play::need_chosen_pids()?;
    let netns = namespace()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "namesake")?;
    let mut tracer = Tracer::stream(&[])?;
    let server = serve(&netns, folder.path())?;
    let to = server.addresses[0];
    let scene = Scene::Namesakes {
        to,
        program: program.clone(),
    };
    let mut stage = Stage::begin(&netns, &scene)?;
    let mut parts: Vec<Part> = Vec::new();
    // The last of it is two of one pid, see the scene.
    while !matches!(parts[..], [.., one, other] if one.pid == other.pid) {
        let part = stage.part()?;
        // It must be known before it goes.
        tracer.wait_for("a process to dial", |line| {
            line["event"] == "connect"
                && line["connection"]["client"] == expect::endpoint(part.from)
                && line["connection"]["netns"] == netns.inode()
        })?;
        stage.go()?;
        parts.push(part);
    }
    stage.finish()?;
    let clients: Vec<End> = parts
        .iter()
        .map(|part| client(&netns, &server, *part))
        .collect();
    let mut ends = served(&netns, server, folder.path())?;
    ends.extend(clients);
    let events = told(tracer, &[&netns], &ends, 0)?;
    let of = |part: &Part, event: &str| {
        let pattern = json!({"event": event, "connection": {"direction": "outbound",
            "client": expect::endpoint(part.from)}, "process": {"pid": part.pid}});
        expect::one("a process's line", &pattern, &events).map(|event| event["process"].clone())
    };
    let own = std::fs::read_to_string("/proc/self/comm").context("read the own name")?;
    let exe = std::env::current_exe()?;
    let expected = [(own.trim_end(), exe), ("namesake", program)];
    let mut started = Vec::new();
    for (part, (name, exe)) in parts[parts.len() - 2..].iter().zip(expected) {
        for event in ["connect", "close"] {
            let process = of(part, event)?;
            let shown = exe.to_str().context("a path that is text")?;
            ensure!(
                process["comm"] == name && process["exe"] == shown,
                "not {name}, {shown}: {event} {process}"
            );
            started.push(process["started"].clone());
        }
    }
    ensure!(
        started[0] == started[1] && started[1] != started[2] && started[2] == started[3],
        "started {started:?}"
    );
    Ok(())
}

/// Starts the program in a pid namespace of its own, where it is process 1; what was to be the
/// program waits for it.
fn in_own_pid_namespace() -> std::io::Result<()> {
    // SAFETY: a number; the process has one thread, whose whole memory the child has.
    let child = unsafe {
        if libc::unshare(libc::CLONE_NEWPID) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        libc::fork()
    };
    if child < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if child > 0 {
        // SAFETY: closes what only the child needs, the ends of its pipes among it, and ends
        // without what belongs to the test.
        unsafe {
            libc::close(0);
            libc::close(1);
            libc::close_range(3, libc::c_uint::MAX, 0);
            libc::waitpid(child, std::ptr::null_mut(), 0);
            libc::_exit(0);
        }
    }
    Ok(())
}

fn pids_are_those_of_the_initial_namespace() -> Result<()> {
    let mut world = World::new()?;
    let mut command = traffic::command("agent", &())?;
    world.netns.enter(&mut command);
    // SAFETY: the function makes system calls only; it neither allocates nor locks.
    unsafe { command.pre_exec(in_own_pid_namespace) };
    world.client = Agent::start(&mut command)?;
    let children = services::children(world.client.pid())?;
    let [pid] = children[..] else {
        anyhow::bail!("not one process 1: {children:?}");
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    ensure!(
        status.contains(&format!("NSpid:\t{pid}\t1\n")),
        "not process 1 of its namespace:\n{status}"
    );
    let tracer = Tracer::stream(&[])?;
    let pair = world.connect()?;
    world.talk(&pair, 10)?;
    world.finish(&pair)?;
    let [client, server] = world.ends(&pair, 10);
    let client = End {
        opener: pid,
        closer: pid,
        ..client
    };
    told(tracer, &[&world.netns], &[client, server], 0)?;
    Ok(())
}
