//! `tracer stream`: events → lines on standard output.

use std::future::pending;

use anyhow::{Result, bail};

use super::{
    consumer::{Batch, Consumer, Lines},
    source::Origin,
    stop::Stop,
    thread::{First, Run},
    view::rights,
};
use crate::{
    cli::StreamOptions,
    exit::Exit,
    outputs::{self, Format, Writer},
};

/// `tracer stream`: prints every event until it is told to stop.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn stream(options: StreamOptions) -> Result<Exit> {
    let origin = Origin::of(&options.sources, &options.live)?;
    let is_live = origin.recordings().is_none();
    let (stop, stopped) = Stop::new();
    let format = options.format.unwrap_or_else(Format::for_stdout);
    let batch = Batch::new(Writer::new(format, outputs::colour_for_stdout()));
    let batch = match options.anonymise {
        true => batch.anonymised(),
        false => batch,
    };
    // What is recorded is there also for a reader that takes its time.
    let patience = (!is_live).then(|| stopped.clone());
    let lines: Box<dyn Consumer> = Box::new(Lines::new(batch, patience));
    let run = Run::open(origin, &options.filter, vec![lines], (stop, stopped)).await?;
    let mut run = run.begin(Some(rights(&options.live, is_live)));
    let account = loop {
        match run.or(pending::<()>()).await? {
            First::Ended(account) => break account,
            First::Other(()) => {}
            First::AskedAgain if is_live => {
                bail!("stopped at once by a second signal: the last events were thrown away")
            }
            First::Asked | First::AskedAgain => {}
        }
    };
    Ok(Exit::of(options.strict && account.lost > 0))
}
