//! Which workload a process belongs to: where it runs, and what that says.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use lru::LruCache;

use super::{
    cgroups::Cgroups,
    owners::Names,
    runtimes::Runtimes,
    workload::{Clues, Membership, Roles, from_proc_cgroup, membership_of, workload},
};
use crate::{
    model::{Blind, Cgroup, Container, Kubernetes, Process, ProcessKey, Workload},
    procfs::Proc,
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
        for id in workloads.cgroups.ids() {
            let names = workloads.cgroups.names(id);
            if let Some(path) = workloads.cgroups.path(id) {
                workloads.expect(&path, names);
            }
        }
        workloads
    }

    /// What cannot be seen of whose the control groups are.
    pub(super) fn blind(&self) -> Option<Blind> {
        self.cgroups.blind()
    }

    /// Remembers a control group that was made.
    pub(super) fn learn(&mut self, made: &Cgroup) {
        let names = self.cgroups.learn(made);
        self.expect(&made.path, names);
    }

    /// Has the runtime asked for the container of a control group, if it is one's, before the
    /// first process in it does anything.
    fn expect(&mut self, path: &str, names: Names) {
        let found = membership_of(path, names.of_root, names.uid);
        let outermost = found.around.as_ref().or(found.container.as_ref());
        if let (Some(container), Some(runtimes)) = (outermost, &mut self.runtimes) {
            runtimes.ask(&container.id, container.runtime, found.outermost_uid);
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

    /// What the runtimes of its owner know of the container that a process is in, and of its pod: of
    /// the outermost, as what is within it is made by whoever is in it, and no container of the host's,
    /// whatever it is called.
    fn told(&mut self, found: &Membership) -> (Option<Container>, Option<Kubernetes>) {
        self.hear();
        let outermost = found.around.as_ref().or(found.container.as_ref());
        let (Some(runtimes), Some(it)) = (&mut self.runtimes, outermost) else {
            return (None, None);
        };
        let told = runtimes.ask_patiently(&it.id, it.runtime, found.outermost_uid);
        told.map_or((None, None), |told| {
            (Some(told.container.clone()), told.k8s.clone())
        })
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

    /// Whether the kernel does not tell where `process` is, or not all of it, so that
    /// `/proc/PID/cgroup` is needed.
    pub(super) fn needs_list(&mut self, process: &Process) -> bool {
        let path = self.cgroups.path(process.cgroup);
        self.has_v1 || path.is_none_or(|path| &*path == "/")
    }

    /// What an operator calls what `process` belongs to. `list` is its `/proc/PID/cgroup`, as far as
    /// that is needed and could be had.
    pub(super) fn of(&mut self, process: &Process, list: Option<&[u8]>) -> Arc<Workload> {
        let path = self.cgroups.path(process.cgroup);
        let path = path.as_deref().filter(|path| *path != "/");
        let lines = match self.has_v1 || path.is_none() {
            true => from_proc_cgroup(list.unwrap_or_default()),
            false => Vec::new(),
        };
        let mut memberships = Vec::new();
        for line in &lines {
            let names = self.cgroups.names_in(&line.controllers, &line.path);
            memberships.push(membership_of(&line.path, names.of_root, names.uid));
        }
        if let Some(path) = path {
            // From the time of the event, also of those that are gone.
            let names = self.cgroups.names(process.cgroup);
            memberships.push(membership_of(path, names.of_root, names.uid));
        }
        let (container, k8s) = Membership::most_telling(&memberships)
            .map(|found| self.told(found))
            .unwrap_or_default();
        Arc::new(workload(
            &Clues {
                memberships: &memberships,
                process,
                containers: container.as_slice(),
                k8s: k8s.as_ref(),
                node: self.node.as_ref(),
                port: self.ports.get(&process.key).copied(),
            },
            &self.roles,
        ))
    }
}
