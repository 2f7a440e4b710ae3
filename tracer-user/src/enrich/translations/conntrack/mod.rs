//! What was dialled and who answered, where the packets are translated on the way: by rules
//! of nftables and iptables, and so by kube-proxy. Conntrack knows, in each network namespace.
//!
//! - `message`: what the kernel's messages say
//! - `socket`: the sockets they come from
//! - `namespaces`: the thread that finds namespaces and opens the sockets
//! - `holds`: the sockets, and the thread that closes those of namespaces that nobody else keeps
//! - `table`: what is known, and how a connection finds its translation
//!
//! **When.** The kernel tells of a new entry as the first packet of the connection passes the
//! last hook of its namespace, so before the SYN leaves it. Whoever reads of an established
//! connection thus finds its translation waiting already, and [`Conntrack::poll`] before
//! each batch of events is enough. There are these exceptions: a namespace that nobody knew of
//! yet is listened to, and what it has is read, a moment after [`Conntrack::notice`] or
//! after the next look around; and what an overrun loses is read again a moment later.

mod holds;
mod message;
mod namespaces;
mod shares;
mod socket;
mod table;
mod tracked;

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    num::NonZeroUsize,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;
use rustix::{
    event::{Timespec, epoll},
    time::{ClockId, clock_gettime},
};

pub(super) use self::namespaces::too_many;
use self::{
    holds::{Holds, Sockets},
    message::{Message, messages},
    namespaces::{Ask, Namespaces, Outcome, Report},
    socket::Heard,
    table::Table,
    tracked::Tracked,
};
use super::AskObservers;
use crate::{
    model::{Blind, BlindId, Connection},
    procfs,
};

/// How many messages one poll reads. Those of namespaces that are left over are read next.
const MAX_MESSAGES: usize = 8192;
/// And of one namespace before the next one has its turn.
const MAX_IN_TURN: usize = 512;
/// How many reports of the thread one poll takes.
const MAX_REPORTS: usize = 16;
/// How many sockets are asked for at once.
const READY: usize = 64;
/// How many unknown namespaces are remembered, so as not to ask for one again and again.
const ASKED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// When to ask for one again that is still unknown.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// When what was lost in a namespace is read again, at most: a reading walks the whole table.
const DUMP_AGAIN: Duration = Duration::from_secs(1);

/// Knows the translations of this host. Nothing here blocks.
#[derive(Debug)]
pub(super) struct Conntrack {
    /// None as long as nobody listens.
    namespaces: Option<Namespaces>,
    holds: Option<Holds>,
    /// Up to where it is known which of them are over.
    over: u64,
    epoll: Option<OwnedFd>,
    listened: HashMap<u32, Listened>,
    table: Table,
    asked: LruCache<u32, Instant>,
    /// The last namespace that was noticed since the last poll: most events are of the same.
    noticed: Option<u32>,
    /// When the last poll was: near enough for what is asked for again.
    now: Instant,
    /// None until the first look around is over.
    outcome: Option<Outcome>,
    overruns: u64,
    is_any_behind: bool,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Listened {
    sockets: Arc<Sockets>,
    /// Messages were lost, and what is there was not read since.
    is_behind: bool,
    dumped: Option<Instant>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    /// How often a namespace told more than could be read in time. What is still in its table
    /// was read again; connections that were over already may be without their translation.
    pub overruns: u64,
    /// How often a table could not be read.
    pub failed_dumps: u64,
    /// Namespaces that are not listened to, as there are too many.
    pub excess: usize,
}

impl Conntrack {
    /// Knows nothing until it listens.
    pub(super) fn new() -> Self {
        Self {
            namespaces: None,
            holds: None,
            over: 0,
            epoll: None,
            listened: HashMap::new(),
            table: Table::new(),
            asked: LruCache::new(ASKED),
            noticed: None,
            now: Instant::now(),
            outcome: None,
            overruns: 0,
            is_any_behind: false,
            buffer: vec![0; socket::BUFFER_BYTES],
        }
    }

    /// Begins to look around in the /proc mounted at `proc_root`, and listens to the network
    /// namespace of this process, and if `ask` tells when to stop, to others. Whatever stands in
    /// the way is in [`Self::blind`], and tried again.
    ///
    /// # Errors
    /// If there can be no more threads or descriptors.
    pub(super) fn listen(
        &mut self,
        proc_root: PathBuf,
        ask: Option<AskObservers>,
    ) -> io::Result<()> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let own = namespaces::number_at(&proc_root.join("self/ns/net"));
        let holds = Holds::start(own, ask)?;
        self.namespaces = Some(Namespaces::start(proc_root, holds.shared())?);
        (self.epoll, self.holds) = (Some(epoll), Some(holds));
        Ok(())
    }

    /// Whether the first look around is over and what was there is known, or will not be.
    pub(super) fn is_settled(&mut self) -> bool {
        self.take_reports();
        self.outcome.is_some() || self.namespaces.is_none()
    }

    /// Learns what the kernel told since the last call: to be called before each batch of
    /// events is completed. Does not block, and reads a bounded number of messages.
    pub(super) fn poll(&mut self) {
        self.now = Instant::now();
        self.noticed = None;
        self.forget_what_is_over();
        self.take_reports();
        if !self.listened.is_empty() {
            self.hear();
        }
    }

    /// Tells of a namespace in which this process has a socket, to be listened to if it is not
    /// yet. Cheap for one that is known.
    pub(super) fn notice(&mut self, netns: u32, pid: u32) {
        if self.noticed == Some(netns) {
            return;
        }
        let Some(namespaces) = &self.namespaces else {
            return;
        };
        if !self.listened.contains_key(&netns) {
            let is_due = self
                .asked
                .get(&netns)
                .is_none_or(|at| self.now.duration_since(*at) >= ASK_AGAIN);
            if is_due && namespaces.ask(Ask::Look { netns, pid }) {
                self.asked.put(netns, self.now);
            }
        }
        self.noticed = Some(netns);
    }

    /// What became of `connection` on its way; none if it is not translated, or that is not
    /// known, or its direction is not.
    pub(super) fn translated(&mut self, connection: &Connection) -> Option<Tracked> {
        // What began before the tracer has no beginning that is known.
        let begun_ns = (!connection.existing).then_some(connection.id.begun_ns);
        self.table.translated(
            connection.netns,
            &connection.ends,
            connection.direction?,
            begun_ns,
        )
    }

    /// What cannot be seen now, and why; nothing is said before the first look around is over.
    pub(super) fn blind(&self) -> Vec<Blind> {
        let mut out = Vec::new();
        let mut say = |id, why: Cow<'static, str>| out.push(Blind::new(id, why));
        let (all, some) = (BlindId::Translations, BlindId::TranslationsOfSome);
        if self.namespaces.is_none() {
            say(all, "no thread or file descriptor is left".into());
        }
        let Some(outcome) = self.outcome else {
            return out;
        };
        let part = if self.listened.is_empty() { all } else { some };
        if outcome.denied > 0 {
            let why = format!(
                "CAP_SYS_ADMIN or CAP_NET_ADMIN is missing for {} network namespaces",
                outcome.denied
            );
            say(part, why.into());
        }
        if outcome.failed > 0 {
            let why = format!(
                "the kernel refuses to tell what it tracks in {} network namespaces",
                outcome.failed
            );
            say(part, why.into());
        }
        if outcome.silent > 0 {
            let why = format!(
                "net.netfilter.nf_conntrack_events is 0 in {} network namespaces",
                outcome.silent
            );
            say(BlindId::TranslationsOfNew, why.into());
        }
        if outcome.excess > 0 {
            say(part, too_many(outcome.excess).into());
        }
        out
    }

    #[cfg(test)]
    /// Whether the kernel tracks no connections, as far as is known: then conntrack translates
    /// none, and nothing is missed. It is looked at again every few seconds.
    pub(super) fn is_unused(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.is_unused)
    }

    /// What went wrong until now.
    pub(super) fn troubles(&self) -> Troubles {
        let outcome = self.outcome.unwrap_or_default();
        Troubles {
            overruns: self.overruns,
            failed_dumps: outcome.failed_dumps,
            excess: outcome.excess,
        }
    }

    #[cfg(test)]
    /// How many network namespaces are listened to, and how many translated connections are
    /// known.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.listened.len(), self.table.len())
    }

    fn take_reports(&mut self) {
        for _ in 0..MAX_REPORTS {
            let Some(report) = self.namespaces.as_ref().and_then(Namespaces::report) else {
                break;
            };
            self.take(report);
        }
    }

    /// Closing a socket took it out of the epoll.
    fn forget_what_is_over(&mut self) {
        let over = self.holds.as_ref().map_or(0, Holds::over);
        if over == self.over {
            return;
        }
        self.over = over;
        let table = &mut self.table;
        self.listened.retain(|netns, listened| {
            let is_over = listened.sockets.is_over();
            if is_over {
                table.forget(*netns);
            }
            !is_over
        });
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Opened { netns, sockets } => {
                let Some(epoll) = &self.epoll else { return };
                let data = epoll::EventData::new_u64(netns.into());
                let listener = sockets.listener();
                let Some(socket) = listener.as_ref() else {
                    // It is gone already.
                    return;
                };
                if let Err(error) = epoll::add(epoll, socket, data, epoll::EventFlags::IN) {
                    tracing::debug!(%error, netns, "cannot wait for conntrack");
                    return;
                }
                drop(listener);
                self.asked.pop(&netns);
                let listened = Listened {
                    sockets,
                    is_behind: false,
                    dumped: None,
                };
                if self.listened.insert(netns, listened).is_some() {
                    // Another one had this number.
                    self.table.forget(netns);
                }
            }
            Report::Entries {
                netns,
                seen_ns,
                entries,
            } => {
                // Nobody would forget those of a namespace that is gone.
                let is_there = self.listened.contains_key(&netns);
                for entry in entries.iter().filter(|_| is_there) {
                    self.table.learn(netns, entry, seen_ns);
                }
            }
            Report::Unread { netns } => {
                // What it was found by may be gone: the next round finds another way.
                if let Some(listened) = self.listened.get_mut(&netns) {
                    listened.is_behind = true;
                    listened.dumped = Some(self.now);
                    self.is_any_behind = true;
                }
            }
            Report::Round(outcome) => self.outcome = Some(outcome),
        }
    }

    /// Reads what the sockets have.
    fn hear(&mut self) {
        let mut budget = MAX_MESSAGES;
        while budget > 0 {
            let Some(epoll) = &self.epoll else { return };
            let mut ready = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; READY];
            let at_once = Timespec::default();
            let count = epoll::wait(epoll, &mut ready[..], Some(&at_once)).unwrap_or(0);
            if count == 0 {
                break;
            }
            let before = budget;
            for event in ready.iter().take(count) {
                let Ok(netns) = u32::try_from(event.data.u64()) else {
                    continue;
                };
                let read = self.hear_one(netns, budget.min(MAX_IN_TURN));
                budget = budget.saturating_sub(read);
            }
            // Ready, but with nothing to say: not to be asked again and again.
            if budget == before {
                break;
            }
        }
        self.catch_up();
    }

    /// Reads at most `limit` messages of one namespace; tells how many it were.
    fn hear_one(&mut self, netns: u32, limit: usize) -> usize {
        let Some(listened) = self.listened.get_mut(&netns) else {
            return 0;
        };
        let listener = listened.sockets.listener();
        let Some(socket) = listener.as_ref() else {
            return 0;
        };
        for read in 0..limit {
            match socket::hear(socket, &mut self.buffer) {
                Heard::Bytes(length) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    for message in messages(bytes) {
                        if let Message::Entry(entry) = message {
                            // Read after the message, so later than its connection began.
                            self.table.learn(netns, &entry, now_ns());
                        }
                    }
                }
                Heard::Overrun => {
                    self.overruns += 1;
                    listened.is_behind = true;
                    self.is_any_behind = true;
                }
                Heard::Nothing => return read,
            }
        }
        limit
    }

    /// Has read again what was lost.
    fn catch_up(&mut self) {
        let Some(namespaces) = &self.namespaces else {
            return;
        };
        if !self.is_any_behind {
            return;
        }
        self.is_any_behind = false;
        for (netns, listened) in &mut self.listened {
            let is_due = listened.is_behind
                && listened
                    .dumped
                    .is_none_or(|at| self.now.duration_since(at) >= DUMP_AGAIN);
            if is_due && namespaces.ask(Ask::Dump { netns: *netns }) {
                listened.is_behind = false;
                listened.dumped = Some(self.now);
            }
            self.is_any_behind |= listened.is_behind;
        }
    }
}

/// Nanoseconds since boot, as the programs in the kernel tell them.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(rest)
        .saturating_add_signed(procfs::boot_offset_ns().saturating_neg())
}

#[cfg(test)]
mod tests;
