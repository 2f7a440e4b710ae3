//! Events, written to a file as they come.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Batch, Consumer, Finish, Needs, Take};
use crate::{files::Output, model::Event};

/// Writes events to a file.
pub(crate) struct Recording {
    name: String,
    file: Output,
    batch: Batch,
}

impl Recording {
    /// To the file at `path`, of which nothing is lost before there are events: a watch that is refused
    /// costs no recording.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            name: path.display().to_string(),
            file: Output::open(path).context("--save: cannot write")?,
            batch: Batch::json(),
        })
    }
}

impl Consumer for Recording {
    fn needs(&self) -> Needs {
        // A recording has what questions ask for.
        Needs {
            openings: true,
            peers: true,
            processes: true,
            lines: true,
            ..Needs::default()
        }
    }

    fn push(&mut self, event: &Event) {
        self.batch.write(event);
    }

    fn take(&self) -> Take {
        self.batch.room()
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(self.batch.bytes());
        self.batch.clear();
        written.with_context(|| format!("--save: cannot write {}", self.name))
    }

    fn finish(mut self: Box<Self>) -> Finish {
        Box::pin(async move { self.flush() })
    }
}
