//! `tracer stream`: events → lines on standard output.

use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use tokio::{
    task::yield_now,
    time::{interval, sleep},
};

use super::{
    live::{self, CHECK, Live, STEP},
    recorded,
};
use crate::{
    anonymise::Anonymiser,
    cli::StreamOptions,
    exit::Exit,
    filter::Filter,
    model::{Body, Event},
    outputs::{self, Format, Writer},
    sandbox::{self, Needs},
    signals::Signals,
    sink::{self, Flushed, Sink},
};

/// A batch is handed over for writing at this size.
const BATCH_BYTES: usize = 256 << 10;
/// `tracer stream`: prints every event until it is told to stop.
///
/// # Errors
/// If the capture cannot start, or the output cannot be written.
pub async fn stream(options: StreamOptions) -> Result<Exit> {
    let filter = Filter::new(&options.filter);
    let mut lines = Lines::new(&options);
    if let Some(paths) = recorded::paths(&options.sources, &options.live)? {
        // Whoever recorded them asked for them.
        let filter = filter.with_processes();
        let take = |batch: &[Event]| {
            for event in batch.iter().filter(|event| filter.admits(event)) {
                lines.push(event);
            }
            // Whoever reads this while it is still told is not kept waiting.
            let is_read = sink::pass(&lines.take()).context("writing the output")?;
            Ok(match is_read {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        };
        sandbox::close(Needs::default());
        let read = recorded::read(&paths, options.sources.skip_bad, take).await?;
        return Ok(Exit::of(options.strict && read.lost > 0));
    }
    let enricher = live::enricher(&options.live)?;
    let mut signals = Signals::new()?;
    let mut live = Live::start(&options.live, enricher, filter, true)?;
    let sink = Sink::stdout();
    lines.push(&live.start_event());
    sandbox::close(live.needs(&options.live, false));

    let mut check = interval(CHECK);
    let mut more = false;
    loop {
        // What cannot be handed over yet keeps the rest in the kernel, which counts
        // what finds no room there: memory stays bounded, loss is known.
        let full = lines.is_full();
        tokio::select! {
            biased;
            () = signals.stop() => break,
            () = live.over() => break,
            _ = check.tick() => {
                if sink.is_closed() {
                    break;
                }
                if let Some(loss) = live.check(!full)? {
                    lines.push(&loss);
                }
            }
            room = sink.room(), if !lines.buffer.is_empty() => match room {
                Some(room) => room.send(lines.take()),
                None => break,
            },
            // A yield, so that a ring that never runs empty starves nothing above.
            () = yield_now(), if more && !full => more = lines.fill(&mut live),
            () = live.capture.ready(), if !more && !full => more = lines.fill(&mut live),
        }
    }
    let flushed = tokio::select! {
        flushed = finish(&mut live, lines, sink) => flushed?,
        () = signals.stop() => bail!("stopped at once by a second signal: the last events were thrown away"),
    };
    // What follows takes as long as it takes.
    drop(signals);
    match flushed {
        Flushed::Done => {}
        Flushed::Stuck => {
            bail!("nobody reads the output: the last events and the `stop` line were thrown away")
        }
        Flushed::Failed(error) => return Err(error).context("writing the output"),
    }
    Ok(Exit::of(options.strict && live.lost()? > 0))
}

/// Reads what open connections have carried, silences the programs, writes out what is left, and closes the account.
async fn finish(live: &mut Live, mut lines: Lines, sink: Sink) -> Result<Flushed> {
    live.read_totals();
    while !live.capture.silence()? {
        // A reader that takes its time does not put the stop off, but for what is read for it.
        if !lines.is_full() {
            if lines.fill(live) {
                yield_now().await;
                continue;
            }
        } else if let Some(room) = sink.room_now() {
            room.send(lines.take());
        }
        sleep(STEP).await;
    }
    loop {
        let more = lines.fill(live);
        if lines.is_full() {
            match sink.room_or_end().await {
                Ok(room) => room.send(lines.take()),
                Err(Flushed::Stuck) => return Ok(Flushed::Stuck),
                Err(_) => break,
            }
        } else if !more {
            if live.capture.is_settled()? {
                break;
            }
            sleep(STEP).await;
        }
    }
    if let Some(loss) = live.loss()? {
        lines.push(&loss);
    }
    let mut stop = live.stop_event()?;
    if let Body::Stop(stop) = &mut stop.body {
        stop.lines = Some(lines.written);
    }
    lines.push(&stop);
    Ok(sink.finish(lines.take()).await)
}

/// Events on their way to the output, as lines.
struct Lines {
    anonymiser: Option<Anonymiser>,
    writer: Writer,
    buffer: Vec<u8>,
    /// How many so far.
    written: u64,
}

impl Lines {
    fn new(options: &StreamOptions) -> Self {
        let format = options.format.unwrap_or_else(Format::for_stdout);
        Self {
            anonymiser: options.anonymise.then(Anonymiser::default),
            writer: Writer::new(format, outputs::colour_for_stdout()),
            buffer: Vec::new(),
            written: 0,
        }
    }

    /// Takes events until the buffer is full; tells whether there may be more.
    fn fill(&mut self, live: &mut Live) -> bool {
        live.drain(|event| {
            self.push(event);
            !self.is_full()
        })
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= BATCH_BYTES
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn push(&mut self, event: &Event) {
        self.written += 1;
        match &mut self.anonymiser {
            None => self.writer.write(event, &mut self.buffer),
            Some(anonymiser) => {
                let made_up = anonymiser.replace(event.clone());
                self.writer.write(&made_up, &mut self.buffer);
            }
        }
    }
}
