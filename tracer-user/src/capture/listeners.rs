//! Who listens where, as far as it is known: from `listen` and `unlisten` events, and
//! from a scan at the start.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use crate::model::{Listener, Process};

/// More listening addresses than any host should have; past it, new ones are not kept.
const MAX_ADDRESSES: usize = 65_536;

/// The listening sockets of this host, by network namespace and address.
#[derive(Default)]
pub(super) struct Listeners {
    by_address: HashMap<(u32, SocketAddr), Vec<Option<Arc<Process>>>>,
}

impl Listeners {
    pub(super) fn add(&mut self, listener: &Listener, owner: Option<Arc<Process>>) {
        let key = (listener.netns, listener.local);
        if self.by_address.len() >= MAX_ADDRESSES && !self.by_address.contains_key(&key) {
            return;
        }
        self.by_address.entry(key).or_default().push(owner);
    }

    /// Forgets one socket of this owner at this address.
    pub(super) fn remove(&mut self, listener: &Listener, owner: Option<&Process>) {
        let key = (listener.netns, listener.local);
        let Some(owners) = self.by_address.get_mut(&key) else {
            return;
        };
        let is_owner = |kept: &Option<Arc<Process>>| match (kept, owner) {
            (Some(kept), Some(owner)) => is_same(kept, owner),
            _ => kept.is_none() && owner.is_none(),
        };
        // A socket that was inherited may be closed by another process than it is kept of.
        let at = owners.iter().position(is_owner).unwrap_or(0);
        owners.swap_remove(at);
        if owners.is_empty() {
            self.by_address.remove(&key);
        }
    }

    /// Whether some socket listens at exactly this address.
    pub(super) fn contains(&self, listener: &Listener) -> bool {
        self.by_address
            .contains_key(&(listener.netns, listener.local))
    }

    /// Whether a connection whose own end is `local` can only have come in through a listener.
    pub(super) fn owns(&self, netns: u32, local: SocketAddr) -> bool {
        self.at(netns, local).is_some()
    }

    /// The process that listens for connections to `local`; none if there are several.
    pub(super) fn owner(&self, netns: u32, local: SocketAddr) -> Option<Arc<Process>> {
        let mut owners = self.at(netns, local).into_iter().flatten();
        let first = owners.next()?.as_ref()?;
        owners
            .all(|other| other.as_ref().is_some_and(|other| is_same(other, first)))
            .then(|| Arc::clone(first))
    }

    /// The owners of the sockets at `local` itself, else of those that listen on its
    /// port on every address, as the kernel chooses.
    fn at(&self, netns: u32, local: SocketAddr) -> Option<&Vec<Option<Arc<Process>>>> {
        let find = |ip: IpAddr| {
            self.by_address
                .get(&(netns, SocketAddr::new(ip, local.port())))
        };
        let any_v6 = find(Ipv6Addr::UNSPECIFIED.into());
        let any_v4 = local
            .is_ipv4()
            .then(|| find(Ipv4Addr::UNSPECIFIED.into()))
            .flatten();
        find(local.ip()).or(any_v4).or(any_v6)
    }
}

/// Whether both are the same process, where /proc may have told the start of one of
/// them: it cuts to clock ticks, none of which is longer than this.
fn is_same(one: &Process, other: &Process) -> bool {
    const TICK_NS: u64 = 10_000_000;
    one.pid == other.pid && one.key.start_ns / TICK_NS == other.key.start_ns / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProcessKey;

    fn listener(local: &str) -> Listener {
        Listener {
            local: local.parse().expect("an address"),
            backlog: None,
            netns: 1,
        }
    }

    fn process(pid: u32) -> Option<Arc<Process>> {
        Some(Arc::new(Process {
            key: ProcessKey { pid, start_ns: 0 },
            pid,
            ppid: None,
            uid: None,
            comm: "x".into(),
            exe: None,
            args: None,
            started: None,
        }))
    }

    fn owner(listeners: &Listeners, netns: u32, local: &str) -> Option<u32> {
        let local = local.parse().expect("an address");
        listeners.owner(netns, local).map(|process| process.pid)
    }

    #[test]
    fn the_most_specific_listener_owns() {
        let mut listeners = Listeners::default();
        listeners.add(&listener("0.0.0.0:80"), process(1));
        listeners.add(&listener("10.0.0.1:80"), process(2));
        listeners.add(&listener("[::]:443"), process(3));
        assert_eq!(owner(&listeners, 1, "10.0.0.1:80"), Some(2));
        assert_eq!(owner(&listeners, 1, "10.0.0.2:80"), Some(1));
        assert_eq!(owner(&listeners, 1, "10.0.0.2:443"), Some(3));
        assert_eq!(owner(&listeners, 2, "10.0.0.2:443"), None);
        assert_eq!(owner(&listeners, 1, "[fe80::1]:80"), None);
    }

    #[test]
    fn several_owners_are_no_owner() {
        let mut listeners = Listeners::default();
        listeners.add(&listener("0.0.0.0:80"), process(1));
        listeners.add(&listener("0.0.0.0:80"), process(1));
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), Some(1));
        listeners.add(&listener("0.0.0.0:80"), process(2));
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), None);
        assert!(listeners.owns(1, "127.0.0.1:80".parse().expect("an address")));
    }

    #[test]
    fn a_listener_that_is_gone_owns_nothing() {
        let mut listeners = Listeners::default();
        listeners.add(&listener("0.0.0.0:80"), process(1));
        listeners.remove(&listener("0.0.0.0:80"), process(1).as_deref());
        assert!(!listeners.contains(&listener("0.0.0.0:80")));
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), None);
    }
}
