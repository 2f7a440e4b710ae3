//! An order of recovery as drop-ins for units of systemd.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::page::inert;
use crate::{
    ask::{Who, recovery_order::RecoveryOrder},
    model::View,
};

/// The drop-ins, one after the other. What would close a cycle is left out: systemd refuses those.
pub(super) fn write(found: &RecoveryOrder, view: &View) -> String {
    let node = |who: &Who| view.nodes.iter().find(|it| it.id == who.id);
    let host = |who: &Who| node(who).and_then(|it| it.host.as_deref());
    let unit = |who: &Who| -> Option<String> {
        let node = node(who)?;
        let workload = node.workload.as_deref()?;
        let unit = workload.unit.as_ref().or({
            (workload.kind == crate::model::WorkloadKind::Systemd).then_some(&workload.name)
        })?;
        is_unit(unit).then(|| unit.to_string())
    };
    // Several hosts may have one name, and several one id.
    type Place<'a> = (Option<(&'a str, &'a str)>, String);
    let mut after: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    for step in found.waves.iter().flat_map(|it| &it.steps) {
        for need in &step.needs {
            let link = &need.link;
            // Only what is on the same host is its systemd's to order.
            let same_host = host(&link.client) == host(&link.server);
            let is_left_out = step.weakest.iter().any(|it| it == link);
            if let (Some(client), Some(server), true, false) = (
                unit(&link.client),
                unit(&link.server),
                same_host,
                is_left_out,
            ) && client != server
            {
                let host = host(&link.client).map(|it| (it.name.as_str(), it.id.as_str()));
                after.entry((host, client)).or_default().insert(server);
            }
        }
    }
    let mut out = String::from(
        "# After= orders what is started together; it starts nothing by itself: add Wants= for that.\n",
    );
    if after.is_empty() {
        out.push_str("# Nothing here is a unit that depends on another unit of its host.\n");
    }
    for ((host, client), servers) in after {
        let servers: Vec<String> = servers.into_iter().collect();
        let host = host
            .map(|(name, _)| format!("  (on {})", inert(name)))
            .unwrap_or_default();
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "\n# /etc/systemd/system/{client}.d/after.conf{host}\n[Unit]\nAfter={}\n",
            servers.join(" ")
        );
    }
    out
}

/// Whether it can be the name of a unit, as systemd allows them: nothing that ends a line or a path.
fn is_unit(name: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b":-_.\\@".contains(&it);
    !name.is_empty() && name.len() < 256 && name.bytes().all(allowed)
}
