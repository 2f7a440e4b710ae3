//! Recordings, read as if they were told now.

use std::{
    io::Read as _,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    cli::{LiveOptions, Sources, UsageError},
    files,
    model::{Body, Event},
    replay::{Merge, ReplayError},
    signals::Signals,
};

/// The recordings that are to be read; none if this host is to be watched.
pub(super) fn paths(sources: &Sources, live: &LiveOptions) -> Result<Option<Vec<PathBuf>>> {
    let paths = sources.recordings()?;
    if paths.is_some() && live.duration.is_some() {
        return Err(UsageError(
            "--for says how long to watch this host; of a recording, --since and --until of \
             `tracer map` choose a part",
        )
        .into());
    }
    Ok(paths)
}

/// Whether `path` is one of these files, by whatever name.
pub(super) fn is_one_of(path: &Path, files: &[PathBuf]) -> bool {
    let place = |path: &Path| path.metadata().ok().map(|it| (it.dev(), it.ino()));
    place(path).is_some_and(|it| files.iter().any(|file| place(file) == Some(it)))
}

/// Whether `path` is a file that cannot be opened, or that does not begin as a recording does: to read it fails at
/// once. Of a pipe that is not known before, as it can be read only once.
pub(super) fn fails_at_once(path: &Path) -> bool {
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

/// What was read, beside the events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    /// Events that were lost when they were recorded.
    pub(super) lost: u64,
    /// Lines that could not be read.
    pub(super) skipped: u64,
    /// A signal came before the end.
    pub(super) is_interrupted: bool,
}

/// Hands over the events of `paths`, merged by time, until their end, a signal, or a `Break`: they
/// are read on a thread of its own.
pub(super) async fn read(
    paths: &[PathBuf],
    skip_bad: bool,
    mut take: impl FnMut(&[Event]) -> Result<ControlFlow<()>>,
) -> Result<Read> {
    let mut signals = Signals::new()?;
    let (queue, mut batches) = mpsc::channel(QUEUE);
    let paths = paths.to_vec();
    let reader = thread::spawn(move || pass_on(&paths, skip_bad, &queue));
    let mut read = Read::default();
    let mut deadline = None;
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => match deadline {
                None => deadline = Some(Instant::now() + LAST_WORDS),
                Some(_) => break,
            },
            () = until(deadline) => break,
            batch = batches.recv() => {
                let Some(batch) = batch else {
                    let skipped = reader
                        .join()
                        .map_err(|_| anyhow!("the thread that reads recordings broke down"))??;
                    for (name, lines) in skipped {
                        tracing::warn!("{lines} lines of {name} could not be read and were left out");
                        read.skipped += lines;
                    }
                    return Ok(read);
                };
                // What `loss` told, `stop` tells again.
                for event in &batch {
                    if let Body::Stop(stop) = &event.body {
                        read.lost += stop.totals.lost().total();
                    }
                }
                if take(&batch)?.is_break() {
                    return Ok(read);
                }
            }
        }
    }
    tracing::warn!("stopped before the end of what was recorded");
    read.is_interrupted = true;
    Ok(read)
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
    paths: &[PathBuf],
    skip_bad: bool,
    queue: &mpsc::Sender<Vec<Event>>,
) -> Result<Vec<(String, u64)>, ReplayError> {
    let mut merge = Merge::open(paths, skip_bad)?;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(event) = merge.next_event()? {
        batch.push(event);
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
