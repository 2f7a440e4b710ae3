//! What users without rights call themselves: units and containers in control groups of their own, programs
//! in network namespaces of their own. Nothing of it is taken for what root called so.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::UnshareFlags;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Listen},
    cgroup::{Cgroup, V1},
    expect,
    netns::{self, Netns},
    play::{self, Scene},
    skip, tests,
    tracer::{self, Tracer},
    traffic,
};

tests!("owners":
    what_a_user_makes_in_a_control_group_is_the_users,
    what_a_user_makes_in_a_group_of_v1_is_the_users,
    what_runs_in_a_users_network_namespace_is_the_users,
);

const NOBODY: u32 = 65_534;
const ID: &str = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd";

fn what_a_user_makes_in_a_control_group_is_the_users() -> Result<()> {
    forge(Cgroup::at)
}

fn what_a_user_makes_in_a_group_of_v1_is_the_users() -> Result<()> {
    let v1 = V1::named("systemd")?;
    forge(|path| v1.at(path))
}

/// Root's unit and container, and what a user calls the same in a group that was given to it.
fn forge(at: impl Fn(&str) -> Result<Cgroup>) -> Result<()> {
    let netns = Netns::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "once")?;
    let (listener, to): (TcpListener, SocketAddr) = netns.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    })?;
    let args = play::arguments(&Scene::Stay { to })?;
    let scope = format!("docker-{ID}.scope");
    // One that is there before the start, and one that is made later.
    let app = at("/system.slice/forger.service")?;
    app.give(NOBODY)?;
    let early = app.below("secpg.service", NOBODY)?;
    let mut tracer = Tracer::stream(&[])?;
    let late = app.below(&scope, NOBODY)?;
    let worker = app.below("worker", NOBODY)?;
    let unit = at("/system.slice/secpg.service")?;
    let container = at(&format!("/system.slice/{scope}"))?;
    let groups = [&early, &late, &worker, &unit, &container];
    let mut processes = Vec::new();
    for group in groups {
        let process = group.start(&netns, &program, &args)?;
        let pid = process.pid();
        // Of v1 only /proc tells, and only as long as it is there.
        tracer.wait_for("the connection", |event| {
            event["event"] == "connect" && event["process"]["pid"] == pid
        })?;
        processes.push(process);
    }
    let pids: Vec<u32> = processes.iter().map(tracer::Helper::pid).collect();
    for process in processes {
        process.finish()?;
    }
    drop(listener);
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let short = &ID[..12];
    let expected = [
        ("systemd", format!("secpg.service@{NOBODY}"), Some(NOBODY)),
        ("container", format!("{short}@{NOBODY}"), Some(NOBODY)),
        // What root named, with a group of a worker in it.
        ("systemd", "forger.service".to_owned(), None),
        ("systemd", "secpg.service".to_owned(), None),
        ("container", short.to_owned(), None),
    ];
    for (pid, (kind, name, uid)) in pids.into_iter().zip(expected) {
        for event in ["connect", "close"] {
            let pattern = json!({
                "event": event, "process": {"pid": pid}, "workload": {"kind": kind, "name": name},
            });
            let line = expect::one(&format!("{event} of {name}"), &pattern, &events)?;
            is_of(&line["workload"], uid)?;
        }
    }
    Ok(())
}

fn is_of(workload: &Value, uid: Option<u32>) -> Result<()> {
    let told = workload.get("uid").and_then(Value::as_u64);
    ensure!(told == uid.map(u64::from), "whose it is: {workload}");
    Ok(())
}

/// An agent that is called `name`, as nobody, in a user namespace and a network namespace that it made itself.
fn in_a_namespace_of_its_own(folder: &Path, name: &str) -> Result<Agent> {
    let mut command = called(folder, name)?;
    tracer::unprivileged(&mut command);
    // SAFETY: the closure makes system calls, in a process with one thread.
    unsafe {
        command.pre_exec(|| {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
            netns::loopback_up()
        });
    }
    match Agent::start(&mut command) {
        Ok(agent) => Ok(agent),
        Err(error) => skip::skip("user namespaces for users", format!("{error:#}")),
    }
}

fn called(folder: &Path, name: &str) -> Result<Command> {
    let plain = traffic::command("agent", &())?;
    let mut command = Command::new(play::program(folder, name)?);
    command
        .args(plain.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Ok(command)
}

fn what_runs_in_a_users_network_namespace_is_the_users() -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    // Others run what is in it.
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).context("open the folder")?;
    let early = in_a_namespace_of_its_own(folder.path(), "early.service")?;
    let mut early = (early, NOBODY);
    let (slot, at) = early.0.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let tracer = Tracer::stream(&["--event", "listen,connect,accept,close,exec"])?;
    let theirs = in_a_namespace_of_its_own(folder.path(), "postgresql.service")?;
    // Root's own namespaces are root's.
    let netns = Netns::new()?;
    let mut command = called(folder.path(), "app.service")?;
    netns.enter(&mut command);
    let roots = Agent::start(&mut command)?;
    let mut pids = vec![early.0.pid()];
    early.0.connect(at)?;
    early.0.accept(slot)?;
    for mut agent in [theirs, roots] {
        pids.push(agent.pid());
        let (slot, at) = agent.listen(Listen::at("127.0.0.1:0".parse()?))?;
        agent.connect(at)?;
        agent.accept(slot)?;
        agent.finish()?;
    }
    early.0.finish()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    let expected = [
        (format!("early.service@{NOBODY}"), Some(NOBODY)),
        (format!("postgresql.service@{NOBODY}"), Some(NOBODY)),
        ("app.service".to_owned(), None),
    ];
    for (at, (pid, (name, uid))) in pids.into_iter().zip(expected).enumerate() {
        let mut kinds = vec!["listen", "connect", "accept"];
        // It is executed in the namespace.
        kinds.extend((at > 0).then_some("exec"));
        for kind in kinds {
            let pattern = json!({
                "event": kind,
                "process": {"pid": pid},
                "workload": {"kind": "executable", "name": name},
            });
            let line = expect::one(&format!("{kind} of {name}"), &pattern, &events)?;
            is_of(&line["workload"], uid)?;
        }
    }
    Ok(())
}
