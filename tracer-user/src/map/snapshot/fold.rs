//! Reduces the number of edges: merges similar ones, the least interesting first. Counters stay exact.

use std::collections::BTreeMap;

use super::draft::{Draft, DraftNode, Place};
use crate::model::NodeKind;

/// The steps, in order, until there are few enough edges; and whether failing edges are merged as well.
const STEPS: [(What, bool); 4] = [
    (What::Remotes, false),
    (What::Ports, false),
    (What::Remotes, true),
    (What::Ports, true),
];

#[derive(Clone, Copy)]
enum What {
    /// Remotes that have edges with the same others on the same ports, and nothing else.
    Remotes,
    /// Ports of one server that one client uses.
    Ports,
}

/// An edge as one of its ends sees it: whether that is the client, the other end, the port.
type Seen = (bool, usize, Option<u16>);

/// Folds `draft` until it has at most `max_edges` edges, or nothing is left that is alike.
pub(super) fn fold(draft: &mut Draft, max_edges: usize) {
    for (what, failing) in STEPS {
        if draft.edges.len() <= max_edges {
            return;
        }
        match what {
            What::Remotes => remotes(draft, failing),
            What::Ports => ports(draft, failing),
        }
    }
}

/// Folds remotes that have the same edges. Those whose attempts fail only if `failing`.
fn remotes(draft: &mut Draft, failing: bool) {
    let mut edges: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
    let mut fails = vec![false; draft.nodes.len()];
    for ((client, server, port), counters) in &draft.edges {
        for (remote, seen) in [
            (*client, (true, *server, *port)),
            (*server, (false, *client, *port)),
        ] {
            if draft.nodes[remote].kind == NodeKind::Remote {
                edges.entry(remote).or_default().push(seen);
                fails[remote] |= counters.has_failed();
            }
        }
    }
    let mut groups: BTreeMap<Vec<Seen>, Vec<usize>> = BTreeMap::new();
    for (remote, seen) in edges {
        if failing || !fails[remote] {
            groups.entry(seen).or_default().push(remote);
        }
    }
    for (seen, remotes) in groups {
        if remotes.len() > 1 {
            join(draft, &seen, &remotes);
        }
    }
}

/// Makes one of `remotes`, which all have the edges `seen`.
fn join(draft: &mut Draft, seen: &[Seen], remotes: &[usize]) {
    let members = remotes
        .iter()
        .map(|remote| draft.nodes[*remote].members.unwrap_or(1))
        .sum();
    let parts = remotes
        .iter()
        .flat_map(|remote| draft.nodes[*remote].parts.clone())
        .collect();
    let (are_clients, are_servers) = (
        seen.iter().any(|(is_client, ..)| *is_client),
        seen.iter().any(|(is_client, ..)| !*is_client),
    );
    let what = match (are_clients, are_servers) {
        (true, false) => "clients",
        (false, true) => "servers",
        _ => "remotes",
    };
    let others: Vec<_> = seen
        .iter()
        .map(|(_, other, port)| {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            format!("{}{port}", draft.nodes[*other].id)
        })
        .collect();
    let group = draft.nodes.len();
    draft.nodes.push(DraftNode {
        id: format!("{what} of {}", others.join(", ")).into(),
        name: format!("{members} {what}").into(),
        kind: NodeKind::Remote,
        parts,
        members: Some(members),
        place: Place::Unknown,
    });
    for remote in remotes {
        for (is_client, other, port) in seen {
            let (from, to) = match is_client {
                true => ((*remote, *other, *port), (group, *other, *port)),
                false => ((*other, *remote, *port), (*other, group, *port)),
            };
            if let Some(counters) = draft.edges.remove(&from) {
                draft.edges.entry(to).or_default().merge(&counters);
            }
        }
    }
}

/// Folds the ports that one client uses of one server; `None` stands for all of them.
fn ports(draft: &mut Draft, failing: bool) {
    let mut groups: BTreeMap<(usize, usize), Vec<Option<u16>>> = BTreeMap::new();
    for ((client, server, port), counters) in &draft.edges {
        if failing || !counters.has_failed() {
            groups.entry((*client, *server)).or_default().push(*port);
        }
    }
    for ((client, server), ports) in groups {
        if ports.len() < 2 {
            continue;
        }
        for port in ports {
            if let Some(counters) = draft.edges.remove(&(client, server, port)) {
                let all = draft.edges.entry((client, server, None)).or_default();
                all.merge(&counters);
            }
        }
    }
}
