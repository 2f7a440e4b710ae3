//! Ports of a remote at which attempts failed and none succeeded: the first few have a half each, all further
//! ports share one, so that a port scan does not fill the tables.

use super::Halves;
use crate::map::{
    half::{Half, HalfId},
    remotes::Charged,
};

/// How many such ports of one remote have a half of their own. A client that tries more scans.
pub(in crate::map) const MAX_FAILING_PORTS: usize = 16;
/// Maximum of pairs of a node and a remote whose failed ports are remembered.
pub(super) const MAX_TRIED: usize = 131_072;
/// Maximum of sets of further ports. Each takes 8 KiB.
pub(super) const MAX_SCANS: usize = 1024;

/// Failed ports between a node and a remote.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// How many have a half of their own.
    own: usize,
    /// The further ports; none if there was no room.
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
    /// The half of an attempt that failed at a port at which none has succeeded.
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

    /// The halves that stand for further ports, each with the least number of these.
    pub(in crate::map) fn scans(&self) -> impl Iterator<Item = (HalfId, u64)> {
        self.tried.iter().filter_map(|(all, tried)| {
            // Such a half exists only after one port more than have their own.
            let half = HalfId::at(self.halves.get_index_of(all)?);
            (tried.own >= MAX_FAILING_PORTS)
                .then(|| (half, tried.others.as_ref().map_or(1, |it| it.count)))
        })
    }
}
