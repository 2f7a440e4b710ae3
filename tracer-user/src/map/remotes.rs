//! Quotas for remotes, per payer. Further remotes of a payer are merged by network.
//!
//! Source addresses can be forged, and any address can be dialled. So remotes that never had a connection have a
//! smaller quota of their own.

use std::{collections::hash_map::Entry, net::IpAddr};

use foldhash::HashMap;
use ipnet::IpNet;

use super::numbers::{HostId, NodeId};
use crate::model::{Address, Payer, Shares};

/// Maximum of remotes that had a connection.
pub(super) const MAX_SERVED: usize = 32_768;
/// Maximum of remotes that had none.
pub(super) const MAX_TRIED: usize = 8192;
/// Maximum of networks; remotes of further networks share one node of their host.
pub(super) const MAX_NETWORKS: usize = 1024;
/// Prefix lengths of a network, IPv4 and IPv6: usually one site.
const NETWORK_BITS: [u8; 2] = [24, 48];

/// Who is charged for a remote, on which host.
pub(super) type Charged = (HostId, Payer);

#[derive(Debug)]
pub(super) struct Remotes {
    served: Shares<Charged>,
    tried: Shares<Charged>,
    networks: Shares<Charged>,
    /// Those that had no connection yet.
    strangers: HashMap<NodeId, Charged>,
}

impl Default for Remotes {
    fn default() -> Self {
        Self {
            served: Shares::new(MAX_SERVED),
            tried: Shares::new(MAX_TRIED),
            networks: Shares::new(MAX_NETWORKS),
            strangers: HashMap::default(),
        }
    }
}

impl Remotes {
    /// Whether there is room for one more, that of a connection or of an attempt that failed.
    pub(super) fn take(&mut self, of: Charged, fails: bool) -> bool {
        match fails {
            true => self.tried.take(of),
            false => self.served.take(of),
        }
    }

    /// Whether there is room for one more network.
    pub(super) fn take_network(&mut self, of: Charged) -> bool {
        self.networks.take(of)
    }

    /// That one is told apart, as it was tried in vain.
    pub(super) fn is_stranger(&mut self, id: NodeId, of: Charged) {
        self.strangers.insert(id, of);
    }

    /// That one has a connection. If there is no room for it among those, it stays where it is.
    pub(super) fn has_connection(&mut self, id: NodeId) {
        if let Entry::Occupied(stranger) = self.strangers.entry(id)
            && self.served.take(*stranger.get())
        {
            self.tried.give_back(stranger.remove());
        }
    }
}

/// The network that `address` is in.
pub(super) fn network(address: Address) -> IpNet {
    let ip = address.ip();
    let bits = match ip {
        IpAddr::V4(_) => NETWORK_BITS[0],
        IpAddr::V6(_) => NETWORK_BITS[1],
    };
    IpNet::new(ip, bits).map_or_else(|_| ip.into(), |it| it.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_a_site_has() {
        for (address, expected) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("fe80::1%2", "fe80::/48"),
        ] {
            let address: Address = address.parse().expect("an address");
            assert_eq!(network(address).to_string(), expected);
        }
    }

    #[test]
    fn what_failed_before_it_succeeded_takes_no_more_room() {
        let mut remotes = Remotes::default();
        let of = (HostId::at(0), Payer::User(1000));
        let mut apart = 0;
        for at in 0..2 * (MAX_SERVED + MAX_TRIED) {
            if remotes.take(of, true) {
                remotes.is_stranger(NodeId::at(at), of);
                remotes.has_connection(NodeId::at(at));
                apart += 1;
            }
        }
        assert!(apart <= (MAX_SERVED + MAX_TRIED) / 32 * 21, "{apart}");
        assert!(remotes.take((HostId::at(0), Payer::User(1)), false));
    }

    #[test]
    fn who_had_a_connection_is_no_stranger() {
        let mut remotes = Remotes::default();
        let of = (HostId::at(0), Payer::Nobody);
        let most = (0..2 * MAX_TRIED)
            .filter(|_| remotes.take(of, true))
            .count();
        assert_eq!(most, MAX_TRIED / 32 * 21);
        let ids: Vec<NodeId> = (0..most).map(NodeId::at).collect();
        ids.iter().for_each(|id| remotes.is_stranger(*id, of));
        assert!(remotes.take(of, false), "another room");
        assert!(
            remotes.take((HostId::at(0), Payer::User(1)), true),
            "another's"
        );
        remotes.has_connection(ids[0]);
        remotes.has_connection(ids[0]);
        remotes.has_connection(ids[1]);
        assert!(remotes.take(of, true));
    }
}
