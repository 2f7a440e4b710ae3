//! Processes.

use std::sync::Arc;

use serde::Serialize;

use super::{Timestamp, Workload, WorkloadKind, is_of_system};

/// Identifies a process for one boot of a host: a pid alone is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// Process id, in the initial pid namespace.
    pub pid: u32,
    /// Start: nanoseconds of `CLOCK_BOOTTIME`.
    pub start_ns: u64,
}

/// Identifies a program in a process, which may execute several, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramKey {
    /// Which process.
    pub process: ProcessKey,
    /// See [`Process::exec_id`].
    pub exec_id: u16,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, with this exit code.
    Code(u32),
    /// By this signal, as `SIGKILL`; the number where it has no name.
    Signal(Signal),
}

/// A signal, by name or by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Signal {
    /// Its symbolic name.
    Name(&'static str),
    /// Its number.
    Number(u32),
}

/// A process, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its key; not printed.
    #[serde(skip)]
    pub key: ProcessKey,
    /// Which of its programs: the low bits of its count of execs, including those of its ancestors. Not printed.
    #[serde(skip)]
    pub exec_id: u16,
    /// Inode number of its control group in the v2 hierarchy, from which `workload` is resolved. Not printed.
    #[serde(skip)]
    pub cgroup: u64,
    /// The user, unless root, who owns the network namespace of the event's socket, else that of the process; may
    /// differ between events of one process. Not printed.
    #[serde(skip)]
    pub netns_owner: Option<u32>,
    /// The workload that it belongs to; printed beside it.
    #[serde(skip)]
    pub workload: Option<Arc<Workload>>,
    /// Process id, in the initial pid namespace.
    pub pid: u32,
    /// Its parent when it was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    /// Real user id, in the initial user namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Name of its main thread. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub comm: Arc<str>,
    /// Path of its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<Arc<str>>,
    /// Its arguments, the program's name first; cut to a bounded length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Arc<[String]>>,
    /// Its working directory, if an interpreter runs it and that helps to identify the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Arc<str>>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
}

impl Process {
    /// About how many bytes of memory it takes, without its workload.
    pub fn bytes(&self) -> usize {
        let texts = [Some(&self.comm), self.exe.as_ref(), self.cwd.as_ref()];
        let texts = texts.into_iter().flatten().map(|it| it.len());
        let args = self.args.iter().flat_map(|it| it.iter());
        let args = args.map(|it| size_of::<String>() + it.len());
        size_of::<Self>() + texts.chain(args).sum::<usize>()
    }

    /// Whether a user owns its control group or network namespace, and so may choose its name and its addresses.
    pub fn is_in_users_place(&self) -> bool {
        self.workload.as_ref().is_some_and(|it| it.uid.is_some())
    }

    /// Whether it runs in a container.
    pub fn is_contained(&self) -> bool {
        let kind = self.workload.as_ref().map(|it| it.kind);
        matches!(kind, Some(WorkloadKind::Container | WorkloadKind::Pod))
    }

    /// Whether the local address of its socket is proof that its network namespace has that address: for root and
    /// system accounts outside of containers. Others may bind any address, as `IP_FREEBIND` needs no privilege. An
    /// established connection is always proof.
    pub fn is_trusted_with_addresses(&self) -> bool {
        self.uid.is_some_and(is_of_system) && !self.is_in_users_place() && !self.is_contained()
    }

    /// The program that it runs.
    pub fn program(&self) -> ProgramKey {
        ProgramKey {
            process: self.key,
            exec_id: self.exec_id,
        }
    }
}
