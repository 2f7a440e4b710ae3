//! Distinct nodes of one name get distinct names.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::draft::{DraftNode, Place, SHORT_ID};
use crate::{
    map::{Map, nodes::Key, numbers::NodeId},
    model::{NodeKind, WorkloadKind, program},
};

/// A runtime gives a name to one container at a time. So containers of one name that listen at the same time, or are
/// of different runtimes, are not successive instances: their place is set to their id or runtime.
pub(super) fn tell_containers_apart(
    map: &Map,
    who_listens: &HashSet<NodeId>,
    nodes: &mut [DraftNode],
) {
    let mut twins: HashMap<Arc<str>, Vec<(usize, NodeId)>> = HashMap::new();
    for (at, id) in map.nodes.ids().enumerate() {
        let known = map.nodes.get(id);
        let is_container = matches!(&known.key, Key::Workload(_, WorkloadKind::Container, ..));
        if is_container && nodes[at].place == Place::Host {
            let twins = twins.entry(Arc::clone(&nodes[at].id)).or_default();
            twins.push((at, id));
        }
    }
    for twins in twins.into_values().filter(|it| it.len() > 1) {
        let container = |id: NodeId| map.nodes.get(id).workload.as_ref()?.container.clone();
        let runtimes: HashSet<_> = twins
            .iter()
            .filter_map(|(_, id)| container(*id)?.runtime)
            .collect();
        let listening = twins.iter().filter(|(_, id)| who_listens.contains(id));
        let are_several = listening.count() > 1;
        for (at, id) in twins {
            let Some(container) = container(id) else {
                continue;
            };
            let short: String = container.id.chars().take(SHORT_ID).collect();
            match container.runtime {
                _ if are_several && who_listens.contains(&id) => {
                    nodes[at].place = Place::In(short.into());
                }
                Some(runtime) if runtimes.len() > 1 => nodes[at].place = Place::In(runtime),
                _ => {}
            }
        }
    }
}

/// Appends the place to the names of workloads that share a name and are in different places. A workload of unknown
/// place joins the only known one.
pub(super) fn tell_apart(nodes: &mut [DraftNode]) {
    let mut places: HashMap<Arc<str>, HashSet<Place>> = HashMap::new();
    for node in nodes.iter().filter(|it| it.place != Place::Unknown) {
        let known = places.entry(Arc::clone(&node.id)).or_default();
        known.insert(node.place.clone());
    }
    for node in nodes {
        if let Place::In(place) = &node.place
            && let Some(others) = places.get(&node.id).filter(|it| it.len() > 1)
        {
            let directory = |it: &str| {
                it.split(program::CODE)
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            let short = directory(place);
            let like = others
                .iter()
                .filter(|it| matches!(it, Place::In(at) if directory(at) == short));
            let place = match like.count() {
                1 if !short.is_empty() => &short,
                _ => &**place,
            };
            node.id = format!("{} ({place})", node.id).into();
            node.name = format!("{} ({place})", node.name).into();
        }
    }
}

/// The id of a remote is the name that it was dialled by, which may be the id of a workload: then it gets a prefix.
pub(super) fn tell_remotes_apart(nodes: &mut [DraftNode]) {
    let workloads = nodes.iter().filter(|it| it.kind == NodeKind::Workload);
    let ids: HashSet<Arc<str>> = workloads.map(|it| Arc::clone(&it.id)).collect();
    for node in nodes.iter_mut().filter(|it| it.kind == NodeKind::Remote) {
        while ids.contains(&node.id) {
            node.id = format!("remote/{}", node.id).into();
        }
    }
}
