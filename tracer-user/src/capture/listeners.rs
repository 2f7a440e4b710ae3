//! Who listens where, as far as `listen` and `unlisten` told.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use crate::model::{Listener, Process};

/// More listening addresses than any host should have; past it, new ones are not kept.
const MAX_ADDRESSES: usize = 65_536;

/// More sockets at one address than any server shares it out to.
const MAX_SOCKETS: usize = 4096;

/// The listening sockets of this host, by network namespace and address: who owns each.
#[derive(Default)]
pub(super) struct Listeners {
    by_address: HashMap<(u32, SocketAddr), Vec<Option<Arc<Process>>>>,
}

impl Listeners {
    /// Adds a socket of this owner.
    pub(super) fn add(&mut self, listener: &Listener, owner: Option<Arc<Process>>) {
        let key = (listener.netns, listener.local);
        if self.by_address.len() >= MAX_ADDRESSES && !self.by_address.contains_key(&key) {
            return;
        }
        let owners = self.by_address.entry(key).or_default();
        if owners.len() < MAX_SOCKETS {
            owners.push(owner);
        }
    }

    /// Forgets one socket of this owner at this address.
    pub(super) fn remove(&mut self, listener: &Listener, owner: Option<&Process>) {
        let key = (listener.netns, listener.local);
        let Some(owners) = self.by_address.get_mut(&key) else {
            return;
        };
        // A socket that was inherited may be closed by another process than it is kept of.
        let at = owners
            .iter()
            .position(|known| are_same(known.as_deref(), owner))
            .unwrap_or(0);
        owners.swap_remove(at);
        if owners.is_empty() {
            self.by_address.remove(&key);
        }
    }

    /// Whether a connection whose own end is `local` can only have come in through a listener.
    pub(super) fn owns(&self, netns: u32, local: SocketAddr) -> bool {
        self.at(netns, local).is_some()
    }

    /// The process that listens for connections to `local`; none if there are several.
    pub(super) fn owner(&self, netns: u32, local: SocketAddr) -> Option<Arc<Process>> {
        let mut known = self.at(netns, local).into_iter().flatten();
        let first = known.next()?.as_ref()?;
        known
            .all(|other| are_same(other.as_deref(), Some(first)))
            .then(|| Arc::clone(first))
    }

    /// The owners of the sockets at `local` itself, else of those that listen on its
    /// port on every address, as the kernel chooses.
    fn at(&self, netns: u32, local: SocketAddr) -> Option<&Vec<Option<Arc<Process>>>> {
        let find = |at: SocketAddr| self.by_address.get(&(netns, at));
        let any_v6 = find((Ipv6Addr::UNSPECIFIED, local.port()).into());
        let any_v4 = local
            .is_ipv4()
            .then(|| find((Ipv4Addr::UNSPECIFIED, local.port()).into()))
            .flatten();
        find(local).or(any_v4).or(any_v6)
    }
}

fn are_same(one: Option<&Process>, other: Option<&Process>) -> bool {
    one.map(|process| process.key) == other.map(|process| process.key)
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
            exec_id: 0,
            cgroup: 1,
            workload: None,
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
    fn one_address_on_two_links_has_two_owners() {
        let mut listeners = Listeners::default();
        listeners.add(&listener("[fe80::1%2]:80"), process(2));
        listeners.add(&listener("[fe80::1%3]:80"), process(3));
        assert_eq!(owner(&listeners, 1, "[fe80::1%2]:80"), Some(2));
        assert_eq!(owner(&listeners, 1, "[fe80::1%3]:80"), Some(3));
        assert_eq!(owner(&listeners, 1, "[fe80::1%4]:80"), None);
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
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), None);
    }
}
