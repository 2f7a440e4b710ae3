//! What name servers call an address, where the user has us ask them.
//!
//! A thread of its own asks, so that no event waits: what is answered is in later lines, such as
//! the `close`. Each address is asked for once in a while, whatever the answer.

use std::{
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::message::{self, Pointer};

/// How many addresses are remembered; those that were not asked for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Addresses that may wait for the thread. What does not fit is asked later.
const QUEUE: usize = 256;
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is believed, and that there is no name; and after how long it is tried again
/// where no server answered.
const NAMED: Duration = Duration::from_secs(3600);
const NAMELESS: Duration = Duration::from_secs(600);
const SILENT: Duration = Duration::from_secs(60);
/// How much of `/etc/resolv.conf` is read, and how many servers are taken from it, as resolvers do.
const MAX_BYTES: u64 = 64 << 10;
const MAX_SERVERS: usize = 3;
/// Port of name servers.
const DOMAIN: u16 = 53;
/// Bytes of an answer that are read; no server sends more to who does not say that it may.
const MAX_ANSWER: usize = 4096;

/// Asks name servers.
#[derive(Debug)]
pub struct Reverse {
    questions: SyncSender<IpAddr>,
    answers: Receiver<(IpAddr, Outcome)>,
    known: LruCache<IpAddr, Known>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Named(Arc<str>),
    Nameless,
    Silent,
}

#[derive(Debug)]
struct Known {
    name: Option<Arc<str>>,
    /// When to ask again; none while an answer is awaited.
    until: Option<Instant>,
}

impl Reverse {
    /// Asks the name servers of the file at `path`, in the form of `/etc/resolv.conf`; without any
    /// in it that of this host, as resolvers do. The thread ends after this value, within seconds.
    ///
    /// # Errors
    /// If the file cannot be read, or there can be no more threads.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_BYTES)
            .read_to_end(&mut text)?;
        Self::of(servers(&String::from_utf8_lossy(&text)))
    }

    fn of(servers: Vec<SocketAddr>) -> io::Result<Self> {
        let (questions, asked) = sync_channel(QUEUE);
        let (answer, answers) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("reverse".to_owned())
            .spawn(move || {
                while let Ok(address) = asked.recv() {
                    // Waits while nobody takes answers, and ends when nobody ever will.
                    if answer.send((address, look_up(&servers, address))).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            questions,
            answers,
            known: LruCache::new(CAPACITY),
        })
    }

    /// What `address` is called, as far as that is known yet; else it is asked for. Never waits.
    pub(super) fn name(&mut self, address: IpAddr) -> Option<&Arc<str>> {
        let now = Instant::now();
        self.hear(now);
        let known = self.known.get_or_insert_mut(address, || Known {
            name: None,
            until: Some(now),
        });
        if known.until.is_some_and(|until| until <= now) && self.questions.try_send(address).is_ok()
        {
            known.until = None;
        }
        known.name.as_ref()
    }

    fn hear(&mut self, now: Instant) {
        while let Ok((address, outcome)) = self.answers.try_recv() {
            // It may have been forgotten meanwhile.
            let Some(known) = self.known.peek_mut(&address) else {
                continue;
            };
            let wait = match outcome {
                Outcome::Named(name) => {
                    known.name = Some(name);
                    NAMED
                }
                Outcome::Nameless => {
                    known.name = None;
                    NAMELESS
                }
                // What is known stays.
                Outcome::Silent => SILENT,
            };
            known.until = Some(now + wait);
        }
    }
}

/// The servers of a file such as `/etc/resolv.conf`.
fn servers(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            let address: IpAddr = words.next()?.parse().ok()?;
            Some(SocketAddr::new(address, DOMAIN))
        })
        .take(MAX_SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, DOMAIN).into());
    }
    servers
}

/// Asks one server after the other.
fn look_up(servers: &[SocketAddr], address: IpAddr) -> Outcome {
    servers
        .iter()
        .filter_map(|server| ask(*server, address).ok().flatten())
        .next()
        .unwrap_or(Outcome::Silent)
}

/// Asks one; none if it says nothing of it.
fn ask(server: SocketAddr, address: IpAddr) -> io::Result<Option<Outcome>> {
    // Both are hard to guess: the number, and the port that the kernel chooses.
    let id = RandomState::new().hash_one(address) as u16;
    let Some(question) = message::ask_for_name(id, address) else {
        return Ok(None);
    };
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(&question)?;
    let deadline = Instant::now() + PATIENCE;
    let mut answer = [0; MAX_ANSWER];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut answer)?;
        match message::pointer(&answer[..length], id, address) {
            Some(Pointer::Name(name)) => return Ok(Some(Outcome::Named(name))),
            Some(Pointer::None) => return Ok(Some(Outcome::Nameless)),
            Some(Pointer::Refused) => return Ok(None),
            None => {} // of somebody else: what we asked for may still come
        }
    }
}

#[cfg(test)]
mod tests;
