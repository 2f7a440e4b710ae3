//! What is in a map, as it is asked for.

use clap::Args;

use super::{
    filter::FilterArgs,
    live::LiveArgs,
    request::{MapInput, Origin},
    value,
};
use crate::{
    filter,
    map::{self, GroupBy},
    model::Timestamp,
};

/// What a map, and every question about one, can be told of what is in it.
#[derive(Args, Clone, Debug)]
pub(super) struct AboutArgs {
    /// Only what happened since then: 2026-11-22T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    since: Option<Timestamp>,

    /// Only what happened before then
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    until: Option<Timestamp>,

    /// What the nodes are
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = value::word(&GroupBy::ALL, GroupBy::name, group_by_help),
        default_value = GroupBy::default().name(),
    )]
    group_by: GroupBy,

    /// Exit with 2 if any event was lost
    #[arg(long)]
    pub(super) strict: bool,

    /// How to watch this host.
    #[command(flatten)]
    live: LiveArgs,

    /// Which events count.
    #[command(flatten)]
    filter: FilterArgs,
}

impl AboutArgs {
    /// What is in a map, and how this host is watched for it.
    pub(super) fn parts(self) -> (About, LiveArgs) {
        let about = About {
            since: self.since,
            until: self.until,
            group_by: self.group_by,
            filter: self.filter.options(),
        };
        (about, self.live)
    }
}

/// What is in a map.
#[derive(Clone, Debug)]
pub(super) struct About {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    group_by: GroupBy,
    filter: filter::Options,
}

impl About {
    /// A map of what comes from `origin`.
    pub(super) fn of(self, origin: Origin) -> MapInput {
        let recordings = origin.recordings().map(<[_]>::len);
        let options = map::Options {
            group_by: self.group_by,
            since: self.since,
            until: self.until,
            // A live map is not told all openings, and what filters leave out is not missing.
            counts_lines: recordings.is_some() && self.filter.admits_all(),
            ..match recordings {
                Some(2..) => map::Options::SEVERAL_HOSTS,
                Some(_) | None => map::Options::ONE_HOST,
            }
        };
        MapInput {
            origin,
            filter: self.filter,
            options,
        }
    }
}

fn group_by_help(group_by: GroupBy) -> &'static str {
    match group_by {
        GroupBy::Process => "Each process by itself",
        GroupBy::Workload => {
            "What an operator calls it: a unit, a container, the owner of a pod, a program"
        }
        GroupBy::Host => "All that runs on a host",
        GroupBy::Namespace => {
            "All that runs in a namespace of Kubernetes; what is in none, by host"
        }
    }
}
