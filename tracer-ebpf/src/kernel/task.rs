//! The current task.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
    bpf_get_current_uid_gid,
};
use tracer_common::{Process, Source};

use super::{offset, read, read_into};

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Writes the process of the current task to `to`. Only where the hook runs in the
/// context of the caller: in a softirq the current task is a stranger.
#[inline(always)]
pub(crate) fn read_current(source: Source, to: &mut Process) {
    let ids = bpf_get_current_pid_tgid();
    // The main thread stands for the process: threads may be named otherwise.
    let leader: u64 = read(task(), offset!(task_group_leader));
    read_into(leader, offset!(task_start_boottime), &raw mut to.start_ns);
    read_into(leader, offset!(task_comm), &raw mut to.comm);
    // SAFETY: takes no argument and only reads the current task.
    to.cgroup = unsafe { bpf_get_current_cgroup_id() };
    to.tgid = (ids >> 32) as u32;
    to.tid = ids as u32;
    to.uid = bpf_get_current_uid_gid() as u32;
    to.source = source;
}

/// Whether the current task is one of the kernel's own.
#[inline(always)]
pub(crate) fn is_kernel_thread() -> bool {
    read::<u32>(task(), offset!(task_flags)) & PF_KTHREAD != 0
}

#[inline(always)]
fn task() -> u64 {
    // SAFETY: takes no argument; the address is only used through checked reads.
    unsafe { bpf_get_current_task() }
}
