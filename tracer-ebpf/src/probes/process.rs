//! Tracepoints `sched:sched_process_exec` and `sched:sched_process_exit`, in the context
//! of the task they are about.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::process;

/// `(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(ctx: RawTracePointContext) {
    process::executed(ctx.arg(2));
}

/// `(struct task_struct *p, ..)`
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(_ctx: RawTracePointContext) {
    process::exited();
}
