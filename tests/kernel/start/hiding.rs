//! A user without rights fills the tables, and hides nobody by that.

use super::existing::{REMOTE_PORT, long_gone};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Listen},
    bpf, expect,
    flood::{Flood, What},
    init,
    netns::Netns,
    skip, tests,
    tracer::{self, Tracer},
};

tests!("hiding":
    attempts_of_a_user_hide_nobody_elses_connections,
    many_who_fill_in_turn_hide_nothing_of_root_at_home,
    listeners_of_a_user_hide_nobody_elses,
);

/// Where there is no socket.
const NOWHERE: u64 = 0xffff_8880_0000_0040;

/// Anybody but root.
const USER: u32 = 1_000;

/// More attempts that nobody answers than there is room for, by one user. What others do meanwhile is told to
/// the last line, and what is not told of the user is counted.
fn attempts_of_a_user_hide_nobody_elses_connections() -> Result<()> {
    const ROOM: usize = 256;
    const ATTEMPTS: usize = 1_000;
    const DIALLED: usize = 8;
    let (theirs, ours) = (Netns::new()?, Netns::new()?);
    let mut deaf = Agent::new(&theirs)?;
    let (slot, to) = deaf.listen(Listen::at("127.0.0.1:0".parse()?))?;
    deaf.deafen(slot)?;

    let tracer = Tracer::stream(&["--connections", &ROOM.to_string()])?;
    let flood = Flood::of(What::Attempts(to), ATTEMPTS, USER, &theirs)?;
    let mut server = Agent::new(&ours)?;
    let mut client = Agent::new(&ours)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    for _ in 0..DIALLED {
        let dialled = client.connect(at)?.socket()?;
        let accepted = server.accept(listening)?.socket()?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    ours.wait_settled()?;
    flood.end()?;
    // The table has room again, for whoever fills it too.
    theirs.wait_settled()?;
    let again = Flood::of(What::Attempts(to), 10, USER, &theirs)?;
    let again_by = again.pid();
    again.end()?;
    theirs.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;

    let events = run.events()?;
    let of_ours = expect::within(ours.inode(), &events);
    let count = |of: &[Value], pattern: Value| {
        of.iter()
            .filter(|event| expect::differences(&pattern, event).is_empty())
            .count()
    };
    for (kind, made) in [
        ("connect", DIALLED),
        ("accept", DIALLED),
        ("close", 2 * DIALLED),
    ] {
        let told = count(&of_ours, json!({"event": kind}));
        ensure!(told == made, "{kind}: {told} of {made} told");
    }
    let totals = expect::sums(run.text()?.lines())?;
    let fail = totals["fail"];
    let of_theirs = expect::within(theirs.inode(), &events);
    let told = count(&of_theirs, json!({"event": "fail"}));
    ensure!(
        told < ATTEMPTS && fail.table_full > 0,
        "all attempts had room: {told} told, {fail:?}"
    );
    ensure!(
        told as u64 + fail.table_full >= ATTEMPTS as u64 + 10,
        "not all are told or counted: {told} told, {fail:?}"
    );
    let again = count(
        &of_theirs,
        json!({"event": "fail", "process": {"pid": again_by}}),
    );
    ensure!(again == 10, "the table did not recover: {again} of 10 told");
    Ok(())
}

/// All the users that one may be, and root of a container, fill the table one after the other. What root does in the host's
/// own network namespace meanwhile is told to the last line. And as long as attempts that had no room are
/// undecided, the table is full, however often tracer looks around: none is taken for one from before the start.
fn many_who_fill_in_turn_hide_nothing_of_root_at_home() -> Result<()> {
    const ROOM: usize = 256;
    const ATTEMPTS: usize = 300;
    const DIALLED: usize = 8;
    let (theirs, home) = (Netns::new()?, Netns::current()?);
    let mut deaf = Agent::new(&theirs)?;
    let (slot, to) = deaf.listen(Listen::at("127.0.0.1:0".parse()?))?;
    deaf.deafen(slot)?;

    let room = ROOM.to_string();
    let mut tracer = Tracer::stream(&["--connections", &room, "--rescan", "50ms"])?;
    let users = [1_000, 1_001, 100_000, 200_000, 300_000, 0];
    let floods = users.map(|user| Flood::of(What::Attempts(to), ATTEMPTS, user, &theirs));
    let (mut server, mut client) = (Agent::new(&home)?, Agent::new(&home)?);
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    for _ in 0..DIALLED {
        let dialled = client.connect(at)?.socket()?;
        let accepted = server.accept(listening)?.socket()?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    for mark in 1..=3_u16 {
        // What it finds over it finds before it looks around. So from one mark to the next it has done so.
        let mut gone = long_gone();
        gone[REMOTE_PORT].copy_from_slice(&mark.to_ne_bytes());
        bpf::Map::newest("CONNECTIONS")?.put(&NOWHERE.to_ne_bytes(), &gone)?;
        tracer.wait_for("a look around", |it| {
            it["evidence"]["end"] == "scan" && it["connection"]["server"]["port"] == mark
        })?;
    }
    let mut pids = Vec::new();
    for flood in floods {
        let flood = flood?;
        pids.push(flood.pid());
        flood.end()?;
    }
    theirs.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;

    let events = run.events()?;
    let of_home = expect::within(home.inode(), &events);
    for (event, by) in [("connect", client.pid()), ("accept", server.pid())] {
        let pattern = json!({"event": event, "process": {"pid": by}});
        expect::exactly(DIALLED, event, &pattern, &of_home)?;
        let pattern = json!({"event": "close", "process": {"pid": by}});
        expect::exactly(DIALLED, "close", &pattern, &of_home)?;
    }
    let of_theirs = expect::within(theirs.inode(), &events);
    let all = of_theirs.iter().filter(|it| it["event"] == "fail");
    let mut told = 0;
    for fail in all {
        let pid = fail["process"]["pid"].as_u64();
        ensure!(
            pids.iter().any(|it| Some(u64::from(*it)) == pid),
            "one that had no room is told as if it was older: {fail}"
        );
        told += 1;
    }
    let fail = expect::sums(run.text()?.lines())?["fail"];
    ensure!(
        fail.table_full > 0 && told + fail.table_full >= (ATTEMPTS * users.len()) as u64,
        "not all are told or counted: {told} told, {fail:?}"
    );
    Ok(())
}

/// More sockets than there is room for listen before tracer starts, those of one user. What others listen at is
/// told, and that there is more than is told, too.
fn listeners_of_a_user_hide_nobody_elses() -> Result<()> {
    const LISTENERS: usize = 9_500;
    if init::is_test_machine() {
        return skip::not_here(
            "time",
            "an emulated processor takes long for so many sockets",
        );
    }
    let (theirs, ours) = (Netns::new()?, Netns::new()?);
    // Found in the order of their process ids.
    let floods = [1, 2].map(|net| Flood::of(What::Listeners(net), LISTENERS, USER, &theirs));
    let mut server = Agent::new(&ours)?;
    let (_, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;

    let mut command = tracer::live_command("idle", &["--for", "2s", "-o", "json"])?;
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    for flood in floods {
        flood?.end()?;
    }
    let answer: Value = serde_json::from_str(run.text()?).context("an answer")?;
    let listeners = answer["listeners"].as_array().context("listeners")?;
    let ours = listeners.iter().filter(|it| it["port"] == at.port());
    ensure!(ours.count() > 0, "nobody listens at {at}");
    let proof = &answer["coverage"];
    ensure!(proof["verdict"] == "not_proven", "{proof}");
    let doubts = proof["doubts"].as_array().context("doubts")?;
    ensure!(
        doubts
            .iter()
            .any(|it| it["why"] == "lost" && it["events"].as_u64() >= Some(1_000)),
        "no doubt says what is missing: {doubts:?}"
    );
    Ok(())
}
