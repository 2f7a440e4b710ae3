//! `tracer map`: events → who depends on whom.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{
    consumer::{Consumer, Figures, MapFold, Recording},
    screen::{self, Display},
    source::{Origin, fails_at_once, is_one_of},
    stop::Stop,
    thread::Run,
    view::{self, rights},
};
use crate::{
    ask::focus,
    cli::{MapOptions, UsageError},
    exit::Exit,
    model::View,
    outputs::{self, map::MapFormat},
    sandbox::Needs as Rights,
    sink,
};

/// `tracer map`: shows who depends on whom.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn map(options: MapOptions) -> Result<Exit> {
    let origin = Origin::of(&options.sources, &options.about.live)?;
    let is_live = origin.recordings().is_none();
    let fails = |path: &PathBuf| fails_at_once(path);
    let is_bad =
        !options.sources.skip_bad && origin.recordings().unwrap_or_default().iter().any(fails);
    let recording = match &options.save {
        // Later no file can be made, nor one removed that was made in vain.
        _ if is_bad => None,
        // It would be emptied while it is read.
        Some(path) if is_one_of(path, origin.recordings().unwrap_or_default()) => {
            return Err(UsageError("--save would overwrite the recording that is read").into());
        }
        path => path.as_deref().map(Recording::open).transpose()?,
    };
    let on_screen = options.takes_terminal();
    let looks_on = on_screen && is_live;
    let map = view::empty(&options.about, origin.recordings().map(<[_]>::len));
    let (fold, mut folded) = MapFold::new(map, false, looks_on);
    let snapshots = folded.snapshots.take().filter(|_| looks_on);
    let mut consumers: Vec<Box<dyn Consumer>> = vec![Box::new(fold)];
    if let Some(recording) = recording {
        consumers.push(Box::new(recording));
    }
    let run = Run::open(origin, &options.about.filter, consumers, Stop::new()).await?;
    let rights = Rights {
        opens_terminal: screen::opens_terminal(on_screen),
        ..rights(&options.about.live, is_live)
    };
    let account = match snapshots {
        Some(snapshots) => {
            let display = Display::open(run.name().to_owned())?;
            let run = run.begin(Some(rights));
            // Who is asked for may not have been seen yet.
            let choose =
                |view: &View| chosen(view.clone(), &options).unwrap_or_else(|_| view.clone());
            screen::follow(run, display, snapshots, choose).await?
        }
        None => run.begin(Some(rights)).end().await?,
    };
    ensure!(!is_bad, "a recording became another one while it was read");
    let lost = account.lost;
    let map = folded.map()?;
    if on_screen {
        if !is_live {
            let figures = Figures {
                events: account.events,
                lost,
                cost: None,
            };
            let view = chosen(map.view(), &options)?;
            screen::explore(view, "recorded".to_owned(), &figures).await?;
        }
        return Ok(Exit::of(options.about.strict && lost > 0));
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
    Ok(Exit::of(options.about.strict && lost > 0))
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
