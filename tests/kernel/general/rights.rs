//! What a run keeps once it watches: seen from outside, as whoever had taken it over would find it. And
//! that its start can be kept from nothing by what others do.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    process::{Resource, Rlimit, Signal, setrlimit},
    thread::CapabilitySet,
};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen},
    expect::{self, one},
    init,
    netns::Netns,
    skip, tests,
    tracer::{Process, Tracer, live_command, stream_command},
    wait,
};

use super::privileges::{named, stream_with};

tests!("rights":
    threads_keep_what_they_need_and_no_more,
    all_is_kept_where_that_is_asked_for,
    strangers_at_the_same_ports_do_not_matter,
    namespaces_are_listened_to_or_said_to_be_left_out,
);

/// What `docs/privileges.md` says that a run as root keeps.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON);

/// The lines of `status` of each thread that say what it may do, as many kinds as there are.
fn of_threads(pid: u32) -> Result<BTreeSet<String>> {
    let mut kinds = BTreeSet::new();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("its threads")?;
    for thread in threads {
        // One may have ended.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let is_of_rights = |line: &&str| {
            ["Cap", "NoNewPrivs:", "Seccomp:"]
                .iter()
                .any(|it| line.starts_with(it))
        };
        let lines: Vec<_> = status.lines().filter(is_of_rights).collect();
        if !lines.is_empty() {
            kinds.insert(lines.join("\n"));
        }
    }
    Ok(kinds)
}

/// As tracer may have of these: the suite may itself have been given fewer.
fn ours() -> Result<CapabilitySet> {
    Ok(rustix::thread::capabilities(None)
        .context("our rights")?
        .permitted
        & KEPT)
}

fn threads_keep_what_they_need_and_no_more() -> Result<()> {
    let netns = Netns::new()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    for command in ["stream", "map"] {
        // Looks around again and again, which takes as much as anything that it does.
        let args = ["--rescan", "1s", "-v"];
        let how = &mut live_command(command, &args)?;
        let mut tracer = Process::spawn(how.args(["-o", "json"]), true)?;
        tracer.wait_until_watching()?;
        let pid = tracer.pid();
        let kept = format!("{:016x}", ours()?.bits());
        let expected = format!(
            "CapInh:\t{none}\nCapPrm:\t{kept}\nCapEff:\t{kept}\nCapBnd:\t{kept}\nCapAmb:\t{none}\n\
             NoNewPrivs:\t1\nSeccomp:\t2",
            none = "0".repeat(16)
        );
        wait::until("each thread to have given up the rest", || {
            let kinds = of_threads(pid)?;
            Ok((kinds.len() == 1 && kinds.contains(&expected)).then_some(()))
        })
        .with_context(|| format!("they have {:#?}\nexpected {expected}", of_threads(pid)))?;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let core = limits.lines().find(|it| it.starts_with("Max core file"));
        let core = core.unwrap_or_default().split_whitespace();
        ensure!(core.clone().nth(4) == Some("0"), "a core dump: {limits}");
        // Past some looks around.
        thread::sleep(Duration::from_secs(3));
        let dialled = client.connect(at)?.socket()?;
        let accepted = server.accept(listening)?.socket()?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        netns.wait_settled()?;
        tracer.signal(Signal::INT)?;
        let run = tracer.finish()?;
        run.expect_code(0)?;
        ensure!(
            !run.stderr.contains("WARN") && !run.stderr.contains("cannot"),
            "{}",
            run.stderr
        );
        if command == "stream" {
            let events = expect::within(netns.inode(), &run.events()?);
            let pattern = json!({"event": "connect", "process": {"pid": client.pid()}});
            one("the connection", &pattern, &events)?;
        }
    }
    Ok(())
}

fn all_is_kept_where_that_is_asked_for() -> Result<()> {
    let mut tracer = Tracer::start(&mut stream_command(&["--no-sandbox", "-v"])?)?;
    tracer.process().wait_until_watching()?;
    thread::sleep(Duration::from_millis(500));
    let kinds = of_threads(tracer.process().pid())?;
    ensure!(
        kinds
            .iter()
            .all(|it| it.contains("Seccomp:\t0") && it.contains("NoNewPrivs:\t0")),
        "{kinds:?}"
    );
    tracer.stop()?.expect_code(0)?;
    Ok(())
}

/// All ports that the kernel hands out here are of strangers who talk all the time: what tracer checks its
/// programs by is none of theirs.
fn strangers_at_the_same_ports_do_not_matter() -> Result<()> {
    let netns = Netns::new()?;
    netns.set("ipv4/ip_local_port_range", "40000 40040")?;
    let is_over = AtomicBool::new(false);
    let storm = || {
        netns.run(|| {
            let listeners: Vec<_> = (40000..40030)
                .map(|port| TcpListener::bind(("127.0.0.1", port)))
                .collect::<Result<_, _>>()
                .context("the strangers' listeners")?;
            for listener in listeners.iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                // All ports may be taken for a moment.
                if let Ok(dialled) = TcpStream::connect(listener.local_addr()?) {
                    drop(listener.accept()?);
                    drop(dialled);
                }
            }
            Ok(())
        })
    };
    let (all, few) = if init::is_test_machine() {
        (2, 2)
    } else {
        (6, 4)
    };
    let start = |command: &mut Command| -> Result<()> {
        netns.enter(command);
        let mut tracer = Tracer::start(command.arg("-v"))?;
        tracer.process().wait_until_watching()?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        ensure!(!run.stderr.contains("not checked"), "{}", run.stderr);
        Ok(())
    };
    thread::scope(|scope| {
        let storm = scope.spawn(storm);
        let result = (|| {
            for _ in 0..all {
                start(&mut stream_command(&[])?)?;
            }
            // Where it can make no namespace of its own.
            let least = named()?;
            for _ in 0..few {
                start(&mut stream_with(least, &[])?)?;
            }
            Ok(())
        })();
        is_over.store(true, Ordering::Relaxed);
        let stormed = storm.join();
        result.and(stormed.map_err(|_| anyhow::anyhow!("the storm broke down"))?)
    })
}

/// Ended with the value.
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn namespaces_are_listened_to_or_said_to_be_left_out() -> Result<()> {
    /// More than half of the files that may be open.
    const COUNT: usize = 120;
    const FEW: u64 = 200;
    if init::is_test_machine() {
        return skip::skip(
            "time",
            "an emulated machine takes long for so many namespaces",
        );
    }
    if !fs::exists("/proc/sys/net/netfilter/nf_conntrack_count")? {
        return skip::skip("conntrack", "this kernel tracks no connections");
    }
    let mut sleepers = Sleepers(Vec::new());
    for _ in 0..COUNT {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null());
        Netns::new()?.enter(&mut command);
        sleepers.0.push(command.spawn().context("a process in it")?);
    }
    for (hard, is_enough) in [(4096, true), (FEW, false)] {
        let mut command = stream_command(&["-v"])?;
        let limit = Rlimit {
            current: Some(FEW),
            maximum: Some(hard),
        };
        // SAFETY: only a system call.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::Nofile, limit)?)) };
        let mut tracer = Tracer::start(&mut command)?;
        tracer.process().wait_until_watching()?;
        let start = tracer.wait_for("the start line", |_| true)?;
        // The first look around may take longer than the start waits.
        thread::sleep(Duration::from_secs(2));
        let netns = Netns::new()?;
        let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
        let (_, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        client.connect(at)?.socket()?;
        thread::sleep(Duration::from_millis(500));
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let said = format!("{}{}", start["blind"], run.stderr);
        ensure!(
            said.contains("network namespaces are left out") != is_enough,
            "{hard} files: {said}"
        );
        ensure!(is_enough || said.contains("LimitNOFILE="), "{said}");
    }
    Ok(())
}
