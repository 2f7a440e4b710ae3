//! Which workload a process belongs to: where it runs, and what that says.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use lru::LruCache;

use super::{
    cgroups::Cgroups,
    runtimes::Runtimes,
    workload::{Clues, Membership, Roles, from_proc_cgroup, membership, workload},
};
use crate::{
    model::{Cgroup, Container, Kubernetes, Process, ProcessKey, Workload},
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
    /// None if they cannot be asked.
    runtimes: Option<Runtimes>,
    /// Ids of the containers of which they told since that was asked for.
    named: Vec<Arc<str>>,
    roles: Roles,
    /// What Kubernetes calls this host.
    node: Option<Arc<str>>,
    /// Whether there are hierarchies of v1, in which processes may be elsewhere than in v2.
    has_v1: bool,
    /// The lowest port that a process listens on.
    ports: LruCache<ProcessKey, u16>,
}

impl Workloads {
    /// Looks at the control groups that are there, as the process at `proc_root` sees them.
    pub(super) fn new(
        proc_root: &Path,
        roles: Roles,
        runtimes: Option<Runtimes>,
        node: Option<Arc<str>>,
    ) -> Self {
        let own = Proc::new(proc_root).open(std::process::id());
        let own = own.and_then(|entry| entry.cgroups()).unwrap_or_default();
        let mut workloads = Self {
            cgroups: Cgroups::read(proc_root),
            runtimes,
            named: Vec::new(),
            roles,
            node,
            has_v1: from_proc_cgroup(&own)
                .iter()
                .any(|line| !line.controllers.is_empty()),
            ports: LruCache::new(LISTENING),
        };
        // So that there are answers before there are events.
        for path in workloads.cgroups.paths() {
            workloads.expect(&path);
        }
        workloads
    }

    /// Remembers a control group that was made.
    pub(super) fn learn(&mut self, made: &Cgroup) {
        self.cgroups.learn(made);
        self.expect(&made.path);
    }

    /// Has the runtime asked for the container of a control group, if it is one's, before the
    /// first process in it does anything.
    fn expect(&mut self, path: &str) {
        let found = membership(path);
        if let (Some(container), Some(runtimes)) = (&found.container, &mut self.runtimes) {
            runtimes.ask(&container.id, container.runtime, None);
        }
    }

    /// Ids of the containers of which something became known since the last call.
    pub(super) fn named(&mut self) -> Vec<Arc<str>> {
        self.hear();
        std::mem::take(&mut self.named)
    }

    fn hear(&mut self) {
        let found = self.runtimes.as_mut().map(Runtimes::poll);
        let ids = found.into_iter().flatten().map(|found| found.id);
        self.named.extend(ids);
    }

    /// What runtimes know of the containers that a process is in, and of their pod.
    fn told(
        &mut self,
        found: &Membership,
        pid: Option<u32>,
    ) -> (Vec<Container>, Option<Kubernetes>) {
        let (mut containers, mut k8s) = (Vec::new(), None);
        self.hear();
        let Some(runtimes) = &mut self.runtimes else {
            return (containers, k8s);
        };
        for it in [&found.container, &found.around].into_iter().flatten() {
            if let Some(told) = runtimes.ask_patiently(&it.id, it.runtime, pid) {
                containers.push(told.container.clone());
                k8s = k8s.or_else(|| told.k8s.clone());
            }
        }
        (containers, k8s)
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
        let pid = entry.map(|_| process.pid);
        let (containers, k8s) = Membership::most_telling(&memberships)
            .map(|found| self.told(found, pid))
            .unwrap_or_default();
        Arc::new(workload(
            &Clues {
                memberships: &memberships,
                process,
                containers: &containers,
                k8s: k8s.as_ref(),
                node: self.node.as_ref(),
                port: self.ports.get(&process.key).copied(),
            },
            &self.roles,
        ))
    }
}
