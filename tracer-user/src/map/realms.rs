//! Which hosts mean the same machine by the same private address: those between which a
//! connection was seen at both ends, and that was dialled as what its server calls itself.

use std::collections::HashSet;

use super::nodes::HostId;

#[derive(Debug, Default)]
pub(super) struct Realms(HashSet<(HostId, HostId)>);

impl Realms {
    /// `one` and `other` share their addresses.
    pub(super) fn join(&mut self, one: HostId, other: HostId) {
        if one != other {
            self.0.insert((one.min(other), one.max(other)));
        }
    }

    /// For each of `hosts` hosts, the first one that it shares addresses with, whether directly
    /// or through others.
    pub(super) fn first_of_each(&self, hosts: usize) -> Vec<usize> {
        let mut first: Vec<usize> = (0..hosts).collect();
        loop {
            let mut changed = false;
            for (one, other) in &self.0 {
                let (one, other) = (one.index(), other.index());
                let least = first[one].min(first[other]);
                changed |= first[one] != least || first[other] != least;
                (first[one], first[other]) = (least, least);
            }
            if !changed {
                return first;
            }
        }
    }
}
