//! What was dialled, and where that led: addresses that something replaces on the way.
//!
//! Programs of control groups replace them within connect(), which the capture tells. All else is
//! the work of the kernel's connection tracking (nftables, iptables, kube-proxy), which tells by
//! netlink, in each network namespace for itself.

mod conntrack;
mod table;

use std::{io, net::SocketAddr, os::fd::RawFd, path::PathBuf};

use self::{
    conntrack::{Conntrack, Troubles},
    table::Table,
};
use crate::{
    host,
    model::{
        Address, AddressEvidence, Blind, ConnectionEvent, Direction, Kind, Observer, Redirect,
        Timestamp, Translation,
    },
};

/// Finds all sockets of the host that hear of what netfilter tracks; it takes one of them to begin.
pub type AskObservers = Box<dyn FnMut(RawFd) -> io::Result<Vec<Observer>> + Send>;

/// Knows which addresses were replaced.
pub(super) struct Translations {
    redirects: Table,
    conntrack: Conntrack,
    /// What conntrack told until then has been heard.
    heard: Timestamp,
    /// What went wrong until then.
    troubles: Troubles,
}

impl Translations {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        Self {
            redirects: Table::default(),
            conntrack: Conntrack::new(),
            heard: Timestamp::from_ns(0),
            troubles: Troubles::default(),
        }
    }

    /// Listens to the network namespaces of the processes at `proc_root`: to those of others only
    /// if `ask` tells when nobody else keeps them.
    pub(super) fn listen(&mut self, proc_root: PathBuf, ask: Option<AskObservers>) {
        if let Err(error) = self.conntrack.listen(proc_root, ask) {
            tracing::warn!(%error, "cannot listen to conntrack");
        }
    }

    /// Whether what was translated before is known.
    pub(super) fn is_settled(&mut self) -> bool {
        self.conntrack.is_settled()
    }

    /// What cannot be seen.
    pub(super) fn blind(&self) -> Vec<Blind> {
        self.conntrack.blind()
    }

    /// Remembers that an address was replaced within connect().
    pub(super) fn learn(&mut self, redirect: &Redirect) {
        let translation = Translation {
            dialled: redirect.dialled,
            server: redirect.ends.remote,
            evidence: AddressEvidence::Rewrite,
        };
        self.redirects
            .put(redirect.netns, redirect.ends, translation);
    }

    fn hear(&mut self) {
        self.conntrack.poll();
        let troubles = self.conntrack.troubles();
        if troubles.excess > self.troubles.excess {
            let why = conntrack::too_many(troubles.excess);
            tracing::warn!("translated addresses stay unseen: {why}");
        }
        if (troubles.overruns, troubles.failed_dumps)
            != (self.troubles.overruns, self.troubles.failed_dumps)
        {
            tracing::warn!(
                overruns = troubles.overruns,
                failed_dumps = troubles.failed_dumps,
                "some translations of addresses were missed: those connections show what was dialled"
            );
        }
        self.troubles = troubles;
    }

    /// Adds to an outbound connection what it was dialled as. `time` is that of the event.
    pub(super) fn complete(&mut self, kind: Kind, event: &mut ConnectionEvent, time: Timestamp) {
        // The kernel tells before the handshake is complete: so it is there when the connection
        // is, if it is asked for after that.
        if time >= self.heard {
            self.heard = host::now();
            self.hear();
        }
        let connection = &mut event.connection;
        if let Some(process) = &event.process {
            self.conntrack.notice(connection.netns, process.pid);
        }
        if connection.direction != Some(Direction::Outbound) {
            return;
        }
        let (netns, ends) = (connection.netns, connection.ends);
        let redirected = self.redirects.get(netns, &ends);
        if matches!(kind, Kind::Close | Kind::Fail) && redirected.is_some() {
            self.redirects.forget(netns, &ends);
        }
        // Conntrack knows no scopes, and no translation leads off a link.
        let scope = Address::from(ends.remote).scope().unwrap_or(0);
        let on_link = |end: SocketAddr| Address::new(end.ip(), scope).with_port(end.port());
        let tracked = self
            .conntrack
            .translated(connection)
            .filter(|it| it.dialled != it.server)
            .map(|it| Translation {
                dialled: on_link(it.dialled),
                server: on_link(it.server),
                evidence: AddressEvidence::Conntrack,
            });
        // What a program replaced may be translated once more: the first and the last count.
        let translation = match (redirected, tracked) {
            (Some(first), Some(last)) => Some(Translation {
                dialled: first.dialled,
                ..last
            }),
            (first, last) => first.or(last),
        };
        connection.translation = translation.map(Box::new);
    }
}
