//! How a run begins and ends: exit codes, signals, pipes, and what is left behind.

use std::{
    ffi::{CStr, CString},
    io::{self, BufRead as _, BufReader},
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, Listen, Slot},
    bpf::Held,
    expect,
    netns::Netns,
    refuse, tests,
    tracer::{
        self, Process, Tracer, command, executable, output, public_copy, stream_command,
        unprivileged,
    },
    wait,
};

tests!("lifecycle":
    the_first_line_tells_what_watches,
    sigint_drains_and_ends_well,
    sigterm_drains_and_ends_well,
    it_stops_by_itself_in_time,
    a_reader_that_goes_away_is_a_clean_stop,
    sigterm_ends_it_though_nobody_reads,
    sigint_ends_it_though_nobody_reads_the_answer,
    sigkill_leaves_nothing_attached,
    an_ordinary_end_leaves_nothing_attached,
    without_privilege_it_names_what_is_missing,
    without_type_information_this_kernel_cannot,
    a_kernel_that_misdescribes_itself_is_not_believed,
    without_ring_buffers_this_kernel_cannot,
    rights_of_a_user_namespace_do_not_count,
    the_start_up_check_is_told_nowhere,
    every_line_lies_within_the_coverage,
    a_signal_that_the_caller_ignores_stays_ignored,
    bad_arguments_are_a_usage_error,
);

/// A namespace where connections can be made one by one.
struct Traffic {
    netns: Netns,
    server: Agent,
    client: Agent,
    listener: Slot,
    to: std::net::SocketAddr,
}

impl Traffic {
    fn new() -> Result<Self> {
        let netns = Netns::new()?;
        let (mut server, client) = (Agent::new(&netns)?, Agent::new(&netns)?);
        let (listener, to) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        Ok(Self {
            netns,
            server,
            client,
            listener,
            to,
        })
    }

    fn connection(&mut self) -> Result<()> {
        let dialled = self.client.connect(self.to)?.socket()?;
        let accepted = self.server.accept(self.listener)?.socket()?;
        self.client.close(dialled)?;
        self.server.receive_end(accepted)?;
        self.server.close(accepted)
    }
}

fn the_first_line_tells_what_watches() -> Result<()> {
    let mut tracer = Tracer::stream(&[])?;
    let start = tracer.wait_for("the start line", |_| true)?;
    let hooks = start["tracer"]["hooks"]
        .as_str()
        .with_context(|| format!("no tracer.hooks in {start}"))?;
    let asked = tracer::hooks();
    ensure!(
        ["fentry", "kprobe", "tracepoint"].contains(&hooks),
        "{start}"
    );
    ensure!(
        asked == "auto" || asked == hooks,
        "asked for {asked}: {start}"
    );
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("read the kernel's release")?;
    ensure!(
        start["tracer"]["kernel"] == release.trim(),
        "the kernel is {release}: {start}"
    );
    ensure!(start["tracer"]["arch"] == std::env::consts::ARCH, "{start}");
    ensure!(
        start["tracer"]["version"]
            .as_str()
            .is_some_and(|version| version.contains('.')),
        "{start}"
    );
    ensure!(
        start["blind"].is_array(),
        "no list of what cannot be seen: {start}"
    );
    ensure!(start["host"]["name"].is_string(), "{start}");
    tracer.stop()?.expect_code(0)?;
    Ok(())
}

fn sigint_drains_and_ends_well() -> Result<()> {
    drains(Signal::INT)
}

fn sigterm_drains_and_ends_well() -> Result<()> {
    drains(Signal::TERM)
}

/// What happened right before the signal is printed, and the sums are right.
fn drains(signal: Signal) -> Result<()> {
    const COUNT: usize = 50;
    let mut tracer = Tracer::stream(&[])?;
    let mut traffic = Traffic::new()?;
    for _ in 0..COUNT {
        traffic.connection()?;
    }
    traffic.netns.wait_settled()?;
    tracer.process().signal(signal)?;
    let run = tracer.finish()?;
    run.expect_code(0)?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    expect::sums(run.text()?.lines())?;
    let stop = run.only("stop")?;
    ensure!(events.last() == Some(&stop), "the last line is not `stop`");
    let here = expect::within(traffic.netns.inode(), &events);
    let count = |kind: &str| {
        here.iter()
            .filter(|event: &&Value| event["event"] == kind)
            .count()
    };
    ensure!(
        (count("connect"), count("accept"), count("close")) == (COUNT, COUNT, 2 * COUNT),
        "{} connects, {} accepts, {} closes of {COUNT} connections",
        count("connect"),
        count("accept"),
        count("close")
    );
    Ok(())
}

fn it_stops_by_itself_in_time() -> Result<()> {
    let run = output(&mut stream_command(&["--for", "300ms", "-o", "json"])?)?;
    run.expect_code(0)?;
    run.only("start")?;
    run.only("stop")?;
    expect::sums(run.text()?.lines())?;
    Ok(())
}

fn a_reader_that_goes_away_is_a_clean_stop() -> Result<()> {
    let mut process = Process::spawn(&mut stream_command(&["-o", "json"])?, false)?;
    {
        let mut reader = BufReader::new(process.take_stdout().context("its output")?);
        ensure!(
            tracer_tests::traffic::readable(reader.get_ref().as_fd())?,
            "no start line"
        );
        let mut first = String::new();
        reader
            .read_line(&mut first)
            .context("read the start line")?;
        ensure!(first.contains("\"start\""), "the first line is {first}");
    }
    // It may notice by itself, and must when it has something to print.
    let mut traffic = Traffic::new()?;
    wait::until("tracer to stop", || {
        traffic.connection()?;
        Ok(process.exited()?.map(drop))
    })?;
    let run = process.finish()?;
    run.expect_code(0)?;
    ensure!(
        !run.stderr.to_lowercase().contains("broken pipe"),
        "it complains: {}",
        run.stderr
    );
    Ok(())
}

fn sigterm_ends_it_though_nobody_reads() -> Result<()> {
    let mut process = Process::spawn(&mut stream_command(&["-o", "json"])?, false)?;
    let mut reader = BufReader::with_capacity(1, process.take_stdout().context("its output")?);
    ensure!(
        tracer_tests::traffic::readable(reader.get_ref().as_fd())?,
        "no start line"
    );
    reader
        .read_line(&mut String::new())
        .context("read the start line")?;
    match rustix::pipe::fcntl_setpipe_size(reader.get_ref(), 4096) {
        // It holds more than that already, which is as good.
        Ok(_) | Err(rustix::io::Errno::BUSY) => {}
        Err(error) => return Err(error).context("shrink the pipe"),
    }
    // Thirty times what the pipe holds: now or when it drains, it has to wait for the reader.
    let mut traffic = Traffic::new()?;
    for _ in 0..50 {
        traffic.connection()?;
    }
    process.signal(Signal::TERM)?;
    // Whatever the code: the output could not be written, but the process must end.
    let status = process.wait_exit()?;
    ensure!(status.code().is_some(), "it was killed: {status}");
    drop(reader);
    Ok(())
}

/// The watch is over, and all that is left is to write what does not fit into the pipe.
fn sigint_ends_it_though_nobody_reads_the_answer() -> Result<()> {
    let args = ["-o", "html", "--for", "100ms"];
    let mut process = Process::spawn(&mut tracer::live_command("map", &args)?, false)?;
    let output = process.take_stdout().context("its output")?;
    rustix::pipe::fcntl_setpipe_size(&output, 4096).context("shrink the pipe")?;
    ensure!(
        tracer_tests::traffic::readable(output.as_fd())?,
        "no answer"
    );
    ensure!(process.exited()?.is_none(), "it has written all of it");
    process.signal(Signal::INT)?;
    let status = process.wait_exit()?;
    ensure!(status.code() == Some(1), "{status}: {}", process.stderr());
    let why = process.stderr();
    ensure!(why.contains("before the answer was told"), "{why}");
    drop(output);
    Ok(())
}

/// Starts a tracer and says which programs and links are its.
fn attached() -> Result<(Tracer, Held)> {
    let before = Held::now()?;
    let tracer = Tracer::stream(&[])?;
    let mine = Held::now()?.since(&before);
    ensure!(
        !mine.programs.is_empty(),
        "tracer runs, and the kernel has no program of it"
    );
    Ok((tracer, mine))
}

/// The kernel frees them when the last reference goes, which may take a moment.
fn gone(mine: &Held) -> Result<()> {
    wait::until(&format!("{mine:?} to go"), || {
        Ok((Held::now()?.of(mine) == Held::default()).then_some(()))
    })
}

/// Names of what is pinned or defined where others would find it.
fn left_in_files() -> Vec<String> {
    let pins = std::fs::read_dir("/sys/fs/bpf")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<String> = pins
        .map(|entry| entry.path().display().to_string())
        .collect();
    for probes in ["kprobe_events", "uprobe_events"] {
        let text =
            std::fs::read_to_string(format!("/sys/kernel/tracing/{probes}")).unwrap_or_default();
        found.extend(text.lines().map(str::to_owned));
    }
    found.sort();
    found
}

fn sigkill_leaves_nothing_attached() -> Result<()> {
    let before = left_in_files();
    let (mut tracer, mine) = attached()?;
    tracer.process().signal(Signal::KILL)?;
    tracer.process().wait_exit()?;
    gone(&mine)?;
    ensure!(
        left_in_files() == before,
        "before: {before:?}, after: {:?}",
        left_in_files()
    );
    Ok(())
}

fn an_ordinary_end_leaves_nothing_attached() -> Result<()> {
    let before = left_in_files();
    let (tracer, mine) = attached()?;
    tracer.stop()?.expect_code(0)?;
    gone(&mine)?;
    ensure!(
        left_in_files() == before,
        "before: {before:?}, after: {:?}",
        left_in_files()
    );
    Ok(())
}

fn without_privilege_it_names_what_is_missing() -> Result<()> {
    let (_folder, copy) = public_copy()?;
    let mut command = Command::new(copy);
    command.args(["stream", "--hooks", &tracer::hooks()]);
    unprivileged(&mut command);
    let run = output(&mut command)?;
    run.expect_code(77)?;
    ensure!(run.stdout.is_empty(), "it printed {}", run.text()?);
    for word in ["CAP_BPF", "CAP_PERFMON"] {
        ensure!(
            run.stderr.contains(word),
            "{word} is not named:\n{}",
            run.stderr
        );
    }
    Ok(())
}

/// Runs `prepare` in the child between fork and exec.
fn prepared(
    mut command: Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    // SAFETY: the functions given below make system calls on constants only, at most
    // through the standard library's thinnest wrappers.
    unsafe { command.pre_exec(prepare) };
    command
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Mounts something where only this process sees it.
fn mount_for_itself(source: &CStr, target: &CStr, kind: &CStr, flags: u64) -> io::Result<()> {
    let mount = |source: &CStr, target: &CStr, kind: &CStr, flags| {
        // SAFETY: strings that end with a NUL and outlive the call.
        succeeded(unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                flags,
                std::ptr::null(),
            )
        })
    };
    // SAFETY: takes a number; the child has one thread.
    succeeded(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(source, target, kind, flags)
}

/// Hides the kernel's type information from this process, as if it had none.
fn without_types() -> io::Result<()> {
    mount_for_itself(c"none", c"/sys/kernel/btf", c"tmpfs", 0)
}

/// The kernel's type information with two members of equal size under each other's name:
/// nothing is missing, and what is read is wrong.
fn a_kernel_that_misdescribes_itself_is_not_believed() -> Result<()> {
    let mut types = std::fs::read("/sys/kernel/btf/vmlinux").context("read the kernel's types")?;
    let at = |types: &[u8], name: &[u8]| {
        let found = types.windows(name.len()).position(|bytes| bytes == name);
        found.with_context(|| format!("find {:?}", String::from_utf8_lossy(name)))
    };
    let (sent, other) = (b"\0bytes_sent\0", b"\0tcp_mstamp\0");
    let (first, second) = (at(&types, sent)?, at(&types, other)?);
    types[first..first + other.len()].copy_from_slice(other);
    types[second..second + sent.len()].copy_from_slice(sent);
    let folder = tempfile::tempdir().context("make a folder")?;
    let path = folder.path().join("vmlinux");
    std::fs::write(&path, types).context("write the types")?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let lie = move || mount_for_itself(&path, c"/sys/kernel/btf/vmlinux", c"", libc::MS_BIND);
    let run = output(&mut prepared(stream_command(&[])?, lie))?;
    run.expect_code(69)?;
    ensure!(
        run.stderr.contains("start-up check: bytes sent"),
        "no reason:\n{}",
        run.stderr
    );
    Ok(())
}

fn without_type_information_this_kernel_cannot() -> Result<()> {
    let run = output(&mut prepared(stream_command(&[])?, without_types))?;
    run.expect_code(69)?;
    for word in ["/sys/kernel/btf/vmlinux", "why:", "fix:"] {
        ensure!(run.stderr.contains(word), "no {word}:\n{}", run.stderr);
    }
    Ok(())
}

fn without_ring_buffers_this_kernel_cannot() -> Result<()> {
    for command in ["stream", "doctor"] {
        let (run, refused) = refuse::without_maps_of(refuse::RING_BUFFER, || {
            output(tracer::command()?.args([command, "--hooks", &tracer::hooks()]))
        })?;
        ensure!(refused > 0, "{command} asked for no ring buffer");
        run.expect_code(69)?;
        let said = format!("{}{}", run.text()?, run.stderr);
        for word in ["ring buffers", "why", "fix"] {
            ensure!(said.contains(word), "{command}: no {word}:\n{said}");
        }
    }
    Ok(())
}

fn rights_of_a_user_namespace_do_not_count() -> Result<()> {
    // Root and all capabilities, but in a namespace where they mean nothing to bpf().
    let in_namespace = || {
        // SAFETY: takes a number; the child has one thread.
        succeeded(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
        std::fs::write("/proc/self/uid_map", "0 0 1")
    };
    let run = output(&mut prepared(stream_command(&[])?, in_namespace))?;
    run.expect_code(77)?;
    ensure!(
        run.stderr.contains("user namespace"),
        "no reason:\n{}",
        run.stderr
    );
    Ok(())
}

fn a_signal_that_the_caller_ignores_stays_ignored() -> Result<()> {
    // What nohup does.
    let ignoring = || {
        // SAFETY: takes two numbers.
        if unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    let mut tracer = Tracer::start(&mut prepared(stream_command(&[])?, ignoring))?;
    tracer.process().signal(Signal::HUP)?;
    let mut traffic = Traffic::new()?;
    traffic.connection()?;
    let netns = traffic.netns.inode();
    tracer.wait_for("a connection after the signal", |line| {
        line["event"] == "close" && line["connection"]["netns"] == netns
    })?;
    tracer.stop()?.expect_code(0)?;
    Ok(())
}

fn the_start_up_check_is_told_nowhere() -> Result<()> {
    let watching = Tracer::stream(&[])?;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Tracer::stream(&[])?.stop()?);
    }
    let run = watching.stop()?;
    let own = executable()?;
    let own = own.file_name().context("a name")?.to_string_lossy();
    for run in others.iter().chain([&run]) {
        run.expect_code(0)?;
        expect::sums(run.text()?.lines())?;
        for event in run.events()? {
            ensure!(
                event["process"]["comm"] != *own,
                "tracer told of a tracer: {event}"
            );
        }
    }
    Ok(())
}

fn every_line_lies_within_the_coverage() -> Result<()> {
    let mut traffic = Traffic::new()?;
    for _ in 0..3 {
        let tracer = Tracer::stream(&[])?;
        traffic.connection()?;
        let run = tracer.stop()?;
        // The programs may still be being detached.
        traffic.connection()?;
        let (start, stop) = (run.only("start")?, run.only("stop")?);
        let coverage = &stop["coverage"];
        ensure!(start["time"] == coverage["from"], "{start} {stop}");
        ensure!(stop["time"] == coverage["to"], "{stop}");
        let edge = |name: &str| coverage[name].as_str().context("an edge");
        let (from, to) = (edge("from")?, edge("to")?);
        for event in run.events()? {
            let time = event["time"].as_str().context("a time")?;
            // All are in UTC, with nanoseconds.
            ensure!((from..=to).contains(&time), "{event} of {coverage}");
        }
    }
    Ok(())
}

fn bad_arguments_are_a_usage_error() -> Result<()> {
    for args in [
        &["stream", "--port", "many"][..],
        &["stream", "--hooks", "magic"],
        &["no-such-command"],
    ] {
        let run = output(command()?.args(args))?;
        run.expect_code(64)?;
        ensure!(
            run.stdout.is_empty() && !run.stderr.is_empty(),
            "{args:?}: {run:?}"
        );
    }
    Ok(())
}
