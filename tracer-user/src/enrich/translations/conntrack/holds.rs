//! The sockets in network namespaces, and the thread that lets go of them.
//!
//! **An observer keeps nothing alive.** An open socket keeps its namespace, and so devices,
//! addresses and ports of a container that is gone. No event tells that its last user has left, as
//! users are not processes only: also descriptors, mounts of any mount namespace, sockets that
//! outlive who made them. The kernel counts them all. So every [`LOOK`] it is asked which namespaces
//! are kept by observers alone (sockets that listen as ours do), and ours are closed at once, by a
//! thread that does nothing else: it waits neither for who searches namespaces nor for who reads the
//! sockets.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    sync::{
        Arc, Condvar, LockResult, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::shares::{Owner, Shares};
use crate::{enrich::translations::AskObservers, model::Observer};

/// How long a namespace that nobody else keeps is held, at most and beside what it takes the
/// thread to get a processor.
const LOOK: Duration = Duration::from_millis(40);

/// What holds a namespace: the socket that listens in it, and the one that reads its table while
/// that is being read.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Closed by [`Holds`] alone, so while it is in the table this is a socket of the namespace.
    number: RawFd,
    /// Whose the namespace is.
    owner: Owner,
    listener: Mutex<Option<OwnedFd>>,
    asker: Mutex<Option<OwnedFd>>,
    has_asker: AtomicBool,
    is_over: AtomicBool,
}

impl Sockets {
    fn new(listener: OwnedFd, owner: Owner) -> Self {
        Self {
            number: listener.as_raw_fd(),
            owner,
            listener: Mutex::new(Some(listener)),
            asker: Mutex::new(None),
            has_asker: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether they were closed, as nothing else kept the namespace.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The one that listens; none if it is over. To be kept for a moment only: closing waits.
    pub(super) fn listener(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        lock(&self.listener)
    }

    /// Takes a socket to read the table by, unless it is over.
    pub(super) fn begin_dump(&self, asker: OwnedFd) {
        let mut place = lock(&self.asker);
        if !self.is_over() {
            // After it is there, as it must not count for more than there are.
            *place = Some(asker);
            self.has_asker.store(true, Ordering::Release);
        }
    }

    /// Has `work` use the socket that reads the table, for one call.
    ///
    /// # Errors
    /// Those of `work`; `NotConnected` if it is over.
    pub(super) fn dump<T>(&self, work: impl FnOnce(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        let mut place = lock(&self.asker);
        if self.is_over() {
            *place = None;
        }
        work(place.as_ref().ok_or(io::ErrorKind::NotConnected)?)
    }

    /// Closes it.
    pub(super) fn end_dump(&self) {
        let mut place = lock(&self.asker);
        self.has_asker.store(false, Ordering::Release);
        *place = None;
    }

    /// Nobody is to use them any more.
    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Closes what nobody uses at the moment; tells whether that was all.
    fn close(&self) -> bool {
        let mut is_closed = true;
        for place in [&self.listener, &self.asker] {
            match place.try_lock() {
                Ok(mut socket) => *socket = None,
                Err(_) => is_closed = false,
            }
        }
        is_closed
    }
}

/// All that are held, and the thread that looks after them. It ends after this value is dropped.
#[derive(Debug)]
pub(super) struct Holds(Arc<Shared>);

/// What the threads share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    table: Mutex<Table>,
    /// There is something to look at, or nobody who wants it.
    changed: Condvar,
    /// How often some were let go.
    over: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<u32, Arc<Sockets>>,
    /// The namespace that this process is in, and so keeps anyway.
    own: Option<u32>,
    /// What was held last.
    newest: Option<u32>,
    /// Whether somebody looks when to let go of others.
    is_watched: bool,
    is_left: bool,
}

impl Table {
    /// A socket of a namespace other than our own: the newest one, if it is still held, as its place
    /// in the kernel's list is near the beginning.
    fn foreign(&self) -> Option<RawFd> {
        let newest = self
            .newest
            .and_then(|netns| self.held.get_key_value(&netns));
        newest
            .into_iter()
            .chain(&self.held)
            .find(|(netns, _)| Some(**netns) != self.own)
            .map(|(_, sockets)| sockets.number)
    }
}

impl Shared {
    /// Whether a namespace is held.
    pub(super) fn has(&self, netns: u32) -> bool {
        lock(&self.table).held.contains_key(&netns)
    }

    /// Whether a namespace may be held: only if it is noticed when to let go.
    pub(super) fn may(&self, netns: u32) -> bool {
        let table = lock(&self.table);
        table.is_watched || table.own == Some(netns)
    }

    /// How many of whom are held.
    pub(super) fn shares(&self) -> Shares {
        let table = lock(&self.table);
        table.held.values().map(|sockets| sockets.owner).collect()
    }

    /// The sockets of a namespace that is held.
    pub(super) fn get(&self, netns: u32) -> Option<Arc<Sockets>> {
        lock(&self.table).held.get(&netns).map(Arc::clone)
    }

    /// Holds a namespace of `owner` from here on.
    pub(super) fn hold(&self, netns: u32, listener: OwnedFd, owner: Owner) -> Arc<Sockets> {
        let sockets = Arc::new(Sockets::new(listener, owner));
        let mut table = lock(&self.table);
        table.held.insert(netns, Arc::clone(&sockets));
        table.newest = Some(netns);
        drop(table);
        self.changed.notify_all();
        sockets
    }

    /// Looks every [`LOOK`] which namespaces are to be let go.
    fn watch(&self, mut ask: AskObservers) {
        let mut closing: Vec<Arc<Sockets>> = Vec::new();
        loop {
            let begin = {
                let mut table = lock(&self.table);
                while table.foreign().is_none() && closing.is_empty() && !table.is_left {
                    table = whole(self.changed.wait(table));
                }
                if table.is_left {
                    return;
                }
                table.foreign()
            };
            if let Some(socket) = begin {
                match ask(socket) {
                    Ok(observers) => self.let_go(observers, &mut closing),
                    Err(error) => {
                        tracing::warn!(%error, "the kernel does not tell who keeps network namespaces: translated addresses of others are missed");
                        self.let_all_go(&mut closing);
                    }
                }
            }
            closing.retain(|sockets| !sockets.close());
            let table = lock(&self.table);
            let waited = self
                .changed
                .wait_timeout_while(table, LOOK, |it| !it.is_left);
            drop(whole(waited));
        }
    }

    /// Takes out of the table what only observers keep. These do not count, whosever they are: two
    /// tracers would else keep it for each other. Of what was not found nothing is known: one of the
    /// next looks finds it.
    fn let_go(&self, mut observers: Vec<Observer>, closing: &mut Vec<Arc<Sockets>>) {
        observers.sort_unstable_by_key(|it| it.netns);
        for of_one in observers.chunk_by(|one, other| one.netns == other.netns) {
            let references = of_one.iter().map(|it| it.references).max().unwrap_or(0);
            let others = usize::try_from(references)
                .unwrap_or(usize::MAX)
                .saturating_sub(of_one.len());
            // Most are kept by more than our own reading of their tables.
            if others > 1 {
                continue;
            }
            let netns = of_one.first().map_or(0, |it| it.netns);
            let mut table = lock(&self.table);
            let is_last = table.own != Some(netns)
                && table
                    .held
                    .get(&netns)
                    .is_some_and(|it| others <= usize::from(it.has_asker.load(Ordering::Acquire)));
            let over = is_last.then(|| table.held.remove(&netns)).flatten();
            drop(table);
            self.end(over, closing);
        }
    }

    /// Those are over, and then it is told that some are.
    fn end(
        &self,
        sockets: impl IntoIterator<Item = Arc<Sockets>>,
        closing: &mut Vec<Arc<Sockets>>,
    ) {
        let before = closing.len();
        closing.extend(sockets.into_iter().inspect(|it| it.end()));
        if closing.len() > before {
            self.over.fetch_add(1, Ordering::Release);
        }
    }

    fn let_all_go(&self, closing: &mut Vec<Arc<Sockets>>) {
        let mut table = lock(&self.table);
        table.is_watched = false;
        let own = table.own;
        let foreign = table.held.extract_if(|netns, _| Some(*netns) != own);
        let foreign: Vec<_> = foreign.map(|(_, sockets)| sockets).collect();
        drop(table);
        self.end(foreign, closing);
    }
}

impl Holds {
    /// Starts the thread if there is somebody to ask. Else namespaces other than `own`, which this
    /// process is in, must not be held.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(own: Option<u32>, ask: Option<AskObservers>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        lock(&shared.table).own = own;
        if let Some(ask) = ask {
            lock(&shared.table).is_watched = true;
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name("namespaces".to_owned());
            builder.spawn(move || shared.watch(ask))?;
        }
        Ok(Self(shared))
    }

    /// What others hold by.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    /// How often some were let go until now: those [`Sockets::is_over`] then.
    pub(super) fn over(&self) -> u64 {
        self.0.over.load(Ordering::Acquire)
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        lock(&self.0.table).is_left = true;
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    whole(mutex.lock())
}

/// Nothing that is locked is left half done.
fn whole<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
