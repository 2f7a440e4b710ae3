//! The other end of a connection, where it is on this host too: in the same network namespace or
//! another, whatever translates the addresses between them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::Arc,
};

use crate::model::{ByIdentity, Connection, Direction, Kind, Process, without_scope};

/// How many pairs are kept. The kernel side follows half as many ends unless told otherwise, so
/// those that live all find room, with as many that are over.
const CAPACITY: usize = 256 << 10;

/// Knows the ends of connections on this host, and which two belong together.
///
/// The sequence numbers of the handshake are the same at both ends, and no translation of
/// addresses changes them. Where they were not seen, as of connections that are older than we are,
/// the two ends mirror each other's addresses.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pairs: HashMap<u64, Pair, BuildHasherDefault<Mixed>>,
    /// For keys that are made of addresses, so that nobody can choose them alike.
    keys: RandomState,
}

#[derive(Debug, Default)]
struct Pair {
    client: Option<Arc<Process>>,
    server: Option<Arc<Process>>,
    over: bool,
}

impl Peers {
    /// Remembers that `process` is at this end of a connection, and tells who is at the other.
    pub(super) fn meet(
        &mut self,
        kind: Kind,
        connection: &Connection,
        process: Option<&Arc<Process>>,
    ) -> Option<Arc<Process>> {
        let is_client = connection.direction? == Direction::Outbound;
        let key = connection
            .handshake
            .unwrap_or_else(|| self.mirrored(connection, is_client));
        self.join(key, is_client, kind == Kind::Close, process)
    }

    /// Likewise of a connection with this handshake that opens.
    pub(super) fn open(&mut self, handshake: u64, is_client: bool, process: &Arc<Process>) {
        self.join(handshake, is_client, false, Some(process));
    }

    /// Puts what is known of processes now in the place of what was: old and new.
    pub(super) fn replace(&mut self, changed: &[(Arc<Process>, Arc<Process>)]) {
        if changed.is_empty() {
            return;
        }
        let new: ByIdentity<Process, Arc<Process>> = changed.iter().cloned().collect();
        let pairs = self.pairs.values_mut();
        let ends = pairs.flat_map(|pair| [&mut pair.client, &mut pair.server]);
        for process in ends.flatten() {
            if let Some(new) = new.get(process) {
                *process = Arc::clone(new);
            }
        }
    }

    fn join(
        &mut self,
        key: u64,
        is_client: bool,
        is_over: bool,
        process: Option<&Arc<Process>>,
    ) -> Option<Arc<Process>> {
        if self.pairs.len() >= CAPACITY && !self.pairs.contains_key(&key) {
            self.make_room();
        }
        let pair = self.pairs.entry(key).or_default();
        let (own, other) = if is_client {
            (&mut pair.client, &pair.server)
        } else {
            (&mut pair.server, &pair.client)
        };
        if let Some(process) = process {
            *own = Some(Arc::clone(process));
        }
        let peer = other.clone();
        // The end that is over first is remembered for the other.
        if is_over && std::mem::replace(&mut pair.over, true) {
            self.pairs.remove(&key);
        }
        peer
    }

    /// What both ends know alike: who dialled whom. On a loopback address that is within one
    /// network namespace; other addresses are taken to be of one host, as both ends are.
    fn mirrored(&self, connection: &Connection, is_client: bool) -> u64 {
        let local = without_scope(connection.ends.local);
        let remote = without_scope(connection.ends.remote);
        let ends = if is_client {
            [local, remote]
        } else {
            [remote, local]
        };
        let is_within = ends.iter().any(|end| end.ip().is_loopback());
        let netns = is_within.then_some(connection.netns);
        self.keys.hash_one((netns, ends))
    }

    /// Of most, the other end is on another host, and so they are never told to be over twice.
    fn make_room(&mut self) {
        self.pairs.retain(|_, pair| !pair.over);
        if self.pairs.len() >= CAPACITY / 4 * 3 {
            // Rather a moment without peers than a search for room at each connection.
            self.pairs.clear();
        }
    }
}

/// For keys that are mixed already.
#[derive(Clone, Copy, Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::specimens::events;

    fn end(handshake: Option<u64>, is_client: bool, netns: u32, address: &str) -> Connection {
        let mut connection = events::connect().connection;
        connection.handshake = handshake;
        connection.netns = netns;
        let (client, server) = (format!("{address}:41000"), format!("{address}:80"));
        let (client, server) = (
            client.parse().expect("an address"),
            server.parse().expect("an address"),
        );
        let ends = &mut connection.ends;
        if is_client {
            connection.direction = Some(Direction::Outbound);
            (ends.local, ends.remote) = (client, server);
        } else {
            connection.direction = Some(Direction::Inbound);
            (ends.local, ends.remote) = (server, client);
        }
        connection
    }

    fn meet(peers: &mut Peers, kind: Kind, end: &Connection, name: &str) -> Option<String> {
        let peer = peers.meet(kind, end, Some(&events::process(name)))?;
        Some(peer.comm.to_string())
    }

    #[test]
    fn both_ends_find_each_other_across_namespaces_and_translation() {
        let mut peers = Peers::default();
        let client = end(Some(7), true, 1, "10.0.0.1");
        let server = end(Some(7), false, 2, "172.16.0.9");
        assert_eq!(meet(&mut peers, Kind::Connect, &client, "curl"), None);
        let peer = meet(&mut peers, Kind::Accept, &server, "nginx");
        assert_eq!(peer.as_deref(), Some("curl"));
        // Whichever is over first.
        let peer = meet(&mut peers, Kind::Close, &client, "curl");
        assert_eq!(peer.as_deref(), Some("nginx"));
        let peer = meet(&mut peers, Kind::Close, &server, "nginx");
        assert_eq!(peer.as_deref(), Some("curl"));
        assert!(peers.pairs.is_empty());
    }

    #[test]
    fn two_clients_are_no_pair() {
        let mut peers = Peers::default();
        let client = end(Some(7), true, 1, "10.0.0.1");
        meet(&mut peers, Kind::Connect, &client, "one");
        assert_eq!(meet(&mut peers, Kind::Connect, &client, "other"), None);
    }

    #[test]
    fn without_a_handshake_they_mirror_each_other() {
        let mut peers = Peers::default();
        let client = end(None, true, 1, "10.0.0.1");
        meet(&mut peers, Kind::Existing, &client, "curl");
        let server = end(None, false, 2, "10.0.0.1");
        let peer = meet(&mut peers, Kind::Existing, &server, "nginx");
        assert_eq!(peer.as_deref(), Some("curl"));
    }

    #[test]
    fn a_link_has_another_index_at_either_end() {
        let mut peers = Peers::default();
        let client = end(None, true, 1, "[fe80::1%2]");
        meet(&mut peers, Kind::Existing, &client, "curl");
        let server = end(None, false, 2, "[fe80::1%7]");
        let peer = meet(&mut peers, Kind::Existing, &server, "nginx");
        assert_eq!(peer.as_deref(), Some("curl"));
    }

    #[test]
    fn loopback_addresses_of_two_namespaces_do_not_mix() {
        let mut peers = Peers::default();
        let client = end(None, true, 1, "127.0.0.1");
        meet(&mut peers, Kind::Existing, &client, "curl");
        let server = end(None, false, 2, "127.0.0.1");
        assert_eq!(meet(&mut peers, Kind::Existing, &server, "nginx"), None);
    }

    #[test]
    fn what_is_over_makes_room_for_what_lives() {
        let mut peers = Peers::default();
        let alive = end(Some(u64::MAX), true, 1, "10.0.0.1");
        meet(&mut peers, Kind::Connect, &alive, "alive");
        let process = events::process("gone");
        for key in 0..2 * CAPACITY as u64 {
            peers.join(key, true, true, Some(&process));
            assert!(peers.pairs.len() <= CAPACITY);
        }
        let server = end(Some(u64::MAX), false, 1, "10.0.0.1");
        let peer = meet(&mut peers, Kind::Accept, &server, "nginx");
        assert_eq!(peer.as_deref(), Some("alive"));
    }

    #[test]
    fn more_that_live_than_there_is_room_for_start_anew() {
        let mut peers = Peers::default();
        let process = events::process("alive");
        for key in 0..2 * CAPACITY as u64 {
            peers.open(key, true, &process);
            assert!(peers.pairs.len() <= CAPACITY);
        }
    }
}
