//! A run: the stages joined. The only place that knows more than one of them.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, interval, sleep_until},
};

use crate::{
    capture::{Capture, Options},
    cli::StreamOptions,
    enrich::Processes,
    exit::Exit,
    filter::Filter,
    model::{Body, Event},
    outputs::{self, Format, Writer},
    sink::{Flushed, Sink},
};

/// How often losses are reported and a reader that went away is noticed.
const CHECK: Duration = Duration::from_millis(250);
/// A batch is handed over for writing at this size.
const BATCH_BYTES: usize = 256 << 10;

/// `tracer stream`: prints every event until it is told to stop.
///
/// # Errors
/// If the capture cannot start, or the output cannot be written.
pub async fn stream(options: StreamOptions) -> Result<Exit> {
    // Before anything is attached, so that no signal finds the default action.
    let mut signals = Signals::new()?;
    let mut capture = Capture::start(&Options {
        hooks: options.hooks.set(),
        ring_bytes: options.ring_bytes,
        connections: options.connections,
        kernel_log: options.kernel_log,
    })?;
    let deadline = options
        .duration
        .and_then(|duration| Instant::now().checked_add(duration));
    let mut lines = Lines::new(&options);
    let sink = Sink::stdout();
    lines.push(capture.start_event());

    let mut check = interval(CHECK);
    let mut more = false;
    loop {
        // What cannot be handed over yet keeps the next batch in the kernel, which
        // counts what finds no room there: memory stays bounded, loss is known.
        let full = lines.buffer.len() >= BATCH_BYTES;
        tokio::select! {
            biased;
            () = signals.stop() => break,
            () = until(deadline) => break,
            _ = check.tick() => {
                if sink.is_closed() {
                    break;
                }
                if let Some(loss) = capture.loss()? {
                    lines.push(loss);
                }
            }
            room = sink.room(), if !lines.buffer.is_empty() => match room {
                Some(room) => room.send(std::mem::take(&mut lines.buffer)),
                None => break,
            },
            () = std::future::ready(()), if more && !full => {
                more = capture.drain(|event| lines.push(event));
            }
            () = capture.ready(), if !more && !full => {
                more = capture.drain(|event| lines.push(event));
            }
        }
    }
    capture.stop(|event| lines.push(event)).await?;
    let lost = capture.tallies()?.lost().total();
    match sink.finish(lines.buffer).await {
        Flushed::Done => {}
        Flushed::Stuck => {
            anyhow::bail!(
                "nobody reads the output: the last events and the `stop` line were thrown away"
            )
        }
        Flushed::Failed(error) => return Err(error).context("writing the output"),
    }
    Ok(if options.strict && lost > 0 {
        Exit::Lost
    } else {
        Exit::Done
    })
}

/// Events on their way to the output: completed, chosen, written.
struct Lines {
    processes: Processes,
    filter: Filter,
    writer: Writer,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(options: &StreamOptions) -> Self {
        let format = options.format.unwrap_or_else(Format::for_stdout);
        Self {
            processes: Processes::new("/proc".into()),
            filter: Filter::new(&options.filter),
            writer: Writer::new(format, outputs::colour_for_stdout()),
            buffer: Vec::new(),
        }
    }

    fn push(&mut self, mut event: Event) {
        if let Body::Loss(loss) = &event.body {
            tracing::warn!(
                events = loss.lost.total(),
                "events were lost; a larger --ring may help"
            );
        }
        if !self.filter.admits(&event) {
            return;
        }
        self.processes.enrich(&mut event);
        self.writer.write(&event, &mut self.buffer);
    }
}

/// What ends a run in order.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let catch = |kind| signal(kind).context("catching signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
