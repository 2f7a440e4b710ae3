//! What is read of processes while they do not want it to be read.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect,
    netns::Netns,
    play::{self, REWRITTEN, Scene, Stage},
    tests,
    tracer::Tracer,
    unanswered,
};

use crate::world::namespace;

tests!("reads":
    a_process_that_locks_its_memory_keeps_nobody,
    a_script_whose_arguments_cannot_be_read_is_in_doubt,
    arguments_are_those_that_were_executed,
);

fn listen(netns: &Netns) -> Result<(TcpListener, SocketAddr)> {
    netns.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    })
}

/// Whether a line is of a connection that was dialled from there.
fn is_from(line: &Value, kind: &str, from: SocketAddr) -> bool {
    line["event"] == kind
        && line["connection"]["direction"] == "outbound"
        && line["connection"]["client"] == expect::endpoint(from)
}

/// Who asks for the arguments of such a process waits for as long as that wants, and cannot be
/// interrupted: not even by a signal that is to end it.
fn a_process_that_locks_its_memory_keeps_nobody() -> Result<()> {
    unanswered::need()?;
    let netns = namespace()?;
    let place = tempfile::tempdir().context("make a folder")?;
    let (listener, to) = listen(&netns)?;
    let scene = Scene::Locks {
        to,
        place: place.path().to_owned(),
    };
    // Older than the tracer, which so has not seen what it executed, and asks for it.
    let mut locks = Stage::begin(&netns, &scene)?;
    let locked = locks.part()?;
    unanswered::wait_until_locked(locked.pid)?;
    let mut other = Stage::begin(&netns, &Scene::Stay { to })?;
    let older = other.part()?;
    let mut tracer = Tracer::stream(&["-v"])?;
    let line = tracer.wait_for("what it has", |it| is_from(it, "existing", locked.from))?;
    let process = &line["process"];
    ensure!(process["exe"] == json!(std::env::current_exe()?), "{line}");
    ensure!(process["args"].is_null(), "they cannot be known: {line}");
    // Others are told as ever.
    let line = tracer.wait_for("another one", |it| is_from(it, "existing", older.from))?;
    let args = play::arguments(&Scene::Stay { to })?;
    let told = line["process"]["args"].as_array().map(Vec::len);
    ensure!(told == Some(1 + args.len()), "the arguments: {line}");
    let [once] = play::play(&netns, &Scene::Swarm { to, count: 1 })?[..] else {
        anyhow::bail!("not one part");
    };
    tracer.wait_for("a later one", |it| is_from(it, "close", once.from))?;
    let begun = Instant::now();
    let run = tracer.stop()?;
    ensure!(begun.elapsed() < Duration::from_secs(30), "it took long");
    run.expect_code(0)?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    let stop = events.last().context("no lines")?;
    ensure!(stop["event"] == "stop", "not the end: {stop}");
    // Given up if the run took so long.
    ensure!(stop["unread"].as_u64().unwrap_or(0) <= 1, "{stop}");
    other.go()?;
    other.finish()?;
    drop(listener);
    Ok(())
}

/// What an interpreter runs has its name from its arguments, where nothing else names it: an answer that knew nothing of
/// them could be wrong.
fn a_script_whose_arguments_cannot_be_read_is_in_doubt() -> Result<()> {
    unanswered::need()?;
    let netns = namespace()?;
    let place = tempfile::tempdir().context("make a folder")?;
    let (listener, to) = listen(&netns)?;
    let scene = Scene::Locker {
        to,
        place: place.path().to_owned(),
        program: play::program(place.path(), "python3")?,
    };
    let mut locks = Stage::begin(&netns, &scene)?;
    let locked = locks.part()?;
    unanswered::wait_until_locked(locked.pid)?;
    let mut tracer = Tracer::stream(&["-v"])?;
    let line = tracer.wait_for("what it has", |it| is_from(it, "existing", locked.from))?;
    // Where the suite runs in a unit, that names it, too.
    let is_named = line["workload"]["kind"] != "executable";
    ensure!(is_named || line["workload"]["name"] == "python3", "{line}");
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    let stop = events.last().context("no lines")?;
    // Others of the host may be slow.
    ensure!(stop["unread"].as_u64() >= Some(1), "{stop}");
    let unattributed = stop["unattributed"].as_u64().unwrap_or(0);
    ensure!(is_named || unattributed >= 1, "{stop}");
    drop(listener);
    Ok(())
}

/// Any process may write what it likes over its arguments, and may be called by so long a path that the
/// kernel side does not tell it.
fn arguments_are_those_that_were_executed() -> Result<()> {
    let netns = namespace()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let (listener, to) = listen(&netns)?;
    let deep = (0..12).fold(programs.path().to_owned(), |path, _| {
        path.join("a".repeat(200))
    });
    fs::create_dir_all(&deep).context("make deep folders")?;
    let tracer = Tracer::stream(&["--event", "exec,connect"])?;
    for folder in [programs.path(), &deep] {
        let program = play::program(folder, "rewriter")?;
        let scene = Scene::Rewriter {
            to,
            program: program.clone(),
        };
        let parts = play::play(&netns, &scene)?;
        ensure!(parts.len() == 1, "{parts:?}");
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    drop(listener);
    let events = run.events()?;
    let mut expected = play::arguments(&Scene::Rewrites { to })?;
    expected.insert(0, String::new());
    let of_it = |line: &&Value| line["event"] == "connect" && line["process"]["comm"] == "rewriter";
    let lines: Vec<&Value> = events.iter().filter(of_it).collect();
    ensure!(lines.len() == 2, "{lines:#?}");
    for line in lines {
        ensure!(!line.to_string().contains(REWRITTEN), "{line}");
        let args = line["process"]["args"].as_array().context("arguments")?;
        ensure!(args.len() == expected.len(), "{line}");
        ensure!(args[1..].iter().eq(expected[1..].iter()), "{line}");
    }
    Ok(())
}
