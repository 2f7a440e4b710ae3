//! How this host is to be watched.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, value_parser};

use super::value;
use crate::{capture::HookSet, enrich::Arguments};

/// What every command that watches this host can be told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Watching this host")]
pub struct LiveOptions {
    /// Stop after this time, such as 30s, 5min or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration)]
    pub duration: Option<Duration>,

    /// How to attach to the kernel
    #[arg(long, value_enum, value_name = "SET", default_value_t)]
    pub hooks: Hooks,

    /// Size of the buffer between kernel and tracer: a power of two such as 4096, 64K or 16M
    #[arg(long = "ring", value_name = "SIZE", default_value = "16M", value_parser = value::ring_bytes)]
    pub ring_bytes: u32,

    /// How many live connections the kernel side can follow; of one user two thirds of these
    #[arg(
        long,
        value_name = "N",
        default_value_t = 163_840,
        value_parser = value_parser!(u32).range(1..=16_777_216),
    )]
    pub connections: u32,

    /// How often to look for connections that were missed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    pub rescan: Duration,

    /// Names of networks, a line each: '10.20.0.0/16 office'
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,

    /// Do not look at what processes ask name servers: servers then have no names but from files
    #[arg(long)]
    pub no_dns: bool,

    /// Ask name servers what servers are called that have no other name: packets that others see
    #[arg(long)]
    pub reverse_dns: bool,

    /// What programs are for, a line each, besides what is known: 'exe shopd web'
    #[arg(long, value_name = "FILE")]
    pub roles: Option<PathBuf>,

    /// What to tell of the arguments of processes: masked shows *** for the passwords and tokens that
    /// are known as such
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub args: Arguments,

    /// What Kubernetes calls this host: the node of its pods (in a pod: spec.nodeName)
    #[arg(long, value_name = "NAME", env = "K8S_NODE_NAME")]
    pub k8s_node: Option<String>,

    /// Show the kernel side's own diagnostics in the log
    #[arg(long)]
    pub kernel_log: bool,
}

/// How to attach to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that loads, in the order below
    #[default]
    Auto,
    /// Function entry and exit: least overhead; needs BTF and BPF trampolines
    Fentry,
    /// Kernel probes: any kernel with kprobes
    Kprobe,
    /// Tracepoints only: sees least, works most widely
    Tracepoint,
}

impl Hooks {
    /// The one hook set asked for; none for the best that loads.
    pub fn set(self) -> Option<HookSet> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some(HookSet::Fentry),
            Self::Kprobe => Some(HookSet::Kprobe),
            Self::Tracepoint => Some(HookSet::Tracepoint),
        }
    }
}
