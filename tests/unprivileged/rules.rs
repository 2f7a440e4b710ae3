//! Rules and units made of a recording whose names try to be more than names, read by those that obey them:
//! Python's YAML (which reads 1.1, as Kubernetes and compose do), nft and systemd. And what tracer says of such
//! names on a terminal.
//!
//! A reader that is not on this machine is a skip that shows, as in [`formats`](super::formats).

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracer_tests::{
    expect,
    skip::{need, skip},
    tracer::{Run, command, output},
};

use super::formats::{or_skip, python, python_with};

/// Each ends a line somewhere, and goes on as a rule would.
const HOSTILE: [&str; 8] = [
    "a\u{2028}  ingress:\u{2028}    - {}\u{2028}",
    "a\u{2029}include: [evil.yaml]\u{2029}services: {}\u{2029}",
    "a\u{85}ExecStart=/bin/touch /tmp/tracer-evil\u{85}",
    "a\n[Service]\nExecStart=/bin/touch /tmp/tracer-evil\n",
    "a\" accept\n}\n}\ntable inet evil { chain c { type filter hook input priority 0; policy drop; } }\n",
    "a\\",
    "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}",
    "postgresql.service",
];

/// What runs, by its address `10.0.0.N`: its kind, its name, and what else is known of the workload.
struct End(u8, Value);

fn unit(at: u8, name: &str) -> End {
    End(at, json!({"kind": "systemd", "name": name, "unit": name}))
}

fn program(at: u8, name: &str) -> End {
    End(at, json!({"kind": "executable", "name": name}))
}

fn pod(at: u8, name: &str, app: &str) -> End {
    let labels = json!({"app": app, "com.docker.compose.project": "shop", "com.docker.compose.service": app});
    let container =
        json!({"id": format!("{at:064}"), "name": name, "image": name, "labels": labels});
    let k8s = json!({"namespace": "shop", "pod": name, "owner": {"kind": name, "name": name}});
    End(
        at,
        json!({"kind": "pod", "name": name, "container": container, "k8s": k8s}),
    )
}

/// A recording of one connection from each client to each server, as both ends told of it.
fn recording(ends: &[(End, End)]) -> String {
    let time = |second: usize| {
        format!(
            "2026-11-22T01:{:02}:{:02}.000000000Z",
            second / 60,
            second % 60
        )
    };
    let mut lines = vec![
        json!({"event": "start", "tracer": {"version": "0.1.0", "hooks": "fentry", "kernel": "6.1.0", "arch": "x86_64"}, "blind": []}),
    ];
    for (at, (client, server)) in ends.iter().enumerate() {
        let address = |it: &End| format!("10.0.0.{}", it.0);
        for (end, direction, event) in [
            (client, "outbound", "connect"),
            (server, "inbound", "accept"),
        ] {
            let is_client = event == "connect";
            let connection = json!({
                "id": format!("{:x}{:08x}", 0x9c40 + at, u8::from(is_client)), "direction": direction, "family": "ipv4",
                "netns": 4_026_531_840_u64 + u64::from(end.0), "handshake": format!("{:016x}", 0x1000 + at),
                "client": {"address": address(client), "port": 40_000 + at},
                "server": {"address": address(server), "port": 5432 + usize::from(server.0)},
                "remote_class": "private", "opened": time(at), "existing": false,
            });
            let name = end.1["name"].clone();
            let process = json!({
                "pid": 100 + u32::from(end.0), "ppid": 1, "uid": 33, "comm": name, "exe": name, "args": [name],
                "started": "2026-11-20T17:40:11.020000000Z",
            });
            lines.push(json!({
                "event": event, "connection": connection, "process": process, "workload": end.1,
                "evidence": {"process": "hook", "direction": "handshake"},
            }));
        }
    }
    let mut text = String::new();
    for (at, mut line) in lines.into_iter().enumerate() {
        let head =
            json!({"v": 1, "time": time(at + 1), "host": {"id": "6f1c", "name": HOSTILE[0]}});
        if let (Some(line), Value::Object(head)) = (line.as_object_mut(), head) {
            line.extend(head);
        }
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

/// What hostile names do to each other, and beside it what is as it should be.
fn hostile() -> String {
    let mut ends = vec![
        (unit(1, "shop.service"), unit(2, "postgresql.service")),
        (pod(3, "web", "web"), pod(4, "cart", "cart")),
    ];
    for (name, at) in HOSTILE.into_iter().zip((5..).step_by(8)) {
        // What has one kind and one name is one node.
        let of = |at: u8| format!("{name}{at}");
        ends.push((program(at, name), program(at + 1, name)));
        ends.push((unit(at + 2, &of(0)), pod(at + 3, &of(1), "cart")));
        ends.push((pod(at + 4, &of(2), "web"), pod(at + 5, &of(3), name)));
        ends.push((program(at + 6, &of(4)), pod(at + 7, &of(5), "cart")));
    }
    recording(&ends)
}

/// What tracer makes of the hostile recording, in a file.
fn made(folder: &Path, words: &[&str], file: &str) -> Result<std::path::PathBuf> {
    let from = folder.join("from.jsonl");
    fs::write(&from, hostile())?;
    let split = folder.join("split");
    let parts: String = (0..99)
        .map(|at| format!("p{at} = 10.0.0.{at}/32\n"))
        .collect();
    fs::write(&split, parts)?;
    let mut tracer = command()?;
    tracer.args(words).arg("--from").arg(&from);
    if words[0] == "groups" {
        tracer.arg("--split").arg(&split);
    }
    let run = output(&mut tracer)?;
    run.expect_code(0)?;
    expect::harmless(&run.stdout)?;
    let text = run.text()?;
    for line in text.lines() {
        ensure!(
            line.bytes().all(|it| matches!(it, b' '..=b'~')),
            "{line:?} has what may end a line"
        );
    }
    let path = folder.join(file);
    fs::write(&path, text)?;
    Ok(path)
}

const YAML: &str = "
import json, sys, yaml
print(json.dumps([it for it in yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')) if it is not None]))";

/// The documents in a file, as Python finds them.
fn yaml(file: &Path) -> Result<Vec<Value>> {
    let read = python(&python_with("yaml")?, YAML, file)?;
    read.as_array().cloned().context("documents")
}

#[test]
fn python_finds_in_policies_only_those_that_were_seen() -> Result<()> {
    or_skip((|| {
        let folder = TempDir::new()?;
        let file = made(
            folder.path(),
            &["groups", "-o", "networkpolicy"],
            "policies.yaml",
        )?;
        let policies = yaml(&file)?;
        ensure!(!policies.is_empty(), "no policy");
        for policy in &policies {
            ensure!(policy["kind"] == "NetworkPolicy", "{policy:#}");
            ensure!(policy["metadata"]["namespace"] == "shop", "{policy:#}");
            let labels = &policy["spec"]["podSelector"]["matchLabels"];
            ensure!(
                labels["app"] == "cart" || labels["app"] == "postgresql.service",
                "{policy:#}"
            );
            let rules = policy["spec"]["ingress"].as_array().context("rules")?;
            ensure!(!rules.is_empty(), "it lets in nobody: {policy:#}");
            for rule in rules {
                let from = rule["from"].as_array().context("peers")?;
                ensure!(
                    from.iter()
                        .all(|it| it["podSelector"].is_object() || it["ipBlock"].is_object())
                        && !from.is_empty(),
                    "it lets in everybody: {policy:#}"
                );
                ensure!(rule["ports"][0]["port"].is_u64(), "{policy:#}");
            }
        }
        Ok(())
    })())
}

#[test]
fn python_finds_in_an_override_only_services() -> Result<()> {
    or_skip((|| {
        let folder = TempDir::new()?;
        let file = made(
            folder.path(),
            &["recovery-order", "-o", "compose"],
            "compose.yaml",
        )?;
        let documents = yaml(&file)?;
        let expected =
            json!([{"services": {"web": {"depends_on": ["cart", "postgresql.service"]}}}]);
        ensure!(json!(documents) == expected, "{documents:#?}");
        Ok(())
    })())
}

#[test]
fn nft_takes_the_rules_and_no_others() -> Result<()> {
    or_skip((|| {
        let nft = need("nft")?;
        let unshare = need("unshare")?;
        let folder = TempDir::new()?;
        let file = made(folder.path(), &["groups", "-o", "nftables"], "rules.nft")?;
        // In a network namespace of its own, of a user who is root there alone.
        let within = |script: &str| -> Result<Run> {
            output(
                Command::new(&unshare)
                    .args([
                        "--user",
                        "--map-root-user",
                        "--net",
                        "sh",
                        "-c",
                        script,
                        "sh",
                    ])
                    .arg(&nft)
                    .arg(&file),
            )
        };
        let can = within("\"$1\" add table inet probe")?;
        if !can.status.success() {
            return skip("nftables", can.stderr);
        }
        let run = within("\"$1\" -c -f \"$2\" && \"$1\" -f \"$2\" && \"$1\" -j list ruleset")?;
        run.expect_code(0)?;
        ensure!(run.stderr.is_empty(), "it complains: {}", run.stderr);
        let ruleset: Value = serde_json::from_slice(&run.stdout)?;
        let of = |what: &str| -> Vec<&Value> {
            let all = ruleset["nftables"].as_array().into_iter().flatten();
            all.filter_map(|it| it.get(what)).collect()
        };
        ensure!(
            of("table").len() == 1 && of("chain").len() == 1,
            "{ruleset:#}"
        );
        ensure!(of("table")[0]["name"] == "tracer_split", "{ruleset:#}");
        // Two that are as they should be, and of each name one between a unit and a pod, and one of pods.
        let rules = of("rule");
        let accepts = rules.iter().filter(|it| it.get("comment").is_some());
        let accepts: Vec<_> = accepts.collect();
        ensure!(
            accepts.len() == 2 + 2 * HOSTILE.len() && rules.len() == accepts.len() + 1,
            "{} rules: {ruleset:#}",
            accepts.len()
        );
        for rule in accepts {
            let comment = rule["comment"].as_str().unwrap_or_default();
            ensure!(!comment.contains("executable"), "{comment}");
            ensure!(
                comment.starts_with("systemd ") || comment.starts_with("pod "),
                "{comment}"
            );
        }
        Ok(())
    })())
}

#[test]
fn systemd_takes_the_units_and_starts_nothing_else() -> Result<()> {
    or_skip((|| {
        let analyze = need("systemd-analyze")?;
        let folder = TempDir::new()?;
        let file = made(
            folder.path(),
            &["recovery-order", "-o", "systemd"],
            "units.conf",
        )?;
        let text = fs::read_to_string(file)?;
        let units = folder.path().join("units");
        fs::create_dir(&units)?;
        let base = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/true\n";
        for unit in ["shop.service", "postgresql.service"] {
            fs::write(units.join(unit), base)?;
        }
        // A drop-in for each heading, as whoever reads the document would make them.
        let mut drop_ins = Vec::new();
        for part in text.split("# /etc/systemd/system/").skip(1) {
            let (path, rest) = part.split_once("/after.conf").context("a path")?;
            let (_, body) = rest.split_once('\n').context("a body")?;
            let body = body.split("\n# ").next().unwrap_or_default();
            fs::create_dir_all(units.join(path))?;
            fs::write(units.join(path).join("after.conf"), body)?;
            drop_ins.push((path.to_owned(), body.trim().to_owned()));
        }
        let expected = (
            "shop.service.d".to_owned(),
            "[Unit]\nAfter=postgresql.service".to_owned(),
        );
        ensure!(drop_ins == [expected], "{drop_ins:#?}");
        let run = output(
            Command::new(analyze)
                .args(["verify", "--man=no"])
                .arg(units.join("shop.service"))
                .env("SYSTEMD_UNIT_PATH", &units)
                .env("SYSTEMD_LOG_LEVEL", "notice"),
        )?;
        if !run.status.success() && !run.stderr.contains("after.conf") {
            return skip("systemd-analyze", run.stderr);
        }
        run.expect_code(0)?;
        ensure!(run.stderr.is_empty(), "it complains: {}", run.stderr);
        Ok(())
    })())
}

/// Runs tracer, which may fail; what it says is harmless, and not much.
fn harmlessly(words: &[&str], from: &Path) -> Result<Run> {
    let run = output(command()?.args(words).arg("--from").arg(from))?;
    expect::harmless(&run.stdout).with_context(|| format!("{words:?}"))?;
    expect::harmless(run.stderr.as_bytes()).with_context(|| format!("{words:?}"))?;
    ensure!(
        run.stderr.len() < 20_000,
        "{words:?}: {} bytes on standard error",
        run.stderr.len()
    );
    Ok(run)
}

#[test]
fn whatever_is_said_of_hostile_names_is_harmless_on_a_terminal() -> Result<()> {
    let folder = TempDir::new()?;
    let from = folder.path().join("from.jsonl");
    fs::write(&from, hostile())?;
    for question in [
        "impact",
        "groups",
        "recovery-order",
        "idle",
        "failures",
        "balance",
    ] {
        for format in ["json", "table", "csv"] {
            let who: &[&str] = if question == "impact" {
                &[HOSTILE[6]]
            } else {
                &[]
            };
            harmlessly(&[&[question, "-o", format], who].concat(), &from)?;
        }
    }
    let said = harmlessly(&["impact", "nosuch"], &from)?;
    said.expect_code(1)?;
    ensure!(
        said.stderr.contains("what comes nearest"),
        "{}",
        said.stderr
    );
    let long = "\u{1b}[31m".repeat(20_000);
    harmlessly(&["impact", &long], &from)?.expect_code(1)?;
    harmlessly(&["map", "--focus", &long, "-o", "json"], &from)?.expect_code(1)?;
    // What is wrong with the command line itself.
    harmlessly(&["impact", "--depth", HOSTILE[6], "x"], &from)?.expect_code(64)?;
    harmlessly(&[HOSTILE[6]], &from)?.expect_code(64)?;
    // The names of files, and what is in them.
    let bad = folder.path().join("\u{1b}]0;t\u{7}\u{202e}.jsonl");
    harmlessly(&["map", "-o", "json"], &bad)?.expect_code(1)?;
    fs::write(&bad, format!("{{\"v\": \"{long}\"}}\n{long}\n"))?;
    harmlessly(&["map", "-o", "json"], &bad)?.expect_code(1)?;
    harmlessly(&["map", "-o", "json", "--skip-bad"], &bad)?;
    let rules = bad.display().to_string();
    harmlessly(&["balance", "--policy", &rules], &from)?.expect_code(1)?;
    Ok(())
}

/// Half a pair of UTF-16 and bytes that are no UTF-8 are no text: they end nothing but their line.
#[test]
fn what_is_no_text_is_a_line_that_cannot_be_read() -> Result<()> {
    let folder = TempDir::new()?;
    let from = folder.path().join("from.jsonl");
    for name in [
        &b"\\ud800"[..],
        b"\\udfff\\ud800",
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ] {
        let mut bytes = Vec::new();
        for line in hostile().lines() {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        let (at, marker) = (b"postgresql.service", bytes.windows(18));
        let place = marker
            .into_iter()
            .position(|it| it == at)
            .context("a name")?;
        bytes.splice(place..place + at.len(), name.iter().copied());
        fs::write(&from, bytes)?;
        let run = harmlessly(&["map", "-o", "json", "--skip-bad"], &from)?;
        run.expect_code(0)?;
        serde_json::from_slice::<Value>(&run.stdout).context("the map is JSON")?;
        harmlessly(&["map", "-o", "json"], &from)?;
    }
    Ok(())
}
