//! Recordings, read as if they were told now.

use std::{path::PathBuf, sync::mpsc, thread};

use anyhow::{Result, anyhow};

use crate::{
    cli::{LiveOptions, Sources, UsageError},
    model::{Body, Event},
    replay::{Merge, ReplayError},
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

/// Events that are handed over at once.
const BATCH: usize = 512;
/// Batches that may wait.
const QUEUE: usize = 8;

/// Hands over the events of `paths`, merged by time: they are read on a thread of its own. Returns
/// how many were lost when they were recorded.
pub(super) fn read(
    paths: &[PathBuf],
    skip_bad: bool,
    mut take: impl FnMut(&Event) -> Result<()>,
) -> Result<u64> {
    let mut merge = Merge::open(paths, skip_bad)?;
    let (queue, batches) = mpsc::sync_channel(QUEUE);
    let reader = thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(event) = merge.next_event()? {
            batch.push(event);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if queue.send(full).is_err() {
                    // Nobody wants the rest.
                    break;
                }
            }
        }
        let _ = queue.send(batch);
        Ok::<_, ReplayError>(merge)
    });
    let mut lost = 0;
    for event in batches.iter().flatten() {
        // What `loss` told, `stop` tells again.
        if let Body::Stop(stop) = &event.body {
            lost += stop.totals.lost().total();
        }
        take(&event)?;
    }
    let merge = reader
        .join()
        .map_err(|_| anyhow!("the thread that reads recordings broke down"))??;
    for (name, lines) in merge.skipped() {
        tracing::warn!("{lines} lines of {name} could not be read and were left out");
    }
    Ok(lost)
}
