//! How this host is to be watched.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::ValueParser, value_parser};

use super::{request::Watch, value};
use crate::{
    capture::{self, HookSet},
    enrich::Arguments,
};

/// What every command that watches this host can be told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Watching this host")]
pub(super) struct LiveArgs {
    /// Stop after this time, such as 30s, 5min or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration)]
    pub(super) duration: Option<Duration>,

    /// How to attach to the kernel
    #[arg(long, value_name = "SET", value_parser = hooks(), default_value = Hooks::AUTO)]
    hooks: Hooks,

    /// Size of the buffer between kernel and tracer: a power of two such as 4096, 64K or 16M
    #[arg(long = "ring", value_name = "SIZE", default_value = "16M", value_parser = value::ring_bytes)]
    ring_bytes: u32,

    /// How many live connections the kernel side can follow; of one user two thirds of these
    #[arg(
        long,
        value_name = "N",
        default_value_t = 163_840,
        value_parser = value_parser!(u32).range(1..=16_777_216),
    )]
    connections: u32,

    /// How often to look for connections that were missed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    rescan: Duration,

    /// Names of networks, a line each: '10.20.0.0/16 office'
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,

    /// Do not look at what processes ask name servers: servers then have no names but from files
    #[arg(long)]
    no_dns: bool,

    /// Ask name servers what servers are called that have no other name: packets that others see
    #[arg(long)]
    reverse_dns: bool,

    /// What programs are for, a line each, besides what is known: 'exe shopd web'
    #[arg(long, value_name = "FILE")]
    roles: Option<PathBuf>,

    /// What to tell of the arguments of processes: masked shows *** for the passwords and tokens that
    /// are known as such
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = value::word(&Arguments::ALL, Arguments::name, arguments_help),
        default_value = Arguments::default().name(),
    )]
    args: Arguments,

    /// What Kubernetes calls this host: the node of its pods (in a pod: spec.nodeName)
    #[arg(long, value_name = "NAME", env = "K8S_NODE_NAME")]
    k8s_node: Option<String>,

    /// Show the kernel side's own diagnostics in the log
    #[arg(long)]
    kernel_log: bool,
}

impl LiveArgs {
    /// How this host is watched.
    pub(super) fn watch(self) -> Watch {
        Watch {
            duration: self.duration,
            capture: capture::Options {
                hooks: self.hooks.set(),
                ring_bytes: self.ring_bytes,
                connections: self.connections,
                rescan: self.rescan,
                dns: !self.no_dns,
                kernel_log: self.kernel_log,
                ..capture::Options::default()
            },
            costs: false,
            names: self.names,
            roles: self.roles,
            reverse_dns: self.reverse_dns,
            arguments: self.args,
            k8s_node: self.k8s_node,
        }
    }
}

/// Which set of hooks is used: one, or the best that loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hooks(Option<HookSet>);

impl Hooks {
    /// The word for the best that loads.
    pub(super) const AUTO: &'static str = "auto";

    /// The one that is asked for; none for the best that loads.
    pub(super) fn set(self) -> Option<HookSet> {
        self.0
    }

    fn name(self) -> &'static str {
        self.0.map_or(Self::AUTO, HookSet::name)
    }

    fn help(self) -> &'static str {
        match self.0 {
            None => "The best that loads, in the order below",
            Some(HookSet::Fentry) => {
                "Function entry and exit: least overhead; needs BTF and BPF trampolines"
            }
            Some(HookSet::Kprobe) => "Kernel probes: any kernel with kprobes",
            Some(HookSet::Tracepoint) => "Tracepoints only: sees least, works most widely",
        }
    }
}

/// The sets of hooks.
pub(super) fn hooks() -> ValueParser {
    let sets = HookSet::ALL.map(|it| Hooks(Some(it)));
    let all: Vec<_> = [Hooks(None)].into_iter().chain(sets).collect();
    value::word(&all, Hooks::name, Hooks::help)
}

fn arguments_help(arguments: Arguments) -> &'static str {
    match arguments {
        Arguments::Masked => "Without the passwords and tokens that are known as such",
        Arguments::Full => "As they are",
        Arguments::None => "Nothing: programs of an interpreter are then told apart by name only",
    }
}
