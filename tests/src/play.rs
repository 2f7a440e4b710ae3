//! Short plays by processes that come and go: what an agent, which lives as long as its
//! test, cannot show.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Write as _},
    net::SocketAddr,
    os::{
        fd::{FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{ChildStdout, Command},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{
    netns::Netns,
    skip,
    tracer::{self, Helper},
    traffic::{self, fork, reap},
};

/// What is played. Every connection is dialled, and closed without a word.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scene {
    /// One process after the other dials, closes and is gone.
    Swarm {
        /// Whom.
        to: SocketAddr,
        /// How many processes.
        count: u32,
    },
    /// A process dials, its child inherits the connection, the parent closes its copy, the child
    /// becomes another program, and that closes the connection.
    Heir {
        /// Whom.
        to: SocketAddr,
        /// A copy of this program by another name.
        program: PathBuf,
    },
    /// What the heir becomes.
    Inherited {
        /// The connection.
        fd: RawFd,
    },
    /// A process dials, stays until it is told to go, and ends; then another one, of another
    /// program, gets its pid and does the same. Should somebody else have got the pid, it all
    /// begins again.
    Namesakes {
        /// Whom.
        to: SocketAddr,
        /// A copy of this program by another name.
        program: PathBuf,
    },
    /// A process dials, closes and is gone.
    Once {
        /// Whom.
        to: SocketAddr,
    },
    /// What the second one does.
    Stay {
        /// Whom it dials.
        to: SocketAddr,
    },
}

/// What a process did: dialled, or at least closed what another one had dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which process.
    pub pid: u32,
    /// This end of the connection.
    pub from: SocketAddr,
}

/// Plays to the end. Returns who did what, in order.
pub fn play(netns: &Netns, scene: &Scene) -> Result<Vec<Part>> {
    let mut command = traffic::command("play", scene)?;
    netns.enter(&mut command);
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    run.text()?.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Part> {
    serde_json::from_str(line).with_context(|| format!("parse {line}"))
}

/// A play whose processes stay until they are told to go.
#[derive(Debug)]
pub struct Stage {
    helper: Helper,
    output: BufReader<ChildStdout>,
}

impl Stage {
    /// Begins.
    pub fn begin(netns: &Netns, scene: &Scene) -> Result<Self> {
        let mut command = traffic::command("play", scene)?;
        netns.enter(&mut command);
        let mut helper = Helper::new(command.spawn().context("begin a play")?);
        let output = BufReader::new(helper.take_stdout().context("the play's output")?);
        Ok(Self { helper, output })
    }

    /// Waits for the next process to do its part.
    pub fn part(&mut self) -> Result<Part> {
        parse(&traffic::line(&mut self.output)?)
    }

    /// Tells the process to go.
    pub fn go(&mut self) -> Result<()> {
        let input = self.helper.input().context("the play's input")?;
        input.write_all(b"\n").context("tell a process to go")
    }

    /// Waits for the end.
    pub fn finish(self) -> Result<()> {
        self.helper.finish()
    }
}

/// Skips the test where a process cannot choose the pid of its child.
pub fn need_chosen_pids() -> Result<()> {
    // Process 1 is there, so this makes none.
    match clone_as(1).raw_os_error() {
        Some(libc::EEXIST) => Ok(()),
        _ => skip::skip("clone3 with a pid", clone_as(1)),
    }
}

/// The arguments of this program with which it plays `scene`.
pub fn arguments(scene: &Scene) -> Result<Vec<String>> {
    let command = traffic::command("play", scene)?;
    let arguments = command.get_args();
    Ok(arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect())
}

/// A copy of this program that is called `name`.
pub fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let copy = folder.join(name);
    std::fs::copy(std::env::current_exe()?, &copy).context("copy the test binary")?;
    Ok(copy)
}

// --- on the stage ---------------------------------------------------------------------------

pub(crate) fn run(scene: &Scene) -> Result<()> {
    match scene {
        Scene::Swarm { to, count } => {
            (0..*count).try_for_each(|_| reap(fork(|| tell(&dial(*to)?))?))
        }
        Scene::Heir { to, program } => heir(*to, program),
        Scene::Inherited { fd } => {
            // SAFETY: who said so has left it open for us alone.
            let socket = unsafe { Socket::from_raw_fd(*fd) };
            tell(&socket)
        }
        Scene::Namesakes { to, program } => namesakes(*to, program),
        Scene::Once { to } => dial(*to).map(drop),
        Scene::Stay { to } => stay(*to),
    }
}

fn dial(to: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.connect(&to.into()).context("dial")?;
    Ok(socket)
}

/// Says in a line that this process has the connection.
fn tell(socket: &Socket) -> Result<()> {
    let from = socket.local_addr()?.as_socket().context("an own end")?;
    let pid = std::process::id();
    println!("{}", serde_json::to_string(&Part { pid, from })?);
    Ok(())
}

/// `program`, to play `scene`.
fn become_program(program: &Path, scene: &Scene) -> Result<()> {
    let hidden = traffic::command("play", scene)?;
    let error = Command::new(program).args(hidden.get_args()).exec();
    Err(error).with_context(|| format!("become {}", program.display()))
}

fn heir(to: SocketAddr, program: &Path) -> Result<()> {
    let socket = dial(to)?;
    tell(&socket)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())
        .context("let the connection through exec")?;
    let (theirs, ours) = rustix::pipe::pipe().context("make a pipe")?;
    // The parent's copies of both go when `fork` returns there.
    let copies: (Socket, OwnedFd) = (socket, theirs);
    let child = fork(move || {
        let (socket, theirs) = copies;
        File::from(theirs)
            .read_exact(&mut [0])
            .context("wait for the parent to close")?;
        let fd = socket.into_raw_fd();
        become_program(program, &Scene::Inherited { fd })
    })?;
    rustix::io::write(&ours, b"g").context("tell the child")?;
    reap(child)
}

fn stay(to: SocketAddr) -> Result<()> {
    let socket = dial(to)?;
    tell(&socket)?;
    // Not through a buffer, which would take what is meant for the next process.
    rustix::io::read(rustix::stdio::stdin(), &mut [0]).context("wait to be told")?;
    Ok(())
}

fn namesakes(to: SocketAddr, program: &Path) -> Result<()> {
    loop {
        let first = fork(|| stay(to))?;
        reap(first)?;
        let pid = first.as_raw_nonzero().get();
        // SAFETY: a play has one thread, so the child's memory is whole; it goes on below.
        let error = match unsafe { clone3(pid) } {
            0 => {
                become_program(program, &Scene::Stay { to })?;
                unreachable!("exec() returns an error or not at all")
            }
            made if made > 0 => return reap(first),
            _ => io::Error::last_os_error(),
        };
        if error.raw_os_error() != Some(libc::EEXIST) {
            return Err(error).context("make a process of a chosen pid");
        }
    }
}

/// The error of a child that is to have a pid which is taken.
fn clone_as(taken: libc::pid_t) -> io::Error {
    // SAFETY: the pid is taken, so no child is made.
    match unsafe { clone3(taken) } {
        error if error < 0 => io::Error::last_os_error(),
        _ => io::Error::other("made a second process of one pid"),
    }
}

/// fork(), but the child gets that pid.
///
/// # Safety
///
/// As of fork(): where there are other threads, the child must do nothing that needs them.
unsafe fn clone3(pid: libc::pid_t) -> libc::c_long {
    // SAFETY: numbers and null pointers, for which all zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    args.set_tid = (&raw const pid) as u64;
    args.set_tid_size = 1;
    // SAFETY: the structure and the pid outlive the call, which reads as much as it is told.
    unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) }
}
