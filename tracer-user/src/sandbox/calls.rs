//! Which system calls a run needs after its start, and with which arguments.
//!
//! By what the standard library, tokio, the allocators of glibc and musl, and our own code call, on any
//! kernel since 5.8. What is forgotten here is refused with `EPERM`, not killed for; the kernel's log
//! names it.

use std::{collections::BTreeMap, ffi::c_long};

use rustix::fs::OFlags;
use seccompiler::{
    BackendError, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompRule,
};

use super::{Attaches, Needs};

/// A list of system calls, each with the rules of which one has to hold; none if all is allowed.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// With any arguments: they work on what is open, on memory of our own, or only ask.
const PLAIN: &[c_long] = &[
    // Descriptors.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fadvise64,
    libc::SYS_ftruncate,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Looking at files.
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads and time.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    // Signals to ourselves.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Who and where we are.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_capget,
    // These only give up what there is: a file that the caller names is read with the caller's rights.
    libc::SYS_capset,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    // Sockets that are open, or that `socket` lets be opened.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// The same for the older names that this architecture has, which musl uses.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_time,
    // Where the running thread keeps its own data.
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Of `bpf()`: reading and writing maps, running and attaching programs that are loaded, asking about
/// programs. Numbers of `enum bpf_cmd` in the kernel's `include/uapi/linux/bpf.h`. Not among them: loading
/// programs, making maps, pinning, and getting at maps of others.
const BPF: [u64; 11] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    10, // BPF_PROG_TEST_RUN
    11, // BPF_PROG_GET_NEXT_ID
    13, // BPF_PROG_GET_FD_BY_ID
    15, // BPF_OBJ_GET_INFO_BY_FD
    28, // BPF_LINK_CREATE
    33, // BPF_ITER_CREATE
    34, // BPF_LINK_DETACH
];

/// `BPF_RAW_TRACEPOINT_OPEN`, which also attaches programs of functions.
const BPF_OF_TYPED: [u64; 1] = [17];

/// Requests of `ioctl()`. Not among them: those that type into a terminal (`TIOCSTI`, `TIOCLINUX`).
const IOCTL: [u64; 17] = [
    0x5401,      // TCGETS
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x802c_542a, // TCGETS2
    0x402c_542b, // TCSETS2
    0x402c_542c, // TCSETSW2
    0x402c_542d, // TCSETSF2
    0x540f,      // TIOCGPGRP
    0x5413,      // TIOCGWINSZ
    0x541b,      // FIONREAD
    0x5421,      // FIONBIO
    0x5451,      // FIOCLEX
    0x2401,      // PERF_EVENT_IOC_DISABLE
    0x894c,      // SIOCGSKNS: the network namespace of a socket
    0xb701,      // NS_GET_USERNS
    0xb704,      // NS_GET_OWNER_UID
];

/// And for a kprobe that is attached.
const IOCTL_OF_KPROBES: [u64; 2] = [
    0x2400,      // PERF_EVENT_IOC_ENABLE
    0x4004_2408, // PERF_EVENT_IOC_SET_BPF
];

/// Requests of `prctl()`: the name of a thread, and what glibc says of its memory (`PR_SET_VMA`).
const PRCTL: [u64; 3] = [15, 16, 0x5356_4d41];

/// All that is allowed, and how.
///
/// # Errors
/// None that could be met: the numbers of arguments are right.
pub(super) fn allowed(needs: Needs) -> Result<Rules, BackendError> {
    let mut rules: Rules = PLAIN.iter().chain(OLDER).map(|it| (*it, vec![])).collect();
    // For reading only: nothing is created, emptied or written to that is not open. Of the mode all bits
    // count, as 3 is one too.
    let mut writing = (OFlags::CREATE | OFlags::TRUNC).bits();
    if !needs.opens_terminal {
        writing |= OFlags::RWMODE.bits() & 3;
    }
    let reading = |flags: u8| any_of(flags, &SeccompCmpOp::MaskedEq(writing.into()), &[0]);
    rules.insert(libc::SYS_openat, reading(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, reading(1)?);
    // Nothing that was written becomes code.
    let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC.cast_unsigned().into());
    let data = || any_of(2, &executable, &[0]);
    rules.insert(libc::SYS_mmap, data()?);
    rules.insert(libc::SYS_mprotect, data()?);
    // Threads, not processes. What `clone3` is asked for lies in memory, which a filter cannot read: it is
    // let through here and refused as if the kernel had none (see `missing`), so that libraries use `clone`.
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    // In the namespaces that there are.
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    let looked_at = thread | u64::from(namespaces.cast_unsigned());
    let threads = any_of(0, &SeccompCmpOp::MaskedEq(looked_at), &[thread])?;
    rules.insert(libc::SYS_clone, threads);
    rules.extend(missing());
    // Limits and signals of our own.
    rules.insert(libc::SYS_prlimit64, equal(0, &[0])?);
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, equal(0, &[own])?);
    let mut requests = equal(1, &IOCTL)?;
    rules.insert(libc::SYS_prctl, equal(0, &PRCTL)?);
    // A pair is of two ends here.
    let local = [libc::AF_UNIX.cast_unsigned().into()];
    rules.insert(libc::SYS_socketpair, equal(0, &local)?);
    let mut sockets = Vec::new();
    if needs.watches {
        // Runtimes are asked by a stream to a socket with a name. What has no listener is of no use where it is
        // bound, but a name: no datagrams.
        sockets.push(socket_of(local[0], libc::SOCK_STREAM)?);
        // What is translated is told by netfilter; no other protocol of netlink is spoken.
        sockets.push(SeccompRule::new(vec![
            condition(
                0,
                &SeccompCmpOp::Eq,
                libc::AF_NETLINK.cast_unsigned().into(),
            )?,
            condition(
                2,
                &SeccompCmpOp::Eq,
                libc::NETLINK_NETFILTER.cast_unsigned().into(),
            )?,
        ])?);
        let mut commands = equal(0, &BPF)?;
        // For hooks that are attached when the host first has programs that redirect.
        match needs.attaches {
            Attaches::Nothing => {}
            Attaches::Typed => commands.extend(equal(0, &BPF_OF_TYPED)?),
            Attaches::Kprobes => {
                rules.insert(libc::SYS_perf_event_open, vec![]);
                requests.extend(equal(1, &IOCTL_OF_KPROBES)?);
            }
        }
        rules.insert(libc::SYS_bpf, commands);
        // Into network namespaces, and no others.
        let network = u64::from(libc::CLONE_NEWNET.cast_unsigned());
        rules.insert(libc::SYS_setns, equal(1, &[network])?);
    }
    if needs.asks_names {
        let families = [libc::AF_INET, libc::AF_INET6].map(|it| it.cast_unsigned().into());
        for family in families {
            // A stream or datagrams: no raw packets.
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                sockets.push(socket_of(family, kind)?);
            }
        }
    }
    rules.insert(libc::SYS_ioctl, requests);
    if !sockets.is_empty() {
        rules.insert(libc::SYS_socket, sockets);
    }
    Ok(rules)
}

/// What is refused as if this kernel did not have it: their arguments cannot be looked at, and whoever
/// calls them knows an older call that can do.
pub(super) fn missing() -> Rules {
    [libc::SYS_clone3, libc::SYS_openat2]
        .map(|it| (it, vec![]))
        .into()
}

/// What only somebody calls who has taken this process over, and so ends it.
pub(super) fn hostile() -> Rules {
    [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_open_by_handle_at,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_userfaultfd,
    ]
    .map(|it| (it, vec![]))
    .into()
}

/// Sockets of this family and kind, whatever flags go with the kind.
fn socket_of(family: u64, kind: libc::c_int) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![
        condition(0, &SeccompCmpOp::Eq, family)?,
        condition(1, &SeccompCmpOp::MaskedEq(0xf), kind.cast_unsigned().into())?,
    ])
}

/// A rule for each of `values`: the argument of this number is it.
fn equal(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    any_of(argument, &SeccompCmpOp::Eq, values)
}

fn any_of(
    argument: u8,
    how: &SeccompCmpOp,
    values: &[u64],
) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |value: &u64| SeccompRule::new(vec![condition(argument, how, *value)?]);
    values.iter().map(rule).collect()
}

/// The kernel takes the lower half of each of these arguments, as they are of C's type `int`.
fn condition(
    argument: u8,
    how: &SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, how.clone(), value)
}
