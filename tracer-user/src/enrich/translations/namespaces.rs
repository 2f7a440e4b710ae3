//! The network namespaces that are listened to: a socket in each.
//!
//! A socket stays in the namespace of the thread that opens it. So a thread of its own goes from
//! one to the next, as it is asked to, and hands the sockets over. It also looks which namespaces
//! still have processes, as a socket keeps its namespace alive.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    conntrack::{self, DATAGRAM, Heard},
    table::Table,
};

/// How many are listened to. Those that come later are not.
const CAPACITY: usize = 1024;
/// How many messages are read at a time from one socket.
const BATCH: usize = 4096;
/// How often it is looked whether the kernel translates addresses by now, where it did not.
const LOOK: Duration = Duration::from_secs(10);

/// How long the start may wait for the sockets.
const SETTLE: Duration = Duration::from_millis(100);

/// How often it is looked which namespaces are still in use.
const SWEEP: Duration = Duration::from_secs(30);

/// Listens to namespaces.
pub(super) struct Namespaces {
    proc_root: PathBuf,
    /// Whom to look for, and the sockets that come back; none where nothing translates addresses.
    opener: Option<Opener>,
    /// When it was last looked whether anything does.
    looked: Option<Instant>,
    /// Those that were asked for, by inode number.
    asked: HashSet<u32>,
    /// How many of these could not be had.
    refused: usize,
    sockets: HashMap<u32, OwnedFd>,
    room: Box<[u8; DATAGRAM]>,
}

struct Opener {
    requests: mpsc::Sender<(u32, PathBuf)>,
    answers: mpsc::Receiver<Answer>,
}

enum Answer {
    /// A socket in a namespace.
    Opened(u32, OwnedFd),
    /// There is none to be had in one that was asked for.
    Refused,
    /// The namespaces that processes are in.
    InUse(HashSet<u32>),
}

impl Namespaces {
    pub(super) fn new(proc_root: PathBuf) -> Self {
        let mut namespaces = Self {
            proc_root,
            opener: None,
            looked: None,
            asked: HashSet::new(),
            refused: 0,
            sockets: HashMap::new(),
            room: Box::new([0; DATAGRAM]),
        };
        namespaces.look();
        namespaces.settle();
        namespaces
    }

    /// Waits a moment for those that are there at the start: what is made from now on is theirs.
    fn settle(&mut self) {
        let limit = Instant::now() + SETTLE;
        let Some(opener) = &self.opener else { return };
        while self.sockets.len() + self.refused < self.asked.len() {
            let left = limit.saturating_duration_since(Instant::now());
            match opener.answers.recv_timeout(left) {
                Ok(Answer::Opened(netns, socket)) => drop(self.sockets.insert(netns, socket)),
                Ok(Answer::Refused) => self.refused += 1,
                Ok(Answer::InUse(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// Whether any namespace is, or is about to be.
    pub(super) fn are_watched(&self) -> bool {
        self.opener.is_some()
    }

    /// Listens to a namespace, which the process `pid` is in, if that is not done yet.
    pub(super) fn meet(&mut self, netns: u32, pid: Option<u32>) {
        if self.opener.is_none() && self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.look();
        }
        let Some(opener) = &self.opener else { return };
        let Some(pid) = pid else { return };
        if self.asked.len() >= CAPACITY || !self.asked.insert(netns) {
            return;
        }
        let path = self.proc_root.join(format!("{pid}/ns/net"));
        // The other end goes only with this one.
        let _ = opener.requests.send((netns, path));
    }

    /// Hears what was told, and keeps it in `table`.
    pub(super) fn poll(&mut self, table: &mut Table) {
        if let Some(opener) = &self.opener {
            for answer in opener.answers.try_iter() {
                match answer {
                    Answer::Opened(netns, socket) => drop(self.sockets.insert(netns, socket)),
                    Answer::Refused => self.refused += 1,
                    Answer::InUse(in_use) => {
                        self.sockets.retain(|netns, _| in_use.contains(netns));
                        self.asked.retain(|netns| in_use.contains(netns));
                    }
                }
            }
        }
        for (netns, socket) in &self.sockets {
            for _ in 0..BATCH {
                match conntrack::receive(socket, &mut self.room) {
                    Ok(Some(bytes)) => {
                        for heard in conntrack::read(bytes) {
                            match heard {
                                Heard::Is(ends, to) => table.put(*netns, ends, to),
                                Heard::IsNot(ends) => table.forget_in(*netns, &ends),
                            }
                        }
                    }
                    Ok(None) => break,
                    // Some had no room: what is still there is told again.
                    Err(error) => {
                        tracing::debug!(%error, netns, "tracked connections were missed");
                        let _ = conntrack::ask(socket);
                        break;
                    }
                }
            }
        }
    }

    /// Begins to listen, if the kernel translates addresses. Otherwise nobody must make it track
    /// connections, which costs each of them.
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        if !translates(Path::new("/sys/module"), &self.proc_root) {
            return;
        }
        let (requests, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let proc_root = self.proc_root.clone();
        // Not joined: it ends when nobody asks any more.
        thread::spawn(move || open_all(&asked, &answer, &proc_root));
        self.opener = Some(Opener { requests, answers });
        for (netns, pid) in in_use(&self.proc_root) {
            self.meet(netns, Some(pid));
        }
    }
}

/// Opens what is asked for, and now and then looks what is in use.
fn open_all(
    asked: &mpsc::Receiver<(u32, PathBuf)>,
    answer: &mpsc::Sender<Answer>,
    proc_root: &Path,
) {
    let mut swept = Instant::now();
    loop {
        let answered = match asked.recv_timeout(SWEEP.saturating_sub(swept.elapsed())) {
            Ok((netns, path)) => match open_in(netns, &path) {
                Ok(socket) => answer.send(Answer::Opened(netns, socket)),
                Err(error) => {
                    tracing::debug!(%error, netns, "translations of a namespace stay unknown");
                    answer.send(Answer::Refused)
                }
            },
            Err(mpsc::RecvTimeoutError::Timeout) => {
                swept = Instant::now();
                let in_use = in_use(proc_root).into_keys().collect();
                answer.send(Answer::InUse(in_use))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        if answered.is_err() {
            return;
        }
    }
}

/// The namespaces that processes are in, each with one of them.
fn in_use(proc_root: &Path) -> HashMap<u32, u32> {
    let entries = fs::read_dir(proc_root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let metadata = fs::metadata(entry.path().join("ns/net")).ok()?;
            Some((u32::try_from(metadata.ino()).ok()?, pid))
        })
        .collect()
}

/// Whether the kernel translates addresses of connections (`nf_nat`). What is built in shows no
/// module; then its counter of tracked connections does.
fn translates(modules: &Path, proc_root: &Path) -> bool {
    if modules.join("nf_conntrack/initstate").exists() {
        return modules.join("nf_nat").exists();
    }
    proc_root
        .join("sys/net/netfilter/nf_conntrack_count")
        .exists()
}

/// Opens a socket in the namespace at `path`, if that is `netns`: a process may be gone, and its
/// id another's.
fn open_in(netns: u32, path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    if file.metadata()?.ino() != u64::from(netns) {
        return Err(io::ErrorKind::NotFound.into());
    }
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    conntrack::open()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_not_tracked_for_our_sake() {
        let root = tempfile::tempdir().expect("a folder");
        let modules = root.path().join("module");
        assert!(!translates(&modules, root.path()));
        fs::create_dir_all(modules.join("nf_conntrack/initstate")).expect("folders");
        assert!(
            !translates(&modules, root.path()),
            "tracked, not translated"
        );
        fs::create_dir_all(modules.join("nf_nat")).expect("folders");
        assert!(translates(&modules, root.path()));
    }
}
