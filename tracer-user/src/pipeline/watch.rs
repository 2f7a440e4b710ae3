//! This host, watched for a map.

use std::{ops::ControlFlow, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    task::yield_now,
    time::{interval, sleep, sleep_until},
};

use super::{
    live::{self, CHECK, Live, STEP},
    pace::{Pace, spent},
    screen::{Display, Figures},
};
use crate::{
    cli::LiveOptions,
    files::Output,
    filter::Filter,
    map::Map,
    model::{Body, Event, Kind, View},
    outputs::{Format, Writer},
    sandbox,
    signals::{self, Signals},
    tui::Input,
};

/// How often whoever looks on has a new snapshot.
const FRAME: Duration = Duration::from_millis(500);
/// Of the time between two snapshots one part in so many may be spent on one: of a large map they come seldom, and
/// nothing is lost meanwhile.
const FRAME_PART: u32 = 20;
/// How much of a recording is written at a time.
const BATCH_BYTES: usize = 256 << 10;

/// Who looks on while a host is watched.
pub(super) enum Onlooker<'a> {
    /// Nobody: what counts is the end.
    Nobody,
    /// Somebody at a terminal, which is taken over; shown is the part of the map that this chooses.
    Terminal(&'a dyn Fn(View) -> View),
    /// Somebody who may have seen enough. Has the number of events besides.
    Each(&'a mut dyn FnMut(View, u64) -> Result<ControlFlow<()>>),
}

/// Watches this host until it is told to stop, or `onlooker` has seen enough. Returns how many events
/// were lost.
pub(super) async fn watch(
    options: &LiveOptions,
    filter: Filter,
    map: &mut Map,
    save: Option<&mut Save>,
    mut onlooker: Onlooker<'_>,
) -> Result<u64> {
    let mut enricher = live::enricher(options)?;
    if save.is_none() {
        // The map finds both ends of a connection by itself.
        enricher.leave_out_peers();
    }
    let mut signals = Signals::new()?;
    // An opening that is recorded, or may count while its end does not, is an event of its own.
    let shows_openings = save.is_some() || !map.counts_always();
    let mut live = Live::start(options, enricher, filter, shows_openings)?;
    let mut intake = Intake {
        map,
        save,
        events: 0,
        is_last: false,
    };
    let start = live.start_event();
    intake.take(&start);
    let mut display = match (&onlooker, &start.body) {
        (Onlooker::Terminal(_), Body::Start(start)) => {
            Some(Display::open(start.tracer.hooks.clone())?)
        }
        _ => None,
    };
    // All that is to be attached, opened or created is.
    sandbox::close(live.needs(options, display.is_some()));
    let mut check = interval(CHECK);
    let mut frames = Pace::new(FRAME_PART, FRAME);
    let mut more = false;
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => break,
            () = live.over() => break,
            _ = check.tick() => {
                if let Some(loss) = live.check(true)? {
                    intake.take(&loss);
                }
                // Whoever reads the file meanwhile is not kept waiting.
                intake.flush()?;
            }
            input = input(&mut display) => {
                if let Some(display) = &mut display
                    && !display.act(input)?
                {
                    break;
                }
            }
            () = sleep_until(frames.next()), if !matches!(onlooker, Onlooker::Nobody) => {
                let before = spent();
                let view = intake.map.view();
                match (&mut onlooker, &mut display) {
                    (Onlooker::Terminal(choose), Some(display)) => {
                        live.read_totals_again();
                        let figures = Figures {
                            events: intake.events + live.capture.folded(),
                            lost: live.lost()?,
                            cost: Some(live.capture.cost()),
                        };
                        display.show(choose(view), &figures)?;
                    }
                    (Onlooker::Each(look), _) => {
                        if look(view, intake.events + live.capture.folded())?.is_break() {
                            break;
                        }
                    }
                    (Onlooker::Nobody | Onlooker::Terminal(_), _) => {}
                }
                frames.took(spent().saturating_sub(before));
            }
            () = yield_now(), if more => {
                more = live.drain(|event| intake.take(event));
                intake.flush_if_full()?;
            }
            () = live.capture.ready(), if !more => {
                more = live.drain(|event| intake.take(event));
                intake.flush_if_full()?;
            }
        }
    }
    // The terminal is given back before anything can take long.
    drop(display);
    live.read_totals();
    intake.is_last = true;
    while !live.capture.silence()? {
        signals::beat();
        let more = live.drain(|event| intake.take(event));
        intake.flush()?;
        match more {
            true => yield_now().await,
            false => sleep(STEP).await,
        }
    }
    while live.drain(|event| intake.take(event)) || !live.capture.is_settled()? {
        signals::beat();
        intake.flush()?;
        sleep(STEP).await;
    }
    if let Some(loss) = live.loss()? {
        intake.take(&loss);
    }
    let mut stop = live.stop_event()?;
    if let Body::Stop(stop) = &mut stop.body {
        stop.lines = intake.save.is_some().then_some(intake.events);
    }
    intake.take(&stop);
    intake.flush()?;
    // What follows takes as long as it takes.
    drop(signals);
    live.lost()
}

/// What the user does next, where there is a display.
async fn input(display: &mut Option<Display>) -> Option<Input> {
    match display {
        Some(display) => display.input().await,
        None => std::future::pending().await,
    }
}

/// Where live events go.
struct Intake<'a> {
    map: &'a mut Map,
    save: Option<&'a mut Save>,
    events: u64,
    /// What open connections have carried is told for the last time.
    is_last: bool,
}

impl Intake<'_> {
    /// Always has room for more, but looks around now and then.
    fn take(&mut self, event: &Event) -> bool {
        self.map.push(event);
        if event.body.kind() == Kind::Totals && !self.is_last {
            // What is told last says it all: a recording has no more than a stream.
            return true;
        }
        self.events += 1;
        match &mut self.save {
            Some(save) => {
                save.write(event);
                save.buffer.len() < BATCH_BYTES
            }
            None => true,
        }
    }

    fn flush_if_full(&mut self) -> Result<()> {
        match &mut self.save {
            Some(save) if save.buffer.len() >= BATCH_BYTES => save.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.save.as_mut().map_or(Ok(()), |save| save.flush())
    }
}

/// Events, written to a file as they come.
pub(super) struct Save {
    name: String,
    file: Output,
    writer: Writer,
    buffer: Vec<u8>,
}

impl Save {
    /// To the file at `path`, of which nothing is lost before there are events: a watch that is refused
    /// costs no recording.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            name: path.display().to_string(),
            file: Output::open(path).context("--save: cannot write")?,
            writer: Writer::new(Format::Json, false),
            buffer: Vec::new(),
        })
    }

    fn write(&mut self, event: &Event) {
        self.writer.write(event, &mut self.buffer);
    }

    /// Like [`Self::write`], and now and then to the file.
    pub(super) fn push(&mut self, event: &Event) -> Result<()> {
        self.write(event);
        match self.buffer.len() < BATCH_BYTES {
            true => Ok(()),
            false => self.flush(),
        }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.with_context(|| format!("--save: cannot write {}", self.name))
    }
}
