//! `tracer stream`: events → lines on standard output.

use std::future::pending;

use anyhow::{Result, bail};

use super::{
    consumer::{Batch, Consumer, Lines},
    stop::Stop,
    thread::{First, Run},
    view::rights,
};
use crate::{
    cli::request::Stream,
    exit::Exit,
    outputs::{self, Writer},
};

/// `tracer stream`: prints every event until it is told to stop.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn stream(request: Stream) -> Result<Exit> {
    let is_live = request.origin.is_live();
    let rights = rights(&request.origin);
    let (stop, stopped) = Stop::new();
    let batch = Batch::new(Writer::new(request.format, outputs::colour_for_stdout()));
    let batch = match request.anonymise {
        true => batch.anonymised(),
        false => batch,
    };
    // What is recorded is there also for a reader that takes its time.
    let patience = (!is_live).then(|| stopped.clone());
    let lines: Box<dyn Consumer> = Box::new(Lines::new(batch, patience));
    let run = Run::open(request.origin, request.filter, vec![lines], (stop, stopped)).await?;
    let mut run = run.begin(Some(rights));
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
    Ok(Exit::of(request.strict && account.lost > 0))
}
