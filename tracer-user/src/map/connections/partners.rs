//! Pairing of endpoints: by handshake, by id, and by addresses.

use foldhash::{HashMap, HashMapExt as _};

use super::{Connections, connection::Slot};
use crate::map::{
    end::End, half::Side, halves::Halves, meeting::Meeting, nodes::Nodes, realms::Realms,
};

impl Connections {
    /// The connection that already has `end` under another id, from another tracer on the same host or from an
    /// earlier run.
    pub(super) fn same(&self, end: &End, meeting: Meeting, waits: Option<Slot>) -> Option<Slot> {
        let is_same = |it: &&End| (it.host, it.addresses.own) == (end.host, end.addresses.own);
        let find = |slot: Slot| {
            let connection = self.slots[slot as usize].as_ref()?;
            let same = connection.ends().into_iter().flatten().find(is_same)?;
            Some((connection, same))
        };
        if end.is_existing
            && let Some(&slot) = self.unwatched.get(&(end.host, end.addresses.own))
            && let Some((_, same)) = find(slot)
            && same.is_unwatched
        {
            return Some(slot);
        }
        let slot = waits?;
        let (connection, same) = find(slot)?;
        let is_one = match meeting {
            Meeting::Handshake(_) => true,
            // Addresses identify one open connection at a time.
            Meeting::OnHost(_) | Meeting::Addresses(_) => {
                !same.is_over || end.is_existing && same.is_missing() && connection.is_held()
            }
        };
        is_one.then_some(slot)
    }

    /// The connection whose missing endpoint is `end`.
    pub(super) fn partner(
        &self,
        meeting: Meeting,
        waits: Option<Slot>,
        end: &End,
        halves: &Halves,
    ) -> Option<(Slot, &End)> {
        let slot = waits?;
        let connection = self.slots[slot as usize].as_ref()?;
        let first = connection.single().filter(|_| !connection.is_counted)?;
        let fit = match [first, end].map(|end| halves.get(end.half).side) {
            [Side::Server, Side::Server] => false,
            // A simultaneous open.
            [Side::Client, Side::Client] => matches!(meeting, Meeting::Handshake(_)),
            // Only the addresses are known: both ends must have them.
            [Side::Unknown, Side::Unknown] => !matches!(meeting, Meeting::Handshake(_)),
            _ => true,
        };
        fit.then_some((slot, first))
    }

    /// Pairs of connections with one endpoint each that are one connection, by their addresses.
    pub(super) fn partners(
        &self,
        halves: &Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) -> HashMap<Slot, Slot> {
        let mut singles: [Vec<(Slot, &End)>; 2] = [Vec::new(), Vec::new()];
        for (slot, connection) in (0..).zip(&self.slots) {
            if let Some(connection) = connection
                && !connection.is_counted
                && let Some(end) = connection.single()
            {
                let is_client = halves.get(end.half).side == Side::Client;
                singles[usize::from(is_client)].push((slot, end));
            }
        }
        let mut partners = HashMap::new();
        if singles.iter().any(Vec::is_empty) {
            return partners;
        }
        // Index the smaller list.
        singles.sort_by_key(Vec::len);
        let [few, many] = singles;
        let mut by_addresses: HashMap<u64, Vec<(Slot, &End)>> = HashMap::new();
        for (slot, end) in few {
            let at = by_addresses.entry(end.addresses.shared).or_default();
            at.push((slot, end));
        }
        for (slot, end) in many {
            let Some(others) = by_addresses.get_mut(&end.addresses.shared) else {
                continue;
            };
            let fit = |(_, other): &(Slot, &End)| {
                fit_by_addresses([other, end], self.patience, halves, realms, nodes)
            };
            if let Some(at) = others.iter().position(fit) {
                partners.insert(slot, others.swap_remove(at).0);
            }
        }
        partners
    }
}

/// Whether these are the two endpoints of one connection, given that their addresses match. The handshakes may
/// differ, as a firewall may answer in place of the server; of pre-existing connections none was seen.
pub(super) fn fit_by_addresses(
    ends: [&End; 2],
    near: u64,
    halves: &Halves,
    realms: &Realms,
    nodes: &Nodes,
) -> bool {
    let [one, other] = ends;
    let opposite = match ends.map(|end| halves.get(end.half).side) {
        [Side::Unknown, Side::Unknown] => false,
        [one, other] => one != other,
    };
    // Two unrelated connections in different networks may have the same addresses.
    let knows_same = || {
        ends.into_iter()
            .filter_map(|end| nodes.address(halves.get(end.half).remote))
            .all(|it| realms.is_shared(one.host, other.host, it.ip()))
    };
    let is_old = |end: &End| end.is_existing || end.is_older;
    let is_near =
        is_old(one) || is_old(other) || one.first.as_ns().abs_diff(other.first.as_ns()) <= near;
    let is_same = (one.host, one.addresses.own) == (other.host, other.addresses.own);
    opposite && !is_same && is_near && (one.host == other.host || knows_same())
}
