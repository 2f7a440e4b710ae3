//! Which network namespaces there are, and a listening socket in each: the work of a thread
//! of its own, as it changes its namespace and waits for the kernel.
//!
//! A namespace is found by the processes in it (`/proc/PID/ns/net`), by the files that keep
//! it (`/run/netns/...`, in `/proc/self/mountinfo`), or as somebody tells of a process whose
//! connection is of an unknown one. Whatever is in it, the socket is made inside; then the thread
//! returns to where it came from. When it is let go, `holds` decides; how many of one user's are listened
//! to, `shares`. Root's come first.
//!
//! **No module is loaded that the host does not use.** Joining the group of conntrack's events
//! loads `nf_conntrack_netlink`, and with it `nf_conntrack`. So as long as the latter is not
//! there, nothing is opened. Listening makes no namespace track connections: rules do that.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, Mode, OFlags, fstat, fstatfs, openat},
    process::{Resource, getrlimit},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    holds::{Shared, Sockets},
    message::Entry,
    now_ns,
    shares::{Owner, Shares},
    socket,
};

/// How many namespaces are listened to; fewer if that takes more than half of the descriptors
/// that this process may have: the rest of it needs some too.
const MAX_NAMESPACES: usize = 1024;
/// How many processes are looked at in one round.
const MAX_PROCESSES: usize = 262_144;
/// And how many threads of a process that was told of.
const MAX_THREADS: usize = 1024;
/// How many bytes of the list of mounts are read.
const MAX_MOUNTS_BYTES: usize = 4 << 20;
/// How often, at most, namespaces are searched for.
const ROUND: Duration = Duration::from_secs(5);
/// A round is followed by a pause so many times as long as it was: 1 % of a processor.
const PAUSE: u32 = 100;
/// What may wait for the thread, and for who reads what it reports.
const ASKS: usize = 64;
const REPORTS: usize = 64;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// The namespace of this number, in which this process has a socket.
    Look { netns: u32, pid: u32 },
    /// To read all that this namespace has: some events of it are lost.
    Dump { netns: u32 },
}

/// What it tells.
#[derive(Debug)]
pub(super) enum Report {
    /// A socket listens in this namespace.
    Opened { netns: u32, sockets: Arc<Sockets> },
    /// Conntrack that were there at `seen_ns`, nanoseconds since boot, or came later.
    Entries {
        netns: u32,
        seen_ns: u64,
        entries: Vec<Entry>,
    },
    /// Its table could not be read.
    Unread { netns: u32 },
    /// A round is over.
    Round(Outcome),
}

/// What cannot be listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The kernel does not track connections now.
    pub(super) is_unused: bool,
    /// Namespaces for which rights are missing.
    pub(super) denied: usize,
    /// Namespaces that tell of no new connections, as `net.netfilter.nf_conntrack_events` is 0.
    pub(super) silent: usize,
    /// Namespaces whose sockets failed otherwise.
    pub(super) failed: usize,
    /// Namespaces beyond the limit, or beyond the share of their users.
    pub(super) excess: usize,
    /// Dumps that failed, since the start.
    pub(super) failed_dumps: u64,
}

/// The thread, as seen from outside. It ends after this value is dropped.
#[derive(Debug)]
pub(super) struct Namespaces {
    asks: SyncSender<Ask>,
    reports: Receiver<Report>,
}

impl Namespaces {
    /// Starts the thread, which looks around in the /proc at `proc_root` and holds by `holds`.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(proc_root: PathBuf, holds: Arc<Shared>) -> io::Result<Self> {
        let (asks, asked) = sync_channel(ASKS);
        let (reporter, reports) = sync_channel(REPORTS);
        thread::Builder::new()
            .name("translations".to_owned())
            .spawn(move || {
                // It ends with who asks: there is nobody left to tell.
                let _ = Worker::new(proc_root, holds, reporter).run(&asked);
            })?;
        Ok(Self { asks, reports })
    }

    /// Asks, unless too much waits already; tells whether it did.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        match self.asks.try_send(ask) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// The next report, if there is one.
    pub(super) fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }
}

/// Nobody listens any more.
struct Left;

struct Worker {
    proc_root: PathBuf,
    reporter: SyncSender<Report>,
    /// Each namespace that is listened to.
    holds: Arc<Shared>,
    max: usize,
    failed_dumps: u64,
}

/// What came of an attempt to listen.
enum Opening {
    Opened,
    Silent,
    Denied,
    Failed,
    /// There is no such namespace any more.
    Gone,
}

impl Worker {
    fn new(proc_root: PathBuf, holds: Arc<Shared>, reporter: SyncSender<Report>) -> Self {
        Self {
            proc_root,
            reporter,
            holds,
            max: max_namespaces(),
            failed_dumps: 0,
        }
    }

    fn run(mut self, asked: &Receiver<Ask>) -> Result<(), Left> {
        let mut next_round = Instant::now();
        loop {
            let begun = Instant::now();
            if begun >= next_round {
                self.round()?;
                next_round = begun + ROUND.max(begun.elapsed() * PAUSE);
            }
            let wait = next_round.saturating_duration_since(Instant::now());
            match asked.recv_timeout(wait) {
                Ok(Ask::Look { netns, pid }) => self.look(netns, pid)?,
                Ok(Ask::Dump { netns }) => self.dump_again(netns)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Left),
            }
        }
    }

    fn report(&self, report: Report) -> Result<(), Left> {
        self.reporter.send(report).map_err(|_| Left)
    }

    /// Looks for all namespaces and listens to those that are new.
    fn round(&mut self) -> Result<(), Left> {
        let mut outcome = Outcome {
            is_unused: !is_in_use(),
            ..Outcome::default()
        };
        if !outcome.is_unused {
            // Also those that fail count: they cost as much.
            let mut shares = self.holds.shares();
            for (owner, netns, path) in self.find_new() {
                if !shares.has_place(owner, self.max) {
                    outcome.excess += 1;
                    continue;
                }
                shares.add(owner);
                match self.open(netns, &path, owner)? {
                    Opening::Opened | Opening::Gone => {}
                    Opening::Silent => outcome.silent += 1,
                    Opening::Denied => outcome.denied += 1,
                    Opening::Failed => outcome.failed += 1,
                }
            }
        }
        outcome.failed_dumps = self.failed_dumps;
        self.report(Report::Round(outcome))
    }

    /// Listens to a namespace that a process is said to be in.
    fn look(&mut self, netns: u32, pid: u32) -> Result<(), Left> {
        if self.holds.has(netns) || !self.holds.may(netns) || !is_in_use() {
            return Ok(());
        }
        let process = self.proc_root.join(pid.to_string());
        let mut path = process.join("ns/net");
        if number_at(&path) != Some(netns) {
            // Threads may have namespaces of their own.
            let threads = fs::read_dir(process.join("task")).into_iter().flatten();
            let found = threads
                .flatten()
                .take(MAX_THREADS)
                .map(|thread| thread.path().join("ns/net"))
                .find(|path| number_at(path) == Some(netns));
            let Some(found) = found else { return Ok(()) };
            path = found;
        }
        let Some(owner) = namespace_at(&path, netns).map(Owner::of_namespace) else {
            return Ok(());
        };
        if !self.holds.shares().has_place(owner, self.max) {
            return Ok(());
        }
        // The next round tells if it failed.
        self.open(netns, &path, owner).map(|_| ())
    }

    /// Those that are not held and may be, with whose they are: root's first, as nobody chooses how many users'
    /// are found before them.
    fn find_new(&self) -> Vec<(Owner, u32, PathBuf)> {
        let found = self.find().into_iter();
        let new = found.filter(|(netns, _)| !self.holds.has(*netns) && self.holds.may(*netns));
        let mut new: Vec<_> = new
            .filter_map(|(netns, path)| {
                let file = namespace_at(&path, netns)?;
                Some((Owner::of_namespace(file), netns, path))
            })
            .collect();
        new.sort_by_key(|(owner, ..)| *owner != Owner::Root);
        new
    }

    /// Listens to the namespace `netns` of `owner`, which `path` leads to, and reads what it has.
    fn open(&mut self, netns: u32, path: &Path, owner: Owner) -> Result<Opening, Left> {
        let Some(file) = namespace_at(path, netns) else {
            return Ok(Opening::Gone);
        };
        let mut is_empty = false;
        let made = inside(file, || {
            let is_silent = setting("nf_conntrack_events") == Some(0);
            is_empty = setting("nf_conntrack_count") == Some(0);
            // First listen, then read what there is: so nothing is missed between.
            let socket = socket::listen()?;
            let asker = (!is_empty).then(socket::asker).transpose()?;
            Ok((socket, asker, is_silent))
        });
        let (socket, asker, is_silent) = match made {
            Ok(made) => made,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Opening::Denied);
            }
            Err(error) => {
                tracing::debug!(%error, netns, "cannot listen to conntrack");
                return Ok(Opening::Failed);
            }
        };
        let sockets = self.holds.hold(netns, socket, owner);
        if let Some(asker) = asker {
            sockets.begin_dump(asker);
        }
        self.report(Report::Opened {
            netns,
            sockets: Arc::clone(&sockets),
        })?;
        if !is_empty {
            self.dump(netns, &sockets)?;
        }
        Ok(if is_silent {
            Opening::Silent
        } else {
            Opening::Opened
        })
    }

    fn dump_again(&mut self, netns: u32) -> Result<(), Left> {
        let Some(sockets) = self.holds.get(netns) else {
            return Ok(());
        };
        let listener = sockets.listener();
        // By the socket that is there: what the namespace was found by may be gone.
        let Some(file) = listener.as_ref().map(socket::namespace) else {
            return Ok(());
        };
        drop(listener);
        match file.and_then(|file| inside(file, socket::asker)) {
            Ok(asker) => {
                sockets.begin_dump(asker);
                self.dump(netns, &sockets)
            }
            Err(error) => self.unread(netns, &error),
        }
    }

    /// Reads what is there by the socket that is ready for it, and closes that.
    fn dump(&mut self, netns: u32, sockets: &Sockets) -> Result<(), Left> {
        let seen_ns = now_ns();
        let mut left = Ok(());
        let result = socket::dump(sockets, |entries| {
            left = self.report(Report::Entries {
                netns,
                seen_ns,
                entries,
            });
            left.is_ok()
        });
        sockets.end_dump();
        left?;
        match result {
            Err(error) if !sockets.is_over() => self.unread(netns, &error),
            _ => Ok(()),
        }
    }

    fn unread(&mut self, netns: u32, error: &io::Error) -> Result<(), Left> {
        tracing::debug!(%error, netns, "cannot read the conntrack table");
        self.failed_dumps += 1;
        self.report(Report::Unread { netns })
    }

    /// All namespaces that can be found, each with a file that leads to it.
    fn find(&self) -> HashMap<u32, PathBuf> {
        let mut found = HashMap::new();
        let processes = fs::read_dir(&self.proc_root)
            .into_iter()
            .flatten()
            .flatten();
        let is_pid = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
        for process in processes
            .filter(|entry| is_pid(&entry.file_name()))
            .take(MAX_PROCESSES)
        {
            let path = process.path().join("ns/net");
            if let Some(netns) = number_at(&path) {
                found.entry(netns).or_insert(path);
            }
        }
        let mounts = read_bounded(&self.proc_root.join("self/mountinfo"));
        for line in mounts.split(|byte| *byte == b'\n') {
            if let Some((netns, path)) = kept_by(line) {
                found.entry(netns).or_insert(path);
            }
        }
        found
    }
}

/// The file at `path` if it is the network namespace `netns`. Whatever else is there now is not
/// opened: a device would notice, a pipe would wait.
fn namespace_at(path: &Path, netns: u32) -> Option<OwnedFd> {
    let there = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    if number(fstat(&there).ok()?.st_ino) != Some(netns)
        || !is_namespace(fstatfs(&there).ok()?.f_type)
    {
        return None;
    }
    let again = Path::new("/proc/self/fd").join(there.as_raw_fd().to_string());
    openat(CWD, again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Whether a file system of this kind has the files of namespaces.
fn is_namespace(kind: rustix::fs::FsWord) -> bool {
    /// `NSFS_MAGIC` of the kernel's `include/uapi/linux/magic.h`.
    const NSFS: rustix::fs::FsWord = 0x6e73_6673;
    kind == NSFS
}

/// Runs `work` in the network namespace of `file` on the calling thread, and returns to its
/// own.
fn inside<T>(file: OwnedFd, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let kind = Some(LinkNameSpaceType::Network);
    let own = fs::File::open("/proc/thread-self/ns/net")?;
    // To enter the own one takes rights too, which this may not have and does not need.
    if own.metadata()?.ino() == fstat(&file)?.st_ino {
        return work();
    }
    move_into_link_name_space(file.as_fd(), kind)?;
    // It keeps the mount through which it was found.
    drop(file);
    let result = work();
    if let Err(error) = move_into_link_name_space(own.as_fd(), kind) {
        // It goes wherever it is told to by a file, so it can go on; but it keeps this one.
        tracing::debug!(%error, "cannot return from a network namespace");
    }
    result
}

/// Why so many are left out, and what helps.
pub(in crate::enrich::translations) fn too_many(excess: usize) -> String {
    let max = max_namespaces();
    let help = match max < MAX_NAMESPACES {
        true => {
            ": that is half of the files that it may open; raise the hard limit (`ulimit -Hn`, `LimitNOFILE=` of \
             systemd)"
        }
        false => "",
    };
    let (of_users, of_one) = Shares::of(max);
    format!(
        "{excess} network namespaces are left out, as tracer listens to {max} at most, to {of_users} of users and \
         to {of_one} of one user{help}"
    )
}

fn max_namespaces() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit
        .and_then(|limit| usize::try_from(limit / 2).ok())
        .map_or(MAX_NAMESPACES, |half| half.min(MAX_NAMESPACES))
}

/// Whether the kernel tracks connections, built in or by a module that somebody loaded.
fn is_in_use() -> bool {
    Path::new("/sys/module/nf_conntrack").exists()
        || Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists()
}

/// One of the `net.netfilter` settings of the calling thread's namespace, if it shows it: one
/// of another user namespace does not.
fn setting(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc/sys/net/netfilter").join(name)).ok()?;
    text.trim().parse().ok()
}

/// Number of the namespace that a link of /proc leads to, `net:[NUMBER]`. Reading it opens nothing.
pub(super) fn number_at(path: &Path) -> Option<u32> {
    number_in(fs::read_link(path).ok()?.to_str()?)
}

/// The number in `net:[NUMBER]`.
fn number_in(text: &str) -> Option<u32> {
    let netns = text.strip_prefix("net:[")?.strip_suffix(']')?;
    netns.parse().ok()
}

/// As in [`crate::model::Connection::netns`].
fn number(inode: u64) -> Option<u32> {
    u32::try_from(inode).ok()
}

/// The network namespace that a line of mountinfo keeps, and where. Such a line is
/// `ID PARENT MAJOR:MINOR net:[NUMBER] PATH OPTIONS - nsfs nsfs rw`.
fn kept_by(line: &[u8]) -> Option<(u32, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(3);
    let netns = number_in(str::from_utf8(fields.next()?).ok()?)?;
    let path = unescape(fields.next()?);
    Some((netns, OsStr::from_bytes(&path).into()))
}

/// Undoes `\040` and the like: the kernel escapes so what would end a field.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn read_bounded(path: &Path) -> Vec<u8> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_MOUNTS_BYTES).unwrap_or(u64::MAX);
    if let Ok(file) = fs::File::open(path) {
        // What was read until an error counts.
        let _ = file.take(limit).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests;
