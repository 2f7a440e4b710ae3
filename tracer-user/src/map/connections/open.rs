//! Which connections are open on a host, and what becomes of them when a run of the tracer ends.

use super::{
    Connections,
    connection::{Connection, Kept, Slot},
};
use crate::map::{halves::Halves, nodes::Nodes, numbers::HostId, realms::Realms};

/// Of so many it does not matter that some are over.
const MIN_OPEN: usize = 1024;

/// Connections that may have an end on one host which is not over: all that have, some that had, each at least
/// once.
#[derive(Debug)]
pub(super) struct Open {
    slots: Vec<Slot>,
    /// With so many it is time to leave out those that had.
    most: usize,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            most: MIN_OPEN,
        }
    }
}

impl Connections {
    /// An end on `host` is not over, whether it `was_missing` or not.
    pub(super) fn goes_on(&mut self, host: HostId, slot: Slot, was_missing: bool) {
        if was_missing {
            self.is_open(host, slot);
        }
        self.leave_queue(slot);
    }

    /// One end of that connection is on `host`, and not over.
    pub(super) fn is_open(&mut self, host: HostId, slot: Slot) {
        if self.open.len() <= host.index() {
            self.open.resize_with(host.index() + 1, Open::default);
        }
        let open = &mut self.open[host.index()];
        open.slots.push(slot);
        if open.slots.len() > open.most {
            let has = |slot: &Slot| {
                let connection = self.slots[*slot as usize].as_ref();
                let mut ends = connection
                    .iter()
                    .flat_map(|it| it.ends().into_iter().flatten());
                ends.any(|end| end.host == host && !end.is_over)
            };
            open.slots.retain(has);
            open.slots.sort_unstable();
            open.slots.dedup();
            open.most = MIN_OPEN.max(2 * open.slots.len());
        }
    }

    /// That end is watched again, if it was not.
    pub(super) fn is_found(&mut self, kept: Kept) {
        let place = self.end(kept).filter(|it| it.is_unwatched);
        if let Some(place) = place.map(|it| (it.host, it.addresses.own))
            && self.unwatched.get(&place) == Some(&kept.slot)
        {
            self.unwatched.remove(&place);
        }
    }

    /// A run of the tracer on `host` is over. What was open then may be open still: the next run tells
    /// what is. What an earlier one left open, and this one did not find, is over; and so it was before what
    /// counts, if the next one began before that.
    pub(in crate::map) fn run_ends(
        &mut self,
        (host, is_before): (HostId, bool),
        halves: &mut Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) {
        let open = self.open.get_mut(host.index()).map(std::mem::take);
        let mut slots = open.unwrap_or_default().slots;
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            let ends = self.slots[*slot as usize].as_ref().map(Connection::ends);
            let ends = ends.into_iter().flatten().flatten();
            for end in ends.filter(|it| it.host == host && it.is_unwatched) {
                self.unwatched.remove(&(host, end.addresses.own));
            }
        }
        for slot in &slots {
            let Some(ends) = self.ends_mut(*slot) else {
                continue;
            };
            let mut left = Vec::new();
            for end in ends.iter_mut().flatten() {
                if end.host == host && !end.is_over {
                    end.leave(is_before);
                    left.extend((!end.is_over).then_some((host, end.addresses.own)));
                }
            }
            for place in left {
                self.unwatched.insert(place, *slot);
                self.is_open(host, *slot);
            }
            self.judge(*slot, halves, realms, nodes);
        }
        #[cfg(test)]
        {
            self.looked_at += slots.len();
        }
    }
}
