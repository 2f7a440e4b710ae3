//! The translations that are known, by what either end's socket says of its connection. Pure
//! and bounded.
//!
//! **Where an entry is found.** A socket and its translation need not be in the same network
//! namespace: a pod's SYN leaves through a veth and is translated in the host's. The entry is
//! then in the host's table under the very addresses the pod's socket has. So an entry of the
//! socket's own namespace counts first; if there is none, then what other namespaces say of
//! exactly these addresses, if they agree. If they do not, nobody knows, and nothing is said.
//! Loopback addresses do not leave their namespace and are not looked for elsewhere.
//!
//! **Chains.** What one namespace translated another may translate again. So from an entry
//! the search goes on from what became of the connection there, a few steps at most.
//!
//! **What is out of date.** Nobody tells when an entry ends (see `socket`), and addresses and
//! ports are used again. But each new connection that is translated is told anew. So an entry
//! that was known before a connection began is not of that connection, and is not taken.

use std::net::SocketAddr;

use lru::LruCache;

use super::message::Entry;
use super::tracked::Tracked;
use crate::model::{Direction, Ends, without_scope};

/// How many connections are remembered for either end; those that nobody asked for or told
/// of for longest go first. About 500 bytes each for both ends, and as much only as is used.
const CAPACITY: usize = 32_768;
/// How many namespaces and zones may have an entry of the same addresses; the one that was
/// told first goes first.
const PLACES: usize = 8;
/// How many translations one after the other are followed.
const STEPS: usize = 4;
/// How long after its first packet passed a translation the end that was dialled may say that
/// the connection began: the way of the SYN, also when it had to be sent a few times.
const ON_ITS_WAY_NS: u64 = 10_000_000_000;

/// All translations.
#[derive(Debug)]
pub(super) struct Table {
    /// By the ends as the client has them.
    dialled: LruCache<Pair, Places>,
    /// By the ends as the server has them.
    served: LruCache<Pair, Places>,
}

/// The two ends at one point of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    client: SocketAddr,
    server: SocketAddr,
}

/// What is said of a pair, by place. There is hardly ever more than one.
#[derive(Debug)]
struct Places {
    first: Known,
    more: Vec<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    netns: u32,
    zone: u16,
    seen_ns: u64,
    translation: Tracked,
}

/// Which end asks.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Table {
    pub(super) fn new() -> Self {
        // Not of a fixed size, which would be allocated at once.
        Self {
            dialled: LruCache::unbounded(),
            served: LruCache::unbounded(),
        }
    }

    #[cfg(test)]
    /// How many connections of clients are known.
    pub(super) fn len(&self) -> usize {
        self.dialled.len()
    }

    /// How many of them a namespace has said something of.
    #[cfg(test)]
    pub(super) fn len_of(&self, netns: u32) -> usize {
        let is_of = |places: &Places| places.all().any(|known| known.netns == netns);
        self.dialled.iter().filter(|(_, it)| is_of(it)).count()
    }

    /// Learns what the conntrack table of `netns` has, or had, at `seen_ns`, nanoseconds since
    /// boot. What was seen later already stays.
    pub(super) fn learn(&mut self, netns: u32, entry: &Entry, seen_ns: u64) {
        let known = Known {
            netns,
            zone: entry.zone,
            seen_ns,
            translation: entry.translation,
        };
        put(&mut self.dialled, known.pair(Side::Client), known);
        put(&mut self.served, known.pair(Side::Server), known);
    }

    /// Forgets all of a namespace that is gone: its number may be used again.
    pub(super) fn forget(&mut self, netns: u32) {
        for table in [&mut self.dialled, &mut self.served] {
            let mut empty = Vec::new();
            for (pair, places) in table.iter_mut() {
                places.more.retain(|known| known.netns != netns);
                if places.first.netns == netns {
                    match places.more.pop() {
                        Some(known) => places.first = known,
                        None => empty.push(*pair),
                    }
                }
            }
            for pair in empty {
                table.pop(&pair);
            }
        }
    }

    /// What became of the connection of a socket in `netns`, between `ends`, that began at
    /// `begun_ns`, nanoseconds since boot; none for a connection that is older than the
    /// tracer, of which that is not known.
    pub(super) fn translated(
        &mut self,
        netns: u32,
        ends: &Ends,
        direction: Direction,
        begun_ns: Option<u64>,
    ) -> Option<Tracked> {
        // Hosts without translations, which are many, pay for this line only.
        if self.dialled.is_empty() {
            return None;
        }
        // Conntrack knows no scopes.
        let (local, remote) = (without_scope(ends.local), without_scope(ends.remote));
        let (side, client, server) = match direction {
            Direction::Outbound => (Side::Client, local, remote),
            Direction::Inbound => (Side::Server, remote, local),
        };
        let mut pair = Pair { client, server };
        let since = match direction {
            Direction::Outbound => begun_ns.unwrap_or(0),
            Direction::Inbound => begun_ns.unwrap_or(0).saturating_sub(ON_ITS_WAY_NS),
        };
        let mut found: Option<Known> = None;
        let mut passed: Vec<(u32, u16)> = Vec::new();
        for _ in 0..STEPS {
            let table = match side {
                Side::Client => &mut self.dialled,
                Side::Server => &mut self.served,
            };
            let Some(known) = table
                .get(&pair)
                .and_then(|places| places.choose(netns, &pair, since, &passed))
            else {
                break;
            };
            passed.push((known.netns, known.zone));
            pair = known.pair(side.other());
            let translation = match (found, side) {
                (None, _) => known.translation,
                (Some(before), Side::Client) => Tracked {
                    server: known.translation.server,
                    server_sees: known.translation.server_sees,
                    ..before.translation
                },
                (Some(before), Side::Server) => Tracked {
                    client: known.translation.client,
                    dialled: known.translation.dialled,
                    ..before.translation
                },
            };
            found = Some(Known {
                translation,
                ..known
            });
        }
        found
            .map(|known| known.translation)
            // A later step may undo an earlier one.
            .filter(Tracked::is_any)
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Known {
    /// The ends as this side has them.
    fn pair(&self, side: Side) -> Pair {
        let it = &self.translation;
        match side {
            Side::Client => Pair {
                client: it.client,
                server: it.dialled,
            },
            Side::Server => Pair {
                client: it.server_sees,
                server: it.server,
            },
        }
    }

    fn is_of_place(&self, netns: u32, zone: u16) -> bool {
        self.netns == netns && self.zone == zone
    }
}

impl Places {
    fn all(&self) -> impl Iterator<Item = &Known> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// What is said by `netns`, else by the others, if they say the same: of `pair`, by those
    /// that were seen at `since` or later and that are not among `passed`.
    fn choose(&self, netns: u32, pair: &Pair, since: u64, passed: &[(u32, u16)]) -> Option<Known> {
        let stays = pair.client.ip().is_loopback() || pair.server.ip().is_loopback();
        let among = |own: bool| {
            let mut of_them = self.all().filter(|known| {
                (known.netns == netns) == own
                    && known.seen_ns >= since
                    && !passed.contains(&(known.netns, known.zone))
            });
            let first = of_them.next()?;
            Some((
                *first,
                of_them.all(|known| known.translation == first.translation),
            ))
        };
        let (known, do_agree) = match among(true) {
            Some(own) => own,
            None if stays => return None,
            None => among(false)?,
        };
        do_agree.then_some(known)
    }

    fn put(&mut self, known: Known) {
        let same = std::iter::once(&mut self.first)
            .chain(&mut self.more)
            .find(|old| old.is_of_place(known.netns, known.zone));
        match same {
            // A dump may be read after the events of later connections.
            Some(old) if old.seen_ns > known.seen_ns => {}
            Some(old) => *old = known,
            None => {
                if self.more.len() + 1 >= PLACES {
                    self.first = self.more.remove(0);
                }
                self.more.push(known);
            }
        }
    }
}

fn put(table: &mut LruCache<Pair, Places>, pair: Pair, known: Known) {
    if let Some(places) = table.get_mut(&pair) {
        places.put(known);
        return;
    }
    if table.len() >= CAPACITY {
        table.pop_lru();
    }
    table.put(
        pair,
        Places {
            first: known,
            more: Vec::new(),
        },
    );
}

#[cfg(test)]
mod tests;
