//! What a workload is called for good, and what is one service in several instances: the one place that
//! decides it. Labels of those who run containers come first, then names that somebody gave, then what it
//! is made of. Numbers and hashes that a runtime makes up (of a task, an allocation, a machine, a
//! transient unit) are no part of it: they are others after each start.

use std::{collections::BTreeSet, sync::Arc};

use super::generated;
use crate::model::{Container, Node, NodeKind, Outer, Workload, WorkloadKind, program};

/// What lasts of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lasting {
    /// The service: what all its instances have in common, and no other service has.
    pub(super) service: String,
    /// Which of them, where that lasts as well: the slot of a task, the instance of a template, the
    /// directory of a script.
    pub(super) instance: Option<String>,
    /// What this rests on.
    pub(super) by: By,
}

/// What a lasting name rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    /// Labels of what runs several of it, one as good as the other.
    Replica,
    /// The template of a unit, the owner of a pod.
    Template,
    /// A name that somebody gave.
    Name,
    /// What it is made of: it has no name.
    Made,
}

impl Lasting {
    fn new(service: String, instance: Option<String>, by: By) -> Self {
        Self {
            service,
            instance,
            by,
        }
    }

    /// Whether its instances stand for each other.
    pub(super) fn is_replaceable(&self) -> bool {
        matches!(self.by, By::Replica | By::Made)
    }

    /// How the service is told to people.
    pub(super) fn shown(&self) -> &str {
        self.service
            .split_once('/')
            .map_or(&self.service, |(_, name)| name)
    }
}

/// What lasts of `node`.
pub(super) fn of(node: &Node) -> Lasting {
    let Some(workload) = node.workload.as_deref() else {
        // `nginx[812]` of a map by process.
        let name = match node.name.rsplit_once('[') {
            Some((comm, pid)) if node.kind == NodeKind::Workload && pid.ends_with(']') => comm,
            _ => &*node.name,
        };
        return Lasting::new(format!("/{name}"), None, By::Name);
    };
    let mut lasting = of_owned(workload, &programs(node));
    if workload.kind == WorkloadKind::Executable {
        lasting.instance = place(node).map(|it| it.text);
    }
    // In a map by process a workload is many nodes.
    if let Some((comm, _)) = node.name.rsplit_once('[')
        && node.id.ends_with(&format!("/process/{}", node.name))
    {
        lasting.service.push('/');
        lasting.service.push_str(comm);
    }
    lasting
}

/// What lasts of `node` as who knows no users would have it; none if it is no user's.
pub(super) fn ownerless(node: &Node) -> Option<Lasting> {
    let workload = plain(node.workload.as_deref()?)?;
    let workload = Some(Arc::new(workload));
    Some(of(&Node {
        workload,
        ..node.clone()
    }))
}

/// Where an interpreter has the program of `node` from.
pub(super) fn place(node: &Node) -> Option<program::Place> {
    node.processes.iter().find_map(|it| program::place(it))
}

/// What the processes of `node` run, as far as it can be told from other programs.
pub(super) fn programs(node: &Node) -> BTreeSet<String> {
    let processes = node.processes.iter();
    processes.filter_map(|it| program::identity(it)).collect()
}

/// Likewise with the image that they are of, whatever its version. In a container of which that is not
/// known, a path says nothing of a script.
pub(super) fn made_of(node: &Node) -> BTreeSet<String> {
    let container = node.workload.as_ref().and_then(|it| it.container.as_ref());
    let Some(container) = container else {
        return programs(node);
    };
    match container.image.as_deref().and_then(generated::repository) {
        Some(image) => {
            let programs = programs(node).into_iter();
            programs.map(|it| format!("{it} of {image}")).collect()
        }
        None => {
            let processes = node.processes.iter();
            let plain = processes.filter(|it| !program::is_interpreted(it));
            plain.filter_map(|it| program::identity(it)).collect()
        }
    }
}

/// What lasts of a workload that runs `programs`; what is a user's is no service of root's nor of another
/// user's, whatever it is called.
fn of_owned(workload: &Workload, programs: &BTreeSet<String>) -> Lasting {
    let (Some(uid), Some(plain)) = (workload.uid, plain(workload)) else {
        return of_workload(workload, programs);
    };
    let suffix = suffix(uid);
    let mut lasting = of_workload(&plain, programs);
    if let Some(at) = lasting.service.find('/') {
        lasting.service.insert_str(at, &suffix);
    }
    lasting.service.push_str(&suffix);
    lasting
}

/// What the name of a workload of that user ends with.
fn suffix(uid: u32) -> String {
    format!("@{uid}")
}

/// `workload` as that user calls it; none if it is no user's.
fn plain(workload: &Workload) -> Option<Workload> {
    let suffix = suffix(workload.uid?);
    let name = workload.name.strip_suffix(&suffix).map(Into::into);
    Some(Workload {
        name: name.unwrap_or_else(|| workload.name.clone()),
        uid: None,
        ..workload.clone()
    })
}

/// What lasts of a workload that runs `programs`, whosever it is.
fn of_workload(workload: &Workload, programs: &BTreeSet<String>) -> Lasting {
    let made = || {
        let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
        programs.join(", ")
    };
    match (workload.kind, &workload.container, &workload.k8s) {
        (WorkloadKind::Pod, container, k8s) => {
            let namespace = k8s.as_ref().and_then(|it| it.namespace.as_deref());
            let namespace = namespace.unwrap_or_default();
            let is_named = k8s
                .as_ref()
                .is_some_and(|it| it.owner.is_some() || it.pod.is_some());
            let within = within(container.as_ref().and_then(|it| it.around.as_ref()));
            let image = container.as_ref().and_then(|it| it.image.as_deref());
            match (is_named, image.and_then(generated::repository)) {
                (false, Some(image)) => {
                    let service = format!("pod/{within}{namespace}/{image}");
                    Lasting::new(service, None, By::Made)
                }
                _ => {
                    let service = format!("pod/{within}{namespace}/{}", workload.name);
                    Lasting::new(service, None, By::Template)
                }
            }
        }
        (WorkloadKind::Container, Some(container), _) => of_container(workload, container, made),
        (WorkloadKind::Container, None, _) | (WorkloadKind::Executable, ..) => {
            let service = format!("{}/{}", workload.kind.name(), workload.name);
            Lasting::new(service, None, By::Name)
        }
        (WorkloadKind::Systemd, ..) => match generated::unit(&workload.name) {
            generated::Unit::Machine(name) => {
                Lasting::new(format!("machine/{name}"), None, By::Name)
            }
            generated::Unit::Instance(template, instance) => {
                let service = format!("systemd/{template}");
                Lasting::new(service, Some(instance), By::Template)
            }
            generated::Unit::Named(name) => Lasting::new(format!("systemd/{name}"), None, By::Name),
            generated::Unit::Transient => {
                Lasting::new(format!("transient/{}", made()), None, By::Made)
            }
        },
    }
}

/// Of a container: by the labels of what started it, its name, or its image.
fn of_container(workload: &Workload, container: &Container, made: impl Fn() -> String) -> Lasting {
    let label = |name: &str| {
        container
            .labels
            .get(name)
            .map(|it| &**it)
            .filter(|it| !it.is_empty())
    };
    let within = within(container.around.as_ref());
    let name = container.name.as_deref();
    let replica = |kind: &str, name: &[&str], instance: Option<String>| {
        let service = format!("{kind}/{within}{}", name.join("/"));
        Lasting::new(service, instance, By::Replica)
    };
    if let Some(service) = label("com.docker.swarm.service.name") {
        let task = label("com.docker.swarm.task.name").or(name);
        let slot = task.and_then(|task| task.strip_prefix(service)?.strip_prefix('.'));
        let slot = slot.and_then(|it| it.split('.').next()).map(str::to_owned);
        return replica("swarm", &[service], slot);
    }
    let nomad = |what: &str| label(&format!("com.hashicorp.nomad.{what}"));
    let group = nomad("task_group_name").unwrap_or_default();
    if let Some(job) = nomad("job_id").or_else(|| nomad("job_name")) {
        let namespace = nomad("namespace").unwrap_or("default");
        let named = name.map(|name| generated::without_id(name, nomad("alloc_id")));
        let task = nomad("task_name").or(named).unwrap_or_default();
        return replica("nomad", &[namespace, job, group, task], None);
    }
    if let Some(family) = label("com.amazonaws.ecs.task-definition-family") {
        let cluster = label("com.amazonaws.ecs.cluster").and_then(|it| it.rsplit('/').next());
        let task = label("com.amazonaws.ecs.container-name").unwrap_or_default();
        return match cluster {
            Some(cluster) => replica("ecs", &[cluster, family, task], None),
            None => replica("ecs", &[family, task], None),
        };
    }
    let project = label("com.docker.compose.project").or(label("io.podman.compose.project"));
    let service = label("com.docker.compose.service").or(label("io.podman.compose.service"));
    if let (Some(project), Some(service)) = (project, service) {
        if label("com.docker.compose.oneoff").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return replica("compose", &[project, service, "run"], None);
        }
        let number = label("com.docker.compose.container-number")
            .or(label("io.podman.compose.container-number"));
        return replica("compose", &[project, service], number.map(str::to_owned));
    }
    let image = container.image.as_deref().and_then(generated::repository);
    let of_image = || {
        let what = image.map_or_else(&made, str::to_owned);
        Lasting::new(format!("image/{within}{what}"), None, By::Made)
    };
    let Some(name) = name else {
        // Those that are no numbers are names themselves.
        let is_number = container.id.starts_with(&*workload.name)
            && (image.is_some() || generated::is_id(&container.id));
        return match is_number {
            true => of_image(),
            false => {
                let name = generated::without_id(&workload.name, None);
                Lasting::new(format!("container/{within}{name}"), None, By::Name)
            }
        };
    };
    match generated::container(name, nomad("alloc_id")) {
        generated::Name::Given => Lasting::new(format!("container/{within}{name}"), None, By::Name),
        // The rest of the name may be that of several: what they are made of tells more.
        generated::Name::With { name, instance } => {
            let service = format!("container/{within}{name} {}", image.unwrap_or_default());
            let by = if instance.is_some() {
                By::Replica
            } else {
                By::Made
            };
            Lasting::new(service, instance.map(str::to_owned), by)
        }
        generated::Name::MadeUp => of_image(),
    }
}

/// What is around a container, by what lasts of the names.
fn within(outer: Option<&Outer>) -> String {
    let Some(outer) = outer else {
        return String::new();
    };
    let mut ids = outer.id.split('/');
    let first = ids.next();
    let names = outer.name.as_deref().or(first).into_iter().chain(ids);
    let lasting = names.map(|name| match generated::container(name, None) {
        generated::Name::Given => name.into(),
        generated::Name::With { name, .. } => name,
        generated::Name::MadeUp => "*".into(),
    });
    let lasting: Vec<_> = lasting.collect();
    lasting.join("/") + ">"
}
