//! Which workload a process belongs to: where it runs, and what that says.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use lru::LruCache;

use super::{
    cgroups::Cgroups,
    workload::{Clues, Membership, Roles, from_proc_cgroup, membership, workload},
};
use crate::{
    model::{Cgroup, Process, ProcessKey, Workload},
    procfs::{Entry, Proc},
};

/// How many listening processes are remembered by their port.
const LISTENING: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// What is above is given to those who do not ask for a port (`ip_local_port_range`), and says
/// nothing.
const LAST_PORT: u16 = 32_767;

/// Knows where processes run.
#[derive(Debug)]
pub(super) struct Workloads {
    cgroups: Cgroups,
    roles: Roles,
    /// Whether there are hierarchies of v1, in which processes may be elsewhere than in v2.
    has_v1: bool,
    /// The lowest port that a process listens on.
    ports: LruCache<ProcessKey, u16>,
}

impl Workloads {
    /// Looks at the control groups that are there, as the process at `proc_root` sees them.
    pub(super) fn new(proc_root: &Path, roles: Roles) -> Self {
        let own = Proc::new(proc_root).open(std::process::id());
        let own = own.and_then(|entry| entry.cgroups()).unwrap_or_default();
        Self {
            cgroups: Cgroups::read(proc_root),
            roles,
            has_v1: from_proc_cgroup(&own)
                .iter()
                .any(|line| !line.controllers.is_empty()),
            ports: LruCache::new(LISTENING),
        }
    }

    /// Remembers a control group that was made.
    pub(super) fn learn(&mut self, made: &Cgroup) {
        self.cgroups.learn(made);
    }

    /// Remembers that a process listens on a port; tells whether that says something new of it.
    pub(super) fn listens(&mut self, process: ProcessKey, port: u16) -> bool {
        if port == 0 || port > LAST_PORT {
            return false;
        }
        let known = self.ports.get_or_insert_mut(process, || u16::MAX);
        let is_new = port < *known;
        *known = port.min(*known);
        is_new
    }

    /// What an operator calls what `process` belongs to. `entry` is the process in /proc, if it
    /// is still there.
    pub(super) fn of(&mut self, process: &Process, entry: Option<&Entry>) -> Arc<Workload> {
        let path = self.cgroups.path(process.cgroup);
        let in_root = path.as_deref().is_none_or(|path| path == "/");
        let mut memberships: Vec<Membership> = Vec::new();
        if self.has_v1 || in_root {
            let text = entry.and_then(Entry::cgroups).unwrap_or_default();
            let lines = from_proc_cgroup(&text);
            memberships.extend(lines.iter().map(|line| membership(&line.path)));
        }
        if !in_root {
            // From the time of the event, also of those that are gone.
            memberships.extend(path.as_deref().map(membership));
        }
        Arc::new(workload(
            &Clues {
                memberships: &memberships,
                process,
                containers: &[],
                k8s: None,
                port: self.ports.get(&process.key).copied(),
            },
            &self.roles,
        ))
    }
}
