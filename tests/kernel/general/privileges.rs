//! With exactly the capabilities that `docs/privileges.md` names, and with each missing.

use std::{io, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, remove_capability_from_bounding_set},
};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen},
    expect::{self, endpoint, one},
    init,
    netns::Netns,
    tests,
    tracer::{Tracer, output, stream_command},
};

tests!("privileges":
    those_of_the_page_are_enough,
    without_ptrace_old_processes_have_no_executable,
    without_one_of_the_others_it_is_not_permitted,
);

/// The capabilities in the page's table.
pub(crate) fn named() -> Result<CapabilitySet> {
    let page = include_str!("../../../docs/privileges.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `CAP_"));
    let mut all = CapabilitySet::empty();
    for row in rows {
        let name = row.split('`').next().unwrap_or_default();
        all |= CapabilitySet::from_name(name).with_context(|| format!("CAP_{name}"))?;
    }
    ensure!(!all.is_empty(), "the page names none");
    Ok(all)
}

/// Debian's kernels start with a level of their own, 3, at which `perf_event_open` wants
/// `CAP_SYS_ADMIN`; the page says so. A machine of the suite's own is set to what others have.
fn as_other_distributions() -> Result<()> {
    if init::is_test_machine() {
        std::fs::write("/proc/sys/kernel/perf_event_paranoid", "2").context("set the level")?;
    }
    Ok(())
}

/// `tracer stream` with no capabilities but these.
pub(crate) fn stream_with(capabilities: CapabilitySet, args: &[&str]) -> Result<Command> {
    let mut command = stream_command(args)?;
    let drop_others = move || {
        // Before Linux 5.11 maps count as locked memory, as the page says.
        let most = Rlimit {
            current: None,
            maximum: None,
        };
        // Where this is not permitted it is not needed, or tracer says so.
        let _ = setrlimit(Resource::Memlock, most);
        for one in CapabilitySet::all().difference(capabilities).iter() {
            match remove_capability_from_bounding_set(one) {
                // An older kernel does not know the newest.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(io::Error::from(error)),
            }
        }
        Ok(())
    };
    // SAFETY: only system calls, on values that were made before.
    unsafe { command.pre_exec(drop_others) };
    Ok(command)
}

/// What a run with these capabilities tells of a server that is older than it, and of a
/// connection to it: whether executables are known.
fn watch(capabilities: CapabilitySet) -> Result<bool> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut tracer = Tracer::start(&mut stream_with(capabilities, &[])?)?;
    tracer.wait_for("the listener", |event| {
        event["event"] == "listen" && event["listener"]["netns"] == netns.inode()
    })?;
    let dialled = client.connect(at)?.socket()?;
    let accepted = server.accept(listening)?.socket()?;
    client.close(dialled)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let listen = json!({
        "event": "listen",
        "listener": {"port": at.port()},
        "process": {"pid": server.pid()},
        "evidence": {"process": "scan"},
    });
    let listen = one("the listener and who holds it", &listen, &events)?;
    for (event, process) in [("connect", client.pid()), ("accept", server.pid())] {
        let pattern = json!({
            "event": event,
            "connection": {"server": endpoint(at)},
            "process": {"pid": process},
        });
        one("the connection", &pattern, &events)?;
    }
    expect::exactly(2, "both ends", &json!({"event": "close"}), &events)?;
    Ok(listen["process"]["exe"].is_string())
}

fn those_of_the_page_are_enough() -> Result<()> {
    as_other_distributions()?;
    ensure!(watch(named()?)?, "the executable is not known");
    Ok(())
}

fn without_ptrace_old_processes_have_no_executable() -> Result<()> {
    as_other_distributions()?;
    let rest = named()?.difference(CapabilitySet::SYS_PTRACE);
    ensure!(
        !watch(rest)?,
        "CAP_SYS_PTRACE is not needed: the page is wrong"
    );
    Ok(())
}

fn without_one_of_the_others_it_is_not_permitted() -> Result<()> {
    let others = named()?.difference(CapabilitySet::SYS_PTRACE);
    for one in others.iter() {
        let run = output(&mut stream_with(named()?.difference(one), &[])?)?;
        run.expect_code(77)?;
        let name = one.iter_names().next().context("its name")?.0;
        ensure!(
            run.stderr.contains(&format!("CAP_{name}")),
            "CAP_{name} is not named:\n{}",
            run.stderr
        );
    }
    Ok(())
}
