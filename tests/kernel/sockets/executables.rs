//! What a process runs: the file and the arguments, whatever it calls itself, however it was started,
//! and however soon it is gone.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect,
    netns::Netns,
    play::{self, Launch, Part, Scene, Stage},
    tests,
    tracer::{self, Tracer},
    traffic::{self, Serve, Server, Share, Talk},
};

use crate::world::namespace;

tests!("executables":
    a_process_is_what_it_runs_whatever_it_calls_itself,
    it_is_told_as_by_proc_however_it_was_started,
    a_connection_is_of_the_program_that_opened_it,
);

/// A server, and where its ledger goes.
struct World {
    netns: Netns,
    server: Server,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Result<Self> {
        let netns = namespace()?;
        let folder = tempfile::tempdir().context("make a folder")?;
        let plan = Serve {
            listen: vec!["127.0.0.1:0".parse()?],
            share: Share::Alone,
            talk: Talk::Full,
            ledger: folder.path().to_owned(),
        };
        let server = traffic::serve(&netns, &plan)?;
        Ok(Self {
            netns,
            server,
            folder,
        })
    }

    /// Ends it all. Gives the lines of its namespace, with those of its processes and of the run.
    fn finish(self, tracer: Tracer, pids: &[u32]) -> Result<Vec<Value>> {
        self.netns.wait_settled()?;
        self.server.helper.finish()?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let events = run.events()?;
        expect::well_formed(&events)?;
        expect::sums(run.text()?.lines())?;
        drop(self.folder);
        let netns = json!(self.netns.inode());
        let is_ours = |event: &Value| {
            let of = [&event["connection"]["netns"], &event["listener"]["netns"]];
            let process = event["process"]["pid"].as_u64();
            match event["event"].as_str() {
                Some("exec") => {
                    process.is_some_and(|pid| pids.iter().any(|it| u64::from(*it) == pid))
                }
                Some("start" | "stop" | "loss") => true,
                _ => of.contains(&&netns),
            }
        };
        Ok(events.into_iter().filter(is_ours).collect())
    }
}

/// Lines of connections that `part` dialled.
fn of_part(part: Part, events: &[Value]) -> impl Iterator<Item = &Value> {
    let from = expect::endpoint(part.from);
    let lines = events
        .iter()
        .filter(|it| it["connection"]["direction"] == "outbound");
    lines.filter(move |it| it["connection"]["client"] == from)
}

fn a_process_is_what_it_runs_whatever_it_calls_itself() -> Result<()> {
    const COUNT: u32 = 60;
    let world = World::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "changeling")?;
    let to = world.server.addresses[0];
    let tracer = Tracer::stream(&[])?;
    let scene = Scene::Renamers {
        to,
        program: program.clone(),
        count: COUNT,
    };
    let parts = play::play(&world.netns, &scene)?;
    // Four names, in the process and in its child.
    ensure!(parts.len() == 8 * COUNT as usize, "{} parts", parts.len());
    let events = world.finish(tracer, &[])?;
    let mut args = play::arguments(&Scene::Renamed { to })?;
    args.insert(
        0,
        program.to_str().context("a path that is text")?.to_owned(),
    );
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for part in parts {
        let lines: Vec<&Value> = of_part(part, &events).collect();
        ensure!(lines.len() == 2, "not a connect and a close: {lines:#?}");
        for line in lines {
            let process = &line["process"];
            ensure!(process["pid"] == part.pid, "not of {part:?}: {line}");
            ensure!(
                process["exe"] == json!(program) && process["args"] == json!(args),
                "not what it runs: {line}"
            );
            ensure!(line["workload"]["name"] == "changeling", "{line}");
            let name = process["comm"].as_str().unwrap_or_default();
            *names.entry(name.to_owned()).or_default() += 1;
        }
    }
    let expected = ["", "fifteen letters", "worker 1", "\u{fffd}\\(\n"];
    ensure!(
        names.keys().map(String::as_str).eq(expected),
        "not the names that they took: {names:?}"
    );
    one_node("changeling", 8 * COUNT, &events)
}

/// The map of what was told has one node that dialled, which did it so often.
fn one_node(name: &str, connections: u32, events: &[Value]) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let recording = folder.path().join("recording");
    let lines: Vec<String> = events.iter().map(|it| format!("{it}\n")).collect();
    fs::write(&recording, lines.concat()).context("write a recording")?;
    let mut command = tracer::command()?;
    command
        .args(["map", "-o", "json", "--from"])
        .arg(&recording);
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    let map: Value = serde_json::from_str(run.text()?).context("read the map")?;
    let edges = map["edges"].as_array().context("edges")?;
    let nodes = map["nodes"].as_array().context("nodes")?;
    let of_it: Vec<&Value> = nodes.iter().filter(|it| it["name"] == name).collect();
    ensure!(of_it.len() == 1, "not one node: {nodes:#?}");
    ensure!(
        edges.len() == 1 && edges[0]["client"] == of_it[0]["id"],
        "not one edge: {edges:#?}"
    );
    ensure!(edges[0]["established"] == connections, "{}", edges[0]);
    Ok(())
}

/// The links of /proc, read while the process is there, are the truth.
fn it_is_told_as_by_proc_however_it_was_started() -> Result<()> {
    let world = World::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "launched")?;
    let to = world.server.addresses[0];
    let mut tracer = Tracer::stream(&["--event", "exec,connect,close"])?;
    let scene = Scene::Launches {
        to,
        program: program.clone(),
        ways: Launch::ALL.to_vec(),
    };
    let mut stage = Stage::begin(&world.netns, &scene)?;
    let mut seen: Vec<(Launch, Part, PathBuf)> = Vec::new();
    for way in Launch::ALL {
        let part = stage.part().with_context(|| format!("launch by {way:?}"))?;
        let link = fs::read_link(format!("/proc/{}/exe", part.pid)).context("read the link")?;
        let link = link.to_str().context("a path that is text")?;
        let exe = link.strip_suffix(" (deleted)").unwrap_or(link);
        // One that is told too late cannot be looked up any more.
        if way == Launch::Deep {
            tracer.wait_for("a process to dial", |line| {
                line["event"] == "connect"
                    && line["connection"]["client"] == expect::endpoint(part.from)
                    && line["connection"]["netns"] == world.netns.inode()
            })?;
        }
        seen.push((way, part, exe.into()));
        stage.go()?;
    }
    stage.finish()?;
    let pids: Vec<u32> = seen.iter().map(|(_, part, _)| part.pid).collect();
    let events = world.finish(tracer, &pids)?;
    for (way, part, exe) in &seen {
        let execs = events.iter().filter(|it| it["event"] == "exec");
        let execs = execs.filter(|it| it["process"]["pid"] == part.pid);
        let lines: Vec<&Value> = execs.chain(of_part(*part, &events)).collect();
        ensure!(
            lines.len() == 3,
            "{way:?}: not an exec, a connect and a close: {lines:#?}"
        );
        for line in lines {
            ensure!(
                line["process"]["exe"] == json!(exe),
                "{way:?}: not {}: {line}",
                exe.display()
            );
        }
    }
    // They are as different as they should be.
    let exe = |way: Launch| seen.iter().find(|it| it.0 == way).map(|it| &it.2);
    for way in [
        Launch::Relative,
        Launch::Link,
        Launch::Script,
        Launch::Descriptor,
        Launch::Root,
    ] {
        ensure!(exe(way) == Some(&program), "{way:?}: {:?}", exe(way));
    }
    ensure!(exe(Launch::Memory) == Some(&"/memfd:a program".into()));
    let length = |way| exe(way).map_or(0, |it| it.as_os_str().len());
    ensure!((1500..2048).contains(&length(Launch::Long)) && length(Launch::Deep) > 2048);
    Ok(())
}

/// Both are called the same, and the connection is closed by the second.
fn a_connection_is_of_the_program_that_opened_it() -> Result<()> {
    let world = World::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let own = std::env::current_exe()?;
    let name = own
        .file_name()
        .and_then(|it| it.to_str())
        .context("a name")?;
    let program = play::program(programs.path(), name)?;
    let to = world.server.addresses[0];
    let tracer = Tracer::stream(&["--event", "exec,connect,close"])?;
    let scene = Scene::Becomes {
        to,
        program: program.clone(),
    };
    let parts = play::play(&world.netns, &scene)?;
    let [first, second] = parts[..] else {
        anyhow::bail!("not one process before and after: {parts:?}");
    };
    ensure!(first.pid == second.pid && first.from == second.from);
    let events = world.finish(tracer, &[first.pid])?;
    let execs = events.iter().filter(|it| it["event"] == "exec");
    let exes: Vec<&Value> = execs.map(|it| &it["process"]["exe"]).collect();
    ensure!(exes == [&json!(own), &json!(program)], "{exes:?}");
    let lines: Vec<&Value> = of_part(first, &events).collect();
    ensure!(lines.len() == 2, "not a connect and a close: {lines:#?}");
    for line in lines {
        ensure!(
            line["process"]["exe"] == json!(own),
            "not by who opened it: {line}"
        );
    }
    Ok(())
}
