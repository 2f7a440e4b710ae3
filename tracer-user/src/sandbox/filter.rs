//! The filter of system calls: what is built of the lists in `calls`, and handed to the kernel.

use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::calls;
use crate::capture::HookSet;

/// What a run still has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It watches this host; else it reads files.
    pub watches: bool,
    /// What it may have to attach yet.
    pub attaches: Attaches,
    /// It asks name servers.
    pub asks_names: bool,
    /// It takes a terminal over that is not its standard input, and so opens it for writing.
    pub opens_terminal: bool,
}

/// Hooks that wait for something on the host, and so are attached when the filter is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attaches {
    /// None: what is attached for a look around is no hook.
    #[default]
    Nothing,
    /// Programs that are attached by what they were loaded for (fentry).
    Typed,
    /// kprobes.
    Kprobes,
}

impl Attaches {
    /// Those of functions, of this set.
    pub fn of(set: Option<HookSet>) -> Self {
        match set {
            // It has none of functions.
            None | Some(HookSet::Tracepoint) => Self::Nothing,
            Some(HookSet::Fentry) => Self::Typed,
            Some(HookSet::Kprobe) => Self::Kprobes,
        }
    }
}

/// Numbers of the kernel's `include/uapi/linux/seccomp.h`.
const SET_MODE_FILTER: libc::c_uint = 1;
/// For all threads.
const TSYNC: libc::c_ulong = 1 << 0;
/// What is refused is written to the kernel's log, or that of auditd.
const LOG: libc::c_ulong = 1 << 1;
/// Before Linux 5.16 a filter also turns a processor's speculation off, which costs some percent. That
/// protects from code of others in this process: there is none.
const SPEC_ALLOW: libc::c_ulong = 1 << 2;

/// Installs it for all threads; from then on it holds for good.
///
/// # Errors
/// If the kernel has no such filters, or refuses.
pub(super) fn install(needs: Needs) -> io::Result<()> {
    let errno = |errno: i32| SeccompAction::Errno(errno.cast_unsigned());
    let allowed = calls::allowed(needs).map_err(io::Error::other)?;
    let (allow, refuse) = (SeccompAction::Allow, errno(libc::EPERM));
    // Of the answers of several filters the strictest one counts. Each call of the last one is a thread
    // more, so those are not logged.
    let filters = [
        (calls::missing(), allow.clone(), errno(libc::ENOSYS), 0),
        (
            calls::hostile(),
            allow.clone(),
            SeccompAction::KillProcess,
            LOG,
        ),
        // The last one, as it does not let another one be installed.
        (allowed, refuse, allow, LOG),
    ];
    let filters = filters.map(|(rules, otherwise, matched, flags)| {
        let target = TargetArch::try_from(std::env::consts::ARCH)?;
        let filter = SeccompFilter::new(rules, otherwise, matched, target)?;
        BpfProgram::try_from(filter).map(|program| (program, flags))
    });
    // All are made before the first one holds.
    let filters = filters.into_iter().collect::<Result<Vec<_>, _>>();
    for (program, flags) in filters.map_err(io::Error::other)? {
        hand_over(&program, flags)?;
    }
    Ok(())
}

fn hand_over(program: &BpfProgram, flags: libc::c_ulong) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: a valid `sock_fprog` whose instructions outlive the call; seccompiler's `sock_filter` has the
    // layout of the kernel's. The kernel copies both and writes to neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            TSYNC | SPEC_ALLOW | flags,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has another one"))),
    }
}
