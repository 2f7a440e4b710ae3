//! Which network namespaces of a host mean the same machine by a private address. All do, unless there is evidence
//! against it: different workloads served the address at the same time, or two namespaces are in distinct networks
//! of one prefix, as each has the same address itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use foldhash::{HashMap, HashSet};

use super::{
    Map,
    counters::{Share, What},
    facts::Server,
    half::Link,
    nodes::{Key, Realm},
    numbers::{HostId, NodeId},
    realms::network,
};
use crate::model::{Address, AddressClass, Timestamp};

/// The namespaces that have an address, each with the times of that.
type Owned = Vec<(u32, Span)>;

/// An address, and when a namespace was seen to have it.
type Has = (IpAddr, Span);

/// By host and network, and by namespace, those of its addresses that others have as well, in order.
type OwnedAlike = HashMap<(HostId, IpAddr), HashMap<u32, Vec<Has>>>;

fn owned_alike(map: &Map) -> OwnedAlike {
    let mut all: HashMap<(HostId, IpAddr), Owned> = HashMap::default();
    for (address, owner) in map.halves.facts.owners() {
        let class = AddressClass::of(address.ip());
        if matches!(class, AddressClass::Private | AddressClass::Shared) {
            let (host, netns) = owner.who;
            let owned = all.entry((host, address.ip())).or_default();
            owned.push((netns, (owner.first, owner.last)));
        }
    }
    let mut alike = OwnedAlike::default();
    for ((host, address), owned) in all.into_iter().filter(|(_, owned)| owned.len() > 1) {
        let place = (host, network(address));
        let alike = alike.entry(place).or_default();
        for (netns, span) in owned {
            alike.entry(netns).or_default().push((address, span));
        }
    }
    let all = alike.values_mut().flat_map(HashMap::values_mut);
    all.for_each(|has| has.sort_unstable());
    alike
}

/// When something was there.
type Span = (Timestamp, Timestamp);

fn at_once(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// Remotes that are several machines: for each namespace, the first one of its group.
#[derive(Debug, Default)]
pub(super) struct Split {
    groups: HashMap<(NodeId, u32), u32>,
    /// By host, how many namespaces were not compared.
    cut: HashMap<HostId, u64>,
}

impl Split {
    /// The split remotes of `map`, with connections that are still tracked.
    pub(super) fn of(map: &Map, open: &[(Link, Share)]) -> Self {
        let alike = owned_alike(map);
        let mut views = suspects(map, &alike);
        let mut split = Self::default();
        if views.is_empty() {
            return split;
        }
        let spans = Spans::of(map, open);
        for half in map.halves.all() {
            if let Some(suspect) = views.get_mut(&half.remote) {
                suspect.namespaces.insert(half.netns);
            }
        }
        for ((_, netns, remote, _), served) in map.halves.facts.servers() {
            let server = served.who;
            if let Some(suspect) = views.get_mut(remote)
                && let Some(span) = spans.servers.get(&server)
            {
                let known = map.nodes.get(server.node);
                suspect.served.entry(*netns).or_default().push(Served {
                    machine: server.netns,
                    is_own: known.addresses.find(suspect.address).is_ok(),
                    span: *span,
                });
            }
        }
        for (remote, suspect) in views {
            let place = (suspect.host, network(suspect.address.ip()));
            let alike = alike.get(&place);
            let differ = |one, other| {
                let served = suspect.served(one, other);
                let are_same = served
                    .clone()
                    .any(|(one, other)| one.machine == other.machine);
                let is_both = |(one, other): (&Served, &Served)| {
                    one.is_own && other.is_own && at_once(one.span, other.span)
                };
                let owned = |netns| {
                    alike
                        .and_then(|it| it.get(&netns))
                        .map_or(&[][..], Vec::as_slice)
                };
                let own =
                    || spans.own_at_once(suspect.host, (one, owned(one)), (other, owned(other)));
                !are_same && (served.clone().any(is_both) || own())
            };
            let is_known = |netns: &u32| {
                suspect.served.contains_key(netns) || alike.is_some_and(|it| it.contains_key(netns))
            };
            let (groups, cut) = groups(&suspect.namespaces, is_known, differ);
            let groups = groups.into_iter();
            split
                .groups
                .extend(groups.map(|(netns, group)| ((remote, netns), group)));
            if cut > 0 {
                let sum = split.cut.entry(suspect.host).or_default();
                *sum = sum.saturating_add(cut);
            }
        }
        split
    }

    /// The first namespace of the group of `netns`; none if `remote` is one machine.
    pub(super) fn get(&self, remote: NodeId, netns: u32) -> Option<u32> {
        self.groups.get(&(remote, netns)).copied()
    }

    /// By host, how many namespaces are in a group of their own because they were not compared; once per remote.
    pub(super) fn into_cut(self) -> HashMap<HostId, u64> {
        self.cut
    }
}

/// A server of a remote, as one namespace sees it.
#[derive(Clone, Copy, Debug)]
struct Served {
    /// Host and namespace of the server: an address is of one such.
    machine: (HostId, u32),
    /// Nobody put that address in place of its own.
    is_own: bool,
    span: Span,
}

/// A remote that may be several machines.
struct Suspect {
    host: HostId,
    address: Address,
    /// The namespaces that dial it.
    namespaces: BTreeSet<u32>,
    /// By the namespace that it is seen from.
    served: HashMap<u32, Vec<Served>>,
}

impl Suspect {
    /// Each two servers of it, as the one and the other see it.
    fn served(&self, one: u32, other: u32) -> impl Iterator<Item = (&Served, &Served)> + Clone {
        let of = move |netns: u32| self.served.get(&netns).into_iter().flatten();
        of(one).flat_map(move |first| of(other).map(move |second| (first, second)))
    }
}

/// Maximum of namespaces with evidence that are compared with each other; each further one is a group of its own.
const MAX_HELD: usize = 1024;

/// Each of `namespaces` with the first one of its group: what differs from none of it; and how many are not held
/// against others. None if they are one group. Of which nothing `is_known` differs from none.
fn groups(
    namespaces: &BTreeSet<u32>,
    is_known: impl Fn(&u32) -> bool,
    differ: impl Fn(u32, u32) -> bool,
) -> (BTreeMap<u32, u32>, u64) {
    let Some(first) = namespaces.first() else {
        return (BTreeMap::new(), 0);
    };
    let mut named = BTreeMap::new();
    // Each with those of it of which something is known.
    let mut groups: Vec<(u32, Vec<u32>)> = vec![(*first, Vec::new())];
    let mut held = 0_usize;
    for netns in namespaces {
        if !is_known(netns) {
            named.insert(*netns, *first);
            continue;
        }
        held += 1;
        if held > MAX_HELD {
            named.insert(*netns, *netns);
            continue;
        }
        let fits =
            |group: &&mut (u32, Vec<u32>)| group.1.iter().all(|other| !differ(*netns, *other));
        let group = match groups.iter_mut().find(fits) {
            Some(group) => {
                group.1.push(*netns);
                group.0
            }
            None => {
                groups.push((*netns, vec![*netns]));
                *netns
            }
        };
        named.insert(*netns, group);
    }
    let cut = held.saturating_sub(MAX_HELD) as u64;
    match groups.len() > 1 || cut > 0 {
        true => (named, cut),
        false => (BTreeMap::new(), 0),
    }
}

/// Remotes that may be several machines: few, usually none.
fn suspects(map: &Map, shared: &OwnedAlike) -> HashMap<NodeId, Suspect> {
    let mut servers: HashMap<(NodeId, u16), (HostId, u32)> = HashMap::default();
    let mut several = HashSet::default();
    for ((_, _, remote, port), served) in map.halves.facts.servers() {
        let machine = served.who.netns;
        if *servers.entry((*remote, *port)).or_insert(machine) != machine {
            several.insert(*remote);
        }
    }
    if shared.is_empty() && several.is_empty() {
        return HashMap::default();
    }
    let suspect = |id: NodeId| match map.nodes.get(id).key {
        Key::Remote(Realm::Host(host), address, _) => {
            let place = (host, network(address.ip()));
            let is = several.contains(&id) || shared.contains_key(&place);
            is.then(|| {
                let suspect = Suspect {
                    host,
                    address,
                    namespaces: BTreeSet::new(),
                    served: HashMap::default(),
                };
                (id, suspect)
            })
        }
        _ => None,
    };
    map.nodes.ids().filter_map(suspect).collect()
}

/// When servers and namespaces were seen.
struct Spans {
    servers: HashMap<Server, Span>,
    last: HashMap<(HostId, u32), Timestamp>,
}

impl Spans {
    fn of(map: &Map, open: &[(Link, Share)]) -> Self {
        let mut spans = Self {
            servers: HashMap::default(),
            last: HashMap::default(),
        };
        let counted = map.halves.links();
        let counted = counted.filter_map(|(link, _, counters)| Some((link, counters.seen()?)));
        let over = map.halves.alone();
        let over = over.map(|(link, share)| (link, (share.first, share.last)));
        // What is open is still there.
        let now = |share: &Share| match share.what {
            What::Connection { ended: false, .. } => map.now.unwrap_or(share.last),
            _ => share.last,
        };
        let open = open
            .iter()
            .map(|(link, share)| (*link, (share.first, now(share))));
        for (link, (first, last)) in counted.chain(over).chain(open) {
            for id in link.client.into_iter().chain(link.server) {
                let half = map.halves.get(id);
                let span = spans.servers.entry(Server::of(half));
                let span = span.or_insert((first, last));
                *span = (span.0.min(first), span.1.max(last));
                let seen = spans.last.entry((half.host, half.netns)).or_insert(last);
                *seen = (*seen).max(last);
            }
        }
        // So is where somebody listens.
        if let Some(now) = map.now {
            for (socket, _) in map.halves.facts.listeners.open() {
                let place = socket.place;
                spans.last.insert((place.host, place.netns), now);
            }
        }
        spans
    }

    /// Whether both namespaces have one of the addresses that each has, at one time.
    fn own_at_once(&self, host: HostId, one: (u32, &[Has]), other: (u32, &[Has])) -> bool {
        let there = |netns: u32| self.last.get(&(host, netns)).copied();
        let Some((one_there, other_there)) = there(one.0).zip(there(other.0)) else {
            return false;
        };
        // As long as the namespace is there it has the address, as far as is known.
        let span = |(first, last): Span, there: Timestamp| (first, last.max(there));
        one.1.iter().any(|(address, has)| {
            let same = other.1.binary_search_by_key(address, |it| it.0);
            same.is_ok_and(|at| at_once(span(*has, one_there), span(other.1[at].1, other_there)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_that_differ_are_in_groups_of_their_own() {
        let all: BTreeSet<u32> = (1..=6).collect();
        assert!(groups(&all, |_| true, |_, _| false).0.is_empty());
        // Odd ones are in one network, even ones in another.
        let odd_and_even = groups(&all, |_| true, |one, other| one % 2 != other % 2).0;
        assert_eq!(
            odd_and_even,
            [(1, 1), (3, 1), (5, 1), (2, 2), (4, 2), (6, 2)].into()
        );
        // What differs from one only is with the others.
        let two = groups(
            &all,
            |_| true,
            |one, other| (one.min(other), one.max(other)) == (1, 2),
        );
        assert_eq!(
            two,
            ([(1, 1), (2, 2), (3, 1), (4, 1), (5, 1), (6, 1)].into(), 0)
        );
        // Of more than are held each is alone, and counted.
        let many: BTreeSet<u32> = (1..=MAX_HELD as u32 + 5).collect();
        let (named, cut) = groups(&many, |_| true, |_, _| false);
        assert_eq!((named.len(), cut), (many.len(), 5));
    }
}
