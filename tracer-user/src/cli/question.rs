//! The questions, as they are asked.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, builder::ValueParser, value_parser};
use globset::Glob;

use super::{
    UsageError,
    about::AboutArgs,
    request::{Ask, Follow, Origin, Question, Request},
    source::{Source, SourceArgs, source},
    value,
};
use crate::{
    ask::{
        self, Allowed, Pattern, QuestionKind,
        groups::Shared,
        impact::{Target, Way},
    },
    outputs::answers::AnswerFormat,
};

/// A question.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum QuestionArgs {
    /// Say who depends on something, directly or not; or on what it depends
    Impact(ImpactArgs),
    /// Say what changed between two recordings, or since one: exits with 3 if anything did
    Diff(DiffArgs),
    /// Say what must move together, and what a division would cut
    Groups(GroupsArgs),
    /// Say in what order to bring things back, and what is in a cycle
    RecoveryOrder(RecoveryOrderArgs),
    /// Say what can be switched off: listeners nobody uses, and servers that never answer
    Idle(IdleArgs),
    /// Say what fails, why, since when, and what happened just before
    Failures(FailuresArgs),
    /// Say how evenly load is spread, who loads most, and what a policy forbids
    Balance(BalanceArgs),
    /// Say whether all is back after a restart or a move: exits with 3 while anything is missing
    Verify(VerifyArgs),
}

impl QuestionArgs {
    /// What they ask for.
    ///
    /// # Errors
    /// If they do not go together.
    pub(super) fn request(self) -> Result<Request, UsageError> {
        match self {
            Self::Impact(args) => args.request().map(Request::Ask),
            Self::Diff(args) => args.request().map(Request::Ask),
            Self::Groups(args) => args.request().map(Request::Ask),
            Self::RecoveryOrder(args) => args.request().map(Request::Ask),
            Self::Idle(args) => args.request().map(Request::Ask),
            Self::Failures(args) => args.request(),
            Self::Balance(args) => args.request().map(Request::Ask),
            Self::Verify(args) => args.request().map(Request::Ask),
        }
    }
}

/// What every question but `diff` can be told beside that.
#[derive(Args, Clone, Debug)]
pub(super) struct AskArgs {
    /// Form of the answer [default: table on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = formats(None))]
    format: Option<AnswerFormat>,

    /// Where events come from.
    #[command(flatten)]
    sources: SourceArgs,

    /// What map it is about.
    #[command(flatten)]
    about: AboutArgs,
}

impl AskArgs {
    /// `question`, asked of one map.
    fn of_one(self, question: Question) -> Result<Ask, UsageError> {
        let strict = self.about.strict;
        let (about, live) = self.about.parts();
        Ok(Ask {
            question,
            before: None,
            now: about.of(self.sources.origin(live)?),
            until_yes: false,
            format: self.format.unwrap_or_else(AnswerFormat::for_stdout),
            strict,
        })
    }
}

/// The formats of answers, or of those to one question.
fn formats(of: Option<QuestionKind>) -> ValueParser {
    let all: Vec<_> = AnswerFormat::of(of).collect();
    value::word(&all, AnswerFormat::name, format_help)
}

fn format_help(format: AnswerFormat) -> &'static str {
    match format {
        AnswerFormat::Table => "For people: may change with any release",
        AnswerFormat::Json => "One JSON object, for programs: every field",
        AnswerFormat::Csv => "For spreadsheets",
        AnswerFormat::Dot => "A picture for Graphviz",
        AnswerFormat::Mermaid => "A picture for Mermaid",
        AnswerFormat::Systemd => "Drop-ins for units of systemd",
        AnswerFormat::Compose => "An override file for compose",
        AnswerFormat::Nftables => "Rules for nftables, which let through what crosses",
        AnswerFormat::Networkpolicy => "Network policies of Kubernetes, which do",
    }
}

/// What `tracer impact` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer impact postgresql.service --for 1min              who depends on the database, now
  tracer impact postgresql.service --from monday.jsonl     of what was recorded
  tracer impact checkout --down --from monday.jsonl        what checkout depends on
  tracer impact --package libssl3 --for 1min               whom to tell before that is patched
  tracer impact --image 'redis:6*' -o csv --from all.jsonl the same for an image, as a sheet")]
#[command(group(clap::ArgGroup::new("target").required(true)))]
#[command(mut_arg("format", |it| it.value_parser(formats(Some(QuestionKind::Impact)))))]
pub(super) struct ImpactArgs {
    /// What it is about: name or id of a workload or a remote
    #[arg(group = "target")]
    who: Option<String>,

    /// Whatever runs an executable whose path matches
    #[arg(long, value_name = "GLOB", group = "target", value_parser = value::glob)]
    exe: Option<Glob>,

    /// Containers of images whose name matches
    #[arg(long, value_name = "GLOB", group = "target", value_parser = value::glob)]
    image: Option<Glob>,

    /// Whatever runs a file of this package, or has one mapped, by dpkg or rpm of this host
    #[arg(long, value_name = "NAME", group = "target")]
    package: Option<String>,

    /// What it depends on, instead of what depends on it
    #[arg(long)]
    down: bool,

    /// How many steps from there [default: all there are]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    depth: Option<u32>,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl ImpactArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let depth = self.depth;
        let way = match self.down {
            true => Way::Dependencies,
            false => Way::Dependents,
        };
        let target = match (self.who, self.exe, self.image, self.package) {
            (Some(who), ..) => Target::Who(who),
            (_, Some(exe), ..) => Target::Exe(exe.compile_matcher()),
            (_, _, Some(image), _) => Target::Image(image.compile_matcher()),
            (_, _, _, Some(name)) => {
                return self.asked.of_one(Question::Package { name, way, depth });
            }
            _ => {
                return Err(UsageError(
                    "name a workload, or give --exe, --image or --package",
                ));
            }
        };
        let question = ask::Question::Impact { target, way, depth };
        self.asked.of_one(Question::Whole(question))
    }
}

/// What `tracer diff` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Ids of processes, ports that the kernel chose and suffixes of pods do not count as changes.
A line of --allow is a workload, or CLIENT -> SERVER[:PORT]; each end a name with * or a network.

Examples:
  tracer diff friday.jsonl monday.jsonl
  tracer diff friday.jsonl live --for 10min
  tracer diff friday.jsonl monday.jsonl --allow known.txt && echo as expected")]
pub(super) struct DiffArgs {
    /// What it was: a recording, - or live
    #[arg(value_name = "A", value_parser = source)]
    before: Source,

    /// What it is: a recording, - or live
    #[arg(value_name = "B", value_parser = source)]
    after: Source,

    /// Changes that are known: a line each
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,

    /// Leave out lines that cannot be read, and count them
    #[arg(long)]
    skip_bad: bool,

    /// Form of the answer [default: table on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = formats(None))]
    format: Option<AnswerFormat>,

    /// What maps it is about.
    #[command(flatten)]
    about: AboutArgs,
}

impl DiffArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let strict = self.about.strict;
        let (about, live) = self.about.parts();
        match (&self.before, &self.after) {
            (Source::Live, Source::Live) => {
                return Err(UsageError(
                    "one of the two is to be a recording: what it was",
                ));
            }
            (one, other) if one.is_input() && other.is_input() => {
                return Err(UsageError(
                    "- can be given once: there is one standard input",
                ));
            }
            (Source::File(_), Source::File(_)) if live.duration.is_some() => {
                return Err(UsageError(
                    "--for says how long to watch this host, and both A and B are recordings",
                ));
            }
            _ => {}
        }
        let question = match self.allow {
            Some(path) => Question::Allow(path),
            None => Question::Whole(ask::Question::Diff {
                allowed: Allowed::default(),
            }),
        };
        let before = self.before.origin(live.clone(), self.skip_bad);
        let now = self.after.origin(live, self.skip_bad);
        Ok(Ask {
            question,
            before: Some(Box::new(about.clone().of(before))),
            now: about.of(now),
            until_yes: false,
            format: self.format.unwrap_or_else(AnswerFormat::for_stdout),
            strict,
        })
    }
}

/// What `tracer groups` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A line of --split is PART = PATTERN [PATTERN...]; what none names is in the part `rest`.

Examples:
  tracer groups --from month.jsonl
  tracer groups --shared 'backup*' --not-shared ldap.service --from month.jsonl
  tracer groups --split plan.txt --from month.jsonl -o csv > crossing.csv
  tracer groups --split plan.txt --from month.jsonl -o nftables")]
#[command(mut_arg("format", |it| it.value_parser(formats(Some(QuestionKind::Groups)))))]
pub(super) struct GroupsArgs {
    /// Counts as shared by all, so that it ties nothing together
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    shared: Vec<Pattern>,

    /// Does not count as shared, though it looks like it
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    not_shared: Vec<Pattern>,

    /// Show what crosses this division instead
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl GroupsArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let is_rules = matches!(
            self.asked.format,
            Some(AnswerFormat::Nftables | AnswerFormat::Networkpolicy)
        );
        if is_rules && self.split.is_none() {
            return Err(UsageError(
                "rules are for what crosses a division: say which by --split FILE",
            ));
        }
        let shared = Shared {
            yes: self.shared,
            no: self.not_shared,
        };
        self.asked.of_one(match self.split {
            Some(path) => Question::Split { shared, path },
            None => Question::Whole(ask::Question::Groups {
                shared,
                split: None,
            }),
        })
    }
}

/// What `tracer recovery-order` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer recovery-order --from month.jsonl
  tracer recovery-order --from month.jsonl -o systemd      as After= of units
  tracer recovery-order --from month.jsonl -o compose      as depends_on")]
#[command(mut_arg("format", |it| it.value_parser(formats(Some(QuestionKind::RecoveryOrder)))))]
pub(super) struct RecoveryOrderArgs {
    /// What a process dials so soon after it began counts as its start
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    start_up: Duration,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl RecoveryOrderArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let start_up_ns = u64::try_from(self.start_up.as_nanos()).unwrap_or(u64::MAX);
        let question = ask::Question::RecoveryOrder { start_up_ns };
        self.asked.of_one(Question::Whole(question))
    }
}

/// What `tracer idle` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer idle --from month.jsonl
  tracer idle --unused-for 14d --from month.jsonl          also what was used, long ago")]
pub(super) struct IdleArgs {
    /// Also what was used, but not for so long [default: only what was never used]
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    unused_for: Option<Duration>,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl IdleArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let unused_for = self.unused_for;
        let question = ask::Question::Idle { unused_for };
        self.asked.of_one(Question::Whole(question))
    }
}

/// What `tracer failures` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer failures --from incident.jsonl
  tracer failures --since 30min --from incident.jsonl
  tracer failures --follow                                 as they happen")]
pub(super) struct FailuresArgs {
    /// How long before it began to fail to look for what may be why
    #[arg(long, value_name = "DURATION", default_value = "1min", value_parser = value::duration)]
    before: Duration,

    /// Tell what begins to fail, and what recovers, as it happens
    #[arg(long)]
    follow: bool,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl FailuresArgs {
    fn request(self) -> Result<Request, UsageError> {
        let window = self.before;
        if !self.follow {
            let question = ask::Question::Failures { window };
            let ask = self.asked.of_one(Question::Whole(question))?;
            return Ok(Request::Ask(ask));
        }
        let strict = self.asked.about.strict;
        let (about, live) = self.asked.about.parts();
        let origin = self.asked.sources.origin(live)?;
        if !origin.is_live() {
            return Err(UsageError(
                "--follow watches this host: it does not go with --from",
            ));
        }
        let format = self.asked.format.unwrap_or_else(AnswerFormat::for_stdout);
        if format == AnswerFormat::Csv {
            return Err(UsageError(
                "--follow tells line by line: -o table or -o json",
            ));
        }
        Ok(Request::Follow(Follow {
            input: about.of(origin),
            window,
            format,
            strict,
        }))
    }
}

/// What `tracer balance` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A line of --policy is `allow CLIENT -> SERVER[:PORT]` or `deny ...`; the first that matches decides, and
what none matches is allowed. End the file with `deny * -> *` to forbid the rest.

Examples:
  tracer balance --for 1min
  tracer balance --policy rules.txt --from day.jsonl       exits with 3 if anything is forbidden")]
pub(super) struct BalanceArgs {
    /// Who may talk to whom: a line each
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl BalanceArgs {
    fn request(self) -> Result<Ask, UsageError> {
        self.asked.of_one(match self.policy {
            Some(path) => Question::Policy(path),
            None => Question::Whole(ask::Question::Balance { policy: None }),
        })
    }
}

/// What `tracer verify` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer stream -o json --for 1h > before.jsonl            before the restart
  tracer verify before.jsonl --wait 10min                  after the restart: until all is back
  tracer verify before.jsonl --from after.jsonl")]
pub(super) struct VerifyArgs {
    /// A recording of how it was
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,

    /// Watch this host until all is back, but no longer than this
    #[arg(long, value_name = "DURATION", value_parser = value::duration, conflicts_with = "duration")]
    wait: Option<Duration>,

    /// How it is asked.
    #[command(flatten)]
    asked: AskArgs,
}

impl VerifyArgs {
    fn request(self) -> Result<Ask, UsageError> {
        let AskArgs {
            format,
            sources,
            about,
        } = self.asked;
        if self.wait.is_some() && sources.is_recorded()? {
            return Err(UsageError(
                "--wait watches this host: it does not go with --from",
            ));
        }
        let strict = about.strict;
        let (about, mut live) = about.parts();
        live.duration = self.wait.or(live.duration);
        let before = Origin::Recorded {
            paths: vec![self.baseline],
            skip_bad: sources.skip_bad,
        };
        let now = sources.origin(live)?;
        Ok(Ask {
            question: Question::Whole(ask::Question::Verify),
            before: Some(Box::new(about.clone().of(before))),
            now: about.of(now),
            until_yes: self.wait.is_some(),
            format: format.unwrap_or_else(AnswerFormat::for_stdout),
            strict,
        })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
}
