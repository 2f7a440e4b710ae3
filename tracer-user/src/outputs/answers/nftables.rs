//! What crosses a division as rules for nftables.

use std::{collections::BTreeSet, fmt::Write as _};

use super::page::inert;
use crate::{ask::groups::Crossing, model::Address};

/// A table with a chain that lets through what crosses, for the firewall between the parts. It drops
/// nothing by itself: what else there is may be needed too.
pub(super) fn write(crossing: &[Crossing]) -> String {
    let mut out = String::from(
        "# Lets through what was seen to cross. Include it in the firewall between the parts; when\n\
         # nothing is missing, end the chain with `drop`.\n\
         table inet tracer_split {\n    chain forward {\n        type filter hook forward priority 0; policy accept;\n        ct state established,related accept\n",
    );
    for it in crossing {
        let comment = comment(it);
        let Some(port) = it.link.port else {
            // Writing to memory does not fail.
            let _ = writeln!(out, "        # not known who opens it: {comment}");
            continue;
        };
        for (who, cut) in [
            (&it.link.client, it.client_addresses_cut),
            (&it.link.server, it.server_addresses_cut),
        ] {
            if cut > 0 {
                let name = inert(&who.name);
                let _ = writeln!(
                    out,
                    "        # NOT ALL: {cut} addresses of {name} are not known and not in what follows"
                );
            }
        }
        let mut is_written = false;
        for family in [Family::V4, Family::V6] {
            let clients = family.of(&it.client_addresses);
            let servers = family.of(&it.server_addresses);
            if let (Some(clients), Some(servers)) = (clients, servers) {
                is_written = true;
                let ip = family.word();
                let _ = writeln!(
                    out,
                    "        {ip} saddr {clients} {ip} daddr {servers} tcp dport {port} accept comment \"{comment}\"",
                );
            }
        }
        if !is_written {
            let addresses = || it.client_addresses.iter().chain(&it.server_addresses);
            let has_room = it.client_addresses_cut == 0 && it.server_addresses_cut == 0;
            let why = match addresses().any(|it| it.scope().is_some()) {
                true => "not through a firewall, as the ends are on one link",
                false if has_room => "addresses are not known, as both ends are on one host",
                false => "addresses are not known, as there was no room for them",
            };
            let _ = writeln!(out, "        # {why}: tcp dport {port}, {comment}");
        }
    }
    out.push_str("    }\n}\n");
    out
}

/// Who dials whom. nft takes at most 128 bytes, and no quotation marks.
fn comment(crossing: &Crossing) -> String {
    let link = &crossing.link;
    let text = inert(&format!("{} to {}", link.client.name, link.server.name));
    let text: String = text
        .chars()
        .map(|it| {
            if it.is_ascii_graphic() || it == ' ' {
                it
            } else {
                '?'
            }
        })
        .filter(|it| *it != '"' && *it != '\\')
        .collect();
    text.chars().take(120).collect()
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// The addresses of this family as a set; none if there are none. Those of a link are left out:
    /// nothing forwards what comes from one or goes to one.
    fn of(self, addresses: &[Address]) -> Option<String> {
        let addresses: BTreeSet<&Address> = addresses
            .iter()
            .filter(|it| match self {
                Self::V4 => it.ip().is_ipv4(),
                Self::V6 => it.ip().is_ipv6() && it.scope().is_none(),
            })
            .collect();
        let addresses: Vec<String> = addresses.into_iter().map(ToString::to_string).collect();
        match &addresses[..] {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(format!("{{ {} }}", many.join(", "))),
        }
    }
}
