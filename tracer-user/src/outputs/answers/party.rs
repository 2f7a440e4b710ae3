//! Who may stand in a rule.
//!
//! A rule lets somebody in, or starts something, so it must not be made of what anybody can choose. A
//! program is called what its user likes; in a control group or a network namespace of its own a user
//! chooses names and addresses. And where a remote goes by a name, whoever answers for that name chooses
//! its addresses.

use std::{collections::HashMap, fmt};

use super::super::strict::Strict;
use crate::{
    ask::{Link, Who},
    model::{Address, Node, NodeKind, View, Workload, WorkloadKind},
};

/// An end of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) enum Party<'a> {
    /// What the host itself runs: a unit, a container, a pod.
    Workload(&'a Workload),
    /// An address, which is all that is known of it.
    Remote(Address),
}

impl<'a> Party<'a> {
    /// The workload, if it is one.
    pub(super) fn workload(self) -> Option<&'a Workload> {
        match self {
            Self::Workload(workload) => Some(workload),
            Self::Remote(_) => None,
        }
    }
}

/// Its kind and its name, fit for a comment.
impl fmt::Display for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(it) => write!(f, "{} {}", it.kind.name(), Strict::of(&it.name)),
            Self::Remote(address) => write!(f, "remote {address}"),
        }
    }
}

/// The nodes of a view, as ends of rules.
pub(super) struct Parties<'a>(HashMap<&'a str, &'a Node>);

impl<'a> Parties<'a> {
    pub(super) fn of(view: &'a View) -> Self {
        Self(view.nodes.iter().map(|it| (&*it.id, it)).collect())
    }

    /// The node of an answer.
    pub(super) fn node(&self, who: &Who) -> Option<&'a Node> {
        self.0.get(&*who.id).copied()
    }

    /// Both ends of `link`.
    ///
    /// # Errors
    /// Why no rule is made of it.
    pub(super) fn ends(&self, link: &Link) -> Result<[Party<'a>; 2], &'static str> {
        let [client, server] = [&link.client, &link.server].map(|who| self.party(who));
        Ok([client?, server?])
    }

    /// # Errors
    /// Why it may not stand in a rule.
    pub(super) fn party(&self, who: &Who) -> Result<Party<'a>, &'static str> {
        let node = self.node(who).ok_or("it is not in the map")?;
        if node.members.is_some() {
            return Err("it stands for several that were not told apart");
        }
        match (node.kind, node.workload.as_deref(), &node.addresses[..]) {
            (NodeKind::Remote, _, [address]) if address.to_string() == *node.name => {
                Ok(Party::Remote(*address))
            }
            (NodeKind::Remote, ..) => Err(
                "whoever answers for the name of a remote chooses its addresses: name them yourself",
            ),
            (NodeKind::Workload, None, _) => Err("it is not known what kind of workload it is"),
            (NodeKind::Workload, Some(workload), _) => match (workload.kind, workload.uid) {
                (_, Some(_)) => Err(
                    "a user owns the place that it runs in, and chooses its name and its addresses",
                ),
                (WorkloadKind::Executable, None) => {
                    Err("a program is called whatever its user likes: run it as a unit")
                }
                (WorkloadKind::Systemd | WorkloadKind::Container | WorkloadKind::Pod, None) => {
                    Ok(Party::Workload(workload))
                }
            },
        }
    }

    /// An edge with the kinds of its ends, fit for a comment, whoever they are.
    pub(super) fn edge(&self, link: &Link) -> String {
        let end = |who: &Who| {
            let node = self.node(who);
            let workload = node.and_then(|it| it.workload.as_deref());
            let kind = workload.map_or(who.kind.name(), |it| it.kind.name());
            format!("{kind} {}", Strict::of(&who.name))
        };
        let port = link.port.map(|it| format!(" port {it}"));
        let (client, server) = (end(&link.client), end(&link.server));
        format!("{client} to {server}{}", port.unwrap_or_default())
    }
}
