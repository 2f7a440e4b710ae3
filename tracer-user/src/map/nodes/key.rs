//! What makes two nodes the same, and where an address means the same.

use std::sync::Arc;

use ipnet::IpNet;

use crate::{
    map::{numbers::HostId, room::Owner},
    model::{Address, AddressClass, Process, Timestamp, Workload, WorkloadKind, program},
};

/// What makes two nodes the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Key {
    /// By kind and name, of containers by id, as their name may come later, with the user who owns its place if
    /// that is not root; and by where it is, if the name
    /// alone does not tell it apart: see [`place_of`].
    Workload(HostId, WorkloadKind, Arc<str>, Option<Arc<str>>),
    /// By pid and start.
    Process(HostId, u32, Option<Timestamp>),
    /// All of a host.
    Host(HostId),
    /// All of a namespace of Kubernetes.
    Namespace(Arc<str>),
    /// What runs on a host, and is not known.
    Unknown(HostId),
    /// Programs of a host beyond those that there is room for: of one user, or of all who have nothing.
    Programs(HostId, Option<u32>),
    /// An address, and what was dialled to reach it.
    Remote(Realm, Address, Dialled),
    /// Remotes of one network, of which there are too many to tell them apart.
    Network(HostId, IpNet),
    /// Remotes beyond those that there is room for.
    Others(HostId),
}

/// What was dialled, as far as the client itself says so: one address may serve several names,
/// and stand behind the addresses of several services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Dialled {
    /// A name.
    Name(Arc<str>),
    /// The address of the remote itself, of which the client has no name, or several.
    Itself,
    /// Likewise another address, in whose place that of the remote was put.
    Address(Realm, Address),
}

/// The names that an address was dialled by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::map) enum Heard {
    /// All used the same.
    Only(Arc<str>),
    /// Some used others.
    Several,
}

/// Who dialled by a name, if that is a user: it is the name of what this user dials, and of nothing that others
/// do, as whoever runs a name server gives any address any name. What root dialled by a name, or what has it
/// from a file, has it for all.
pub(in crate::map) type By = Option<Owner>;

/// Where an address means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Realm {
    /// Everywhere.
    World,
    /// Around a host: others may use the same private addresses.
    Host(HostId),
    /// In one network namespace: its loopback addresses, and those on a link of it.
    Netns(HostId, u32),
}

/// `name`, if root chose it; else one that no other's is, whatever that user calls it.
pub(super) fn of_user(name: &Arc<str>, uid: Option<u32>) -> Arc<str> {
    match uid {
        Some(uid) => format!("{name}@{uid}").into(),
        None => Arc::clone(name),
    }
}

/// What tells workloads of one name on one host apart: the namespace of a pod, what is around a container
/// that runs in another one, where an interpreter has its program from. None if there is nothing to tell, or
/// it is not known.
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
            // An index of an interface is of one namespace, whatever the address.
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
    /// What it takes: each node has it in two places, which share its texts.
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

    /// The host of what runs on one.
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

    /// Whether what is known of one workload is true of all of it.
    pub(in crate::map) fn shows_workload(&self) -> bool {
        matches!(self, Self::Workload(..) | Self::Process(..))
    }

    pub(in crate::map) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(..) | Self::Network(..) | Self::Others(_))
    }
}
