//! An order of recovery as drop-ins for units of systemd.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::strict::Strict,
    party::{Parties, Party},
    rules::Rules,
};
use crate::{
    ask::{Who, recovery_order::RecoveryOrder},
    model::WorkloadKind,
};

/// The drop-ins, one after the other. What would close a cycle is left out: systemd refuses those.
pub(super) fn write(found: &RecoveryOrder, parties: &Parties) -> Rules {
    let host = |who: &Who| parties.node(who).and_then(|it| it.host.as_deref());
    // Several hosts may have one name, and several one id.
    type Place<'a> = (Option<(&'a str, &'a str)>, &'a str);
    let mut after: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
    let mut out = Rules::new(&[
        "After= orders what is started together; it starts nothing by itself: add Wants= for that.",
    ]);
    for step in found.waves.iter().flat_map(|it| &it.steps) {
        for need in &step.needs {
            let link = &need.link;
            let ends = parties.ends(link).and_then(|[client, server]| {
                let not = "not both are units of systemd";
                let (client, server) = (unit(client).ok_or(not)?, unit(server).ok_or(not)?);
                match () {
                    () if host(&link.client) != host(&link.server) => {
                        Err("another host is not for systemd to order")
                    }
                    () if step.weakest.contains(link) => Err("it would close a cycle"),
                    () => Ok((client, server)),
                }
            });
            match ends {
                // Two workloads of one unit.
                Ok((client, server)) if client == server => {}
                Ok((client, server)) => {
                    let host = host(&link.client).map(|it| (it.name.as_str(), it.id.as_str()));
                    after.entry((host, client)).or_default().insert(server);
                }
                Err(why) => out.leave_out(parties.edge(link), why),
            }
        }
    }
    if after.is_empty() {
        out.comment(
            0,
            format_args!("Nothing here is a unit that depends on another unit of its host."),
        );
    }
    for ((host, client), servers) in after {
        let servers: Vec<&str> = servers.into_iter().collect();
        let host = host.map(|(name, _)| format!("  (on {})", Strict::of(name)));
        out.line(format_args!(""));
        // A unit's name may have a backslash, and a comment has none.
        out.line(format_args!(
            "# /etc/systemd/system/{client}.d/after.conf{}",
            host.unwrap_or_default()
        ));
        out.line(format_args!("[Unit]"));
        out.line(format_args!("After={}", servers.join(" ")));
    }
    out
}

/// The unit that it is, or that it runs in.
fn unit(party: Party<'_>) -> Option<&str> {
    let workload = party.workload()?;
    let is_unit_itself = workload.kind == WorkloadKind::Systemd;
    let name = workload.unit.as_deref();
    let name = name.or(is_unit_itself.then_some(&*workload.name))?;
    is_unit(name).then_some(name)
}

/// What follows the last dot of a unit's name (systemd.unit(5)).
const TYPES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// Whether it can be the name of a unit (systemd.unit(5)): nothing that ends a line or a path, and a backslash
/// only before `x` and two digits, as systemd escapes with it: at the end of a line it would join the next.
fn is_unit(name: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b":-_.\\@".contains(&it);
    let is_escape = |rest: &str| {
        let digits = rest.strip_prefix('x').and_then(|it| it.get(..2));
        digits.is_some_and(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))
    };
    let Some((prefix, kind)) = name.rsplit_once('.') else {
        return false;
    };
    !prefix.is_empty()
        && TYPES.contains(&kind)
        && name.len() < 256
        && name.bytes().all(allowed)
        && name.split('\\').skip(1).all(is_escape)
}

#[cfg(test)]
mod tests {
    use super::is_unit;

    #[test]
    fn a_unit_is_what_systemd_takes_for_one() {
        for name in [
            "nginx.service",
            "app@1.service",
            "dev-disk-by\\x2duuid.device",
            "session-3.scope",
            "-.mount",
        ] {
            assert!(is_unit(name), "{name}");
        }
        for name in [
            "",
            "nginx",
            ".service",
            "nginx.conf",
            "a\\.service",
            "a.service\\",
            "a\\x2.service",
            "a b.service",
            "a/b.service",
            "a%n.service",
            "a.service\n[Service]",
            "a\u{2028}.service",
            "größe.service",
        ] {
            assert!(!is_unit(name), "{name:?}");
        }
        assert!(!is_unit(&format!("{}.service", "x".repeat(250))));
    }
}
