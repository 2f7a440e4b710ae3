//! Where events come from.

use std::path::PathBuf;

use clap::Args;

use super::{UsageError, live::LiveArgs, request::Origin};

/// What every command that reads events can be told of where they come from.
#[derive(Args, Clone, Debug)]
pub(super) struct SourceArgs {
    /// Where events come from: live, a file that `tracer stream -o json` wrote, or - for standard
    /// input. Several files are merged by time
    #[arg(long, value_name = "SOURCE", value_parser = source, default_value = "live")]
    from: Vec<Source>,

    /// Leave out lines that cannot be read, and count them
    #[arg(long)]
    pub(super) skip_bad: bool,
}

/// One place that events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The kernel of this host, now.
    Live,
    /// A recording; `-` for standard input.
    File(PathBuf),
}

impl Source {
    /// What is read there. This host is watched as `live` says.
    pub(super) fn origin(self, live: LiveArgs, skip_bad: bool) -> Origin {
        match self {
            Self::Live => Origin::Live(Box::new(live.watch())),
            Self::File(path) => Origin::Recorded {
                paths: vec![path],
                skip_bad,
            },
        }
    }

    /// Whether it is standard input.
    pub(super) fn is_input(&self) -> bool {
        matches!(self, Self::File(path) if path.as_os_str() == "-")
    }
}

impl SourceArgs {
    /// Whether there are recordings to read.
    ///
    /// # Errors
    /// If live events are to be mixed with recorded ones, or one of them is to be read twice.
    pub(super) fn is_recorded(&self) -> Result<bool, UsageError> {
        let is_live = self.from.contains(&Source::Live);
        let is_recorded = self.from.iter().any(|it| *it != Source::Live);
        if is_live && is_recorded {
            return Err(UsageError(
                "--from live cannot be mixed with recordings: record first with \
                 `tracer stream -o json > FILE`, then merge the files",
            ));
        }
        if self.from.iter().filter(|it| it.is_input()).count() > 1 {
            return Err(UsageError(
                "--from - can be given once: there is one standard input",
            ));
        }
        Ok(is_recorded)
    }

    /// What is read. This host is watched as `live` says.
    ///
    /// # Errors
    /// If the options do not go together.
    pub(super) fn origin(self, live: LiveArgs) -> Result<Origin, UsageError> {
        if !self.is_recorded()? {
            return Ok(Origin::Live(Box::new(live.watch())));
        }
        if live.duration.is_some() {
            return Err(UsageError(
                "--for says how long to watch this host; of a recording, --since and --until of \
                 `tracer map` choose a part",
            ));
        }
        let paths = self.from.into_iter().filter_map(|source| match source {
            Source::Live => None,
            Source::File(path) => Some(path),
        });
        Ok(Origin::Recorded {
            paths: paths.collect(),
            skip_bad: self.skip_bad,
        })
    }
}

pub(super) fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("write live, the path of a file, or -".to_owned()),
        "live" => Ok(Source::Live),
        _ if text.starts_with("sqlite:") || text.starts_with("clickhouse:") => Err(
            "this version reads recordings only, not stores: write live, the path of a file, or -"
                .to_owned(),
        ),
        path => Ok(Source::File(path.into())),
    }
}
