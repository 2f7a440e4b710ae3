//! Coverage of each host, and its overflows.

use crate::{
    map::{Map, hosts::Identity, numbers::HostId},
    model::{HostCoverage, HostCut},
};

/// The coverage of each host, in order of id. `unheld` counts network namespaces that could not be grouped.
pub(super) fn coverage(
    map: &Map,
    identity: &Identity,
    unheld: &foldhash::HashMap<HostId, u64>,
) -> Vec<HostCoverage> {
    let hosts = map.nodes.hosts();
    let mut told: Vec<(HostId, HostCoverage)> = Vec::new();
    for (at, watched) in map.watched.iter().enumerate() {
        let host = HostId::at(at);
        let is_surplus = map.nodes.has_surplus_host() && at + 1 == hosts.len();
        let watched = watched.snapshot(&hosts[at]);
        let (twins, twins_cut) = identity.twins(host);
        let watched = HostCoverage {
            cut: cut(map, host, unheld.get(&host).copied().unwrap_or(0)),
            twins: twins.to_vec(),
            twins_cut,
            taken_for_one: watched.taken_for_one || is_surplus,
            ..watched
        };
        told.push((identity.last(host), watched));
    }
    // Merge the names of one host; the last name counts.
    told.sort_by_key(|(host, watched)| (*host, watched.to));
    let mut coverage: Vec<HostCoverage> = Vec::new();
    let mut before = None;
    for (host, watched) in told {
        match coverage.last_mut().filter(|_| before == Some(host)) {
            Some(same) => same.renamed(watched),
            None => coverage.push(watched),
        }
        before = Some(host);
    }
    coverage.sort_by(|one, other| one.host.cmp(&other.host));
    coverage
}

/// Overflows of `host`.
fn cut(map: &Map, host: HostId, unheld: u64) -> HostCut {
    let (nodes, names) = map.nodes.cut(host);
    let halves = map.halves.cut(host);
    HostCut {
        nodes,
        edges: halves.edges,
        servers: halves.servers,
        names,
        networks: map
            .realms
            .cut(host)
            .saturating_add(halves.owners)
            .saturating_add(unheld),
    }
}
