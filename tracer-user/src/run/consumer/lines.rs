//! Events as lines on standard output.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Batch, Consumer, Finish, Needs, Take, Wait};
use crate::{
    model::Event,
    run::stop::Stopped,
    sink::{Flushed, Sink},
};

/// When a run is over, how long its reader may take nothing at all.
const GRACE: Duration = Duration::from_secs(2);

/// Writes events to standard output.
pub(crate) struct Lines {
    batch: Batch,
    sink: Sink,
    /// A reader that takes nothing is waited for until then; none where events come whether it reads or not.
    patience: Option<Stopped>,
    /// Since the run is ending: bytes that the reader had taken when it was last seen to take any, and when that was.
    progress: Option<(u64, Instant)>,
    end: End,
}

/// Whether there still is a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As far as is known.
    None,
    /// It went away.
    Gone,
    /// It reads nothing.
    Stuck,
}

impl Lines {
    /// What `batch` makes of events.
    pub(crate) fn new(batch: Batch, patience: Option<Stopped>) -> Self {
        Self {
            batch,
            sink: Sink::stdout(),
            patience,
            progress: None,
            end: End::None,
        }
    }

    /// Finds out whether a reader that keeps the end waiting still reads.
    fn look_at_reader(&mut self) {
        let is_patient = self.patience.as_ref().is_some_and(|it| !it.is_asked());
        let written = self.sink.written();
        match &mut self.progress {
            None => {}
            Some(progress) if is_patient || !self.batch.is_full() || progress.0 != written => {
                *progress = (written, Instant::now());
            }
            Some((_, since)) if since.elapsed() < GRACE => {}
            Some(_) => self.end = End::Stuck,
        }
    }
}

impl Consumer for Lines {
    fn needs(&self) -> Needs {
        Needs {
            openings: true,
            peers: true,
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
        if self.sink.is_closed() {
            self.end = End::Gone;
        } else if !self.batch.is_empty()
            && let Some(room) = self.sink.room_now()
        {
            room.send(self.batch.take());
        }
        self.look_at_reader();
        Ok(())
    }

    fn hand_on(&mut self) -> Wait<'_> {
        if self.batch.is_empty() {
            return Box::pin(std::future::pending());
        }
        Box::pin(async {
            match self.sink.room().await {
                Some(room) => room.send(self.batch.take()),
                None => self.end = End::Gone,
            }
        })
    }

    fn ending(&mut self) {
        self.progress = Some((self.sink.written(), Instant::now()));
    }

    fn is_over(&self) -> bool {
        self.end != End::None
    }

    fn finish(mut self: Box<Self>) -> Finish {
        Box::pin(async move {
            let flushed = match self.end {
                End::Stuck => Flushed::Stuck,
                End::None | End::Gone => {
                    let rest = self.batch.take();
                    let patience = self.patience;
                    let waits = || patience.as_ref().is_some_and(|it| !it.is_asked());
                    self.sink.finish(rest, GRACE, waits).await
                }
            };
            match flushed {
                Flushed::Done => Ok(()),
                Flushed::Stuck => {
                    bail!(
                        "nobody reads the output: the last events and the `stop` line were thrown away"
                    )
                }
                Flushed::Failed(error) => Err(error).context("writing the output"),
            }
        })
    }
}
