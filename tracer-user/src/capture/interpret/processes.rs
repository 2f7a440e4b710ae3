//! Processes of records: who they are, and one value for each.

use std::sync::Arc;

use foldhash::HashMap;
use tracer_common as abi;

use super::super::clock::Clock;
use crate::model::{ExitStatus, Process, ProcessEvidence, ProcessKey, Signal, signal};

/// Interned processes. The table is cleared when it is full.
pub(super) const MAX_INTERNED: usize = 4096;

/// All that the kernel tells of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    tgid: u32,
    start_ns: u64,
    exec_id: u16,
    cgroup: u64,
    uid: u32,
    netns_owner: u32,
    /// As a number, which is hashed at once.
    comm: u128,
}

impl From<&abi::Process> for Identity {
    fn from(process: &abi::Process) -> Self {
        Self {
            tgid: process.tgid,
            start_ns: process.start_ns,
            exec_id: process.exec_id,
            cgroup: process.cgroup,
            uid: process.uid,
            netns_owner: process.netns_owner,
            comm: u128::from_ne_bytes(process.comm),
        }
    }
}

/// Interned, so that repeated records of a process share one `Arc`.
#[derive(Default)]
pub(super) struct Processes {
    interned: HashMap<Identity, Arc<Process>>,
    /// How many were not interned before, or no longer.
    pub(super) met: u64,
}

impl Processes {
    /// The process of a record, and how it is known.
    pub(super) fn get(
        &mut self,
        process: &abi::Process,
        clock: &Clock,
    ) -> (Option<Arc<Process>>, ProcessEvidence) {
        let evidence = match process.source {
            abi::Source::HOOK => ProcessEvidence::Hook,
            abi::Source::LISTENER => ProcessEvidence::Listener,
            abi::Source::CLOSE => ProcessEvidence::Close,
            abi::Source::SCAN => ProcessEvidence::Scan,
            abi::Source::READ => ProcessEvidence::Read,
            _ => return (None, ProcessEvidence::Unknown),
        };
        let identity = Identity::from(process);
        if let Some(known) = self.interned.get(&identity) {
            return (Some(Arc::clone(known)), evidence);
        }
        if self.interned.len() >= MAX_INTERNED {
            self.interned.clear();
        }
        self.met += 1;
        let known = Arc::new(describe(process, clock));
        self.interned.insert(identity, Arc::clone(&known));
        (Some(known), evidence)
    }

    /// How many are interned.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.interned.len()
    }
}

/// What the kernel tells of a process.
pub(super) fn describe(process: &abi::Process, clock: &Clock) -> Process {
    let comm = process
        .comm
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    Process {
        key: key(process),
        exec_id: process.exec_id,
        cgroup: process.cgroup,
        netns_owner: Some(process.netns_owner).filter(|it| *it != 0),
        workload: None,
        pid: process.tgid,
        ppid: None,
        uid: Some(process.uid),
        comm: String::from_utf8_lossy(comm).into(),
        exe: None,
        args: None,
        cwd: None,
        started: Some(clock.wall(process.start_ns)),
    }
}

pub(super) fn key(process: &abi::Process) -> ProcessKey {
    ProcessKey {
        pid: process.tgid,
        start_ns: process.start_ns,
    }
}

/// Path of the file that is executed, as /proc tells it; none if it did not fit.
pub(super) fn executable(executed: &abi::Executed) -> Option<Arc<str>> {
    let length = usize::try_from(executed.exe_bytes).ok()?;
    let names = executed.exe.get(..length)?.strip_suffix(&[0])?;
    let mut path = Vec::with_capacity(length);
    for name in names.rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    Some(crate::procfs::executable(&path))
}

/// As wait() encodes it.
pub(super) fn exit_status(status: u32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code((status >> 8) & 0xff),
        signal => {
            ExitStatus::Signal(signal::name(signal).map_or(Signal::Number(signal), Signal::Name))
        }
    }
}
