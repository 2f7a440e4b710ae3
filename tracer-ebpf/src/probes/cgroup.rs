//! Tracepoint `cgroup:cgroup_mkdir`: of all hierarchies, in the context of who makes it.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{cgroup, kernel::Cgroup};

/// `(struct cgroup *cgrp, const char *path)`
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
fn cgroup_made(ctx: RawTracePointContext) {
    cgroup::made(Cgroup(ctx.arg(0)), ctx.arg(1));
}
