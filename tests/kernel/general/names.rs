//! Names that would break a line of JSON or a terminal.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen},
    expect::{self, one},
    netns::Netns,
    tests,
    tracer::{self, Process, Tracer},
    traffic, wait,
};

tests!("names": break_no_json, break_no_terminal);

/// Process names: at most 15 bytes, anything but NUL.
const NAMES: [&[u8]; 12] = [
    b"two\nlines",
    b"quo\"te\\back'",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\xff\xfe\x80bad",
    b"cut \xc3",
    b"\xc2\x9b31mC1",
    "\u{202e}evil\u{2066}".as_bytes(),
    b"\r\r\x08\x08back\x7f",
    b"{\"event\":1}",
    b"tab\there",
    b" ",
];

/// A file name and arguments with everything at once.
const EVIL: &[u8] = b"evil\n\"\\'\x1b[2J\x07\xff\xc2\x9b\xe2\x80\xae name";

/// Makes one connection by a process of each name, and one by an executable whose file
/// name and arguments are such. Returns the pids, the executable's last.
fn make_traffic(netns: &Netns) -> Result<Vec<u32>> {
    let mut server = Agent::new(netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let mut pids = Vec::new();
    let mut connect = |mut client: Agent, name: Option<&[u8]>| -> Result<()> {
        if let Some(name) = name {
            client.rename(name)?;
        }
        let dialled = client.connect(at)?.socket()?;
        let accepted = server.accept(slot)?.socket()?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        pids.push(client.pid());
        client.finish()
    };
    for name in NAMES {
        connect(Agent::new(netns)?, Some(name))?;
    }
    let evil = folder.path().join(OsStr::from_bytes(EVIL));
    std::fs::copy(std::env::current_exe()?, &evil).context("copy the test binary")?;
    let plain = traffic::command("agent", &())?;
    let mut command = std::process::Command::new(&evil);
    command
        .args(plain.get_args())
        .arg(OsStr::from_bytes(EVIL))
        .arg0(&evil);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    netns.enter(&mut command);
    connect(Agent::start(&mut command)?, None)?;
    netns.wait_settled()?;
    Ok(pids)
}

fn break_no_json() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let pids = make_traffic(&netns)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    // Not `str::lines`: every byte counts, also a lone carriage return.
    let text = run.text()?;
    ensure!(text.ends_with('\n'), "the last line does not end");
    let bad = text.chars().find(|c| c.is_control() && *c != '\n');
    ensure!(bad.is_none(), "a raw {bad:?} in the JSON");
    let events = run.events()?;
    expect::well_formed(&events)?;
    let events = expect::within(netns.inode(), &events);
    for (n, pid) in pids.iter().enumerate() {
        for event in ["connect", "close"] {
            let pattern = json!({"event": event, "connection": {"direction": "outbound"}, "process": {"pid": pid}});
            let event = one(
                "a connection by a process with such a name",
                &pattern,
                &events,
            )?;
            let comm = event["process"]["comm"]
                .as_str()
                .with_context(|| format!("no comm in {event}"))?;
            // What is not UTF-8 cannot be told as it is; everything else must be.
            if let Some(Ok(name)) = NAMES.get(n).map(|name| std::str::from_utf8(name)) {
                ensure!(
                    comm == name,
                    "comm {comm:?}, the process called itself {name:?}"
                );
            }
        }
    }
    Ok(())
}

fn break_no_terminal() -> Result<()> {
    let netns = Netns::new()?;
    let mut command = tracer::stream_command(&["-o", "text"])?;
    let mut process = Process::spawn(&mut command, true)?;
    wait::until("the first line of text", || {
        ensure!(
            process.exited()?.is_none(),
            "it ended: {}",
            process.stderr()
        );
        Ok(process.stdout_so_far().contains(&b'\n').then_some(()))
    })?;
    let pids = make_traffic(&netns)?;
    process.signal(rustix::process::Signal::INT)?;
    let run = process.finish()?;
    run.expect_code(0)?;
    expect::harmless(&run.stdout)?;
    // Each process is there, in a line of its own.
    let text = run.text()?;
    for pid in pids {
        let count = text
            .lines()
            .filter(|line| line.contains(&pid.to_string()))
            .count();
        ensure!(count >= 2, "{count} lines tell of process {pid}:\n{text}");
    }
    Ok(())
}
