//! Tracepoints `sched:sched_process_exec` and `sched:sched_process_exit`, in the context
//! of the task they are about; and `sched:sched_process_fork`, in that of the task that forks.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::process;

/// `(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_ctx: RawTracePointContext) {
    process::executed();
}

/// `(struct task_struct *parent, struct task_struct *child)`
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(ctx: RawTracePointContext) {
    process::forked(ctx.arg(1));
}

/// `(struct task_struct *p, ..)`
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(_ctx: RawTracePointContext) {
    process::exited();
}
