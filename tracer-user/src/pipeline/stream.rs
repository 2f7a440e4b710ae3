//! A run: the stages joined. The only place that knows more than one of them.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, interval, sleep, sleep_until};

use crate::{
    capture::{Capture, Options},
    cli::StreamOptions,
    enrich::{
        Enricher,
        names::{Networks, Reverse},
        workload::Roles,
    },
    exit::Exit,
    filter::Filter,
    model::{Body, Event, Kind, Told},
    outputs::{self, Format, Writer},
    signals::Signals,
    sink::{Flushed, Sink},
};

/// How often losses are reported and a reader that went away is noticed.
const CHECK: Duration = Duration::from_millis(250);
/// A batch is handed over for writing at this size.
const BATCH_BYTES: usize = 256 << 10;
/// How long to wait for a record that a program still has in its hands when it is
/// detached. It takes microseconds; the limit is for a kernel that lost one.
const SETTLE: Duration = Duration::from_millis(100);

/// Names the name servers of this host.
const RESOLVERS: &str = "/etc/resolv.conf";

/// `tracer stream`: prints every event until it is told to stop.
///
/// # Errors
/// If the capture cannot start, or the output cannot be written.
pub async fn stream(options: StreamOptions) -> Result<Exit> {
    let networks = match &options.names {
        Some(path) => Networks::read(path)
            .with_context(|| format!("--names: cannot use {}", path.display()))?,
        None => Networks::default(),
    };
    let roles = match &options.roles {
        Some(path) => {
            Roles::read(path).with_context(|| format!("--roles: cannot use {}", path.display()))?
        }
        None => Roles::builtin(),
    };
    let reverse = options
        .reverse_dns
        .then(|| Reverse::new(RESOLVERS.as_ref()));
    let reverse = reverse
        .transpose()
        .with_context(|| format!("--reverse-dns: cannot use {RESOLVERS}"))?;
    // Before anything is attached, so that no signal finds the default action.
    let mut signals = Signals::new()?;
    let mut capture = Capture::start(&Options {
        hooks: options.hooks.set(),
        ring_bytes: options.ring_bytes,
        connections: options.connections,
        rescan: options.rescan,
        dns: !options.no_dns,
        kernel_log: options.kernel_log,
    })?;
    let deadline = options
        .duration
        .and_then(|duration| Instant::now().checked_add(duration));
    let mut enricher = Enricher::new(Path::new("/proc"), networks, roles);
    if let Some(reverse) = reverse {
        enricher.ask(reverse);
    }
    let mut lines = Lines::new(&options, enricher);
    let sink = Sink::stdout();
    let mut start = capture.start_event();
    if let Body::Start(start) = &mut start.body {
        start.blind.extend(lines.enricher.blind());
    }
    lines.push(start);

    let mut check = interval(CHECK);
    let mut more = false;
    loop {
        // What cannot be handed over yet keeps the rest in the kernel, which counts
        // what finds no room there: memory stays bounded, loss is known.
        let full = lines.is_full();
        tokio::select! {
            biased;
            () = signals.stop() => break,
            () = until(deadline) => break,
            _ = check.tick() => {
                if sink.is_closed() {
                    break;
                }
                capture.look_again();
                lines.enricher.refresh();
                if !full && let Some(loss) = capture.loss()? {
                    lines.push(loss);
                }
            }
            room = sink.room(), if !lines.buffer.is_empty() => match room {
                Some(room) => room.send(lines.take()),
                None => break,
            },
            // A yield, so that a ring that never runs empty starves nothing above.
            () = tokio::task::yield_now(), if more && !full => more = lines.fill(&mut capture),
            () = capture.ready(), if !more && !full => more = lines.fill(&mut capture),
        }
    }
    let flushed = tokio::select! {
        flushed = finish(&mut capture, lines, sink) => flushed?,
        () = signals.stop() => bail!("stopped at once by a second signal: the last events were thrown away"),
    };
    match flushed {
        Flushed::Done => {}
        Flushed::Stuck => {
            bail!("nobody reads the output: the last events and the `stop` line were thrown away")
        }
        Flushed::Failed(error) => return Err(error).context("writing the output"),
    }
    let lost = capture.tallies()?.lost().total();
    Ok(if options.strict && lost > 0 {
        Exit::Lost
    } else {
        Exit::Done
    })
}

/// Detaches, writes out what is left, and closes the account.
async fn finish(capture: &mut Capture, mut lines: Lines, sink: Sink) -> Result<Flushed> {
    capture.detach();
    let limit = Instant::now() + SETTLE;
    loop {
        let more = lines.fill(capture);
        if lines.is_full() {
            match sink.room_or_end().await {
                Ok(room) => room.send(lines.take()),
                Err(Flushed::Stuck) => return Ok(Flushed::Stuck),
                Err(_) => break,
            }
        } else if !more {
            if capture.is_settled()? || Instant::now() > limit {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    if let Some(loss) = capture.loss()? {
        lines.push(loss);
    }
    lines.push(capture.stop_event()?);
    Ok(sink.finish(lines.take()).await)
}

/// Events on their way to the output: completed, chosen, written.
struct Lines {
    enricher: Enricher,
    filter: Arc<Filter>,
    writer: Writer,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(options: &StreamOptions, enricher: Enricher) -> Self {
        let format = options.format.unwrap_or_else(Format::for_stdout);
        Self {
            enricher,
            filter: Arc::new(Filter::new(&options.filter)),
            writer: Writer::new(format, outputs::colour_for_stdout()),
            buffer: Vec::new(),
        }
    }

    /// Takes events until the buffer is full; tells whether there may be more.
    fn fill(&mut self, capture: &mut Capture) -> bool {
        let filter = Arc::clone(&self.filter);
        // What processes run is learnt from, whatever is shown.
        let wanted = |kind| kind == Kind::Exec || filter.wants(kind);
        capture.drain(wanted, |told| {
            match told {
                Told::Event(event) => self.push(event),
                Told::Fact(fact) => self.enricher.learn(&fact),
            }
            !self.is_full()
        })
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= BATCH_BYTES
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn push(&mut self, mut event: Event) {
        if let Body::Loss(loss) = &event.body
            && loss.lost.total() > 0
        {
            tracing::warn!(
                events = loss.lost.total(),
                "events were lost; a larger --ring may help"
            );
        }
        // Before the filter: what is not shown tells who is at the other end of what is.
        self.enricher.complete(&mut event);
        if self.filter.admits(&event) {
            self.writer.write(&event, &mut self.buffer);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
