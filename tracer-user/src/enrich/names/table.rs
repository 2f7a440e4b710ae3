//! What name servers answered: which address goes by which name, for whom.
//!
//! Two programs may know one address by two names, so each process has what it asked for
//! itself. A process that never asked (a child of the one that did, or one that has a service
//! of its host ask for it) gets what others of its network namespace asked for, if that is
//! clear: see [`Table::shared`]. Network namespaces never mix.

use std::{net::IpAddr, num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use crate::model::ProcessKey;

/// How many addresses are known by process, and how many by network namespace. Those that were
/// neither learnt nor looked up for longest go first. With names as long as can be, each table
/// takes some 10 MB; with usual ones, 4.
pub(super) const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// For how long an address keeps its name at least: programs use addresses for longer than name
/// servers ask them to.
const MIN_LIFE_NS: u64 = 3600 * 1_000_000_000;
/// And at most, whatever the name server says.
const MAX_LIFE_NS: u64 = 24 * MIN_LIFE_NS;
/// For so long before the last question, no other name must have had the address for the last
/// one to hold for everybody.
const CLEAR_NS: u64 = 60 * 1_000_000_000;

/// What was learnt.
#[derive(Debug)]
pub(super) struct Table {
    own: LruCache<(u32, ProcessKey, IpAddr), Known>,
    shared: LruCache<(u32, IpAddr), Shared>,
}

/// A name of an address.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What was asked for.
    pub(super) name: Arc<str>,
    /// What that is an alias of.
    pub(super) canonical: Option<Arc<str>>,
    asked_ns: u64,
    until_ns: u64,
}

/// The last name of an address, and when another one was last asked for that has it too.
#[derive(Debug)]
struct Shared {
    last: Known,
    other_ns: Option<u64>,
}

impl Known {
    /// `name` was asked for at `asked_ns`; the answer may be used for `ttl` seconds.
    pub(super) fn new(
        name: Arc<str>,
        canonical: Option<Arc<str>>,
        asked_ns: u64,
        ttl: u32,
    ) -> Self {
        let life_ns = (u64::from(ttl) * 1_000_000_000).clamp(MIN_LIFE_NS, MAX_LIFE_NS);
        Self {
            name,
            canonical,
            asked_ns,
            until_ns: asked_ns.saturating_add(life_ns),
        }
    }
}

impl Shared {
    fn learn(&mut self, known: Known) {
        let older_ns = known.asked_ns.min(self.last.asked_ns);
        if known.name != self.last.name {
            self.other_ns = self.other_ns.max(Some(older_ns));
        }
        if known.asked_ns >= self.last.asked_ns {
            self.last = known;
        }
    }
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            own: LruCache::new(CAPACITY),
            shared: LruCache::new(CAPACITY),
        }
    }

    /// `process` learnt that `address` goes by the name `known`. Of several names, what was
    /// asked for last holds, even if another answer came later.
    pub(super) fn learn(
        &mut self,
        netns: u32,
        process: ProcessKey,
        address: IpAddr,
        known: &Known,
    ) {
        let own = self
            .own
            .get_or_insert_mut((netns, process, address), || known.clone());
        if known.asked_ns >= own.asked_ns {
            *own = known.clone();
        }
        self.shared
            .get_or_insert_mut((netns, address), || Shared {
                last: known.clone(),
                other_ns: None,
            })
            .learn(known.clone());
    }

    /// What `process` itself asked for last that has this address.
    pub(super) fn own(
        &mut self,
        netns: u32,
        process: ProcessKey,
        address: IpAddr,
        now_ns: u64,
    ) -> Option<&Known> {
        let known = self.own.get(&(netns, process, address))?;
        (known.until_ns > now_ns).then_some(known)
    }

    /// What anybody in the network namespace asked for last that has this address, if it is
    /// clear which name is meant: nobody asked for another one with this address within the
    /// minute before that. Where several names keep being asked for, there is none.
    pub(super) fn shared(&mut self, netns: u32, address: IpAddr, now_ns: u64) -> Option<&Known> {
        let Shared { last, other_ns } = self.shared.get(&(netns, address))?;
        let is_clear = other_ns.is_none_or(|other| last.asked_ns.saturating_sub(other) > CLEAR_NS);
        (is_clear && last.until_ns > now_ns).then_some(last)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.own.len().max(self.shared.len())
    }
}

#[cfg(test)]
mod tests;
