//! The questions: a map → an answer.

use std::{ops::ControlFlow, path::Path, str::FromStr};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::{
    consumer::Snapshot,
    failures_follow::follow,
    progress::Progress,
    source::Origin,
    view::{Seen, Then, see, see_one_of_two, see_while},
};
use crate::{
    ask::{
        Allowed, Answer, Doubt, Policy, Split, balance, diff, failures, groups, idle,
        impact::{self, Target, Way},
        recovery_order, verify,
    },
    cli::{
        About, Asked, BalanceOptions, DiffOptions, GroupsOptions, ImpactOptions, Question,
        RecoveryOrderOptions, Source, Sources, UsageError, VerifyOptions,
    },
    exit::Exit,
    files,
    host::this_host,
    model::View,
    outputs::answers::{self, AnswerFormat, Shown},
    packages, sink,
};

/// Files of rules are not larger than this.
const MAX_RULES: u64 = 8 << 20;

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
            let seen = see(&options.asked).await?;
            let answer = seen.doubted(idle::idle(&seen.view, options.unused_for));
            tell(&answer, &options.asked, &seen)
        }
        Question::Failures(options) if options.follow => follow(&options).await,
        Question::Failures(options) => {
            let seen = see(&options.asked).await?;
            let answer = seen.doubted(failures::failures(&seen.view, options.before));
            tell(&answer, &options.asked, &seen)
        }
        Question::Balance(options) => balance(&options).await,
        Question::Verify(options) => verify(&options).await,
    }
}

async fn impact(options: &ImpactOptions) -> Result<Exit> {
    let (mut outdated, mut users, mut unread) = (0, 0, 0);
    // Before anything is watched: a mistake is told at once.
    let target = match (&options.who, &options.exe, &options.image, &options.package) {
        (Some(who), ..) => Target::Who(who.clone()),
        (_, Some(exe), ..) => Target::Exe(exe.compile_matcher()),
        (_, _, Some(image), _) => Target::Image(image.compile_matcher()),
        (_, _, _, Some(package)) => {
            let used = packages::used(package).context("--package")?;
            (outdated, users) = (used.outdated.len(), used.pids.len());
            unread = used.unread;
            Target::Files {
                host: this_host().id,
                pids: used.pids,
                running: used.has_libraries.then_some(used.running),
                paths: used.paths,
            }
        }
        _ => return Err(UsageError("name a workload, or give --exe, --image or --package").into()),
    };
    let seen = see(&options.asked).await?;
    let of = target.find(&seen.view).map_err(|error| match users {
        0 => match (&target, programs_left_out(&seen.view)) {
            (Target::Exe(_), left_out @ 1..) => anyhow!(
                "{error}; but the map had no room for {left_out} programs, which may be meant"
            ),
            _ => anyhow::Error::new(error),
        },
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
    let mut answer = seen.doubted(impact::impact(&seen.view, &of, way, options.depth));
    target.doubt(&seen.view, &mut answer.proof);
    if unread > 0 {
        let processes = unread;
        answer.proof.doubt(Doubt::Unread { processes });
    }
    let part = impact::picture(&seen.view, &answer.found);
    let asked = &options.asked;
    match asked.format.and_then(|it| answers::picture(&part, it)) {
        Some(picture) => print(&picture, &asked.about, &seen),
        None => tell(&answer, asked, &seen),
    }
}

/// Programs that ran, and none of whose processes is in the map.
fn programs_left_out(view: &View) -> u64 {
    let programs = view.nodes.iter().map(|it| it.cut.programs);
    programs.fold(0, u64::saturating_add)
}

async fn diff(options: &DiffOptions) -> Result<Exit> {
    let allowed: Option<Allowed> = rules(options.allow.as_deref(), "--allow")?;
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
    let then = match options.after {
        Source::Live => Then::Watch,
        Source::File(_) => Then::Answer,
    };
    let before = see_one_of_two(&before, &options.about, then).await?;
    let mut after = see_one_of_two(&after, &options.about, Then::Answer).await?;
    after.also(&before);
    let allowed = allowed.unwrap_or_default();
    let answer = after.doubted(diff::diff(&before.view, &after.view, &allowed));
    let exit = tell_as(&answer, options.format, &options.about, &after)?;
    Ok(unless(!answer.found.changes.is_empty(), exit))
}

async fn groups(options: &GroupsOptions) -> Result<Exit> {
    let split: Option<Split> = rules(options.split.as_deref(), "--split")?;
    let is_rules = matches!(
        options.asked.format,
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
    let asked = &options.asked;
    let seen = see(asked).await?;
    let answer = seen.doubted(groups::groups(&seen.view, &shared, split.as_ref()));
    let rules = asked
        .format
        .and_then(|it| answers::rules(&answer, &seen.view, it));
    match rules {
        Some(rules) => print(rules.as_bytes(), &asked.about, &seen),
        None => tell(&answer, asked, &seen),
    }
}

async fn recovery_order(options: &RecoveryOrderOptions) -> Result<Exit> {
    let asked = &options.asked;
    let seen = see(asked).await?;
    let start_up_ns = u64::try_from(options.start_up.as_nanos()).unwrap_or(u64::MAX);
    let answer = seen.doubted(recovery_order::recovery_order(&seen.view, start_up_ns));
    let order = asked
        .format
        .and_then(|it| answers::order(&answer, &seen.view, it));
    match order {
        Some(order) => print(order.as_bytes(), &asked.about, &seen),
        None => tell(&answer, asked, &seen),
    }
}

async fn balance(options: &BalanceOptions) -> Result<Exit> {
    let policy: Option<Policy> = rules(options.policy.as_deref(), "--policy")?;
    let seen = see(&options.asked).await?;
    let answer = seen.doubted(balance::balance(&seen.view, policy.as_ref()));
    let violations = answer.found.violations.as_ref();
    let exit = tell(&answer, &options.asked, &seen)?;
    Ok(unless(violations.is_some_and(|it| !it.is_empty()), exit))
}

async fn verify(options: &VerifyOptions) -> Result<Exit> {
    let baseline = Sources {
        from: vec![Source::File(options.baseline.clone())],
        skip_bad: options.asked.sources.skip_bad,
    };
    let asked = &options.asked;
    let mut about = asked.about.clone();
    about.live.duration = options.wait.or(about.live.duration);
    let waits = options.wait.is_some();
    if waits && asked.sources.recordings()?.is_some() {
        return Err(UsageError("--wait watches this host: it does not go with --from").into());
    }
    let origin = Origin::of(&asked.sources, &about.live)?;
    let is_live = origin.recordings().is_none();
    let then = match is_live {
        true => Then::Watch,
        false => Then::Answer,
    };
    let baseline = see_one_of_two(&baseline, &asked.about, then).await?;
    let progress = Progress::new();
    let look = |snapshot: &Snapshot| {
        let found = verify::verify(&baseline.view, &snapshot.view).found;
        if let Some(progress) = &progress {
            progress.show(&format!(
                "{} of {} back",
                found.back.len(),
                found.expected()
            ));
        }
        Ok(match waits && found.complete {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    };
    let looks = is_live && (waits || progress.is_some());
    let mut seen = see_while(origin, &about, Then::Answer, looks.then_some(look)).await?;
    drop(progress);
    seen.also(&baseline);
    let answer = seen.doubted(verify::verify(&baseline.view, &seen.view));
    let exit = tell(&answer, asked, &seen)?;
    Ok(unless(!answer.found.complete, exit))
}

/// Prints an answer.
fn tell<T: Serialize>(answer: &Answer<T>, asked: &Asked, seen: &Seen) -> Result<Exit>
where
    Answer<T>: Shown,
{
    tell_as(answer, asked.format, &asked.about, seen)
}

fn tell_as<T: Serialize>(
    answer: &Answer<T>,
    format: Option<AnswerFormat>,
    about: &About,
    seen: &Seen,
) -> Result<Exit>
where
    Answer<T>: Shown,
{
    let format = format.unwrap_or_else(AnswerFormat::for_stdout);
    let mut buf = Vec::new();
    answers::write(answer, format, &mut buf);
    print(&buf, about, seen)
}

fn print(bytes: &[u8], about: &About, seen: &Seen) -> Result<Exit> {
    sink::print(bytes).context("writing the answer")?;
    Ok(Exit::of(about.strict && seen.lost > 0))
}

/// How it ends if the answer is no.
fn unless(is_no: bool, exit: Exit) -> Exit {
    if is_no { Exit::No } else { exit }
}

/// The rules in the file at `path`, if there is one.
fn rules<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    path: Option<&Path>,
    option: &str,
) -> Result<Option<T>> {
    let Some(path) = path else { return Ok(None) };
    let text =
        files::read_text(path, MAX_RULES).with_context(|| format!("{option}: cannot read"))?;
    let rules = text
        .parse()
        .with_context(|| format!("{option} {}", path.display()))?;
    Ok(Some(rules))
}
