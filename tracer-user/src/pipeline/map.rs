//! `tracer map`: events → who depends on whom.

use std::{ops::ControlFlow, path::PathBuf};

use anyhow::{Context, Result, ensure};

use super::{
    recorded,
    screen::{self, Figures},
    seen,
    watch::{Onlooker, Save, watch},
};
use crate::{
    cli::{MapOptions, UsageError},
    exit::Exit,
    filter::Filter,
    map::focus,
    model::{Event, View},
    outputs::{self, map::MapFormat},
    sandbox::{self, Needs},
    sink,
};

/// `tracer map`: shows who depends on whom.
///
/// # Errors
/// If the capture cannot start, a recording cannot be read, or the output cannot be written.
pub async fn map(options: MapOptions) -> Result<Exit> {
    let recordings = recorded::paths(&options.sources, &options.about.live)?;
    let filter = Filter::new(&options.about.filter);
    let filter = match recordings.is_some() || options.save.is_some() {
        // A recording has what questions ask for.
        true => filter.with_processes(),
        false => filter,
    };
    let fails = |path: &PathBuf| recorded::fails_at_once(path);
    let is_bad = !options.sources.skip_bad && recordings.iter().flatten().any(fails);
    let mut save = match &options.save {
        // Later no file can be made, nor one removed that was made in vain.
        _ if is_bad => None,
        // It would be emptied while it is read.
        Some(path) if recorded::is_one_of(path, recordings.as_deref().unwrap_or_default()) => {
            return Err(UsageError("--save would overwrite the recording that is read").into());
        }
        path => path.as_deref().map(Save::open).transpose()?,
    };
    let mut map = seen::empty(&options.about, recordings.as_ref().map(Vec::len));
    let on_screen = options.takes_terminal();
    let mut events = 0;
    let lost = match &recordings {
        Some(paths) => {
            sandbox::close(Needs {
                opens_terminal: screen::opens_terminal(on_screen),
                ..Needs::default()
            });
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
            let read = recorded::read(paths, options.sources.skip_bad, take).await?;
            ensure!(!is_bad, "a recording became another one while it was read");
            read.lost
        }
        None => {
            let choose = |view: View| {
                // Who is asked for may not have been seen yet.
                chosen(view.clone(), &options).unwrap_or(view)
            };
            let onlooker = match on_screen {
                true => Onlooker::Terminal(&choose),
                false => Onlooker::Nobody,
            };
            watch(
                &options.about.live,
                filter,
                &mut map,
                save.as_mut(),
                onlooker,
            )
            .await?
        }
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
