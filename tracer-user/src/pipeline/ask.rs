//! The questions: events → a map → an answer.

use std::{
    collections::HashMap,
    fs,
    io::{IsTerminal, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::{
    recorded,
    watch::{Onlooker, watch},
};
use crate::{
    ask::{
        Allowed, Answer, Doubt, Policy, Split, balance, diff,
        failures::{self, Failing, Failures},
        groups, idle,
        impact::{self, Target, Way},
        recovery_order, verify,
    },
    cli::{
        About, BalanceOptions, DiffOptions, FailuresOptions, GroupsOptions, IdleOptions,
        ImpactOptions, RecoveryOrderOptions, Source, Sources, UsageError, VerifyOptions,
    },
    exit::Exit,
    filter::Filter,
    map::{self, Map},
    model::{EdgeState, Event, View},
    outputs::answers::{self, AnswerFormat, Shown},
    packages, sink,
};

/// A question.
#[derive(Clone, Debug)]
pub enum Question {
    /// Who depends on something.
    Impact(ImpactOptions),
    /// What changed.
    Diff(DiffOptions),
    /// What must move together.
    Groups(GroupsOptions),
    /// In what order to recover.
    RecoveryOrder(RecoveryOrderOptions),
    /// What can be switched off.
    Idle(IdleOptions),
    /// What fails.
    Failures(FailuresOptions),
    /// How load is spread.
    Balance(BalanceOptions),
    /// Whether all is back.
    Verify(VerifyOptions),
}

/// Answers a question.
///
/// # Errors
/// If events cannot be had, if what is asked about is not in the map, or if the answer cannot be
/// written.
pub async fn ask(question: Question) -> Result<Exit> {
    match question {
        Question::Impact(options) => impact(&options).await,
        Question::Diff(options) => diff(&options).await,
        Question::Groups(options) => groups(&options).await,
        Question::RecoveryOrder(options) => recovery_order(&options).await,
        Question::Idle(options) => {
            let seen = see(&options.sources, &options.about).await?;
            let answer = idle::idle(&seen.view, options.unused_for);
            tell(answer, options.format, &seen, &options.about, false)
        }
        Question::Failures(options) if options.follow => follow(&options).await,
        Question::Failures(options) => {
            let seen = see(&options.sources, &options.about).await?;
            let answer = failures::failures(&seen.view, options.before);
            tell(answer, options.format, &seen, &options.about, false)
        }
        Question::Balance(options) => balance(&options).await,
        Question::Verify(options) => verify(&options).await,
    }
}

async fn impact(options: &ImpactOptions) -> Result<Exit> {
    let (mut outdated, mut users) = (0, 0);
    // Before anything is watched: a mistake is told at once.
    let target = match (&options.who, &options.exe, &options.image, &options.package) {
        (Some(who), ..) => Target::Who(who.clone()),
        (_, Some(exe), ..) => Target::Exe(exe.compile_matcher()),
        (_, _, Some(image), _) => Target::Image(image.compile_matcher()),
        (_, _, _, Some(package)) => {
            let used = packages::used(package).context("--package")?;
            (outdated, users) = (used.outdated.len(), used.pids.len());
            Target::Files {
                pids: used.pids,
                paths: used.paths,
            }
        }
        _ => return Err(UsageError("name a workload, or give --exe, --image or --package").into()),
    };
    let seen = see(&options.sources, &options.about).await?;
    let of = target.find(&seen.view).map_err(|error| match users {
        0 => anyhow::Error::new(error),
        _ => anyhow!(
            "{users} processes of this host use that package now, and none of them is in this map: \
             they did not connect to anything, nor listen, while it was watched"
        ),
    })?;
    let way = match options.down {
        true => Way::Dependencies,
        false => Way::Dependents,
    };
    if outdated > 0 {
        tracing::warn!(
            "{outdated} processes still use a version of that package which was replaced: restart them"
        );
    }
    let answer = impact::impact(&seen.view, &of, way, options.depth);
    let part = impact::picture(&seen.view, &answer.found);
    match options.format.and_then(|it| answers::picture(&part, it)) {
        Some(picture) => print(&picture, &seen, &options.about),
        None => tell(answer, options.format, &seen, &options.about, false),
    }
}

async fn diff(options: &DiffOptions) -> Result<Exit> {
    let allowed: Allowed = options
        .allow
        .as_deref()
        .map_or_else(|| Ok(Allowed::default()), |path| rules(path, "--allow"))?;
    let sources = |source: &Source| Sources {
        from: vec![source.clone()],
        skip_bad: options.skip_bad,
    };
    let (before, after) = (sources(&options.before), sources(&options.after));
    let is_input = |it: &Source| matches!(it, Source::File(path) if path.as_os_str() == "-");
    match (&options.before, &options.after) {
        (Source::Live, Source::Live) => {
            return Err(UsageError("one of the two is to be a recording: what it was").into());
        }
        (one, other) if is_input(one) && is_input(other) => {
            return Err(UsageError("- can be given once: there is one standard input").into());
        }
        (Source::File(_), Source::File(_)) if options.about.live.duration.is_some() => {
            return Err(UsageError(
                "--for says how long to watch this host, and both A and B are recordings",
            )
            .into());
        }
        _ => {}
    }
    let before = see_part(&before, &options.about, true).await?;
    let mut after = see_part(&after, &options.about, true).await?;
    after.lost += before.lost;
    after.skipped += before.skipped;
    let answer = diff::diff(&before.view, &after.view, &allowed);
    let changed = !answer.found.changes.is_empty();
    tell(answer, options.format, &after, &options.about, changed)
}

async fn groups(options: &GroupsOptions) -> Result<Exit> {
    let split: Option<Split> = options
        .split
        .as_deref()
        .map(|path| rules(path, "--split"))
        .transpose()?;
    let is_rules = matches!(
        options.format,
        Some(AnswerFormat::Nftables | AnswerFormat::Networkpolicy)
    );
    if is_rules && split.is_none() {
        return Err(
            UsageError("rules are for what crosses a division: say which by --split FILE").into(),
        );
    }
    let shared = groups::Shared {
        yes: options.shared.clone(),
        no: options.not_shared.clone(),
    };
    let seen = see(&options.sources, &options.about).await?;
    let answer = groups::groups(&seen.view, &shared, split.as_ref());
    let format = options.format;
    match format.and_then(|it| answers::rules(&answer, &seen.view, it)) {
        Some(rules) => print(rules.as_bytes(), &seen, &options.about),
        None => tell(answer, format, &seen, &options.about, false),
    }
}

async fn recovery_order(options: &RecoveryOrderOptions) -> Result<Exit> {
    let seen = see(&options.sources, &options.about).await?;
    let start_up_ns = u64::try_from(options.start_up.as_nanos()).unwrap_or(u64::MAX);
    let answer = recovery_order::recovery_order(&seen.view, start_up_ns);
    let format = options.format;
    match format.and_then(|it| answers::order(&answer, &seen.view, it)) {
        Some(order) => print(order.as_bytes(), &seen, &options.about),
        None => tell(answer, format, &seen, &options.about, false),
    }
}

async fn balance(options: &BalanceOptions) -> Result<Exit> {
    let policy: Option<Policy> = options
        .policy
        .as_deref()
        .map(|path| rules(path, "--policy"))
        .transpose()?;
    let seen = see(&options.sources, &options.about).await?;
    let answer = balance::balance(&seen.view, policy.as_ref());
    let is_violated = answer
        .found
        .violations
        .as_ref()
        .is_some_and(|it| !it.is_empty());
    tell(answer, options.format, &seen, &options.about, is_violated)
}

async fn verify(options: &VerifyOptions) -> Result<Exit> {
    let baseline = Sources {
        from: vec![Source::File(options.baseline.clone())],
        skip_bad: options.sources.skip_bad,
    };
    let recordings = options.sources.recordings()?;
    if options.wait.is_some() && recordings.is_some() {
        return Err(UsageError("--wait watches this host: it does not go with --from").into());
    }
    let baseline = see_part(&baseline, &options.about, true).await?;
    let seen = match recordings {
        Some(_) => see(&options.sources, &options.about).await?,
        None => {
            let mut about = options.about.clone();
            about.live.duration = options.wait.or(about.live.duration);
            let mut progress = Progress::new();
            let waits = options.wait.is_some();
            let mut look = |view: View, _| {
                let found = verify::verify(&baseline.view, &view).found;
                progress.show(|| format!("{} of {} back", found.back.len(), found.expected()));
                Ok(match waits && found.complete {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            };
            let seen = watch_for(&about, &mut look).await?;
            progress.clear();
            seen
        }
    };
    let answer = verify::verify(&baseline.view, &seen.view);
    let is_missing = !answer.found.complete;
    tell(answer, options.format, &seen, &options.about, is_missing)
}

/// Tells what begins to fail and what recovers until it is told to stop.
async fn follow(options: &FailuresOptions) -> Result<Exit> {
    if options.sources.recordings()?.is_some() {
        return Err(UsageError("--follow watches this host: it does not go with --from").into());
    }
    let format = options.format.unwrap_or_else(AnswerFormat::for_stdout);
    if format == AnswerFormat::Csv {
        return Err(UsageError("--follow tells line by line: -o table or -o json").into());
    }
    // What was told of an edge: how many failures, and whether it failed.
    let mut told: HashMap<String, (u64, bool)> = HashMap::new();
    let mut look = |view: View, _| {
        let answer = failures::failures(&view, options.before);
        let mut out = Vec::new();
        // Oldest first, as they happened.
        for failing in answer.found.edges.iter().rev() {
            let link = &failing.link;
            let key = format!("{} {} {:?}", link.client.id, link.server.id, link.port);
            let now = (link.failed.values().sum(), link.state == EdgeState::Failed);
            let before = told.insert(key, now);
            let is_news =
                before.is_none_or(|before| before.1 != now.1 || (!now.1 && before.0 != now.0));
            if is_news {
                one(failing, &answer, format, &mut out);
            }
        }
        Ok(match out.is_empty() || sink::print(&out).is_ok() {
            true => ControlFlow::Continue(()),
            // Nobody reads any more.
            false => ControlFlow::Break(()),
        })
    };
    let seen = watch_for(&options.about, &mut look).await?;
    Ok(Exit::of(options.about.strict && seen.lost > 0))
}

/// A line about an edge that begins to fail, or recovers.
fn one(failing: &Failing, of: &Answer<Failures>, format: AnswerFormat, out: &mut Vec<u8>) {
    match format {
        AnswerFormat::Json => {
            // Writing to memory does not fail, and every key is text.
            let _ = serde_json::to_writer(&mut *out, failing);
            out.push(b'\n');
        }
        _ => answers::line(failing, of, out),
    }
}

/// A map, and what is to be said of where it comes from.
struct Seen {
    view: View,
    lost: u64,
    skipped: u64,
}

/// The map that a question is about.
async fn see(sources: &Sources, about: &About) -> Result<Seen> {
    see_part(sources, about, false).await
}

/// Likewise, of which `is_one_of_two`: --for is then for the other one.
async fn see_part(sources: &Sources, about: &About, is_one_of_two: bool) -> Result<Seen> {
    let recordings = match is_one_of_two {
        true => sources.recordings()?,
        false => recorded::paths(sources, &about.live)?,
    };
    match recordings {
        Some(paths) => read(&paths, sources.skip_bad, about).await,
        None => {
            let mut progress = Progress::new();
            let mut look = |view: View, events| {
                progress.show(|| format!("{events} events, {} edges", view.edges.len()));
                Ok(ControlFlow::Continue(()))
            };
            let seen = watch_for(about, &mut look).await?;
            progress.clear();
            Ok(seen)
        }
    }
}

async fn read(paths: &[PathBuf], skip_bad: bool, about: &About) -> Result<Seen> {
    let filter = Filter::new(&about.filter).with_processes();
    let mut map = Map::new(map::Options {
        group_by: about.group_by,
        since: about.since,
        until: about.until,
        ..match paths {
            [_] => map::Options::ONE_HOST,
            _ => map::Options::SEVERAL_HOSTS,
        }
    });
    let take = |batch: &[Event]| {
        for event in batch.iter().filter(|event| filter.admits(event)) {
            map.push(event);
        }
        Ok(ControlFlow::Continue(()))
    };
    let read = recorded::read(paths, skip_bad, take).await?;
    Ok(Seen {
        view: map.view(),
        lost: read.lost,
        skipped: read.skipped,
    })
}

async fn watch_for(
    about: &About,
    look: &mut dyn FnMut(View, u64) -> Result<ControlFlow<()>>,
) -> Result<Seen> {
    let filter = Filter::new(&about.filter).with_processes();
    let mut map = Map::new(map::Options {
        group_by: about.group_by,
        since: about.since,
        until: about.until,
        ..map::Options::ONE_HOST
    });
    let lost = watch(&about.live, filter, &mut map, None, Onlooker::Each(look)).await?;
    Ok(Seen {
        view: map.view(),
        lost,
        skipped: 0,
    })
}

/// Prints an answer; `is_no` if it is no.
fn tell<T: Serialize>(
    mut answer: Answer<T>,
    format: Option<AnswerFormat>,
    seen: &Seen,
    about: &About,
    is_no: bool,
) -> Result<Exit>
where
    Answer<T>: Shown,
{
    if seen.skipped > 0 {
        answer.proof.doubt(Doubt::Skipped {
            lines: seen.skipped,
        });
    }
    if !about.filter.admits_all() {
        answer.proof.doubt(Doubt::Filtered);
    }
    let format = format.unwrap_or_else(AnswerFormat::for_stdout);
    let mut buf = Vec::new();
    answers::write(&answer, format, &mut buf);
    let exit = print(&buf, seen, about)?;
    Ok(match is_no {
        true => Exit::No,
        false => exit,
    })
}

fn print(bytes: &[u8], seen: &Seen, about: &About) -> Result<Exit> {
    sink::print(bytes).context("writing the answer")?;
    Ok(Exit::of(about.strict && seen.lost > 0))
}

/// The rules in the file at `path`.
fn rules<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    path: &Path,
    option: &str,
) -> Result<T> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{option}: cannot read {name}"))?;
    text.parse().with_context(|| format!("{option} {name}"))
}

/// What goes on, on a terminal; nothing elsewhere.
struct Progress {
    begun: Instant,
    shows: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            shows: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        if self.shows {
            let seconds = Duration::from_secs(self.begun.elapsed().as_secs());
            let seconds = humantime::format_duration(seconds);
            let text = text();
            // There is nowhere else to say that this cannot be written.
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[Kwatching for {seconds}: {text}; Ctrl-C for the answer"
            );
        }
    }

    fn clear(&mut self) {
        if self.shows {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
