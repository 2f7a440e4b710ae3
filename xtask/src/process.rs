//! Other programs: where they are, how they end with us, and how their output is
//! read line by line against a deadline.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(10);

/// Where `program` is, looking also where administrators' programs are.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets `command` be killed when the thread that starts it ends, however that happens.
pub(crate) fn die_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only one system call is made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            Ok(rustix::process::set_parent_process_death_signal(Some(
                Signal::KILL,
            ))?)
        })
    }
}

/// Runs `command` with its output on ours, and fails if it does.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = die_with_us(command)
        .status()
        .with_context(|| format!("start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", name(command));
    }
    Ok(())
}

/// What `command` prints, if it succeeds; what it complains about, if not.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = die_with_us(command)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", name(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", name(command), errors.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("read the output of {}", name(command)))
}

/// How a watched program ended.
pub(crate) enum Ending {
    /// By itself, or because it was told to after it had said enough.
    Exited(ExitStatus),
    /// We ended it, at the deadline.
    Late,
}

/// Runs `command`, hands every line that it prints (on either output) to `line`
/// as it comes, and ends it at `limit`, or soon after `line` says to break.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Ending> {
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("share a pipe")?)
        .stderr(writer);
    let mut child = die_with_us(command)
        .spawn()
        .with_context(|| format!("start {}", name(command)))?;
    // Our copies of the writing end must go, or the reading end would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            if sender
                .send(String::from_utf8_lossy(&bytes).trim_end().to_owned())
                .is_err()
            {
                break;
            }
            bytes.clear();
        }
    });

    let mut deadline = Instant::now() + limit;
    let mut enough = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left.min(Duration::from_millis(500))) {
            Ok(text) => {
                if line(&text).is_break() && !enough {
                    enough = true;
                    deadline = deadline.min(Instant::now() + GRACE);
                }
            }
            // A program left behind may hold the pipe: the child's end is what counts.
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait().context("wait for a program")? {
                    return Ok(Ending::Exited(status));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                if let Some(status) = wait_until(&mut child, deadline)? {
                    return Ok(Ending::Exited(status));
                }
            }
        }
        if Instant::now() >= deadline {
            let status = end(&mut child)?;
            return Ok(if enough {
                Ending::Exited(status)
            } else {
                Ending::Late
            });
        }
    }
}

/// Asks `child` to end, and makes it end if it does not.
fn end(child: &mut Child) -> Result<ExitStatus> {
    if let Ok(id) = i32::try_from(child.id())
        && let Some(pid) = Pid::from_raw(id)
    {
        // It may have ended meanwhile, and one that ran as another user cannot be killed, but asked.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    if let Some(status) = wait_until(child, Instant::now() + GRACE)? {
        return Ok(status);
    }
    child.kill().context("kill a program that does not end")?;
    child.wait().context("wait for a killed program")
}

fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("wait for a program")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_outputs_arrive_and_the_status_is_kept() {
        let mut seen = Vec::new();
        let ending = watch(
            &mut shell("echo out; echo err >&2; exit 3"),
            GRACE,
            |line| {
                seen.push(line.to_owned());
                ControlFlow::Continue(())
            },
        );
        assert_eq!(seen, ["out", "err"]);
        assert!(matches!(ending, Ok(Ending::Exited(status)) if status.code() == Some(3)));
    }

    #[test]
    fn a_program_that_says_nothing_is_ended_at_the_deadline() {
        let begun = Instant::now();
        let limit = Duration::from_millis(100);
        let ending = watch(&mut shell("exec sleep 60"), limit, |_| {
            ControlFlow::Continue(())
        });
        assert!(matches!(ending, Ok(Ending::Late)));
        assert!(begun.elapsed() < GRACE);
    }
}
