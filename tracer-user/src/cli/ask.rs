//! The questions, as they are asked.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
    value_parser,
};
use globset::Glob;

use super::{
    live::LiveOptions,
    source::{Source, Sources, source},
    value,
};
use crate::{ask::Pattern, filter, map::GroupBy, model::Timestamp, outputs::answers::AnswerFormat};

/// A question.
#[derive(Subcommand, Clone, Debug)]
pub enum Question {
    /// Say who depends on something, directly or not; or on what it depends
    Impact(ImpactOptions),
    /// Say what changed between two recordings, or since one: exits with 3 if anything did
    Diff(DiffOptions),
    /// Say what must move together, and what a division would cut
    Groups(GroupsOptions),
    /// Say in what order to bring things back, and what is in a cycle
    RecoveryOrder(RecoveryOrderOptions),
    /// Say what can be switched off: listeners nobody uses, and servers that never answer
    Idle(IdleOptions),
    /// Say what fails, why, since when, and what happened just before
    Failures(FailuresOptions),
    /// Say how evenly load is spread, who loads most, and what a policy forbids
    Balance(BalanceOptions),
    /// Say whether all is back after a restart or a move: exits with 3 while anything is missing
    Verify(VerifyOptions),
}

impl Question {
    /// Whether it looks at this host: at what is recorded alone it does not.
    pub fn watches(&self) -> bool {
        let asked = match self {
            Self::Diff(options) => {
                return [&options.before, &options.after].contains(&&Source::Live);
            }
            // Who uses a package is found among the processes of this host.
            Self::Impact(options) if options.package.is_some() => return true,
            Self::Impact(options) => &options.asked,
            Self::Groups(options) => &options.asked,
            Self::RecoveryOrder(options) => &options.asked,
            Self::Idle(options) => &options.asked,
            Self::Failures(options) => &options.asked,
            Self::Balance(options) => &options.asked,
            Self::Verify(options) => &options.asked,
        };
        asked.sources.watches()
    }
}

/// What a map, and every question about one, can be told of what is in it.
#[derive(Args, Clone, Debug)]
pub struct About {
    /// Only what happened since then: 2026-11-22T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub since: Option<Timestamp>,

    /// Only what happened before then
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    pub until: Option<Timestamp>,

    /// What the nodes are
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub group_by: GroupBy,

    /// Exit with 2 if any event was lost
    #[arg(long)]
    pub strict: bool,

    /// How to watch this host.
    #[command(flatten)]
    pub live: LiveOptions,

    /// Which events count.
    #[command(flatten)]
    pub filter: filter::Options,
}

/// What every question but `diff` can be told beside that.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    /// Form of the answer [default: table on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = forms(PLAIN))]
    pub format: Option<AnswerFormat>,

    /// Where events come from.
    #[command(flatten)]
    pub sources: Sources,

    /// What map it is about.
    #[command(flatten)]
    pub about: About,
}

/// The forms that an answer can have.
fn forms(forms: &'static [AnswerFormat]) -> ValueParser {
    use clap::ValueEnum as _;
    let values = forms.iter().filter_map(AnswerFormat::to_possible_value);
    PossibleValuesParser::new(values)
        .try_map(|word| AnswerFormat::from_str(&word, false))
        .into()
}

const PLAIN: &[AnswerFormat] = &[AnswerFormat::Table, AnswerFormat::Json, AnswerFormat::Csv];
const PICTURE: &[AnswerFormat] = &[
    AnswerFormat::Table,
    AnswerFormat::Json,
    AnswerFormat::Csv,
    AnswerFormat::Dot,
    AnswerFormat::Mermaid,
];
const ORDER: &[AnswerFormat] = &[
    AnswerFormat::Table,
    AnswerFormat::Json,
    AnswerFormat::Csv,
    AnswerFormat::Systemd,
    AnswerFormat::Compose,
];
const RULES: &[AnswerFormat] = &[
    AnswerFormat::Table,
    AnswerFormat::Json,
    AnswerFormat::Csv,
    AnswerFormat::Nftables,
    AnswerFormat::Networkpolicy,
];

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
#[command(mut_arg("format", |it| it.value_parser(forms(PICTURE))))]
pub struct ImpactOptions {
    /// What it is about: name or id of a workload or a remote
    #[arg(group = "target")]
    pub who: Option<String>,

    /// Whatever runs an executable whose path matches
    #[arg(long, value_name = "GLOB", group = "target", value_parser = value::glob)]
    pub exe: Option<Glob>,

    /// Containers of images whose name matches
    #[arg(long, value_name = "GLOB", group = "target", value_parser = value::glob)]
    pub image: Option<Glob>,

    /// Whatever runs a file of this package, or has one mapped, by dpkg or rpm of this host
    #[arg(long, value_name = "NAME", group = "target")]
    pub package: Option<String>,

    /// What it depends on, instead of what depends on it
    #[arg(long)]
    pub down: bool,

    /// How many steps from there [default: all there are]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub depth: Option<u32>,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
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
pub struct DiffOptions {
    /// What it was: a recording, - or live
    #[arg(value_name = "A", value_parser = source)]
    pub before: Source,

    /// What it is: a recording, - or live
    #[arg(value_name = "B", value_parser = source)]
    pub after: Source,

    /// Changes that are known: a line each
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,

    /// Leave out lines that cannot be read, and count them
    #[arg(long)]
    pub skip_bad: bool,

    /// Form of the answer [default: table on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = forms(PLAIN))]
    pub format: Option<AnswerFormat>,

    /// What maps it is about.
    #[command(flatten)]
    pub about: About,
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
#[command(mut_arg("format", |it| it.value_parser(forms(RULES))))]
pub struct GroupsOptions {
    /// Counts as shared by all, so that it ties nothing together
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub shared: Vec<Pattern>,

    /// Does not count as shared, though it looks like it
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub not_shared: Vec<Pattern>,

    /// Show what crosses this division instead
    #[arg(long, value_name = "FILE")]
    pub split: Option<PathBuf>,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

/// What `tracer recovery-order` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer recovery-order --from month.jsonl
  tracer recovery-order --from month.jsonl -o systemd      as After= of units
  tracer recovery-order --from month.jsonl -o compose      as depends_on")]
#[command(mut_arg("format", |it| it.value_parser(forms(ORDER))))]
pub struct RecoveryOrderOptions {
    /// What a process dials so soon after it began counts as its start
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    pub start_up: Duration,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

/// What `tracer idle` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer idle --from month.jsonl
  tracer idle --unused-for 14d --from month.jsonl          also what was used, long ago")]
pub struct IdleOptions {
    /// Also what was used, but not for so long [default: only what was never used]
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub unused_for: Option<Duration>,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

/// What `tracer failures` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer failures --from incident.jsonl
  tracer failures --since 30min --from incident.jsonl
  tracer failures --follow                                 as they happen")]
pub struct FailuresOptions {
    /// How long before it began to fail to look for what may be why
    #[arg(long, value_name = "DURATION", default_value = "1min", value_parser = value::duration)]
    pub before: Duration,

    /// Tell what begins to fail, and what recovers, as it happens
    #[arg(long)]
    pub follow: bool,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

/// What `tracer balance` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A line of --policy is `allow CLIENT -> SERVER[:PORT]` or `deny ...`; the first that matches decides, and
what none matches is allowed. End the file with `deny * -> *` to forbid the rest.

Examples:
  tracer balance --for 1min
  tracer balance --policy rules.txt --from day.jsonl       exits with 3 if anything is forbidden")]
pub struct BalanceOptions {
    /// Who may talk to whom: a line each
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

/// What `tracer verify` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer stream -o json --for 1h > before.jsonl            before the restart
  tracer verify before.jsonl --wait 10min                  after the restart: until all is back
  tracer verify before.jsonl --from after.jsonl")]
pub struct VerifyOptions {
    /// A recording of how it was
    #[arg(value_name = "BASELINE")]
    pub baseline: PathBuf,

    /// Watch this host until all is back, but no longer than this
    #[arg(long, value_name = "DURATION", value_parser = value::duration, conflicts_with = "duration")]
    pub wait: Option<Duration>,

    /// How it is asked.
    #[command(flatten)]
    pub asked: Asked,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
}
