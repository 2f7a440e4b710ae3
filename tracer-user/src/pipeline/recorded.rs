//! Recordings, read as if they were told now.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    cli::{LiveOptions, Sources},
    model::{Body, Event},
    replay::Merge,
};

/// The recordings that are to be read; none if this host is to be watched.
pub(super) fn paths(sources: &Sources, live: &LiveOptions) -> Result<Option<Vec<PathBuf>>> {
    let paths = sources.recordings().map_err(anyhow::Error::msg)?;
    if paths.is_some() && live.duration.is_some() {
        bail!(
            "--for says how long to watch this host; of a recording, --since and --until of `tracer map` choose a part"
        );
    }
    Ok(paths)
}

/// Hands over the events of `paths`, merged by time. Returns how many were lost when they were
/// recorded.
pub(super) fn read(
    paths: &[PathBuf],
    skip_bad: bool,
    mut take: impl FnMut(&Event) -> Result<()>,
) -> Result<u64> {
    let mut merge = Merge::open(paths, skip_bad)?;
    let mut lost = 0;
    while let Some(event) = merge.next_event()? {
        // What `loss` told, `stop` tells again.
        if let Body::Stop(stop) = &event.body {
            lost += stop.totals.lost().total();
        }
        take(&event)?;
    }
    for (name, lines) in merge.skipped() {
        tracing::warn!(lines, "lines of {name} could not be read and were left out");
    }
    Ok(lost)
}
