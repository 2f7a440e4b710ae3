//! Ids and names of nodes.

use std::{collections::HashMap, sync::Arc};

use super::draft::{DraftNode, Place};
use crate::{
    map::{
        Map,
        coverage::Watched,
        hosts::Identity,
        nodes::{By, Dialled, Heard, Key, Realm},
        numbers::{HostId, NodeId},
        realms::Shared,
        room::Owner,
    },
    model::{Address, NodeKind},
};

/// The scope in which an address means one machine, after hosts are grouped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Around {
    World,
    /// Index of the first host of those that share the network.
    Host(usize),
    /// A network namespace of a host: others there have an interface of the same index.
    Netns(usize, u32),
}

/// What ids and names are made from.
pub(super) struct Labels {
    /// Which host numbers are one host.
    pub(super) identity: Identity,
    /// Which hosts share which addresses.
    shared: Shared,
    /// Names of addresses, by who dialled them.
    names: HashMap<(Around, Address, By), Heard>,
    /// Link-local addresses with their network namespace; none if several have the address.
    links: HashMap<(HostId, Address), Option<u32>>,
}

impl Labels {
    pub(super) fn new(map: &Map) -> Self {
        let hosts = map.nodes.hosts();
        let spans: Vec<_> = map.watched.iter().map(Watched::spans).collect();
        let identity = Identity::of(hosts, &spans);
        let mut labels = Self {
            shared: map.realms.shared(identity.numbers()),
            identity,
            names: HashMap::new(),
            links: HashMap::new(),
        };
        let nodes = || map.nodes.ids().map(|id| map.nodes.get(id));
        for known in nodes() {
            if let Key::Remote(Realm::Netns(host, netns), address, _) = &known.key
                && address.scope().is_some()
            {
                let host = labels.identity.last(*host);
                let only = labels.links.entry((host, *address));
                let only = only.or_insert(Some(*netns));
                *only = only.filter(|it| it == netns);
            }
        }
        for (realm, address, by, heard) in map.nodes.heard() {
            let by = by.map(|it| labels.lasting(it));
            let place = (labels.around(realm, address), address, by);
            let known = labels.names.entry(place);
            let known = known.or_insert_with(|| heard.clone());
            if known != heard {
                *known = Heard::Several;
            }
        }
        labels
    }

    /// The scope of `address` in `realm`.
    fn around(&self, realm: Realm, address: Address) -> Around {
        match realm {
            Realm::World => Around::World,
            Realm::Host(host) => {
                let host = self.identity.last(host);
                Around::Host(self.shared.first(host, address.ip()))
            }
            Realm::Netns(host, netns) => {
                let host = self.identity.last(host);
                match self.links.get(&(host, address)) {
                    Some(None) => Around::Netns(host.index(), netns),
                    // Link-local: not shared between hosts.
                    _ => Around::Host(host.index()),
                }
            }
        }
    }

    /// `owner` with the last number of its host.
    fn lasting(&self, owner: Owner) -> Owner {
        Owner {
            host: self.identity.last(owner.host),
            ..owner
        }
    }

    /// The name of an address for `owner`, if root and that user agree on one.
    fn heard(&self, around: Around, address: Address, owner: Owner) -> Option<&Arc<str>> {
        let by = owner.user.map(|_| self.lasting(owner));
        let own = by.and_then(|_| self.names.get(&(around, address, by)));
        match (self.names.get(&(around, address, None)), own) {
            (Some(one), Some(other)) if one != other => None,
            (Some(Heard::Only(name)), _) | (None, Some(Heard::Only(name))) => Some(name),
            (Some(Heard::Several), _) | (None, Some(Heard::Several) | None) => None,
        }
    }

    fn host(&self, host: HostId) -> &str {
        self.identity.label(host)
    }

    /// A draft for the part of a remote that one group of namespaces dials.
    pub(super) fn parted(&self, map: &Map, id: NodeId, group: u32) -> DraftNode {
        let known = map.nodes.get(id);
        let address = known.key.address().map(|it| it.to_string());
        let host = match known.key {
            Key::Remote(Realm::Host(host) | Realm::Netns(host, _), ..) => self.host(host),
            _ => "",
        };
        let name = address.unwrap_or_default();
        DraftNode {
            id: format!("{name}@{host}~{group}").into(),
            name: name.into(),
            kind: NodeKind::Remote,
            parts: Vec::new(),
            members: None,
            place: Place::Unknown,
        }
    }

    /// A draft of the node that `id` becomes a part of.
    pub(super) fn of(&self, map: &Map, id: NodeId) -> DraftNode {
        let known = map.nodes.get(id);
        let (id, name) = match &known.key {
            Key::Workload(host, kind, name, _) => {
                let workload = known.workload.as_deref();
                let name = workload.map_or(name, |it| &it.name);
                let namespace = workload.and_then(|it| it.k8s.as_ref()?.namespace.as_deref());
                let (host, kind) = (self.host(*host), kind.name());
                let user = workload.and_then(|it| it.uid);
                let user = user.map_or_else(String::new, |uid| format!("@{uid}"));
                let id = match namespace {
                    Some(namespace) => format!("{host}/{kind}{user}/{namespace}/{name}"),
                    None => format!("{host}/{kind}{user}/{name}"),
                };
                (id, name.to_string())
            }
            Key::Process(host, pid, _) => {
                let comm = known.processes.latest().map_or("", |it| &*it.comm);
                let name = format!("{comm}[{pid}]");
                (format!("{}/process/{name}", self.host(*host)), name)
            }
            Key::Host(host) => {
                let name = self.host(*host).to_owned();
                (name.clone(), name)
            }
            Key::Namespace(name) => (format!("namespace/{name}"), name.to_string()),
            Key::Unknown(host) => (
                format!("{}/unknown", self.host(*host)),
                "unknown".to_owned(),
            ),
            Key::Network(host, network) => (
                format!("{network}@{}", self.host(*host)),
                network.to_string(),
            ),
            Key::Programs(host, user) => {
                let name = match user {
                    Some(uid) => format!("other-programs@{uid}"),
                    None => "other-programs".to_owned(),
                };
                (format!("{}/{name}", self.host(*host)), name)
            }
            Key::Others(host) => (format!("others@{}", self.host(*host)), "others".to_owned()),
            Key::Remote(realm, address, dialled) => {
                let around = self.around(*realm, *address);
                // By the dialled address alone: the remote may serve other names as well.
                let heard = |around, address| self.heard(around, address, known.owner);
                let name = match dialled {
                    Dialled::Name(name) => Some(name),
                    Dialled::Itself => heard(around, *address),
                    Dialled::Address(realm, address) => {
                        heard(self.around(*realm, *address), *address)
                    }
                };
                match (name, around) {
                    (Some(name), _) => (name.to_string(), name.to_string()),
                    (None, Around::World) => (address.to_string(), address.to_string()),
                    (None, Around::Host(host)) => (
                        format!("{address}@{}", self.host(HostId::at(host))),
                        address.to_string(),
                    ),
                    (None, Around::Netns(host, netns)) => (
                        format!("{address}@{}~{netns}", self.host(HostId::at(host))),
                        address.to_string(),
                    ),
                }
            }
        };
        DraftNode {
            id: id.into(),
            name: name.into(),
            kind: match known.key.is_remote() {
                true => NodeKind::Remote,
                false => NodeKind::Workload,
            },
            parts: Vec::new(),
            members: None,
            place: Place::of(known),
        }
    }
}
