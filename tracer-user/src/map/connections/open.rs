//! Which connections are open on a host, and what becomes of them when a run of the tracer ends.

use super::{
    Connections,
    connection::{Connection, Kept, Slot},
};
use crate::map::{halves::Halves, nodes::Nodes, numbers::HostId, realms::Realms};

/// Below this length a list of open connections is not compacted.
const MIN_OPEN: usize = 1024;

/// Connections with an open endpoint on one host. May hold closed ones and duplicates until it is compacted.
#[derive(Debug)]
pub(super) struct Open {
    slots: Vec<Slot>,
    /// Compact beyond this length.
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
    /// An endpoint on `host` is open; `was_missing` if it was held to be gone.
    pub(super) fn goes_on(&mut self, host: HostId, slot: Slot, was_missing: bool) {
        if was_missing {
            self.is_open(host, slot);
        }
        self.leave_queue(slot);
    }

    /// Notes that the connection has an open endpoint on `host`.
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

    /// Notes that the endpoint is watched again.
    pub(super) fn is_found(&mut self, kept: Kept) {
        let place = self.end(kept).filter(|it| it.is_unwatched);
        if let Some(place) = place.map(|it| (it.host, it.addresses.own))
            && self.unwatched.get(&place) == Some(&kept.slot)
        {
            self.unwatched.remove(&place);
        }
    }

    /// A run of tracer on `host` has ended. Its open connections may still be open: the next run reports
    /// which are. Connections that an earlier run left open and that this run did not find are over;
    /// `is_before` if this run began before `--since`.
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
