//! What processes run, and how they end.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect::{self, one},
    skip, tests,
    tracer::Tracer,
};

tests!("programs":
    each_is_told_with_its_arguments_and_its_end,
    arguments_are_cut_and_hostile_ones_are_harmless,
    they_are_not_printed_unless_asked_for,
    secrets_in_arguments_are_not_told_unless_asked_for,
);

/// Runs `sh` and waits for it; returns its process id.
fn shell(script: &str, args: &[&str]) -> Result<u32> {
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(args)
        .spawn()
        .context("start a shell")?;
    let pid = child.id();
    child.wait().context("wait for the shell")?;
    Ok(pid)
}

fn of(pid: u32, events: &[Value]) -> Vec<Value> {
    let is = |event: &&Value| event["process"]["pid"] == pid;
    events.iter().filter(is).cloned().collect()
}

fn each_is_told_with_its_arguments_and_its_end() -> Result<()> {
    skip::need("sh")?;
    let tracer = Tracer::stream(&["--event", "exec,exit"])?;
    let fine = shell("exit 0", &["one", "two words", ""])?;
    let failed = shell("exit 3", &[])?;
    let killed = shell("kill -KILL $$", &[])?;
    // The same process under another name: the second program is gone at once.
    let again = shell("exec true", &[])?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    expect::sums(run.text()?.lines())?;
    let own = std::process::id();
    for (pid, exit) in [
        (fine, json!({"code": 0, "signal": null})),
        (failed, json!({"code": 3, "signal": null})),
        (killed, json!({"code": null, "signal": "SIGKILL"})),
        (again, json!({"code": 0, "signal": null})),
    ] {
        let its = of(pid, &events);
        let exec = json!({"event": "exec", "process": {"comm": "sh", "ppid": own}, "exit": null});
        let exec = one("its program", &exec, &its)?;
        ensure!(
            exec["process"]["args"][0] == "sh" && exec["process"]["args"][1] == "-c",
            "its arguments: {exec}"
        );
        ensure!(
            exec["process"]["exe"]
                .as_str()
                .is_some_and(|exe| exe.starts_with('/')),
            "its executable: {exec}"
        );
        one("its end", &json!({"event": "exit", "exit": exit}), &its)?;
    }
    let arguments = json!({
        "event": "exec",
        "process": {"args": ["sh", "-c", "exit 0", "sh", "one", "two words"]},
    });
    one("all its arguments", &arguments, &of(fine, &events))?;
    let second = json!({"event": "exec", "process": {"comm": "true", "args": ["true"]}});
    one("the second program", &second, &of(again, &events))?;
    Ok(())
}

fn arguments_are_cut_and_hostile_ones_are_harmless() -> Result<()> {
    skip::need("sh")?;
    let tracer = Tracer::stream(&["--event", "exec"])?;
    let long = "x".repeat(5000);
    let cut = shell("exit 0", &[&long])?;
    let hostile = shell("exit 0", &["\u{1b}]0;title\u{7}\n\u{202e}"])?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    expect::harmless(&run.stdout)?;
    let events = run.events()?;
    let last = |pid| -> Result<String> {
        let exec = one("its program", &json!({"event": "exec"}), &of(pid, &events))?.clone();
        let args = exec["process"]["args"].as_array().context("arguments")?;
        let last = args.last().and_then(Value::as_str);
        Ok(last.context("an argument")?.to_owned())
    };
    // From the kernel's copy or, if it lived long enough, from /proc, which has more.
    ensure!(last(cut)?.ends_with("x…"), "{}", last(cut)?);
    ensure!(last(hostile)? == "\u{1b}]0;title\u{7}\n\u{202e}");
    Ok(())
}

fn they_are_not_printed_unless_asked_for() -> Result<()> {
    skip::need("sh")?;
    let tracer = Tracer::stream(&[])?;
    let pid = shell("exit 0", &[])?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    expect::none(
        "what nobody asked for",
        &json!({"process": {"pid": pid}}),
        &events,
    )?;
    let stop = run.only("stop")?;
    ensure!(stop["totals"]["exec"]["seen"].as_u64() >= Some(1), "{stop}");
    Ok(())
}

fn secrets_in_arguments_are_not_told_unless_asked_for() -> Result<()> {
    const SECRET: &str = "S3cret-of-somebody";
    skip::need("sh")?;
    let option = format!("--password={SECRET}");
    // One that is there before, of which /proc tells, and one that is seen to begin.
    let mut older = Command::new("sh")
        .args(["-c", "read line; exec sleep 0", "sh", &option, "-p", "8080"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start a shell")?;
    for (asked, told) in [
        (&[][..], json!(["--password=***", "-p", "8080"])),
        (&["--args", "full"], json!([option, "-p", "8080"])),
        (&["--args", "none"], Value::Null),
    ] {
        let mut args = vec!["--event", "exec,exit"];
        args.extend(asked);
        let tracer = Tracer::stream(&args)?;
        let pid = shell("exit 0", &[&option, "-p", "8080"])?;
        if asked.is_empty() {
            drop(older.stdin.take());
            older.wait().context("wait for the shell")?;
        }
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let is_told = run.text()?.contains(SECRET);
        ensure!(
            is_told == (asked == ["--args", "full"]),
            "{asked:?}: {}",
            run.text()?
        );
        for event in of(pid, &run.events()?) {
            let found = match event["process"]["args"].as_array() {
                Some(args) => args.iter().skip(4).cloned().collect(),
                None => Value::Null,
            };
            ensure!(found == told, "{asked:?}: {event}");
        }
    }
    Ok(())
}
