//! `tracer map`: events → who depends on whom.

use std::{fs::File, io::Write, ops::ControlFlow, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, interval, sleep};

use super::{
    live::{self, CHECK, Live, SETTLE},
    recorded,
    screen::{self, Display, Figures},
};
use crate::{
    cli::{MapOptions, UsageError},
    exit::Exit,
    filter::Filter,
    map::{self, Map, focus},
    model::{Body, Event, View},
    outputs::{self, Format, Writer, map::MapFormat},
    signals::Signals,
    sink,
    tui::Input,
};

/// How often the terminal has a new snapshot.
const FRAME: Duration = Duration::from_millis(500);
/// How much of a recording is written at a time.
const BATCH_BYTES: usize = 256 << 10;

/// `tracer map`: shows who depends on whom.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn map(options: MapOptions) -> Result<Exit> {
    let filter = Filter::new(&options.filter);
    let recordings = recorded::paths(&options.sources, &options.live)?;
    let mut save = match &options.save {
        // Before anything is created: that would empty the recording.
        Some(path) if recorded::is_one_of(path, recordings.as_deref().unwrap_or_default()) => {
            return Err(UsageError("--save would overwrite the recording that is read").into());
        }
        path => path.as_deref().map(Save::create).transpose()?,
    };
    let several = recordings.as_ref().is_some_and(|paths| paths.len() > 1);
    let mut map = Map::new(map::Options {
        group_by: options.group_by,
        since: options.since,
        until: options.until,
        ..match several {
            true => map::Options::SEVERAL_HOSTS,
            false => map::Options::ONE_HOST,
        }
    });
    let on_screen = options.takes_terminal();
    let mut events = 0;
    let lost = match &recordings {
        Some(paths) => {
            let take = |batch: &[Event]| {
                for event in batch.iter().filter(|event| filter.admits(event)) {
                    events += 1;
                    map.push(event);
                    if let Some(save) = &mut save {
                        save.push(event)?;
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            recorded::read(paths, options.sources.skip_bad, take).await?
        }
        None => watch(&options, filter, &mut map, save.as_mut(), on_screen).await?,
    };
    if let Some(mut save) = save {
        save.flush()?;
    }
    if on_screen {
        if recordings.is_some() {
            let figures = Figures {
                events,
                lost,
                cost: None,
            };
            let view = chosen(map.view(), &options)?;
            screen::explore(view, "recorded".to_owned(), &figures).await?;
        }
        return Ok(Exit::of(options.strict && lost > 0));
    }
    let format = options.format.unwrap_or(MapFormat::Json);
    let max_edges = options.max_edges.or(format.max_edges());
    let view = match (options.max_edges, &options.focus, max_edges) {
        // By itself nothing is folded around what is looked at.
        (None, Some(_), _) | (_, _, None) => map.view(),
        (_, _, Some(max_edges)) => map.folded(max_edges as usize),
    };
    let view = chosen(view, &options)?;
    let mut buffer = Vec::new();
    outputs::map::write(
        &view,
        format,
        outputs::colour_for_stdout(),
        outputs::width_of_stdout(),
        &mut buffer,
    );
    sink::print(&buffer).context("writing the map")?;
    Ok(Exit::of(options.strict && lost > 0))
}

/// The part of `view` that was asked for.
fn chosen(view: View, options: &MapOptions) -> Result<View> {
    match &options.focus {
        Some(who) => {
            focus::focus(&view, who, options.depth).with_context(|| format!("--focus {who}"))
        }
        None => Ok(view),
    }
}

/// Watches this host until it is told to stop. Returns how many events were lost.
async fn watch(
    options: &MapOptions,
    filter: Filter,
    map: &mut Map,
    save: Option<&mut Save>,
    on_screen: bool,
) -> Result<u64> {
    let enricher = live::enricher(&options.live)?;
    let mut signals = Signals::new()?;
    let mut live = Live::start(&options.live, enricher, filter)?;
    let mut intake = Intake {
        map,
        save,
        events: 0,
    };
    let start = live.start_event();
    intake.take(&start);
    let mut display = match (on_screen, &start.body) {
        (true, Body::Start(start)) => Some(Display::open(start.tracer.hooks.clone())?),
        _ => None,
    };
    let mut check = interval(CHECK);
    let mut frame = interval(FRAME);
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
            _ = frame.tick(), if display.is_some() => {
                if let Some(display) = &mut display {
                    let view = intake.map.view();
                    let figures = Figures {
                        events: intake.events,
                        lost: live.lost()?,
                        cost: Some(live.capture.cost()),
                    };
                    // Who is asked for may not have been seen yet.
                    let part = chosen(view.clone(), options);
                    display.show(part.unwrap_or(view), &figures)?;
                }
            }
            () = tokio::task::yield_now(), if more => {
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
    live.capture.detach();
    let limit = Instant::now() + SETTLE;
    while live.drain(|event| intake.take(event))
        || (!live.capture.is_settled()? && Instant::now() < limit)
    {
        intake.flush()?;
        sleep(Duration::from_millis(1)).await;
    }
    if let Some(loss) = live.loss()? {
        intake.take(&loss);
    }
    intake.take(&live.capture.stop_event()?);
    intake.flush()?;
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
}

impl Intake<'_> {
    /// Always has room for more, but looks around now and then.
    fn take(&mut self, event: &Event) -> bool {
        self.map.push(event);
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
struct Save {
    name: String,
    file: File,
    writer: Writer,
    buffer: Vec<u8>,
}

impl Save {
    fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create(path).with_context(|| format!("--save: cannot write {name}"))?;
        Ok(Self {
            name,
            file,
            writer: Writer::new(Format::Json, false),
            buffer: Vec::new(),
        })
    }

    fn write(&mut self, event: &Event) {
        self.writer.write(event, &mut self.buffer);
    }

    /// Like [`Self::write`], and now and then to the file.
    fn push(&mut self, event: &Event) -> Result<()> {
        self.write(event);
        match self.buffer.len() < BATCH_BYTES {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.with_context(|| format!("--save: cannot write {}", self.name))
    }
}
