//! Which network namespaces were seen, and when last. The same in whatever order it is told.

use foldhash::HashMap;

use super::nodes::HostId;
use crate::model::Timestamp;

/// Number of a namespace, for those who see it again; there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PresenceId(u32);

impl PresenceId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
pub(super) struct Presence {
    numbers: HashMap<(HostId, u32), PresenceId>,
    last: Vec<Timestamp>,
    max: usize,
}

impl Presence {
    /// Of at most `max` namespaces.
    pub(super) fn new(max: usize) -> Self {
        Self {
            numbers: HashMap::default(),
            last: Vec::new(),
            max,
        }
    }

    /// That namespace is there; none if there is no room for it.
    pub(super) fn tell(&mut self, netns: (HostId, u32), time: Timestamp) -> Option<PresenceId> {
        let known = self.numbers.get(&netns).copied();
        if known.is_none() && self.last.len() >= self.max {
            return None;
        }
        let id = known.unwrap_or_else(|| {
            let id = PresenceId(self.last.len() as u32);
            self.last.push(time);
            self.numbers.insert(netns, id);
            id
        });
        self.see(id, time);
        Some(id)
    }

    /// The same is seen again.
    pub(super) fn see(&mut self, PresenceId(at): PresenceId, time: Timestamp) {
        if let Some(last) = self.last.get_mut(at as usize) {
            *last = time.max(*last);
        }
    }

    /// When it was seen last.
    pub(super) fn last(&self, netns: (HostId, u32)) -> Option<Timestamp> {
        let PresenceId(at) = self.numbers.get(&netns)?;
        self.last.get(*at as usize).copied()
    }
}
