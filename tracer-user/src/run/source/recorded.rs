//! Recordings, read as if they were told now.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
    vec,
};

use anyhow::{Result, anyhow};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Account, State};
use crate::{
    files,
    filter::{self, Filter},
    model::{Body, Event},
    replay::{Merge, ReplayError},
    run::{consumer::Take, stop::Stopped},
};

/// Whether `path` is a file that cannot be opened, or that does not begin as a recording does: to read it fails at
/// once. Of a pipe that is not known before, as it can be read only once.
pub(in crate::run) fn fails_at_once(path: &Path) -> bool {
    /// Lines before the first one may be empty.
    const MAX_BYTES: u64 = 4096;
    if path.metadata().is_ok_and(|it| !it.is_file()) || path.as_os_str() == "-" {
        return false;
    }
    let mut beginning = Vec::new();
    let read = files::open_recording(path)
        .map(|file| file.take(MAX_BYTES).read_to_end(&mut beginning).is_ok());
    let first = beginning.trim_ascii_start().first();
    !read.unwrap_or(false) || first.is_some_and(|it| *it != b'{')
}

/// Events that are handed over at once, at most.
const BATCH: usize = 512;
/// Batches that may wait.
const QUEUE: usize = 8;
/// After a signal, how long to wait for the end: the program before us in a pipe had the same
/// signal, and has its last words to say.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How many lines were left out, by the name of the recording.
type Skipped = Vec<(String, u64)>;

/// What the reader begins with.
struct Pending {
    paths: Vec<PathBuf>,
    skip_bad: bool,
    queue: mpsc::Sender<Vec<Event>>,
}

/// Recordings, merged by time: they are read on a thread of its own.
pub(in crate::run) struct Recorded {
    /// What is to be read: nothing of it before the run begins, with no more rights than it needs.
    pending: Option<Pending>,
    batches: mpsc::Receiver<Vec<Event>>,
    /// Of the batch that was begun.
    batch: vec::IntoIter<Event>,
    reader: Option<JoinHandle<Result<Skipped, ReplayError>>>,
    filter: Filter,
    stopped: Stopped,
    /// Nothing is read after then.
    deadline: Option<Instant>,
    is_over: bool,
    account: Account,
}

impl Recorded {
    /// Reads them, once that is waited for.
    pub(super) fn new(
        paths: Vec<PathBuf>,
        skip_bad: bool,
        filter: &filter::Options,
        stopped: Stopped,
    ) -> Self {
        let (queue, batches) = mpsc::channel(QUEUE);
        // Whoever recorded processes asked for them.
        let filter = Filter::new(filter).with_processes();
        Self {
            pending: Some(Pending {
                paths,
                skip_bad,
                queue,
            }),
            batches,
            batch: Vec::new().into_iter(),
            reader: None,
            account: Account {
                is_filtered: !filter.is_whole(),
                ..Account::default()
            },
            filter,
            stopped,
            deadline: None,
            is_over: false,
        }
    }

    /// Waits for events, or the end.
    pub(super) async fn ready(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.reader = Some(thread::spawn(move || pass_on(&pending)));
        }
        if self.is_over || !self.batch.as_slice().is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = self.stopped.asked(2) => self.give_up(),
            () = until(self.deadline) => self.give_up(),
            batch = self.batches.recv() => match batch {
                Some(batch) => self.batch = batch.into_iter(),
                None => self.is_over = true,
            }
        }
    }

    fn give_up(&mut self) {
        tracing::warn!("stopped before the end of what was recorded");
        self.account.is_interrupted = true;
        self.is_over = true;
    }

    /// Hands over events that the user wants until `take` is full.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Event) -> Take) -> Result<State> {
        for event in self.batch.by_ref() {
            // What `loss` told, `stop` tells again.
            if let Body::Stop(stop) = &event.body {
                self.account.lost += stop.totals.lost().total();
            }
            if self.filter.admits(&event) && take(&event) == Take::Full {
                return Ok(State::More);
            }
        }
        if !self.is_over {
            return Ok(State::Empty);
        }
        // One that is given up may wait for input for ever.
        if !self.account.is_interrupted
            && let Some(reader) = self.reader.take()
        {
            let skipped = reader
                .join()
                .map_err(|_| anyhow!("the thread that reads recordings broke down"))??;
            for (name, lines) in skipped {
                tracing::warn!("{lines} lines of {name} could not be read and were left out");
                self.account.skipped += lines;
            }
        }
        Ok(State::Over)
    }

    /// Stops soon.
    pub(super) fn end(&mut self) {
        self.deadline = Some(Instant::now() + LAST_WORDS);
    }

    /// What was read.
    pub(super) fn account(&self) -> Account {
        self.account.clone()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Reads to the end, or until nobody wants more. Returns how many lines were left out, by the name
/// of the recording.
fn pass_on(
    Pending {
        paths,
        skip_bad,
        queue,
    }: &Pending,
) -> Result<Skipped, ReplayError> {
    let mut merge = Merge::open(paths, *skip_bad)?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        match merge.next_event() {
            Ok(Some(event)) => batch.push(event),
            Ok(None) => break,
            Err(error) => {
                // What came before it counts.
                let _ = queue.blocking_send(batch);
                return Err(error);
            }
        }
        // What is told now is handed over before it is waited for more.
        if batch.len() == BATCH || merge.may_wait() {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            if queue.blocking_send(full).is_err() {
                break;
            }
        }
    }
    // Nobody may want it any more.
    let _ = queue.blocking_send(batch);
    if merge.repeated() > 0 {
        tracing::info!(
            "{} events are in several of the recordings; each was taken once",
            merge.repeated()
        );
    }
    let skipped = merge.skipped();
    Ok(skipped
        .map(|(name, lines)| (name.to_owned(), lines))
        .collect())
}
