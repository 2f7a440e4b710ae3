//! What the path of a cgroup says of the processes in it: unit and slice of systemd,
//! container, pod.
//!
//! systemd, container runtimes and the kubelet lay out their cgroups by rules of their own,
//! and nest in each other. So a path is read from the root to its end, and each component
//! in the light of those above it. What is not of a known layout claims nothing.
//!
//! A path is only as honest as those who may make cgroups: whoever was delegated a subtree
//! (a user's own systemd, a privileged container) may imitate in it what is found here, but
//! can change nothing that stands above it.

mod names;

use std::{mem, sync::Arc};

use names::{
    is_fargate_id, is_generated, is_guid, is_long_id, is_name, is_of_one_connection,
    kubepods_slice, numbered, pod_uid, prefixed, triple, unescape, unit_name,
};

/// How many bytes of a path are read, as many as the kernel's longest. Of more, the
/// components that are whole within them.
const MAX_PATH_BYTES: usize = 4096;
/// How many components of a path are read. Real ones have less than 20.
const MAX_COMPONENTS: usize = 64;
/// The longest id or name of a container or machine, bytes.
pub const MAX_ID_BYTES: usize = 128;
/// The longest name of a unit, bytes, as systemd has it and as a directory has it.
pub const MAX_UNIT_BYTES: usize = 255;

/// What a cgroup path says. All names are bounded and of printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The innermost unit of systemd that an operator would name: a service, socket, mount
    /// or swap, or a scope that was given a name. `\x2d` and the like are resolved.
    ///
    /// None in scopes whose name was generated (`session-3.scope`), also if a service is
    /// around them (`user@1000.service`): whatever runs there, it was not that service.
    /// Many instances made for one connection each are one: `sshd@.service`. So are those of one virtual
    /// machine, each with a number from its manager: `machine-qemu-*-web.scope`.
    pub unit: Option<Arc<str>>,
    /// The innermost slice of systemd.
    pub slice: Option<Arc<str>>,
    /// The container to name: in a pod the pod's own, else the innermost one.
    pub container: Option<FoundContainer>,
    /// The outermost of the containers around it: where containers nest, the only one that
    /// the runtime of this host knows.
    pub around: Option<FoundContainer>,
    /// The ids of those between these two, from the outer ones to the inner ones.
    pub between: Vec<Arc<str>>,
    /// The innermost pod. Without a container, it is the pod's own cgroup, or of one that
    /// watches over a container of it (conmon).
    pub pod: Option<FoundPod>,
    /// The virtual machine, as its manager calls it.
    pub machine: Option<Arc<str>>,
    /// Whether systemd speaks here, be it of a scope that nobody would name.
    pub is_systemd: bool,
    /// The user, not root, who chose what it is called: see [`membership_of`].
    pub uid: Option<u32>,
    /// The user who chose the name of `unit`.
    pub unit_uid: Option<u32>,
    /// The user whose the outermost container is.
    pub outermost_uid: Option<u32>,
}

/// A container that a path tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Its id; with LXC and nspawn its name. At most [`MAX_ID_BYTES`].
    pub id: Arc<str>,
    /// What runs it, where that shows: the values of [`crate::model::Container::runtime`],
    /// and `runc`, `garden` and `buildkit`.
    pub runtime: Option<&'static str>,
}

/// A pod that a path tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPod {
    /// Its uid: with hyphens, but those of static pods have none.
    pub uid: Arc<str>,
    /// Its quality of service.
    pub qos: Qos,
}

/// Quality of service of a pod, by the folder it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    /// Those in no folder of their own.
    #[default]
    Guaranteed,
    /// Some resources are.
    Burstable,
    /// None are.
    BestEffort,
}

impl Qos {
    /// As [`crate::model::Kubernetes::qos`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        }
    }

    fn from_folder(name: &str) -> Option<Self> {
        Some(match name {
            "guaranteed" => Self::Guaranteed,
            "burstable" => Self::Burstable,
            "besteffort" => Self::BestEffort,
            _ => return None,
        })
    }
}

impl Membership {
    /// How much it tells: of several hierarchies the one that tells most is believed. Units
    /// and scopes are worth the same: a session that one hierarchy knows of is not refuted
    /// by another one that left the process in the service that began it.
    fn weight(&self) -> u8 {
        match self {
            Self {
                pod: Some(_),
                container: Some(_),
                ..
            } => 4,
            Self { pod: Some(_), .. } => 3,
            Self {
                container: Some(_), ..
            } => 2,
            Self {
                is_systemd: true, ..
            } => 1,
            _ => 0,
        }
    }

    /// Whether both are called the same, by pod and container, by container, or else by unit.
    fn names_the_same(&self, other: &Self) -> bool {
        let same = self.pod == other.pod && self.container == other.container;
        let is_container = self.pod.is_some() || self.container.is_some();
        same && (is_container || self.unit == other.unit)
    }

    /// The most telling of `memberships`, which stand in order of belief; of equals the first.
    pub fn most_telling(memberships: &[Self]) -> Option<&Self> {
        // `max_by_key` takes the last of equals.
        memberships.iter().rev().max_by_key(|it| it.weight())
    }
}

/// What the cgroup path `path` says, of which the first `of_root` bytes are names that root chose, and the
/// others such that the user `uid` did. Where it is not known who did, they say nothing.
///
/// What a user only put within something that root named is that: a worker of a unit in a group of its own, or
/// a unit of the container that it runs in.
pub fn membership_of(path: &str, of_root: usize, uid: Option<u32>) -> Membership {
    let trusted = membership(path.get(..of_root).unwrap_or_default());
    let Some(uid) = uid else {
        return trusted;
    };
    let found = membership(path);
    let is_named = trusted.container.is_some() || trusted.pod.is_some() || trusted.unit.is_some();
    if is_named && found.names_the_same(&trusted) {
        return trusted;
    }
    Membership {
        uid: Some(uid),
        unit_uid: Some(uid).filter(|_| found.unit != trusted.unit),
        outermost_uid: Some(uid).filter(|_| trusted.container.is_none()),
        slice: trusted.slice,
        ..found
    }
}

/// What the cgroup path `path` says, whoever chose its names: of v2 or of any hierarchy of v1, seen from the root or
/// from inside a cgroup namespace. Any text gives an answer, if only an empty one.
pub fn membership(path: &str) -> Membership {
    let mut walk = Walk::default();
    let mut components = whole_components(path)
        .split('/')
        // From inside a namespace, `..` leads to what is above it.
        .filter(|it| !matches!(*it, "" | "." | ".."))
        .take(MAX_COMPONENTS)
        .peekable();
    while let Some(component) = components.next() {
        walk.step(component, components.peek().copied());
    }
    walk.found
}

fn whole_components(path: &str) -> &str {
    let Some(kept) = path.as_bytes().get(..MAX_PATH_BYTES) else {
        return path;
    };
    let end = kept.iter().rposition(|byte| *byte == b'/');
    end.and_then(|end| path.get(..end)).unwrap_or("")
}

/// A folder that gives the names below it their meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    /// Ids, by this runtime.
    Runtime(&'static str),
    /// ctr's default namespace: names that its user chose.
    CtrDefault,
    /// `kubepods`, or a folder of it for one quality of service.
    Kubepods(Qos),
    Ecs,
    Garden,
    Buildkit,
    Lxc,
    LxcMonitor,
}

#[derive(Debug, Default)]
struct Walk {
    found: Membership,
    within: Within,
    /// The pod's own container was found: those below are its own business.
    has_pods_own: bool,
    is_below_root: bool,
}

impl Walk {
    fn step(&mut self, component: &str, next: Option<&str>) {
        let within = mem::take(&mut self.within);
        let is_at_root = !mem::replace(&mut self.is_below_root, true);
        // systemd puts this before names that the kernel might take for its own files.
        let name = component.strip_prefix('_').unwrap_or(component);
        if let Some((slice, prefix, id)) = triple(component) {
            // Meant for systemd, taken literally by a runtime that does not speak to it.
            if let Some(stem) = slice.strip_suffix(".slice") {
                self.slice(stem);
            }
            self.runtimes_own(prefix, id);
        } else if let Some(stem) = name.strip_suffix(".slice") {
            self.slice(stem);
        } else if let Some(stem) = name.strip_suffix(".scope") {
            self.scope(stem, next);
        } else if [".service", ".socket", ".mount", ".swap"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
        {
            self.unit(name, next);
        } else {
            self.folder(component, within, is_at_root);
        }
    }

    fn slice(&mut self, stem: &str) {
        if let Some(slice) = unit_name(stem, ".slice") {
            self.found.slice = Some(slice);
            self.found.is_systemd = true;
        }
        if let Some((qos, pod)) = kubepods_slice(stem) {
            match pod {
                Some(uid) => self.pod(uid, qos),
                None => self.within = Within::Kubepods(qos),
            }
        }
    }

    fn scope(&mut self, stem: &str, next: Option<&str>) {
        self.found.is_systemd = true;
        // The manager itself: of the host, a container or a user.
        if stem == "init" {
            return;
        }
        self.found.unit = None;
        if let Some((prefix, id)) = prefixed(stem)
            && self.runtimes_own(prefix, id)
        {
            return;
        }
        let machine = stem.strip_prefix("machine-").map(unescape);
        if let Some(machine) = machine.as_deref().filter(|name| is_name(name)) {
            if self.machine(machine, next) {
                return;
            }
            if let Some(name) = numbered(machine, "qemu-").filter(|name| machine[5..] != **name) {
                // A machine has another number after each start, and is the same.
                self.found.unit = Some(format!("machine-qemu-*-{name}.scope").into());
                return;
            }
        } else if stem.bytes().any(|byte| byte.is_ascii_digit()) {
            // Scopes are made by programs, which number them: session-3, run-u7, app-x-4711.
            return;
        }
        self.found.unit = unit_name(stem, ".scope");
    }

    /// Whether the machine is a container; else it is a virtual one, or its supervisor.
    fn machine(&mut self, name: &str, next: Option<&str>) -> bool {
        if let Some(name) = numbered(name, "lxc-") {
            self.container(name, Some("lxc"));
            return true;
        }
        // What nspawn makes below; before systemd 233 the payload's own systemd did.
        let is_nspawn = matches!(
            next,
            Some("payload" | "init.scope" | "system.slice" | "user.slice")
        );
        if is_nspawn {
            self.container(name, Some("nspawn"));
        } else if next != Some("supervisor") {
            let name = numbered(name, "qemu-").unwrap_or(name);
            self.found.machine = Some(name.into());
        }
        is_nspawn
    }

    fn unit(&mut self, name: &str, next: Option<&str>) {
        let Some(unit) = unit_name(name, "") else {
            return;
        };
        self.found.is_systemd = true;
        if next != Some("supervisor")
            && let Some(machine) = unit.strip_prefix("systemd-nspawn@")
            && let Some(machine) = machine.strip_suffix(".service")
            && is_name(machine)
        {
            self.container(machine, Some("nspawn"));
        }
        self.found.unit = match unit.split_once('@') {
            _ if is_generated(&unit) => None,
            Some((template, instance)) if is_of_one_connection(instance) => {
                Some(format!("{template}@.service").into())
            }
            _ => Some(unit),
        };
    }

    fn folder(&mut self, name: &str, within: Within, is_at_root: bool) {
        if let Some((prefix, id)) = prefixed(name)
            && is_long_id(id)
            && self.runtimes_own(prefix, id)
        {
            return;
        }
        if let Some(name) = name.strip_prefix("lxc.payload.").filter(|it| is_name(it)) {
            return self.container(name, Some("lxc"));
        }
        if is_long_id(name) {
            let runtime = match within {
                Within::Runtime(runtime) => Some(runtime),
                Within::CtrDefault => Some("containerd"),
                Within::Ecs => Some("docker"),
                _ => None,
            };
            return self.container(name, runtime);
        }
        match within {
            Within::Lxc if is_name(name) => return self.container(name, Some("lxc")),
            // The monitor's, whatever the name.
            Within::LxcMonitor => return,
            Within::CtrDefault if is_name(name) => {
                return self.container(name, Some("containerd"));
            }
            Within::Garden | Within::Buildkit if is_guid(name) => {
                let is_garden = within == Within::Garden;
                let runtime = if is_garden { "garden" } else { "buildkit" };
                return self.container(name, Some(runtime));
            }
            Within::Ecs if is_fargate_id(name) => return self.container(name, Some("containerd")),
            Within::Kubepods(qos) => {
                if let Some(uid) = name.strip_prefix("pod").and_then(pod_uid) {
                    return self.pod(uid, qos);
                }
            }
            _ => {}
        }
        self.within = match (name, within) {
            ("buildkit" | "buildx", _) => Within::Buildkit,
            ("docker" | "moby" | "actions_job", _) => Within::Runtime("docker"),
            ("k8s.io", _) => Within::Runtime("containerd"),
            ("libpod_parent", _) => Within::Runtime("podman"),
            ("crio", _) => Within::Runtime("cri-o"),
            ("default", _) if is_at_root => Within::CtrDefault,
            ("ecs", _) => Within::Ecs,
            ("lxc" | "lxc.payload", _) => Within::Lxc,
            ("lxc.monitor", _) => Within::LxcMonitor,
            ("kubepods", _) => Within::Kubepods(Qos::Guaranteed),
            (folder, Within::Kubepods(_)) => {
                Qos::from_folder(folder).map_or(Within::Nothing, Within::Kubepods)
            }
            ("garden", _) | ("good" | "bad", Within::Garden) => Within::Garden,
            // The cluster and the task come before the container.
            (folder, Within::Ecs) if is_name(folder) => Within::Ecs,
            _ => Within::Nothing,
        };
    }

    /// Whether `PREFIX-ID` is made by a runtime: for a container, or for what watches it.
    fn runtimes_own(&mut self, prefix: &str, id: &str) -> bool {
        let runtime = match prefix {
            // conmon, which runs outside of the container, in what is around that.
            "libpod-conmon" | "crio-conmon" => return is_long_id(id),
            "docker" => "docker",
            "cri-containerd" | "nerdctl" | "containerd" => "containerd",
            "crio" => "cri-o",
            "libpod" | "libpod-payload" => "podman",
            "runc" => "runc",
            "crun" => "crun",
            "buildkit" => "buildkit",
            _ => return false,
        };
        // The ids that runc, crun and buildkit get may be any names; the others make theirs.
        let is_id = match runtime {
            "runc" | "crun" => is_name(id),
            "buildkit" => is_guid(id),
            _ => is_long_id(id),
        };
        if is_id {
            self.container(id, Some(runtime));
        }
        is_id
    }

    fn container(&mut self, id: &str, runtime: Option<&'static str>) {
        if self.has_pods_own {
            return;
        }
        self.has_pods_own = self.found.pod.is_some();
        let id = id.into();
        let outer = self.found.container.replace(FoundContainer { id, runtime });
        self.wrap(outer);
    }

    fn pod(&mut self, uid: Arc<str>, qos: Qos) {
        self.found.pod = Some(FoundPod { uid, qos });
        self.has_pods_own = false;
        // The node of the pod is a container itself (kind, k3d).
        let outer = self.found.container.take();
        self.wrap(outer);
    }

    /// What was the innermost container is around another one.
    fn wrap(&mut self, outer: Option<FoundContainer>) {
        match (&self.found.around, outer) {
            (None, outer) => self.found.around = outer,
            (Some(_), Some(outer)) => self.found.between.push(outer.id),
            (Some(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
