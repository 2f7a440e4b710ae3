//! Who listens where, by `listen` and `unlisten` records, and which listeners outlived their owners.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::super::home;
use crate::model::{Listener, Payer, Process, ProcessKey, Shares};

/// More listening addresses than any host should have. Past it, or past one user's share of it, new ones are not
/// kept: connections that arrive there have no process until it reads from them.
const MAX_ADDRESSES: usize = 65_536;

/// More sockets at one address than any server shares it out to.
const MAX_SOCKETS: usize = 4096;

/// Owners that have ended and are remembered (LRU): connections that arrived before may close later.
const ENDED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How long after its end the sockets of a process that nobody else holds are closed at the latest,
/// on a host that is not overloaded.
const CLOSING: Duration = Duration::from_millis(100);

/// The listening sockets of this host, by network namespace and address: who owns each.
pub(super) struct Listeners {
    by_address: HashMap<(u32, SocketAddr), Here>,
    /// Which payers the addresses count for.
    shares: Shares<Payer>,
    /// The host's own network namespace, 0 if it is not known.
    home: u32,
    /// How many sockets each owner has.
    owned: HashMap<ProcessKey, usize>,
    /// When owners ended, nanoseconds on the kernel's clock.
    ended: LruCache<ProcessKey, u64>,
    /// Those of them that still have sockets: other processes must hold these.
    outlived: HashSet<ProcessKey>,
    /// When the last of these ended, until a scan looked for the holders of their sockets.
    outlived_at: Option<Instant>,
}

/// The sockets at one address, each with its owner.
struct Here {
    owners: Vec<Option<Arc<Process>>>,
    payer: Payer,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            by_address: HashMap::new(),
            shares: Shares::new(MAX_ADDRESSES),
            home: home::netns(),
            owned: HashMap::new(),
            ended: LruCache::new(ENDED),
            outlived: HashSet::new(),
            outlived_at: None,
        }
    }
}

impl Listeners {
    /// Adds a socket of this owner.
    pub(super) fn add(&mut self, listener: &Listener, owner: Option<Arc<Process>>) {
        let key = (listener.netns, listener.local);
        let Here { owners, .. } = match self.by_address.entry(key) {
            Entry::Occupied(here) => here.into_mut(),
            Entry::Vacant(place) => {
                let mut payer = Payer::of_process(owner.as_deref(), listener.netns, 0);
                if listener.netns != self.home {
                    payer = payer.contained();
                }
                if !self.shares.take(payer) {
                    return;
                }
                let owners = Vec::new();
                place.insert(Here { owners, payer })
            }
        };
        if owners.len() < MAX_SOCKETS {
            if let Some(owner) = &owner {
                *self.owned.entry(owner.key).or_default() += 1;
            }
            owners.push(owner);
        }
    }

    /// Forgets one socket of this owner at this address.
    pub(super) fn remove(&mut self, listener: &Listener, owner: Option<&Process>) {
        let key = (listener.netns, listener.local);
        let Some(Here { owners, payer }) = self.by_address.get_mut(&key) else {
            return;
        };
        // A socket that was inherited may be closed by another process than it is kept of.
        let at = owners
            .iter()
            .position(|known| are_same(known.as_deref(), owner))
            .unwrap_or(0);
        let removed = owners.swap_remove(at);
        if owners.is_empty() {
            self.shares.give_back(*payer);
            self.by_address.remove(&key);
        }
        if let Some(owner) = removed.map(|it| it.key)
            && let Some(count) = self.owned.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
                self.outlived.remove(&owner);
            }
        }
    }

    /// A process has ended. What it owned has no owner that is known from here on, until one is
    /// found.
    pub(super) fn end(&mut self, process: ProcessKey, time_ns: u64) {
        if self.owned.contains_key(&process) {
            self.ended.put(process, time_ns);
            self.outlived.insert(process);
            self.outlived_at = Some(Instant::now());
        }
    }

    /// Whether `process` had ended by then, as far as it owned sockets.
    pub(super) fn has_ended(&self, process: ProcessKey, time_ns: u64) -> bool {
        let ended = self.ended.peek(&process);
        ended.is_some_and(|ended_ns| *ended_ns < time_ns)
    }

    /// Whether there are sockets whose owners have ended, for so long that somebody else must hold
    /// them, and it is to be asked who. Says so once.
    pub(super) fn has_heirs(&mut self) -> bool {
        let is_due = self.outlived_at.is_some_and(|at| at.elapsed() >= CLOSING);
        if is_due {
            self.outlived_at = None;
        }
        is_due && !self.outlived.is_empty()
    }

    /// Whether a connection whose own end is `local` can only have come in through a listener.
    pub(super) fn owns(&self, netns: u32, local: SocketAddr) -> bool {
        self.at(netns, local).is_some()
    }

    /// The process that listens for connections to `local`; none if there are several.
    pub(super) fn owner(&self, netns: u32, local: SocketAddr) -> Option<Arc<Process>> {
        let mut known = self.at(netns, local).into_iter().flatten();
        let first = known.next()?.as_ref()?;
        if self.ended.contains(&first.key) {
            return None;
        }
        known
            .all(|other| are_same(other.as_deref(), Some(first)))
            .then(|| Arc::clone(first))
    }

    /// The owners of the sockets at `local` itself, else of those that listen on its
    /// port on every address, as the kernel chooses.
    fn at(&self, netns: u32, local: SocketAddr) -> Option<&Vec<Option<Arc<Process>>>> {
        let find = |at: SocketAddr| Some(&self.by_address.get(&(netns, at))?.owners);
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
            netns_owner: None,
            workload: None,
            pid,
            ppid: None,
            uid: None,
            comm: "x".into(),
            exe: None,
            args: None,
            cwd: None,
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
    fn who_has_ended_owns_nothing() {
        let mut listeners = Listeners::default();
        let key = |pid| ProcessKey { pid, start_ns: 0 };
        // Two sockets at one address, and one elsewhere.
        for at in ["0.0.0.0:80", "0.0.0.0:80", "0.0.0.0:81"] {
            listeners.add(&listener(at), process(1));
        }
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), Some(1));
        listeners.end(key(2), 6); // of no concern
        assert!(listeners.outlived_at.is_none());
        listeners.end(key(1), 7);
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), None);
        // What came in before was its.
        assert!(!listeners.has_ended(key(1), 7) && listeners.has_ended(key(1), 8));
        assert!(!listeners.has_ended(key(2), 8));
        // One is closed with it, two are found with somebody else.
        listeners.remove(&listener("0.0.0.0:81"), process(1).as_deref());
        for _ in 0..2 {
            assert!(!listeners.outlived.is_empty());
            listeners.add(&listener("0.0.0.0:80"), process(3));
            listeners.remove(&listener("0.0.0.0:80"), process(1).as_deref());
        }
        assert!(listeners.outlived.is_empty() && listeners.owned.len() == 1);
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), Some(3));
    }

    #[test]
    fn a_users_listeners_hide_nobody_elses() {
        let mut listeners = Listeners::default();
        let of = |pid, uid| {
            let mut process = Arc::unwrap_or_clone(process(pid).expect("a process"));
            process.uid = Some(uid);
            Some(Arc::new(process))
        };
        let squatter = of(1, 1000);
        let at = |netns, port: u16| Listener {
            netns,
            ..listener(&format!("0.0.0.0:{port}"))
        };
        for netns in [2, 3] {
            for port in 1..=u16::MAX {
                listeners.add(&at(netns, port), squatter.clone());
            }
        }
        listeners.add(&listener("0.0.0.0:80"), of(2, 0));
        listeners.add(&listener("0.0.0.0:5432"), of(3, 999));
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), Some(2));
        assert_eq!(owner(&listeners, 1, "127.0.0.1:5432"), Some(3));
        assert!(listeners.by_address.len() < MAX_ADDRESSES);
        // What he closes is room for others of his.
        assert_eq!(owner(&listeners, 3, "127.0.0.1:1000"), None);
        for port in 1..=20 {
            listeners.remove(&at(2, port), squatter.as_deref());
        }
        listeners.add(&at(3, 1000), squatter.clone());
        assert_eq!(owner(&listeners, 3, "127.0.0.1:1000"), Some(1));
    }

    #[test]
    fn a_listener_that_is_gone_owns_nothing() {
        let mut listeners = Listeners::default();
        listeners.add(&listener("0.0.0.0:80"), process(1));
        listeners.remove(&listener("0.0.0.0:80"), process(1).as_deref());
        assert_eq!(owner(&listeners, 1, "127.0.0.1:80"), None);
    }
}
