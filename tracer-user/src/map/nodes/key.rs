//! What makes two nodes the same, and where an address means the same.

use std::sync::Arc;

use ipnet::IpNet;

use crate::{
    map::{numbers::HostId, room::Owner},
    model::{Address, AddressClass, Process, Timestamp, Workload, WorkloadKind, program},
};

/// The key of a node: equal values are one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Key {
    /// Host, kind, name and place. The name ends with the user who owns the place, unless that is root; of a
    /// container it is the id, as its name may come later. For the place see [`place_of`].
    Workload(HostId, WorkloadKind, Arc<str>, Option<Arc<str>>),
    /// Host, pid and start.
    Process(HostId, u32, Option<Timestamp>),
    /// Everything on a host.
    Host(HostId),
    /// Everything in a namespace of Kubernetes.
    Namespace(Arc<str>),
    /// Unknown processes of a host.
    Unknown(HostId),
    /// Overflow of the programs of a host: those of one user, or of all users who have no entry.
    Programs(HostId, Option<u32>),
    /// An address, and what the client dialled to reach it.
    Remote(Realm, Address, Dialled),
    /// Overflow of the remotes of one network.
    Network(HostId, IpNet),
    /// Overflow of the remotes of all other networks.
    Others(HostId),
}

/// What a client dialled, by its own account: one address may serve several names, and several addresses of
/// services may lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Dialled {
    /// A name.
    Name(Arc<str>),
    /// The address of the remote itself; the client has no name for it, or several.
    Itself,
    /// Another address, which a translation replaced by that of the remote.
    Address(Realm, Address),
}

/// The names that an address was dialled by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::map) enum Heard {
    /// One name.
    Only(Arc<str>),
    /// More than one.
    Several,
}

/// The user who dialled by a name; none for root and for names from files. A name that a user dialled by holds for
/// that user's connections alone, as a name server of the user's own may give any address any name. One of root
/// holds for all.
pub(in crate::map) type By = Option<Owner>;

/// The scope in which an address means one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Realm {
    /// Everywhere.
    World,
    /// One host: others may use the same private addresses.
    Host(HostId),
    /// One network namespace: loopback and link-local addresses.
    Netns(HostId, u32),
}

/// `name`, with the user who chose it unless that is root: no user can take the name of another's workload.
pub(super) fn of_user(name: &Arc<str>, uid: Option<u32>) -> Arc<str> {
    match uid {
        Some(uid) => format!("{name}@{uid}").into(),
        None => Arc::clone(name),
    }
}

/// What distinguishes workloads of one name on one host: the namespace of a pod, the outer container of a nested
/// one, the directory of an interpreter's program. None if there is nothing of the kind, or it is unknown.
pub(super) fn place_of(workload: &Workload, process: &Process) -> Option<Arc<str>> {
    let container = workload.container.as_ref();
    let around = container.and_then(|it| it.around.as_ref()).map(|it| &it.id);
    let namespace = workload.k8s.as_ref().and_then(|it| it.namespace.as_ref());
    match (workload.kind, namespace, around) {
        (WorkloadKind::Executable, ..) => program::place(process).map(|it| it.text.into()),
        (WorkloadKind::Pod, Some(namespace), Some(around)) => {
            Some(format!("{namespace} in {around}").into())
        }
        (WorkloadKind::Pod, Some(namespace), None) => Some(Arc::clone(namespace)),
        (WorkloadKind::Systemd, ..) | (_, _, None) => None,
        (_, _, Some(around)) => Some(Arc::clone(around)),
    }
}

impl Realm {
    pub(super) fn of(host: HostId, netns: u32, address: Address) -> Self {
        match AddressClass::of(address.ip()) {
            // The index of an interface is valid in one namespace.
            _ if address.scope().is_some() => Self::Netns(host, netns),
            AddressClass::Loopback => Self::Netns(host, netns),
            AddressClass::Private
            | AddressClass::LinkLocal
            | AddressClass::Shared
            | AddressClass::Reserved => Self::Host(host),
            AddressClass::Metadata | AddressClass::Multicast | AddressClass::Public => Self::World,
        }
    }
}

impl Key {
    /// Its size in bytes. Each node stores the key twice; the copies share the texts.
    pub(super) fn bytes(&self) -> usize {
        let text = match self {
            Self::Workload(_, _, name, place) => {
                name.len() + place.as_ref().map_or(0, |it| it.len())
            }
            Self::Namespace(name) => name.len(),
            _ => 0,
        };
        text + 2 * size_of::<Self>()
    }

    /// The host that it runs on; none for remotes and what spans hosts.
    pub(in crate::map) fn host(&self) -> Option<HostId> {
        match self {
            Self::Workload(host, ..)
            | Self::Process(host, ..)
            | Self::Host(host)
            | Self::Unknown(host)
            | Self::Programs(host, _) => Some(*host),
            Self::Namespace(_) | Self::Remote(..) | Self::Network(..) | Self::Others(_) => None,
        }
    }

    /// The address of a remote.
    pub(in crate::map) fn address(&self) -> Option<Address> {
        match self {
            Self::Remote(_, address, _) => Some(*address),
            _ => None,
        }
    }

    /// Whether the node is one workload, so that its fields describe the node.
    pub(in crate::map) fn shows_workload(&self) -> bool {
        matches!(self, Self::Workload(..) | Self::Process(..))
    }

    pub(in crate::map) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(..) | Self::Network(..) | Self::Others(_))
    }
}
