//! What runs beside the storm.

use std::{
    ffi::CStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::{
    bpf, expect,
    ledger::End,
    tracer::{self, Run},
    wait,
};

/// One thing to measure, in turn with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// Nothing at all: what the others are compared with.
    Nothing,
    /// An empty program at each of these raw tracepoints: what it costs to be there at all.
    Empty(&'static str, &'static [&'static CStr]),
    /// `tracer stream`, with these arguments.
    Tracer(&'static str, &'static [&'static str]),
    /// `tracer map`: everything is counted, and no line is printed for an event.
    Map,
    /// Another tool.
    Peer(&'static str),
}

/// All of them.
pub(crate) const ARMS: [Arm; 11] = [
    Arm::Nothing,
    // All tools need this one.
    Arm::Empty("empty", &[c"inet_sock_set_state"]),
    // What would have to be seen to learn more where no function can be hooked: every packet, for
    // names; the return of every system call, for what connect() gives.
    Arm::Empty("packets", &[c"net_dev_queue", c"netif_receive_skb"]),
    Arm::Empty("calls", &[c"sys_exit"]),
    Arm::Map,
    Arm::Tracer("count", &["-o", "json", "--event", "listen,unlisten"]),
    Arm::Tracer("close", &["-o", "json", "--event", "close"]),
    Arm::Tracer("json", &["-o", "json"]),
    Arm::Tracer("text", &["-o", "text"]),
    Arm::Peer("tcplife"),
    Arm::Peer("tcpstates"),
];

/// How long to wait for what has no way to say that it is ready.
const SETTLE: Duration = Duration::from_millis(1500);

impl Arm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Map => "map",
            Self::Empty(name, _) | Self::Tracer(name, _) | Self::Peer(name) => name,
        }
    }

    /// What it is, for people.
    pub(crate) fn what(self) -> String {
        match self {
            Self::Nothing => "nothing attached".to_owned(),
            Self::Empty(_, at) => {
                let at: Vec<_> = at.iter().map(|it| it.to_string_lossy()).collect();
                format!("an empty program at {}", at.join(" and "))
            }
            Self::Map => "tracer map -o json".to_owned(),
            Self::Tracer(_, args) => format!("tracer stream {}", args.join(" ")),
            Self::Peer(name) => name.to_owned(),
        }
    }

    /// Why it cannot run here.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Peer(name) if program(name).is_none() => {
                Some(format!("{name} is not installed (Debian: libbpf-tools)"))
            }
            _ => None,
        }
    }

    /// Whether it is tracer in one way or another.
    pub(crate) fn is_tracer(self) -> bool {
        matches!(self, Self::Map | Self::Tracer(..))
    }

    /// Starts it, its output into a file of `folder`; if it is tracer, then that at `tracer`, if
    /// that is given, in place of the one under test.
    pub(crate) fn start(self, folder: &Path, tracer: Option<&Path>) -> Result<Running> {
        let file = folder.join(self.name());
        let output = File::create(&file).with_context(|| format!("make {}", file.display()))?;
        let mut command = match self {
            Self::Nothing => return Ok(Running::Nothing),
            Self::Empty(_, at) => return Ok(Running::Empty(bpf::Empty::attach(at)?)),
            Self::Map => tracer::live_command("map", &["-o", "json"])?,
            Self::Tracer(_, args) => tracer::stream_command(args)?,
            Self::Peer(name) => Command::new(program(name).context("the program")?),
        };
        if let Some(tracer) = tracer.filter(|_| self.is_tracer()) {
            let mut other = Command::new(tracer);
            other.args(command.get_args());
            command = other;
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let running = Running::Program {
            arm: self,
            child: Kept(child),
            file,
        };
        match self {
            Self::Tracer(..) => running.wait_for_output()?,
            _ => std::thread::sleep(SETTLE),
        }
        Ok(running)
    }
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

/// An arm that is under way.
#[derive(Debug)]
pub(crate) enum Running {
    Nothing,
    #[expect(dead_code, reason = "dropping it detaches the program")]
    Empty(bpf::Empty),
    Program {
        arm: Arm,
        child: Kept,
        file: PathBuf,
    },
}

/// A program that does not outlive the benchmark, however that ends.
#[derive(Debug)]
pub(crate) struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Nothing happens to one that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn wait_for_output(&self) -> Result<()> {
        let Self::Program { file, .. } = self else {
            return Ok(());
        };
        wait::until("the first line", || {
            let size = std::fs::metadata(file).context("stat the output")?.len();
            Ok((size > 0).then_some(()))
        })
    }

    /// Ends it, and holds what it told against what happened, by a server at `port`.
    pub(crate) fn stop(self, ends: &[End], port: u16) -> Result<()> {
        let Self::Program {
            arm,
            mut child,
            file,
        } = self
        else {
            return Ok(());
        };
        let pid = i32::try_from(child.0.id()).ok().and_then(Pid::from_raw);
        if let Some(status) = child.0.try_wait().context("ask for the arm")? {
            bail!("`{}` ended by itself: {status}", arm.name());
        }
        kill_process(pid.context("a process id")?, Signal::INT).context("end the arm")?;
        let status = child.0.wait().context("wait for the arm to end")?;
        let run = Run {
            status,
            stdout: std::fs::read(&file).with_context(|| format!("read {}", file.display()))?,
            stderr: String::new(),
        };
        match arm {
            Arm::Nothing | Arm::Empty(..) => Ok(()),
            Arm::Tracer("text", _) => run.expect_code(0).map(drop),
            Arm::Tracer(name, _) => {
                run.expect_code(0)?;
                score(name, &run, ends).with_context(|| format!("what `{name}` told is wrong"))
            }
            Arm::Map => {
                run.expect_code(0)?;
                expect::whole_map(run.text()?, port, ends.len() as u64 / 2)
                    .context("what `map` told is wrong")
            }
            Arm::Peer(name) => {
                // It need not be right, but it must have done its work.
                let (lines, count) = (run.text()?.lines().count(), ends.len() / 2);
                ensure!(
                    lines >= count,
                    "`{name}` printed {lines} lines of {count} connections"
                );
                Ok(())
            }
        }
    }
}

/// Everything seen but what the kernel skipped, nothing lost, and what is printed is true.
fn score(name: &str, run: &Run, ends: &[End]) -> Result<()> {
    let totals = expect::sums_of_those_told(run.text()?.lines())?;
    let missed = run.missed()?;
    for (kind, counts) in &totals {
        ensure!(counts.lost() == 0, "{kind}: lost {counts:?}");
    }
    for (kind, count) in [
        ("connect", ends.len() / 2),
        ("accept", ends.len() / 2),
        ("close", ends.len()),
    ] {
        // Others may use the network meanwhile.
        if totals[kind].seen + missed < count as u64 {
            bail!(
                "{kind}: {count} happened, at most {missed} were missed, seen {:?}",
                totals[kind]
            );
        }
    }
    match name {
        "json" => expect::score(ends, run.text()?.lines())?.verdict(missed),
        "close" => {
            let lines = run.text()?.lines();
            let closes = lines
                .filter(|line| line.contains("\"event\":\"close\""))
                .count();
            ensure!(
                closes as u64 + missed >= ends.len() as u64,
                "{closes} lines of {} ends",
                ends.len()
            );
            Ok(())
        }
        _ => Ok(()),
    }
}
