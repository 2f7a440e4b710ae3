//! Which hosts mean the same machine by the same private address: those between which a
//! connection was seen at both ends without any translation, and only by addresses of the
//! networks that its ends are in. Each host may have a network of its own beside that, and many
//! have one that looks the same (`172.17.0.0/16` of Docker).

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::nodes::HostId;
use crate::model::AddressClass;

/// Networks that are remembered for each pair of hosts, and pairs: as much as that makes.
const MAX_JOINED: usize = 65_536;

/// What pairs of hosts share.
#[derive(Debug, Default)]
pub(super) struct Realms(HashSet<(IpAddr, HostId, HostId)>);

/// The network that an address is in: the size that nearly all of them have at least.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Realms {
    /// `one` and `other` know `address` as the same machine.
    pub(super) fn join(&mut self, one: HostId, other: HostId, address: IpAddr) {
        if one != other && self.0.len() < MAX_JOINED {
            let (one, other) = (one.min(other), one.max(other));
            self.0.insert((network(address), one, other));
        }
    }

    /// Whether `one` and `other` are known to mean the same machine by `address`.
    pub(super) fn meets(&self, one: HostId, other: HostId, address: IpAddr) -> bool {
        let is_local = matches!(
            AddressClass::of(address),
            AddressClass::Private
                | AddressClass::LinkLocal
                | AddressClass::Shared
                | AddressClass::Reserved
                | AddressClass::Loopback
                | AddressClass::Metadata
        );
        let place = (network(address), one.min(other), one.max(other));
        one == other || !is_local || self.0.contains(&place)
    }

    /// Who shares what with whom, of so many hosts, whether directly or through others.
    pub(super) fn shared(&self, hosts: usize) -> Shared {
        let mut shared: HashMap<IpAddr, Vec<usize>> = HashMap::new();
        let mut changed = true;
        while changed {
            changed = false;
            for (network, one, other) in &self.0 {
                let first = shared
                    .entry(*network)
                    .or_insert_with(|| (0..hosts).collect());
                let (one, other) = (one.index(), other.index());
                let least = first[one].min(first[other]);
                changed |= first[one] != least || first[other] != least;
                (first[one], first[other]) = (least, least);
            }
        }
        Shared(shared)
    }
}

/// For each network, of each host the first one that shares it.
pub(super) struct Shared(HashMap<IpAddr, Vec<usize>>);

impl Shared {
    /// The first host to which `address` means the same as to `host`.
    pub(super) fn first(&self, host: HostId, address: IpAddr) -> usize {
        let first = self.0.get(&network(address));
        first.map_or(host.index(), |first| first[host.index()])
    }
}
