//! Clues → workload: which of what is known of a process an operator would name it by.
//!
//! Pure: others read `/proc`, cgroups and what runtimes know. [`from_proc_cgroup`] reads
//! the kernel's list of cgroups, [`membership`] the path of one, [`Roles`] tells what programs
//! are for. Here is the choice: pod, container, unit of systemd, executable, in this order.

mod cgroup;
mod proc_cgroup;
mod roles;

use std::sync::Arc;

pub use cgroup::{
    FoundContainer, FoundPod, MAX_ID_BYTES, MAX_UNIT_BYTES, Membership, Qos, membership,
    membership_of,
};
pub use proc_cgroup::{Line, from_proc_cgroup};
pub use roles::{Problem, Roles, RolesError};

use crate::model::{
    Container, Kubernetes, Outer, Process, Workload, WorkloadKind, program as names,
};

/// How much of a container's id stands for it, as runtimes show it: 48 bits.
const SHORT_ID: usize = 12;

/// What is known of a process, of which a workload is made.
#[derive(Clone, Copy, Debug)]
pub struct Clues<'a> {
    /// What its cgroups say, in order of belief: see [`from_proc_cgroup`].
    pub memberships: &'a [Membership],
    /// What the kernel and `/proc` say.
    pub process: &'a Process,
    /// Containers that runtimes told of. Those with other ids are not taken.
    pub containers: &'a [Container],
    /// What is known of its pod. One with another uid is not taken.
    pub k8s: Option<&'a Kubernetes>,
    /// What Kubernetes calls this host.
    pub node: Option<&'a Arc<str>>,
    /// A port it listens on; of several always the same one, for the role must not depend
    /// on which connection was seen.
    pub port: Option<u16>,
}

/// What an operator calls the process that `clues` are of.
///
/// - In a pod it is the pod: by its owner, else its name, else its uid.
/// - In a container it is the container: by its name, else the short form of its id. Where
///   containers nest it is the innermost one, for that is where the process is; but if
///   `containers` has only the outermost, it is that one, which the operator of this host
///   can find.
/// - In a unit that somebody would name it is the unit.
/// - Else it is the program: the file name of the executable, or what an interpreter runs.
///   Then nothing else is said of where it runs, so that all processes of one program are
///   the same workload, whatever session they are in.
///
/// What a user chose the name of, by a control group of its own, or where a user chooses the addresses, in a
/// network namespace of its own, is that user's: see [`Workload::uid`].
pub fn workload(clues: &Clues<'_>, roles: &Roles) -> Workload {
    let nothing = Membership::default();
    let found = Membership::most_telling(clues.memberships).unwrap_or(&nothing);
    let container = container(found, clues.containers);
    let k8s = kubernetes(found, clues.k8s).map(|k8s| Kubernetes {
        node: clues.node.cloned(),
        ..k8s
    });
    let executable = names::executable(clues.process);
    let telling = names::telling(clues.process);
    let image = container.as_ref().and_then(|it| it.image.as_deref());
    let role = roles.role(&[&telling, &executable], image, clues.port);
    let (kind, name) = if let Some(k8s) = &k8s {
        (WorkloadKind::Pod, pod_name(k8s, container.as_ref()))
    } else if let Some(container) = &container {
        (WorkloadKind::Container, Some(container_name(container)))
    } else {
        (WorkloadKind::Systemd, found.unit.clone())
    };
    // Whose the control group is, else the network namespace.
    let uid = found.uid.or(clues.process.netns_owner);
    let Some(name) = name else {
        return Workload {
            kind: WorkloadKind::Executable,
            name: of_user(telling, uid),
            uid,
            unit: None,
            slice: None,
            container: None,
            k8s: None,
            role,
        };
    };
    Workload {
        kind,
        name: of_user(name, uid),
        uid,
        unit: found.unit.clone().map(|it| of_user(it, found.unit_uid)),
        slice: found.slice.clone(),
        container,
        k8s,
        role,
    }
}

/// `NAME@UID` for what a user called `NAME`: no unit, container or pod may be called so.
fn of_user(name: Arc<str>, uid: Option<u32>) -> Arc<str> {
    match uid {
        Some(uid) => format!("{name}@{uid}").into(),
        None => name,
    }
}

fn container(found: &Membership, known: &[Container]) -> Option<Container> {
    let innermost = found.container.as_ref()?;
    let outermost = found.around.as_ref();
    let known_outer = outermost.and_then(|it| known.iter().find(|known| known.id == it.id));
    // In a pod the node around it is no substitute.
    let around = found.around.as_ref().filter(|_| found.pod.is_none());
    let known = [Some(innermost), around]
        .into_iter()
        .flatten()
        .find_map(|it| Some((it, known.iter().find(|known| known.id == it.id)?.clone())));
    let (of, mut container) = known.unwrap_or_else(|| {
        let id = Arc::clone(&innermost.id);
        (
            innermost,
            Container {
                id,
                ..Container::default()
            },
        )
    });
    container.runtime = container.runtime.or_else(|| of.runtime.map(Into::into));
    container.around = outer(found, &container.id, known_outer);
    Some(container)
}

/// What is around the container with this id, of those of `found`.
fn outer(found: &Membership, id: &str, known: Option<&Container>) -> Option<Outer> {
    let outermost = found.around.as_ref().filter(|it| *it.id != *id)?;
    let mut path = outermost.id.to_string();
    for id in &found.between {
        path.push('/');
        path.push_str(id);
    }
    Some(Outer {
        id: path.into(),
        name: known.and_then(|it| it.name.clone()),
    })
}

fn kubernetes(found: &Membership, known: Option<&Kubernetes>) -> Option<Kubernetes> {
    let Some(pod) = &found.pod else {
        // The path need not tell of a pod, but only what is in a container can be in one.
        return known.filter(|_| found.container.is_some()).cloned();
    };
    let is_same = |known: &&Kubernetes| known.uid.as_ref().is_none_or(|uid| *uid == pod.uid);
    let mut k8s = known.filter(is_same).cloned().unwrap_or_default();
    k8s.uid = Some(Arc::clone(&pod.uid));
    k8s.qos = k8s.qos.or_else(|| Some(pod.qos.name().into()));
    Some(k8s)
}

fn pod_name(k8s: &Kubernetes, container: Option<&Container>) -> Option<Arc<str>> {
    let owner = k8s.owner.as_ref().map(|owner| &owner.name);
    let name = owner.or(k8s.pod.as_ref()).or(k8s.uid.as_ref());
    name.cloned().or_else(|| container.map(container_name))
}

fn container_name(container: &Container) -> Arc<str> {
    let id = &container.id;
    container
        .name
        .clone()
        .unwrap_or_else(|| match id.get(..SHORT_ID) {
            // Those that are not numbers are names themselves.
            Some(short) if id.len() >= 32 && id.bytes().all(|it| it.is_ascii_hexdigit()) => {
                short.into()
            }
            _ => Arc::clone(id),
        })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
