//! What is one service in several instances: replicas of a deployment, instances of a template,
//! containers of one service of compose, the same unit on several hosts.

use crate::model::{Node, NodeKind, WorkloadKind};

/// What the instances of a service have in common; the node's own name where it is alone.
pub(super) fn of(node: &Node) -> String {
    if node.kind == NodeKind::Remote {
        return node.id.to_string();
    }
    let Some(workload) = node.workload.as_deref() else {
        return node.name.to_string();
    };
    if let Some(k8s) = &workload.k8s {
        let namespace = k8s.namespace.as_deref().unwrap_or_default();
        let owner = k8s.owner.as_ref().map_or(&workload.name, |it| &it.name);
        return format!("{namespace}/{owner}");
    }
    if let Some(container) = &workload.container {
        let label = |name: &str| container.labels.get(name);
        if let (Some(project), Some(service)) = (
            label("com.docker.compose.project"),
            label("com.docker.compose.service"),
        ) {
            return format!("{project}/{service}");
        }
        if let Some(service) = label("com.docker.swarm.service.name") {
            return service.to_string();
        }
    }
    if workload.kind == WorkloadKind::Systemd
        && let Some((template, instance)) = workload.name.split_once('@')
        && let Some((_, suffix)) = instance.rsplit_once('.')
    {
        return format!("{template}@.{suffix}");
    }
    workload.name.to_string()
}

/// What names a workload across restarts on its host: no pid, and of a container that has no name
/// its image.
pub(super) fn lasting_name(node: &Node) -> String {
    let Some(workload) = node.workload.as_deref() else {
        // `nginx[812]` of a map by process.
        return match node.name.rsplit_once('[') {
            Some((comm, pid)) if node.kind == NodeKind::Workload && pid.ends_with(']') => {
                comm.to_owned()
            }
            _ => node.name.to_string(),
        };
    };
    let namespace = workload.k8s.as_ref().and_then(|it| it.namespace.as_deref());
    let name = match (&workload.container, workload.kind) {
        (Some(container), WorkloadKind::Container)
            if container.name.is_none() && container.id.starts_with(&*workload.name) =>
        {
            container.image.as_ref().unwrap_or(&workload.name)
        }
        _ => &workload.name,
    };
    let kind = workload.kind.name();
    let lasting = match namespace {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    };
    // In a map by process a workload is many nodes.
    match node.name.rsplit_once('[') {
        Some((comm, _)) if node.id.ends_with(&format!("/process/{}", node.name)) => {
            format!("{lasting}/{comm}")
        }
        _ => lasting,
    }
}
