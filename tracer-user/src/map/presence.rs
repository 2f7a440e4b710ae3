//! Network namespaces, when they were seen last, and whose they are. Independent of the order of events.

use foldhash::HashMap;

use super::{numbers::HostId, remotes::Charged};
use crate::model::{Payer, Shares, Timestamp};

/// Number of a namespace, to extend it without a look-up; may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PresenceId(u32);

impl PresenceId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// What is known of one.
#[derive(Debug)]
struct Seen {
    last: Timestamp,
    /// Whether it had processes in a user's place, and whether it had others.
    has_users: bool,
    has_others: bool,
}

#[derive(Debug)]
pub(super) struct Presence {
    numbers: HashMap<(HostId, u32), PresenceId>,
    seen: Vec<Seen>,
    /// Who is charged.
    shares: Shares<Charged>,
}

impl Presence {
    /// An empty table of at most `max` namespaces.
    pub(super) fn new(max: usize) -> Self {
        Self {
            numbers: HashMap::default(),
            seen: Vec::new(),
            shares: Shares::new(max),
        }
    }

    /// The namespace exists; `is_users` says, if known, whether a process in it is in a user's place; `payer` is
    /// charged. None if it does not fit.
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

    /// Extends it.
    pub(super) fn see(&mut self, PresenceId(at): PresenceId, time: Timestamp) {
        if let Some(seen) = self.seen.get_mut(at as usize) {
            seen.last = time.max(seen.last);
        }
    }

    /// When it was seen last.
    pub(super) fn last(&self, netns: (HostId, u32)) -> Option<Timestamp> {
        self.seen(netns).map(|it| it.last)
    }

    /// Whether all its known processes are in users' places: these may assign it any address.
    pub(super) fn is_users(&self, netns: (HostId, u32)) -> bool {
        let seen = self.seen(netns);
        seen.is_some_and(|it| it.has_users && !it.has_others)
    }

    fn seen(&self, netns: (HostId, u32)) -> Option<&Seen> {
        let PresenceId(at) = self.numbers.get(&netns)?;
        self.seen.get(*at as usize)
    }
}
