//! Short plays by processes that come and go: what an agent, which lives as long as its
//! test, cannot show.

use std::{
    ffi::CString,
    fs::File,
    io::{self, BufReader, Read as _, Write as _},
    net::SocketAddr,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{ChildStdout, Command},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{
    netns::Netns,
    skip,
    tracer::{self, Helper},
    traffic::{self, fork, reap},
    unanswered,
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
    /// A process dials and becomes another program, which closes the connection.
    Becomes {
        /// Whom.
        to: SocketAddr,
        /// A copy of this program.
        program: PathBuf,
    },
    /// One process after the other runs a program that plays [`Scene::Renamed`].
    Renamers {
        /// Whom they dial.
        to: SocketAddr,
        /// A copy of this program by another name.
        program: PathBuf,
        /// How many processes.
        count: u32,
    },
    /// A process takes one name after the other, and dials and closes by each; so does its child,
    /// which runs the same program; then both are gone.
    Renamed {
        /// Whom.
        to: SocketAddr,
    },
    /// One process after the other runs a program, each in another way, dials and stays until it is
    /// told to go.
    Launches {
        /// Whom they dial.
        to: SocketAddr,
        /// A copy of this program.
        program: PathBuf,
        /// In which ways.
        ways: Vec<Launch>,
    },
    /// A process dials, closes and is gone.
    Once {
        /// Whom.
        to: SocketAddr,
    },
    /// A process becomes another program, which plays [`Scene::Rewrites`].
    Rewriter {
        /// Whom it dials.
        to: SocketAddr,
        /// A copy of this program.
        program: PathBuf,
    },
    /// A process writes other arguments over its own, and dials.
    Rewrites {
        /// Whom.
        to: SocketAddr,
    },
    /// A process dials, and locks its memory until it is killed: see [`unanswered`].
    Locks {
        /// Whom it dials.
        to: SocketAddr,
        /// Where it can make a folder.
        place: PathBuf,
    },
    /// A process becomes another program, which plays [`Scene::Locks`].
    Locker {
        /// Whom it dials.
        to: SocketAddr,
        /// Where it can make a folder.
        place: PathBuf,
        /// A copy of this program.
        program: PathBuf,
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

/// A way to run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launch {
    /// By its path.
    Path,
    /// By a path that is not absolute, and goes up and down.
    Relative,
    /// By a symbolic link.
    Link,
    /// By a script whose interpreter it is.
    Script,
    /// By the descriptor of a file that has no place.
    Memory,
    /// By a link to a descriptor.
    Descriptor,
    /// By posix_spawn(), which shares the memory of the parent until then.
    Spawn,
    /// By a thread that is not the first.
    Thread,
    /// In a root folder of its own.
    Root,
    /// Where its folder is mounted once more, in a mount namespace of its own.
    Mounted,
    /// By the descriptor of a file that was removed.
    Removed,
    /// By names as long as names can be, in as many folders as fit into a path that is told.
    Long,
    /// In so many folders that their path is not told.
    Deep,
}

impl Launch {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Path,
        Self::Relative,
        Self::Link,
        Self::Script,
        Self::Memory,
        Self::Descriptor,
        Self::Spawn,
        Self::Thread,
        Self::Root,
        Self::Mounted,
        Self::Removed,
        Self::Long,
        Self::Deep,
    ];
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
        Scene::Becomes { to, program } => becomes(*to, program),
        Scene::Renamers { to, program, count } => renamers(*to, program, *count),
        Scene::Renamed { to } => renamed(*to),
        Scene::Launches { to, program, ways } => {
            ways.iter().try_for_each(|way| launch(*to, program, *way))
        }
        Scene::Once { to } => dial(*to).map(drop),
        Scene::Rewriter { to, program } => become_program(program, &Scene::Rewrites { to: *to }),
        Scene::Rewrites { to } => {
            rewrite_arguments()?;
            tell(&dial(*to)?)
        }
        Scene::Locks { to, place } => {
            let socket = dial(*to)?;
            tell(&socket)?;
            unanswered::lock_memory(place)
        }
        Scene::Locker { to, place, program } => {
            let (to, place) = (*to, place.clone());
            become_program(program, &Scene::Locks { to, place })
        }
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

fn becomes(to: SocketAddr, program: &Path) -> Result<()> {
    let socket = dial(to)?;
    tell(&socket)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())
        .context("let the connection through exec")?;
    let fd = socket.into_raw_fd();
    become_program(program, &Scene::Inherited { fd })
}

fn renamers(to: SocketAddr, program: &Path, count: u32) -> Result<()> {
    let scene = Scene::Renamed { to };
    for number in 0..count {
        if number % 2 == 0 {
            reap(fork(|| become_program(program, &scene))?)?;
        } else {
            run_program(program, &scene)?;
        }
    }
    Ok(())
}

fn renamed(to: SocketAddr) -> Result<()> {
    const NAMES: [&[u8]; 4] = [b"worker 1", b"", b"fifteen letters", b"\xff\\(\n"];
    let all = || {
        NAMES.iter().try_for_each(|name| {
            rename(name)?;
            tell(&dial(to)?)
        })
    };
    all()?;
    reap(fork(all)?)
}

fn rename(name: &[u8]) -> Result<()> {
    let name = CString::new(name)?;
    rustix::thread::set_name(&name).context("take another name")
}

/// What [`Scene::Rewrites`] says that its arguments are.
pub const REWRITTEN: &str = "somebody-else";

/// Where the kernel has them is in `/proc/self/stat`, and anybody may write there.
fn rewrite_arguments() -> Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read the own state")?;
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    // The third field comes first here.
    let field = |number: usize| -> Result<usize> {
        let field = rest.split(' ').nth(number - 3).context("a field")?;
        field.parse().context("an address")
    };
    let (from, to) = (field(48)?, field(49)?);
    let mut new = REWRITTEN.as_bytes().to_vec();
    ensure!(
        to - from > new.len(),
        "there is no room for other arguments"
    );
    new.resize(to - from, 0);
    // SAFETY: the arguments are there, as long, on the stack of the first thread, and nobody reads them
    // any more.
    unsafe { std::ptr::copy_nonoverlapping(new.as_ptr(), from as *mut u8, new.len()) };
    let now = std::fs::read("/proc/self/cmdline").context("read the own arguments")?;
    ensure!(now.starts_with(REWRITTEN.as_bytes()), "they are the same");
    Ok(())
}

/// Runs `program`, to play `scene`, by what the standard library takes to run programs.
fn run_program(program: &Path, scene: &Scene) -> Result<()> {
    let hidden = traffic::command("play", scene)?;
    let status = Command::new(program).args(hidden.get_args()).status()?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.display()
    );
    Ok(())
}

/// Runs `program` in a child, which stays, and waits for it.
fn launch(to: SocketAddr, program: &Path, way: Launch) -> Result<()> {
    let scene = Scene::Stay { to };
    let folder = program.parent().context("a folder")?;
    let own_mounts = || -> Result<()> {
        // SAFETY: a number; a play has one thread.
        let made = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
        ensure!(made, "a mount namespace: {}", io::Error::last_os_error());
        use rustix::mount::{MountPropagationFlags, mount_change};
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).context("keep mounts to itself")
    };
    // The folder is the test's, which removes it.
    let copy_to = |path: &Path| -> Result<PathBuf> {
        std::fs::copy(program, path).context("copy the program")?;
        Ok(path.to_owned())
    };
    let within = |name: String, times: usize| -> Result<PathBuf> {
        // Longer than a path may be for a system call, so step by step.
        std::env::set_current_dir(folder)?;
        for _ in 0..times {
            std::fs::create_dir(&name).context("make a folder")?;
            std::env::set_current_dir(&name)?;
        }
        copy_to(&Path::new(".").join(&name))
    };
    let child = fork(|| match way {
        Launch::Path => become_program(program, &scene),
        Launch::Relative => {
            std::env::set_current_dir(folder)?;
            std::fs::create_dir("aside").context("make a folder")?;
            let file = Path::new(program.file_name().context("a name")?);
            become_program(&Path::new("aside/..").join(file), &scene)
        }
        Launch::Link => {
            let link = folder.join("link");
            std::os::unix::fs::symlink(program, &link).context("make a link")?;
            become_program(&link, &scene)
        }
        Launch::Script => {
            let script = folder.join("play");
            let text = format!("#!{} {}\n", program.display(), traffic::MARK);
            std::fs::write(&script, text).context("write a script")?;
            std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            let error = Command::new(script)
                .arg(serde_json::to_string(&scene)?)
                .exec();
            Err(error).context("run a script")
        }
        Launch::Memory | Launch::Descriptor => {
            // Left open for the program.
            let file = if way == Launch::Memory {
                let file = rustix::fs::memfd_create("a program", rustix::fs::MemfdFlags::empty())?;
                io::copy(
                    &mut File::open(program)?,
                    &mut File::from(file.try_clone()?),
                )?;
                file
            } else {
                let file = OwnedFd::from(File::open(program)?);
                rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
                file
            };
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            become_program(Path::new(&link), &scene)
        }
        Launch::Spawn => run_program(program, &scene),
        Launch::Thread => std::thread::scope(|scope| {
            let thread = scope.spawn(|| become_program(program, &scene));
            thread.join().map_err(|_| anyhow::anyhow!("a thread"))?
        }),
        Launch::Root => {
            let file = Path::new(program.file_name().context("a name")?);
            let hidden = traffic::command("play", &scene)?;
            std::os::unix::fs::chroot(folder).context("take another root")?;
            std::env::set_current_dir("/")?;
            let error = Command::new(Path::new("/").join(file))
                .args(hidden.get_args())
                .exec();
            Err(error).context("run a program in another root")
        }
        Launch::Mounted => {
            let other = folder.join("mounted once more");
            std::fs::create_dir(&other).context("make a folder")?;
            own_mounts()?;
            rustix::mount::mount_bind(folder, &other).context("mount it once more")?;
            become_program(&other.join(program.file_name().context("a name")?), &scene)
        }
        Launch::Removed => {
            let copy = copy_to(&folder.join("removed"))?;
            let file = File::open(&copy)?;
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
            std::fs::remove_file(&copy).context("remove the program")?;
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            become_program(Path::new(&link), &scene)
        }
        Launch::Long => become_program(&within("l".repeat(255), 5)?, &scene),
        Launch::Deep => become_program(&within("d".repeat(200), 15)?, &scene),
    })?;
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
