//! `tracer map`: events → who depends on whom.

use std::{fs::File, io::Write, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, interval, sleep};

use super::{
    live::{self, CHECK, Live, SETTLE},
    recorded,
};
use crate::{
    cli::MapOptions,
    exit::Exit,
    filter::Filter,
    map::{self, Map, focus},
    model::{Event, View},
    outputs::{self, Format, Writer, map::MapFormat},
    signals::Signals,
    sink,
};

/// How much of a recording is written at a time.
const BATCH_BYTES: usize = 256 << 10;

/// `tracer map`: shows who depends on whom.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn map(options: MapOptions) -> Result<Exit> {
    let filter = Filter::new(&options.filter);
    let mut save = options.save.as_deref().map(Save::create).transpose()?;
    let recordings = recorded::paths(&options.sources, &options.live)?;
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
    let lost = match &recordings {
        Some(paths) => recorded::read(paths, options.sources.skip_bad, |event| {
            if filter.admits(event) {
                map.push(event);
                if let Some(save) = &mut save {
                    save.push(event)?;
                }
            }
            Ok(())
        })?,
        None => watch(&options, filter, &mut map, save.as_mut()).await?,
    };
    if let Some(mut save) = save {
        save.flush()?;
    }
    let format = options.format.unwrap_or(MapFormat::Json);
    let max_edges = options.max_edges.or(format.max_edges());
    let view = match max_edges {
        Some(max_edges) if options.focus.is_none() => map.folded(max_edges as usize),
        _ => map.view(),
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
) -> Result<u64> {
    let enricher = live::enricher(&options.live)?;
    let mut signals = Signals::new()?;
    let mut live = Live::start(&options.live, enricher, filter)?;
    let mut intake = Intake { map, save };
    intake.take(&live.start_event());
    let mut check = interval(CHECK);
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

/// Where live events go.
struct Intake<'a> {
    map: &'a mut Map,
    save: Option<&'a mut Save>,
}

impl Intake<'_> {
    /// Always has room for more, but looks around now and then.
    fn take(&mut self, event: &Event) -> bool {
        self.map.push(event);
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
