//! The questions: maps → an answer.

use std::{ops::ControlFlow, path::Path, str::FromStr};

use anyhow::{Context, Result};

use super::{
    consumer::Snapshot,
    progress::Progress,
    view::{Seen, Then, see, see_while},
};
use crate::{
    ask::{self, impact::Target, verify},
    cli::request::{Ask, MapInput, Question},
    exit::Exit,
    files,
    host::this_host,
    model::View,
    outputs::answers,
    packages, sink,
};

/// Files of rules are not larger than this.
const MAX_RULES: u64 = 8 << 20;

/// Answers a question.
///
/// # Errors
/// If events cannot be had, if what is asked about is not in the map, or if the answer cannot be
/// written.
pub async fn ask(request: Ask) -> Result<Exit> {
    let Ask {
        question,
        before,
        now,
        until_yes,
        format,
        strict,
    } = request;
    // Before anything is watched: a mistake is told at once.
    let (question, outdated) = whole(question)?;
    let is_live = now.origin.is_live();
    let before = match before {
        Some(before) if is_live => Some(see(*before, Then::Watch).await?),
        Some(before) => Some(see(*before, Then::Answer).await?),
        None => None,
    };
    let mut seen = match (&question, &before) {
        (ask::Question::Verify, Some(before)) if is_live => {
            see_back(now, &before.view, until_yes).await?
        }
        _ => see(now, Then::Answer).await?,
    };
    if let Some(before) = &before {
        seen.also(before);
    }
    let views: Vec<&View> = before.iter().chain([&seen]).map(|it| &it.view).collect();
    let mut answer = ask::answer(&question, &views)?;
    if outdated > 0 {
        tracing::warn!(
            "{outdated} processes still use a version of that package which was replaced: restart them"
        );
    }
    seen.doubt(answer.proof_mut());
    let bytes = answers::render(&answer, &seen.view, format);
    sink::print(&bytes).context("writing the answer")?;
    Ok(match answer.is_no() {
        true => Exit::No,
        false => Exit::of(strict && seen.lost > 0),
    })
}

/// This host, watched until all of `before` is back where it is watched `until` then. On a terminal it says meanwhile
/// how much is.
async fn see_back(now: MapInput, before: &View, until: bool) -> Result<Seen> {
    let progress = Progress::new();
    let look = |snapshot: &Snapshot| {
        let found = verify::verify(before, &snapshot.view).found;
        if let Some(progress) = &progress {
            progress.show(&format!(
                "{} of {} back",
                found.back.len(),
                found.expected()
            ));
        }
        Ok(match until && found.complete {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    };
    let looks = until || progress.is_some();
    see_while(now, Then::Answer, looks.then_some(look)).await
}

/// A question with what it takes from this host, and how many processes use a version of what it is about that was
/// replaced.
fn whole(question: Question) -> Result<(ask::Question, usize)> {
    let question = match question {
        Question::Whole(question) => question,
        Question::Package { name, way, depth } => {
            let used = packages::used(&name).context("--package")?;
            let target = Target::Files {
                host: this_host().id,
                pids: used.pids,
                running: used.has_libraries.then_some(used.running),
                paths: used.paths,
                unread: used.unread,
            };
            let question = ask::Question::Impact { target, way, depth };
            return Ok((question, used.outdated.len()));
        }
        Question::Allow(path) => ask::Question::Diff {
            allowed: rules(&path, "--allow")?,
        },
        Question::Split { shared, path } => ask::Question::Groups {
            shared,
            split: Some(rules(&path, "--split")?),
        },
        Question::Policy(path) => ask::Question::Balance {
            policy: Some(rules(&path, "--policy")?),
        },
    };
    Ok((question, 0))
}

/// The rules in the file at `path`.
fn rules<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    path: &Path,
    option: &str,
) -> Result<T> {
    let text =
        files::read_text(path, MAX_RULES).with_context(|| format!("{option}: cannot read"))?;
    text.parse()
        .with_context(|| format!("{option} {}", path.display()))
}
