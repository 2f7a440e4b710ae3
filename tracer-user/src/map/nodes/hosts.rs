//! Hosts by number.

use std::sync::Arc;

use foldhash::HashMap;

use crate::{map::numbers::HostId, model::Host};

/// Up to this many hosts a linear search is faster than a hash look-up.
const FEW_HOSTS: usize = 16;
/// Maximum of hosts; a host with several names counts once for each.
const MAX_HOSTS: usize = 16_384;

/// Every host that an event named, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    all: Vec<Arc<Host>>,
    /// By id and name: whether two names of one id are two hosts is decided in the snapshot.
    by_host: HashMap<Arc<Host>, HostId>,
    /// Index of the host of the last event.
    latest: usize,
    has_surplus: bool,
}

impl Hosts {
    /// The number of `host`, one for each id and name. Hosts beyond [`MAX_HOSTS`] share the last number.
    pub(super) fn number(&mut self, host: &Arc<Host>) -> HostId {
        let is_it = |it: &Arc<Host>| Arc::ptr_eq(it, host);
        if self.all.get(self.latest).is_some_and(is_it) {
            return HostId::at(self.latest);
        }
        let few = self.all.iter().take(FEW_HOSTS).position(is_it);
        if let Some(at) = few {
            self.latest = at;
            return HostId::at(at);
        }
        let id = match self.by_host.get(host) {
            Some(id) => *id,
            None if self.all.len() < MAX_HOSTS => {
                let id = HostId::at(self.all.len());
                self.all.push(Arc::clone(host));
                self.by_host.insert(Arc::clone(host), id);
                id
            }
            None => HostId::at(self.all.len() - 1),
        };
        if *self.all[id.index()] == **host {
            self.all[id.index()] = Arc::clone(host);
        } else {
            self.has_surplus = true;
        }
        self.latest = id.index();
        id
    }

    /// Whether several hosts share the last number.
    pub(super) fn has_surplus(&self) -> bool {
        self.has_surplus
    }

    /// All hosts, by number.
    pub(super) fn all(&self) -> &[Arc<Host>] {
        &self.all
    }
}
