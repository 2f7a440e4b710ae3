//! Which hosts mean the same machine by the same private address: those between which a
//! connection was seen at both ends without any translation, and only by addresses of the
//! networks that its ends are in. Each host may have a network of its own beside that, and many
//! have one that looks the same (`172.17.0.0/16` of Docker).

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::numbers::HostId;
use crate::model::AddressClass;

/// Networks that are remembered for each pair of hosts, and pairs: as much as that makes.
const MAX_JOINED: usize = 65_536;

/// What pairs of hosts share.
#[derive(Debug, Default)]
pub(super) struct Realms {
    joined: HashSet<(IpAddr, HostId, HostId)>,
    /// How often there was no room for what this one shares.
    cut: HashMap<HostId, u64>,
}

/// The network that an address is in: the size that nearly all of them have at least.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Realms {
    /// `one` and `other` know `address` as the same machine.
    pub(super) fn join(&mut self, one: HostId, other: HostId, address: IpAddr) {
        if one != other {
            let (one, other) = (one.min(other), one.max(other));
            let place = (network(address), one, other);
            if self.joined.len() < MAX_JOINED {
                self.joined.insert(place);
            } else if !self.joined.contains(&place) {
                *self.cut.entry(one).or_default() += 1;
            }
        }
    }

    /// Whether `one` and `other` are known to mean the same machine by `address`, directly.
    pub(super) fn is_shared(&self, one: HostId, other: HostId, address: IpAddr) -> bool {
        let place = (network(address), one.min(other), one.max(other));
        AddressClass::of(address) == AddressClass::Public || self.joined.contains(&place)
    }

    /// Whether who dials `address` on `one` may come to `other`: it means the same machine to both, as far
    /// as that is known.
    pub(super) fn meets(&self, one: HostId, other: HostId, address: IpAddr) -> bool {
        one == other || self.is_shared(one, other, address)
    }

    /// How often there was no room for what `host` shares with a later one.
    pub(super) fn cut(&self, host: HostId) -> u64 {
        self.cut.get(&host).copied().unwrap_or(0)
    }

    /// Who shares what with whom, whether directly or through others, of the hosts with these numbers:
    /// those of one host by several names are the same.
    pub(super) fn shared(&self, numbers: &[usize]) -> Shared {
        let mut shared = Shared::default();
        for (network, one, other) in &self.joined {
            let first = shared.0.entry(*network).or_default();
            let (one, other) = (numbers[one.index()], numbers[other.index()]);
            let (one, other) = (root(first, one), root(first, other));
            if one != other {
                first.insert(one.max(other), one.min(other));
            }
        }
        // The first one of all for each, in order: each leads to an earlier one.
        for first in shared.0.values_mut() {
            let mut hosts: Vec<usize> = first.keys().copied().collect();
            hosts.sort_unstable();
            for host in hosts {
                let before = first[&host];
                let root = first.get(&before).copied().unwrap_or(before);
                first.insert(host, root);
            }
        }
        shared
    }
}

/// The first one of those that share with `host`. On the way to it each leads two steps on from then on, so
/// that long rows of hosts are not gone along again and again.
fn root(first: &mut HashMap<usize, usize>, mut host: usize) -> usize {
    while let Some(before) = first.get(&host).copied() {
        if let Some(next) = first.get(&before).copied() {
            first.insert(host, next);
        }
        host = before;
    }
    host
}

/// For each network, of each host that shares it with earlier ones, the first of these.
#[derive(Default)]
pub(super) struct Shared(HashMap<IpAddr, HashMap<usize, usize>>);

impl Shared {
    /// The first host to which `address` means the same as to `host`.
    pub(super) fn first(&self, host: HostId, address: IpAddr) -> usize {
        let first = self.0.get(&network(address));
        let first = first.and_then(|it| it.get(&host.index()).copied());
        first.unwrap_or(host.index())
    }
}
