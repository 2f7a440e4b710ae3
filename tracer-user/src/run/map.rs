//! `tracer map`: events → who depends on whom.

use anyhow::{Context, Result, ensure};

use super::{
    consumer::{Consumer, Figures, MapFold, Recording},
    screen::{self, Display},
    source::fails_at_once,
    stop::Stop,
    thread::Run,
    view::rights,
};
use crate::{
    ask::focus,
    cli::request::{self, Focus, Origin, Shown},
    exit::Exit,
    map::Map,
    model::View,
    outputs,
    sandbox::Needs as Rights,
    sink,
};

/// `tracer map`: shows who depends on whom.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn map(request: request::Map) -> Result<Exit> {
    let request::Map {
        input,
        focus,
        shown,
        save,
        strict,
    } = request;
    let is_live = input.origin.is_live();
    let is_bad = match &input.origin {
        Origin::Recorded { paths, skip_bad } => {
            !skip_bad && paths.iter().any(|it| fails_at_once(it))
        }
        Origin::Live(_) => false,
    };
    let recording = match save {
        // Later no file can be made, nor one removed that was made in vain.
        Some(path) if !is_bad => Some(Recording::open(&path)?),
        _ => None,
    };
    let on_screen = shown == Shown::Screen;
    let looks_on = on_screen && is_live;
    let (fold, mut folded) = MapFold::new(Map::new(input.options), false, looks_on);
    let snapshots = folded.snapshots.take().filter(|_| looks_on);
    let mut consumers: Vec<Box<dyn Consumer>> = vec![Box::new(fold)];
    if let Some(recording) = recording {
        consumers.push(Box::new(recording));
    }
    let rights = Rights {
        opens_terminal: screen::opens_terminal(on_screen),
        ..rights(&input.origin)
    };
    let run = Run::open(input.origin, input.filter, consumers, Stop::new()).await?;
    let account = match snapshots {
        Some(snapshots) => {
            let display = Display::open(run.name().to_owned())?;
            let run = run.begin(Some(rights));
            // Who is asked for may not have been seen yet.
            let choose =
                |view: &View| chosen(view.clone(), focus.as_ref()).unwrap_or_else(|_| view.clone());
            screen::follow(run, display, snapshots, choose).await?
        }
        None => run.begin(Some(rights)).end().await?,
    };
    ensure!(!is_bad, "a recording became another one while it was read");
    let lost = account.lost;
    let map = folded.map()?;
    match shown {
        Shown::Screen if is_live => {}
        Shown::Screen => {
            let figures = Figures {
                events: account.events,
                lost,
                cost: None,
            };
            let view = chosen(map.view(), focus.as_ref())?;
            screen::explore(view, "recorded".to_owned(), &figures).await?;
        }
        Shown::Printed { format, max_edges } => {
            let view = match max_edges {
                None => map.view(),
                Some(max_edges) => map.folded(max_edges),
            };
            let view = chosen(view, focus.as_ref())?;
            let mut buffer = Vec::new();
            outputs::map::write(
                &view,
                format,
                outputs::colour_for_stdout(),
                outputs::width_of_stdout(),
                &mut buffer,
            );
            sink::print(&buffer).context("writing the map")?;
        }
    }
    Ok(Exit::of(strict && lost > 0))
}

/// The part of `view` that was asked for.
fn chosen(view: View, part: Option<&Focus>) -> Result<View> {
    match part {
        Some(Focus { who, depth }) => {
            focus::focus(&view, who, *depth).with_context(|| format!("--focus {who}"))
        }
        None => Ok(view),
    }
}
