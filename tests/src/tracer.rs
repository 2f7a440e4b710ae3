//! The program under test: started, watched line by line, stopped, never left behind.
//!
//! `TRACER` names the executable (by default the one beside the test's own target folder),
//! `TRACER_HOOKS` the hook set (by default `auto`).

use std::{
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    init,
    netns::Netns,
    wait::{self, DEADLINE},
};

/// Gives this process, and all it starts, the signals as they are by default. What is started in
/// the background, or by nohup, may be deaf to some, and so would be the tracer that is to stop.
pub fn hear_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: sets the default action, which runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Where the executable is.
pub fn executable() -> Result<PathBuf> {
    let path = match std::env::var_os("TRACER") {
        Some(path) => PathBuf::from(path),
        None => {
            let own = std::env::current_exe().context("find the test's own executable")?;
            let folder = own
                .parent()
                .and_then(|deps| deps.parent())
                .context("find the target folder")?;
            folder.join("tracer")
        }
    };
    ensure!(
        path.is_file(),
        "{} does not exist: build it (`cargo build -p tracer-user`) or set TRACER",
        path.display()
    );
    Ok(path)
}

/// The hook set asked for.
pub fn hooks() -> String {
    std::env::var("TRACER_HOOKS").unwrap_or_else(|_| "auto".to_owned())
}

/// Why tracer refuses the hook set of this run on this kernel, if it does.
pub fn ruled_out() -> Result<Option<String>> {
    let mut doctor = command()?;
    doctor.args(["doctor", "-o", "json", "--hooks", &hooks()]);
    let run = output(&mut doctor)?;
    if run.status.code() != Some(69) {
        return Ok(None);
    }
    let report: Value = serde_json::from_str(run.text()?).context("read the doctor's report")?;
    let why = report["sets"][0]["why"].as_str();
    Ok(why.map(str::to_owned))
}

/// `tracer` with nothing but its path.
pub fn command() -> Result<Command> {
    Ok(Command::new(executable()?))
}

/// `tracer stream` with the hook set of this run.
pub fn stream_command(args: &[&str]) -> Result<Command> {
    live_command("stream", args)
}

/// Likewise with another command that watches this host.
pub fn live_command(name: &str, args: &[&str]) -> Result<Command> {
    let mut command = command()?;
    command.args([name, "--hooks", &hooks()]);
    if init::is_test_machine() && !args.contains(&"--connections") {
        // An emulated processor takes long to make room for as many as by default.
        command.args(["--connections", "16384"]);
    }
    if !DNS.load(Ordering::Relaxed) {
        command.arg("--no-dns");
    }
    command.args(args);
    Ok(command)
}

/// Whether the next ones look at what processes ask name servers.
static DNS: AtomicBool = AtomicBool::new(true);

/// Says so.
pub fn look_at_dns(yes: bool) {
    DNS.store(yes, Ordering::Relaxed);
}

/// Makes `command` start as nobody, with no capability.
pub fn unprivileged(command: &mut Command) {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: the closure only makes system calls; it neither allocates nor locks.
    unsafe {
        command.pre_exec(|| {
            // Changing all user ids of root away from 0 clears every capability set.
            if libc::setgroups(0, std::ptr::null()) != 0
                || libc::setresgid(NOBODY, NOBODY, NOBODY) != 0
                || libc::setresuid(NOBODY, NOBODY, NOBODY) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// A copy of the executable that anyone may run, wherever the repository lies.
pub fn public_copy() -> Result<(tempfile::TempDir, PathBuf)> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().context("make a folder")?;
    let copy = folder.path().join("tracer");
    std::fs::copy(executable()?, &copy).context("copy tracer")?;
    for path in [folder.path(), &copy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .context("open the copy to all")?;
    }
    Ok((folder, copy))
}

/// Runs a command that ends by itself; kills it at the deadline.
pub fn output(command: &mut Command) -> Result<Run> {
    let mut process = Process::spawn(command, true)?;
    process.wait_exit()?;
    process.finish()
}

/// Bytes of one of the program's outputs, as far as they came.
#[derive(Debug, Default)]
struct Stream {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(self: &Arc<Self>, mut from: impl Read + Send + 'static) -> JoinHandle<()> {
        let stream = Arc::clone(self);
        std::thread::spawn(move || {
            let mut chunk = vec![0; 1 << 20];
            loop {
                match from.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(n) => stream.state().bytes.extend_from_slice(&chunk[..n]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                }
                stream.changed.notify_all();
            }
            stream.state().ended = true;
            stream.changed.notify_all();
        })
    }
}

/// A running program whose outputs are collected as they come.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    collectors: Vec<JoinHandle<()>>,
    unread: Option<ChildStdout>,
}

impl Process {
    /// Starts it. Unless `read`, standard output is left to the test ([`Self::take_stdout`]).
    pub fn spawn(command: &mut Command, read: bool) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let (stdout, stderr) = (Arc::new(Stream::default()), Arc::new(Stream::default()));
        let mut collectors = Vec::new();
        let mut unread = child.stdout.take();
        if read && let Some(pipe) = unread.take() {
            enlarge(&pipe);
            collectors.push(stdout.collect(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            collectors.push(stderr.collect(pipe));
        }
        Ok(Self {
            child,
            name,
            stdout,
            stderr,
            collectors,
            unread,
        })
    }

    /// Standard output, if nothing collects it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.unread.take()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What came on standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.state().bytes).into_owned()
    }

    /// Waits until a tracer that was started with `-v` says that it watches.
    pub fn wait_until_watching(&mut self) -> Result<()> {
        wait::until("tracer to watch", || {
            if let Some(status) = self.exited()? {
                bail!("it ended with {status}: {}", self.stderr());
            }
            Ok(self.stderr().contains("watching this host").then_some(()))
        })
    }

    /// What came on standard output so far, if it is collected.
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.state().bytes.clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", self.name))
    }

    /// Whether it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Waits for it to end by itself.
    pub fn wait_exit(&mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        let result = wait::until(&format!("{name} to end"), || self.exited());
        result.with_context(|| format!("standard error:\n{}", self.stderr()))
    }

    /// What it printed, once it has ended.
    pub fn finish(mut self) -> Result<Run> {
        let status = self.wait_exit()?;
        for collector in self.collectors.drain(..) {
            // A collector cannot panic; if it did, what it collected still counts.
            let _ = collector.join();
        }
        let stdout = std::mem::take(&mut self.stdout.state().bytes);
        Ok(Run {
            status,
            stdout,
            stderr: self.stderr(),
        })
    }
}

/// How long a program that a test is done with may take to end by itself.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a program that a test is done with. Asked first: a server takes its workers with
/// it, which SIGKILL orphans.
fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
        // Should it not end, it is killed below.
        let _ = wait::until_at_most(LAST_WORDS, "its end", || Ok(child.try_wait()?));
    }
    // It may end in between; then there is nothing to kill.
    let _ = child.kill();
    let _ = child.wait();
}

/// A pipe of a megabyte, so that a burst does not wait for the test. Best effort: the
/// default size only makes the writer wait more often.
fn enlarge(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

/// A running `tracer stream` that has printed its `start` line.
#[derive(Debug)]
pub struct Tracer {
    process: Process,
    cursor: usize,
    seen: Vec<Value>,
}

impl Tracer {
    /// Starts `tracer stream` with the hook set of this run, as JSON.
    pub fn stream(args: &[&str]) -> Result<Self> {
        Self::start(stream_command(args)?.args(["-o", "json"]))
    }

    /// The same, inside a namespace.
    pub fn stream_in(netns: &Netns, args: &[&str]) -> Result<Self> {
        let mut command = stream_command(args)?;
        netns.enter(&mut command);
        Self::start(command.args(["-o", "json"]))
    }

    /// Starts a command that streams JSON, and waits for its `start` line.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut tracer = Self {
            process: Process::spawn(command, true)?,
            cursor: 0,
            seen: Vec::new(),
        };
        let first = tracer.wait_for("the start line", |_| true)?;
        ensure!(
            first["event"] == "start",
            "the first line is not `start`: {first}"
        );
        Ok(tracer)
    }

    /// The program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Takes the memory for so many lines now: where the memory of this machine is not there before
    /// it is touched, as in some virtual machines, that would hold the reader up later.
    pub fn make_room(&self, lines: usize) {
        /// About as long as a line of a storm.
        const LINE: usize = 1000;
        let mut state = self.process.stdout.state();
        let len = state.bytes.len();
        state.bytes.resize(len + lines * LINE, 0);
        state.bytes.truncate(len);
    }

    /// Waits for a line that `is` wanted, among those that came before as well.
    pub fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        if let Some(line) = self.seen.iter().find(|line| is(line)) {
            return Ok(line.clone());
        }
        let deadline = Instant::now() + DEADLINE;
        while let Some(line) = self.next_line(deadline)? {
            self.seen.push(line);
            if let Some(line) = self.seen.last().filter(|line| is(line)) {
                return Ok(line.clone());
            }
        }
        let tail: Vec<String> = self
            .seen
            .iter()
            .rev()
            .take(10)
            .map(Value::to_string)
            .collect();
        let ended = self.process.exited()?;
        bail!(
            "{} {} before {what} came.\nlast lines, newest first:\n{}\nstandard error:\n{}",
            self.process.name,
            ended.map_or("printed nothing more".to_owned(), |status| format!(
                "ended ({status})"
            )),
            tail.join("\n"),
            self.process.stderr()
        );
    }

    /// The next complete line; `None` at the end of the output or at the deadline.
    fn next_line(&mut self, deadline: Instant) -> Result<Option<Value>> {
        let stream = Arc::clone(&self.process.stdout);
        let mut state = stream.state();
        loop {
            let rest = &state.bytes[self.cursor..];
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = &rest[..length];
                self.cursor += length + 1;
                return serde_json::from_slice(line)
                    .map(Some)
                    .with_context(|| format!("parse {}", String::from_utf8_lossy(line)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return Ok(None);
            }
            state = stream
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Ends it by SIGINT and takes everything it printed.
    pub fn stop(self) -> Result<Run> {
        self.process.signal(Signal::INT)?;
        self.finish()
    }

    /// Waits for its end and takes everything it printed.
    pub fn finish(self) -> Result<Run> {
        self.process.finish()
    }
}

/// A program that has ended, and what it printed.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Fails unless it ended by itself with this code and without a panic.
    pub fn expect_code(&self, code: i32) -> Result<&Self> {
        ensure!(
            !self.stderr.contains("panicked"),
            "it panicked:\n{}",
            self.stderr
        );
        let tail: Vec<_> = self
            .text()?
            .lines()
            .rev()
            .take(3)
            .map(|line| line.chars().take(600).collect::<String>())
            .collect();
        ensure!(
            self.status.code() == Some(code),
            "expected exit code {code}, got {} (signal {:?})\nstandard error:\n{}\nlast lines:\n{}",
            self.status,
            self.status.signal(),
            self.stderr,
            tail.join("\n")
        );
        Ok(self)
    }

    /// Standard output as text.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.stdout).context("standard output is not UTF-8")
    }

    /// Every line as JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        self.text()?
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("parse {line}")))
            .collect()
    }

    /// How many runs of its programs the kernel did not make, as the `stop` line says.
    pub fn missed(&self) -> Result<u64> {
        let stop = self.only("stop")?;
        stop["missed"]
            .as_u64()
            .with_context(|| format!("no `missed` in {stop}"))
    }

    /// How many ends it found later that its programs had missed, as the `stop` line says.
    pub fn repaired(&self) -> Result<u64> {
        let stop = self.only("stop")?;
        stop["repaired"]["closed"]
            .as_u64()
            .with_context(|| format!("no `repaired` in {stop}"))
    }

    /// The only line whose `event` is `kind`, parsed.
    pub fn only(&self, kind: &str) -> Result<Value> {
        // A cheap test first: a storm prints a million lines.
        let marker = format!("\"event\":\"{kind}\"");
        let mut found = Vec::new();
        for line in self.text()?.lines().filter(|line| line.contains(&marker)) {
            let line: Value =
                serde_json::from_str(line).with_context(|| format!("parse {line}"))?;
            if line["event"] == kind {
                found.push(line);
            }
        }
        ensure!(
            found.len() == 1,
            "expected one `{kind}` line, got {}:\n{}",
            found.len(),
            self.stderr
        );
        found.pop().context("a line")
    }
}

/// A helper program of a test's own, told to go when the test is over.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
}

impl Helper {
    /// Takes over a child process.
    pub fn new(mut child: Child) -> Self {
        let input = child.stdin.take();
        Self { child, input }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if it is a pipe that nobody took yet.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard input, if it is a pipe.
    pub fn input(&mut self) -> Option<&mut ChildStdin> {
        self.input.as_mut()
    }

    /// Ends its standard input and waits for its success.
    pub fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        let child = &mut self.child;
        let status = wait::until("a helper process to end", || Ok(child.try_wait()?))?;
        ensure!(status.success(), "a helper process ended with {status}");
        Ok(())
    }

    /// Asks it to end by `signal`, and waits for that, however it ends.
    pub fn finish_by(mut self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process id")?, signal).context("send a signal")?;
        wait::until("it to end", || self.child.try_wait().context("wait for it"))?;
        Ok(())
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill a helper process")?;
        self.child.wait().context("wait for a helper process")?;
        Ok(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        end(&mut self.child);
    }
}
