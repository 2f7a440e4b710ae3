//! The current task.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_user};
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
    bpf_get_current_uid_gid,
};
use tracer_common::{ARGS_LEN, COMM_LEN, Forked, Process, Source};

use super::{follow, netns, offset, read, read_into};
use crate::maps::{HOME_NETNS, TYPED_TASK};

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_EXITING`, likewise.
const PF_EXITING: u32 = 0x4;

/// Writes the process of the current task to `to`. Only where the hook runs in the
/// context of the caller: in a softirq the current task is a stranger.
#[inline(always)]
pub(crate) fn read_current(source: Source, to: &mut Process) {
    let ids = bpf_get_current_pid_tgid();
    // The main thread stands for the process: threads may be named otherwise.
    let (task, typed) = task();
    let leader: u64 = follow(typed, task, offset!(task_group_leader));
    to.start_ns = follow(typed, leader, offset!(task_start_boottime));
    let comm = (&raw mut to.comm).cast::<u64>();
    for word in 0..COMM_LEN / 8 {
        let text = follow(typed, leader, offset!(task_comm) + 8 * word as u32);
        // SAFETY: within the text, which is at a multiple of 8 in a process.
        unsafe { comm.add(word).write(text) };
    }
    // SAFETY: takes no argument and only reads the current task.
    to.cgroup = unsafe { bpf_get_current_cgroup_id() };
    to.tgid = (ids >> 32) as u32;
    to.uid = bpf_get_current_uid_gid() as u32;
    to.source = source;
    let execs: u64 = follow(typed, leader, offset!(task_self_exec_id));
    to.exec_id = execs as u16;
}

/// Real user id of the current task.
#[inline(always)]
pub(crate) fn current_uid() -> u32 {
    bpf_get_current_uid_gid() as u32
}

/// Writes to `to` who owns the network namespace of the current task. It has none once it is about to be
/// gone: then nobody.
#[inline(always)]
pub(crate) fn read_netns_owner(to: &mut Process) {
    if offset!(task_nsproxy) == 0 {
        return;
    }
    let (task, typed) = task();
    let namespaces: u64 = follow(typed, task, offset!(task_nsproxy));
    let net: u64 = follow(typed, namespaces, offset!(nsproxy_net));
    if follow::<u32>(typed, net, offset!(net_inum)) != HOME_NETNS.load() {
        to.netns_owner = netns::owner(typed, net);
    }
}

/// Whether the current task is of `process`.
#[inline(always)]
pub(crate) fn is_current(process: &Process) -> bool {
    if (bpf_get_current_pid_tgid() >> 32) as u32 != process.tgid {
        return false;
    }
    let (task, typed) = task();
    let leader: u64 = follow(typed, task, offset!(task_group_leader));
    follow::<u64>(typed, leader, offset!(task_start_boottime)) == process.start_ns
}

/// Writes the process of `task` to `to`.
#[inline(always)]
pub(crate) fn read_task(task: u64, source: Source, to: &mut Process) {
    let leader: u64 = read(task, offset!(task_group_leader));
    read_into(leader, offset!(task_start_boottime), &raw mut to.start_ns);
    read_into(leader, offset!(task_comm), &raw mut to.comm);
    let cgroups: u64 = read(task, offset!(task_cgroups));
    let cgroup: u64 = read(cgroups, offset!(css_set_dfl_cgrp));
    let node: u64 = read(cgroup, offset!(cgroup_kn));
    read_into(node, offset!(kernfs_node_id), &raw mut to.cgroup);
    read_into(task, offset!(task_tgid), &raw mut to.tgid);
    let cred: u64 = read(task, offset!(task_cred));
    read_into(cred, offset!(cred_uid), &raw mut to.uid);
    to.source = source;
    to.exec_id = read::<u64>(leader, offset!(task_self_exec_id)) as u16;
}

/// Process id of the current task's parent.
#[inline(always)]
pub(crate) fn parent() -> u32 {
    let parent: u64 = read(address(), offset!(task_real_parent));
    read(parent, offset!(parent_tgid))
}

/// Writes to `to` which process the new task `child` is; tells whether it is one, and not another
/// thread of the current process or the kernel's own.
#[inline(always)]
pub(crate) fn read_child(child: u64, to: &mut Forked) -> bool {
    if read::<u64>(child, offset!(task_group_leader)) != child
        || read::<u32>(child, offset!(task_flags)) & PF_KTHREAD != 0
    {
        return false;
    }
    to.child_start_ns = read(child, offset!(task_start_boottime));
    to.child = read(child, offset!(parent_tgid));
    let parent: u64 = read(child, offset!(task_real_parent));
    to.parent = read(parent, offset!(parent_tgid));
    true
}

/// Writes the current process's arguments to `to`, which must be zero, and returns how
/// many bytes they have.
#[inline(always)]
pub(crate) fn read_arguments(to: *mut [u8; ARGS_LEN]) -> u32 {
    let mm: u64 = read(address(), offset!(task_mm));
    let start: u64 = read(mm, offset!(mm_arg_start));
    let end: u64 = read(mm, offset!(mm_arg_end));
    let length = end.wrapping_sub(start);
    if length == 0 || length > u64::from(u32::MAX) {
        return 0;
    }
    let kept = if length < ARGS_LEN as u64 {
        length as u32
    } else {
        ARGS_LEN as u32
    };
    // SAFETY: room for `ARGS_LEN` bytes, which `kept` is at most. The helper checks the
    // address; should the page be gone, it leaves zeros.
    unsafe { bpf_probe_read_user(to.cast(), kept, start as *const _) };
    length as u32
}

/// Whether the current task is the last of its process to go.
#[inline(always)]
pub(crate) fn is_last_thread() -> bool {
    let signal: u64 = read(address(), offset!(task_signal));
    read::<u32>(signal, offset!(signal_live)) == 0
}

/// How the current process ends, as wait() will tell it.
#[inline(always)]
pub(crate) fn exit_status() -> u32 {
    /// `SIGNAL_GROUP_EXIT` of the kernel's `include/linux/sched/signal.h`.
    const GROUP_EXIT: u32 = 1 << 2;
    let signal: u64 = read(address(), offset!(task_signal));
    if read::<u32>(signal, offset!(signal_flags)) & GROUP_EXIT != 0 {
        read(signal, offset!(signal_group_exit_code))
    } else {
        read(address(), offset!(task_exit_code))
    }
}

/// Whether `task` is a thread of `process`.
#[inline(always)]
pub(crate) fn is_of(task: u64, process: &Process) -> bool {
    let leader: u64 = read(task, offset!(task_group_leader));
    read::<u32>(task, offset!(task_tgid)) == process.tgid
        && read::<u64>(leader, offset!(task_start_boottime)) == process.start_ns
}

/// Whether `task` is the kernel's own.
#[inline(always)]
pub(super) fn is_kernels(task: u64) -> bool {
    read::<u32>(task, offset!(task_flags)) & PF_KTHREAD != 0
}

/// When `task` started, nanoseconds of `CLOCK_BOOTTIME`.
#[inline(always)]
pub(crate) fn started_ns(task: u64) -> u64 {
    read(task, offset!(task_start_boottime))
}

/// Whether `task` ends: what it has open is about to be closed.
#[inline(always)]
pub(crate) fn is_ending(task: u64) -> bool {
    read::<u32>(task, offset!(task_flags)) & PF_EXITING != 0
}

/// Whether the current task is one of the kernel's own.
#[inline(always)]
pub(crate) fn is_kernel_thread() -> bool {
    let (task, typed) = task();
    follow::<u32>(typed, task, offset!(task_flags)) & PF_KTHREAD != 0
}

/// The current task, and whether the verifier knows that it is one.
#[inline(always)]
fn task() -> (u64, bool) {
    if TYPED_TASK.load() == 0 {
        return (address(), false);
    }
    // SAFETY: takes no argument; the verifier checks what is read there.
    (unsafe { bpf_get_current_task_btf() } as u64, true)
}

/// Of the current task.
#[inline(always)]
pub(super) fn address() -> u64 {
    // SAFETY: takes no argument; the address is only used through checked reads.
    unsafe { bpf_get_current_task() }
}
