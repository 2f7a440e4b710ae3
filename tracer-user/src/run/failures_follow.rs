//! `tracer failures --follow`: what begins to fail and what recovers, as it happens.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    consumer::Snapshot,
    view::{Then, see_while},
};
use crate::{
    ask::failures::{self, Failing},
    cli::request::Follow,
    exit::Exit,
    model::{EdgeState, View},
    outputs::answers,
    sink::{Flushed, Sink},
};

/// What waits for a reader that is slow; what happens then is told when it has read on.
const MAX_WAITING: usize = 4 << 20;

/// When it is over, how long its reader may take nothing at all.
const GRACE: Duration = Duration::from_secs(2);

/// Tells what begins to fail and what recovers until it is told to stop.
///
/// # Errors
/// If the capture cannot start or the output cannot be written.
pub async fn follow(request: Follow) -> Result<Exit> {
    let Follow {
        input,
        window,
        format,
        strict,
    } = request;
    // On a thread of its own: a reader that stops reading keeps neither signals nor events waiting.
    let sink = Sink::stdout();
    let mut waiting = Vec::new();
    let mut told = Told::default();
    let mut news = |view: &View, waiting: &mut Vec<u8>| {
        if waiting.len() < MAX_WAITING {
            let answer = failures::failures(view, window);
            // Oldest first, as they happened.
            for failing in answer.found.edges.iter().rev() {
                if told.is_news(failing) {
                    answers::line(failing, &answer, format, waiting);
                }
            }
        }
    };
    let look = |snapshot: &Snapshot| {
        if sink.is_closed() {
            return Ok(ControlFlow::Break(()));
        }
        news(&snapshot.view, &mut waiting);
        if !waiting.is_empty()
            && let Some(room) = sink.room_now()
        {
            room.send(std::mem::take(&mut waiting));
        }
        Ok(ControlFlow::Continue(()))
    };
    let seen = see_while(input, Then::Answer, Some(look)).await?;
    // And what happened since the last look.
    news(&seen.view, &mut waiting);
    match sink.finish(waiting, GRACE, || false).await {
        Flushed::Done => {}
        Flushed::Stuck => bail!("nobody reads the output: the last lines were thrown away"),
        Flushed::Failed(error) => return Err(error).context("writing the output"),
    }
    Ok(Exit::of(strict && seen.lost > 0))
}

/// What was told of each edge: how many failures, and whether it failed.
#[derive(Default)]
struct Told(HashMap<String, (u64, bool)>);

impl Told {
    /// Whether it began to fail, recovered, or failed once between two looks; then it is told.
    fn is_news(&mut self, failing: &Failing) -> bool {
        let link = &failing.link;
        let edge = format!("{} {} {:?}", link.client.id, link.server.id, link.port);
        let (failures, fails) = (link.failed.values().sum(), link.state == EdgeState::Failed);
        match self.0.insert(edge, (failures, fails)) {
            None => true,
            Some((before, failed)) => failed != fails || (!fails && before != failures),
        }
    }
}
