//! What was dialled, and where that led: addresses that something replaces on the way.
//!
//! Programs of control groups replace them within connect(), which the capture tells. All else is
//! the work of the kernel's connection tracking (nftables, iptables, kube-proxy), which tells by
//! netlink, in each network namespace for itself.

mod conntrack;
mod namespaces;
mod table;

use std::path::PathBuf;

use self::{namespaces::Namespaces, table::Table};
use crate::model::{
    AddressEvidence, Connection, ConnectionEvent, Direction, Kind, Redirect, Timestamp, Translation,
};

/// Knows which addresses were replaced.
pub(super) struct Translations {
    table: Table,
    namespaces: Namespaces,
    /// What was told until then has been heard.
    heard: Timestamp,
}

impl Translations {
    /// Listens in the network namespaces of the processes at `proc_root`, where the kernel
    /// translates addresses at all.
    pub(super) fn new(proc_root: PathBuf) -> Self {
        Self {
            table: Table::default(),
            namespaces: Namespaces::new(proc_root),
            heard: Timestamp::from_ns(0),
        }
    }

    /// Remembers that an address was replaced within connect().
    pub(super) fn learn(&mut self, redirect: &Redirect) {
        let translation = Translation {
            dialled: redirect.dialled,
            server: redirect.ends.remote,
            evidence: AddressEvidence::Rewrite,
        };
        self.table.put(redirect.netns, redirect.ends, translation);
    }

    /// Adds to an outbound connection what it was dialled as. `time` is that of the event.
    pub(super) fn complete(&mut self, kind: Kind, event: &mut ConnectionEvent, time: Timestamp) {
        let connection = &mut event.connection;
        if connection.direction != Some(Direction::Outbound) {
            return;
        }
        self.listen(connection, event.process.as_ref().map(|it| it.pid), time);
        let (netns, ends) = (connection.netns, connection.ends);
        connection.translation = self.table.get(netns, &ends).map(Box::new);
        if matches!(kind, Kind::Close | Kind::Fail) {
            self.table.forget(netns, &ends);
        }
    }

    /// The kernel tells of a translation before the handshake is complete: so it is there when
    /// the connection is, if it is asked for after that.
    fn listen(&mut self, connection: &Connection, pid: Option<u32>, time: Timestamp) {
        self.namespaces.meet(connection.netns, pid);
        if time < self.heard || !self.namespaces.are_watched() {
            return;
        }
        self.heard = Timestamp::now();
        self.namespaces.poll(&mut self.table);
    }
}
