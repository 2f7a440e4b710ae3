//! Why a capture did not start or go on, in words for whoever started it.

use std::io;

use aya::maps::MapError;

use super::{attach::Failed, plan::RuledOut, preflight::Obstacle};

/// Why a capture did not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Something stands in the way.
    #[error("{}", list(.0))]
    Obstacles(Vec<Obstacle>),
    /// No hook set works on this kernel.
    #[error("{}", no_hooks(.ruled_out, .failed))]
    NoHooks {
        /// Not tried.
        ruled_out: Vec<RuledOut>,
        /// Tried.
        failed: Vec<Failed>,
    },
    /// The kernel does not make the tables that the programs share with us.
    #[error("making tables in the kernel: {why}\n  fix: {}", maps_fix(*.denied))]
    Maps {
        /// Whether it is a matter of rights.
        denied: bool,
        /// The kernel's words.
        why: String,
    },
    /// The object lacks a map: it is not the one this binary was built for.
    #[error("the embedded eBPF object has no map `{0}`; rebuild it with `cargo xtask build-ebpf`")]
    NoMap(&'static str),
    /// A map does not answer.
    #[error("reading the map `{map}`")]
    Map {
        /// Which.
        map: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The ring buffer cannot be polled.
    #[error("polling the ring buffer")]
    Poll(#[source] io::Error),
}

impl CaptureError {
    /// Whether more rights would help.
    pub fn is_privilege(&self) -> bool {
        match self {
            Self::Obstacles(obstacles) => obstacles.iter().any(Obstacle::is_privilege),
            Self::Maps { denied, .. } => *denied,
            _ => false,
        }
    }

    /// Whether this kernel cannot do it, whatever the rights.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Obstacles(_) | Self::NoHooks { .. }) && !self.is_privilege()
    }
}

fn maps_fix(denied: bool) -> &'static str {
    if denied {
        "capabilities count in the initial user namespace only: run it outside of a user namespace (a rootless \
         container is one), without a seccomp filter that forbids bpf(), or on Linux before 5.11 raise the limit of \
         locked memory (`ulimit -l unlimited`)"
    } else {
        "ask for less with --connections and --ring, or give the memory control group more"
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    let lines: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn no_hooks(ruled_out: &[RuledOut], failed: &[Failed]) -> String {
    let mut text = "none of the hook sets asked for loads on this kernel".to_owned();
    let ruled_out = ruled_out.iter().map(|set| (set.set, &set.why));
    for (set, why) in ruled_out.chain(failed.iter().map(|set| (set.set, &set.why))) {
        text.push_str(&format!("\n  {set}: {why}"));
    }
    text.push_str("\n  fix: leave out --hooks to use the best that loads, and see `tracer doctor`");
    text
}

/// `SPAN` does not answer.
pub(super) fn span(source: MapError) -> CaptureError {
    CaptureError::Map {
        map: "SPAN",
        source,
    }
}

/// `COUNTS` does not answer.
pub(super) fn counts(source: MapError) -> CaptureError {
    CaptureError::Map {
        map: "COUNTS",
        source,
    }
}
