//! Which network namespaces were seen, when last, and whose they are. The same in whatever order it is told.

use foldhash::HashMap;

use super::{numbers::HostId, remotes::Charged};
use crate::model::{Payer, Shares, Timestamp};

/// Number of a namespace, for those who see it again; there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PresenceId(u32);

impl PresenceId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// What is known of one.
#[derive(Debug)]
struct Seen {
    last: Timestamp,
    /// Whether processes were in it that are in a place of a user's, and whether others were.
    has_users: bool,
    has_others: bool,
}

#[derive(Debug)]
pub(super) struct Presence {
    numbers: HashMap<(HostId, u32), PresenceId>,
    seen: Vec<Seen>,
    /// Whose these are.
    shares: Shares<Charged>,
}

impl Presence {
    /// Of at most `max` namespaces.
    pub(super) fn new(max: usize) -> Self {
        Self {
            numbers: HashMap::default(),
            seen: Vec::new(),
            shares: Shares::new(max),
        }
    }

    /// That namespace is there, with a process in it that is in a place of a user's or not, if that is known;
    /// `payer` pays for it. None if there is no room for it.
    pub(super) fn tell(
        &mut self,
        netns: (HostId, u32),
        payer: Payer,
        is_users: Option<bool>,
        time: Timestamp,
    ) -> Option<PresenceId> {
        let known = self.numbers.get(&netns).copied();
        if known.is_none() && !self.shares.take((netns.0, payer)) {
            return None;
        }
        let id = known.unwrap_or_else(|| {
            let id = PresenceId(self.seen.len() as u32);
            self.seen.push(Seen {
                last: time,
                has_users: false,
                has_others: false,
            });
            self.numbers.insert(netns, id);
            id
        });
        if let Some(seen) = self.seen.get_mut(id.0 as usize) {
            seen.has_users |= is_users == Some(true);
            seen.has_others |= is_users == Some(false);
        }
        self.see(id, time);
        Some(id)
    }

    /// The same is seen again.
    pub(super) fn see(&mut self, PresenceId(at): PresenceId, time: Timestamp) {
        if let Some(seen) = self.seen.get_mut(at as usize) {
            seen.last = time.max(seen.last);
        }
    }

    /// When it was seen last.
    pub(super) fn last(&self, netns: (HostId, u32)) -> Option<Timestamp> {
        self.seen(netns).map(|it| it.last)
    }

    /// Whether all that is known to be in it is in places of users: these may give it any address.
    pub(super) fn is_users(&self, netns: (HostId, u32)) -> bool {
        let seen = self.seen(netns);
        seen.is_some_and(|it| it.has_users && !it.has_others)
    }

    fn seen(&self, netns: (HostId, u32)) -> Option<&Seen> {
        let PresenceId(at) = self.numbers.get(&netns)?;
        self.seen.get(*at as usize)
    }
}
