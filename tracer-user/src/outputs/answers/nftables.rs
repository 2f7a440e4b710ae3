//! What crosses a division as rules for nftables.

use std::collections::BTreeSet;

use super::{
    party::{Parties, Party},
    rules::Rules,
};
use crate::{ask::groups::Crossing, model::Address};

/// A table with a chain that lets through what crosses, for the firewall between the parts. It drops
/// nothing by itself: what else there is may be needed too.
pub(super) fn write(crossing: &[Crossing], parties: &Parties) -> Rules {
    let mut out = Rules::new(&[
        "Lets through what was seen to cross. Include it in the firewall between the parts; when",
        "nothing is missing, end the chain with \"drop\".",
    ]);
    out.line(format_args!("table inet tracer_split {{"));
    out.line(format_args!("    chain forward {{"));
    out.line(format_args!(
        "        type filter hook forward priority 0; policy accept;"
    ));
    out.line(format_args!("        ct state established,related accept"));
    for it in crossing {
        if let Err(why) = rule(it, parties, &mut out) {
            out.leave_out(parties.edge(&it.link), why);
        }
    }
    out.line(format_args!("    }}"));
    out.line(format_args!("}}"));
    out
}

/// # Errors
/// Why there is no rule for it.
fn rule(it: &Crossing, parties: &Parties, out: &mut Rules) -> Result<(), &'static str> {
    let [client, server] = parties.ends(&it.link)?;
    let port = it.link.port.ok_or("it is not known who opens it")?;
    let mut rules = Vec::new();
    for family in [Family::V4, Family::V6] {
        let clients = family.of(&it.client_addresses);
        let servers = family.of(&it.server_addresses);
        if let (Some(clients), Some(servers)) = (clients, servers) {
            rules.push((family.word(), clients, servers));
        }
    }
    if rules.is_empty() {
        let addresses = || it.client_addresses.iter().chain(&it.server_addresses);
        let has_room = it.client_addresses_cut == 0 && it.server_addresses_cut == 0;
        return Err(match addresses().any(|it| it.scope().is_some()) {
            true => "it passes no firewall, as the ends are on one link",
            false if has_room => "addresses are not known, as both ends are on one host",
            false => "addresses are not known, as there was no room for them",
        });
    }
    for (who, cut) in [
        (client, it.client_addresses_cut),
        (server, it.server_addresses_cut),
    ] {
        if cut > 0 {
            let what = "addresses of";
            out.lacking(
                8,
                format_args!("{cut} {what} {who} are not known and not in what follows"),
            );
        }
    }
    for (ip, clients, servers) in rules {
        out.line(format_args!(
            "        {ip} saddr {clients} {ip} daddr {servers} tcp dport {port} accept comment {}",
            comment(client, server)
        ));
    }
    Ok(())
}

/// Who dials whom, as a string of nft, which has no escapes, and at most 128 bytes: what parties are called
/// has no quotation marks, and takes 50 at most.
fn comment(client: Party, server: Party) -> String {
    format!("\"{client} to {server}\"")
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
