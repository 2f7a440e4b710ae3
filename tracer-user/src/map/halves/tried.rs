//! Ports of a remote at which attempts failed and nothing ever served: some have a half each, all further
//! ones share a half.

use super::Halves;
use crate::map::{
    half::{Half, HalfId},
    remotes::Charged,
};

/// Ports of one remote at which nothing ever served a client that are told apart: who tries more looks
/// for what is there.
pub(in crate::map) const MAX_FAILING_PORTS: usize = 16;
/// Pairs of ends of which it is remembered at which ports attempts failed.
pub(super) const MAX_TRIED: usize = 131_072;
/// Halves that stand for all further such ports and know which these were. Each takes 8 KiB.
pub(super) const MAX_SCANS: usize = 1024;

/// Ports at which attempts failed, between the same two ends.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Those that have a half of their own.
    own: usize,
    /// All others; none if there was no room.
    others: Option<Box<Ports>>,
}

/// A set of ports.
#[derive(Debug)]
struct Ports {
    bits: [u64; 1024],
    count: u64,
}

impl Ports {
    fn insert(&mut self, port: u16) {
        let (word, bit) = (usize::from(port) / 64, 1 << (port % 64));
        self.count += u64::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }
}

impl Halves {
    /// The half of an attempt that failed at a port at which none succeeded so far: after some ports it is
    /// the same for all.
    pub(super) fn of_tried(
        &mut self,
        of: Charged,
        half: &mut Half,
        others: impl FnOnce(Half) -> Half,
    ) -> HalfId {
        let mut all = Half {
            port: 0,
            at: None,
            ..*half
        };
        if half.port == 0 || !self.tried.contains_key(&all) && !self.of_tried.0.take(of) {
            return self.number(of, half, others);
        }
        let tried = self.tried.entry(all).or_default();
        if tried.own < MAX_FAILING_PORTS {
            tried.own += 1;
            return self.number(of, half, others);
        }
        if tried.others.is_none() && self.scans.0.take(of) {
            tried.others = Some(Box::new(Ports {
                bits: [0; 1024],
                count: 0,
            }));
        }
        if let Some(others) = &mut tried.others {
            others.insert(half.port);
        }
        self.number(of, &mut all, others)
    }

    /// The halves that stand for ports at which nothing served, each with how many these are at least.
    pub(in crate::map) fn scans(&self) -> impl Iterator<Item = (HalfId, u64)> {
        self.tried.iter().filter_map(|(all, tried)| {
            // Whoever has as many as there may be knows of one more, or has no such half.
            let half = HalfId::at(self.halves.get_index_of(all)?);
            (tried.own >= MAX_FAILING_PORTS)
                .then(|| (half, tried.others.as_ref().map_or(1, |it| it.count)))
        })
    }
}
