//! Where events come from.

use std::{fmt, path::PathBuf};

use clap::Args;

/// What every command that reads events can be told of where they come from.
#[derive(Args, Clone, Debug)]
pub struct Sources {
    /// Where events come from: live, a file that `tracer stream -o json` wrote, or - for standard
    /// input. Several files are merged by time
    #[arg(long, value_name = "SOURCE", value_parser = source, default_value = "live")]
    pub from: Vec<Source>,

    /// Leave out lines that cannot be read, and count them
    #[arg(long)]
    pub skip_bad: bool,
}

/// One place that events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel of this host, now.
    Live,
    /// A recording; `-` for standard input.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Options that do not go together, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub &'static str);

impl Sources {
    /// Whether this host is one.
    pub fn watches(&self) -> bool {
        self.from.contains(&Source::Live)
    }

    /// The recordings to read; none to watch this host.
    ///
    /// # Errors
    /// If live events are to be mixed with recorded ones.
    pub fn recordings(&self) -> Result<Option<Vec<PathBuf>>, UsageError> {
        let files: Vec<_> = self
            .from
            .iter()
            .filter_map(|source| match source {
                Source::Live => None,
                Source::File(path) => Some(path.clone()),
            })
            .collect();
        let standard_input = files.iter().filter(|path| path.as_os_str() == "-").count();
        if files.is_empty() {
            Ok(None)
        } else if files.len() < self.from.len() {
            Err(UsageError(
                "--from live cannot be mixed with recordings: record first with \
                 `tracer stream -o json > FILE`, then merge the files",
            ))
        } else if standard_input > 1 {
            Err(UsageError(
                "--from - can be given once: there is one standard input",
            ))
        } else {
            Ok(Some(files))
        }
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
