//! Names of servers: what the program that connects asked a name server for.
//!
//! The pieces of DNS messages that processes sent and received come in by [`Names::learn`], in
//! their order; [`Names::name`] says what an address is called for a process. No clock and no
//! network: all times are passed in, nanoseconds of `CLOCK_BOOTTIME`, and nothing is asked of a name
//! server but where the user wants that (`reverse`). Only `/etc/hosts` and the user's file are read.
//!
//! What is not seen: names that were asked for over TLS, HTTPS or a service of the host that
//! does not use port 53 in the program's network namespace, and those that a program knew
//! before tracer began.
//!
//! What can be forged: a program that is its own name server may give any address any name. It
//! can deceive about its own connections, and about those of its user's programs in its network namespace
//! that did not ask for themselves ([`NameSource::DnsOther`] tells these apart); root's about those of all.

mod hosts;
mod message;
mod networks;
mod questions;
mod reverse;
mod streams;
mod table;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

pub use networks::{LineError, Networks, NetworksError};
pub use reverse::Reverse;

use self::{
    hosts::Hosts,
    message::Message,
    questions::{Questions, Socket},
    streams::Streams,
    table::Table,
};
use crate::model::{
    AddressClass, Called, DnsPiece, DnsTransport, Name, NameSource, Payer, ProcessKey,
};

/// What came of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameCounts {
    /// Questions for addresses.
    pub asked: u64,
    /// Answers to them that were believed, also those that say there is no address.
    pub answered: u64,
    /// Answers about addresses that were not: to another question than was asked, too late, or
    /// told twice. They are forged, or their questions were not seen.
    pub unasked: u64,
    /// Messages that cannot be read, or have names that no host can have.
    pub unreadable: u64,
    /// Streams in which it is not known where messages begin.
    pub lost: u64,
}

/// Knows what servers are called.
#[derive(Debug)]
pub struct Names {
    /// The network namespace that `hosts` is of.
    home: Option<u32>,
    questions: Questions,
    streams: Streams,
    table: Table,
    hosts: Hosts,
    networks: Networks,
    reverse: Option<Reverse>,
    counts: NameCounts,
}

impl Names {
    /// Takes what programs did not ask for from the file `hosts`, for connections in the network
    /// namespace `home` (an inode number) only, as containers have such files of their own; and
    /// from `networks`, which holds everywhere. Without both, only what was asked for is known.
    pub fn new(home: Option<u32>, hosts: Option<PathBuf>, networks: Networks) -> Self {
        Self {
            home,
            questions: Questions::new(),
            streams: Streams::new(),
            table: Table::new(),
            hosts: Hosts::new(hosts),
            networks,
            reverse: None,
            counts: NameCounts::default(),
        }
    }

    /// Has name servers asked what servers are called of which nothing else has a name.
    pub fn ask(&mut self, reverse: Reverse) {
        self.reverse = Some(reverse);
    }

    /// Learns from what a process sent to a name server, or received from one. Any bytes will
    /// do; what is not a question or its answer teaches nothing.
    pub fn learn(&mut self, piece: &DnsPiece<'_>) {
        let Self {
            questions,
            streams,
            table,
            counts,
            ..
        } = self;
        let mut learn = |bytes: &[u8]| hear(piece, bytes, questions, table, counts);
        match piece.transport {
            DnsTransport::Udp => learn(piece.bytes),
            DnsTransport::Tcp => {
                let end = (Socket::of(piece), piece.sent);
                let pushed = streams.push(end, (piece.bytes, piece.length), piece.time_ns, learn);
                if pushed.is_err() {
                    counts.lost += 1;
                }
            }
        }
    }

    /// Reads `/etc/hosts` again if it changed. To be called now and then, and before the first
    /// name is asked for; it looks at the file every five seconds at most.
    pub fn refresh(&mut self, now_ns: u64) {
        self.hosts.refresh(now_ns);
    }

    /// What the server at `address` is called, for a connection that `process`, which is of the user `uid`, began
    /// at `now_ns` in the network namespace `netns`. The first of these that is known:
    ///
    /// 1. what the process itself asked for that has this address: all names that were living then;
    /// 2. if it asked for none: the one name that others of root or of that user in `netns` asked for that has it;
    /// 3. its name in `/etc/hosts`;
    /// 4. the name of its network in the user's file;
    /// 5. what name servers call it, once they have answered, if they are to be asked.
    ///
    /// See `table` for when a name lives. Only the user's file has names for loopback and
    /// multicast addresses.
    pub fn name(
        &mut self,
        netns: u32,
        (process, uid): (Option<ProcessKey>, Option<u32>),
        address: IpAddr,
        now_ns: u64,
    ) -> Option<Name> {
        let address = address.to_canonical();
        let one = |(name, canonical), source| Name {
            called: Called::One { name, canonical },
            source,
        };
        let payer = Payer::of(uid, netns, 0);
        let own = process.and_then(|process| {
            let who = (netns, process, payer);
            self.table.own(who, address, now_ns)
        });
        match own {
            None => {
                if let Some(known) = self.table.shared((netns, payer), address, now_ns) {
                    return Some(one(known, NameSource::DnsOther));
                }
            }
            Some(mut own) => match own.names.len() {
                0 => {}
                1 if !own.is_cut => {
                    return Some(one(own.names.remove(0), NameSource::Dns));
                }
                _ => {
                    return Some(Name {
                        called: Called::OneOf {
                            names: own.names.into_iter().map(|(name, _)| name).collect(),
                            is_cut: own.is_cut,
                        },
                        source: NameSource::Dns,
                    });
                }
            },
        }
        let of_host = || {
            let is_home = self.home == Some(netns);
            is_home.then(|| self.hosts.name(address)).flatten()
        };
        let (name, source) = of_host()
            .map(|name| (name, NameSource::Hosts))
            .or_else(|| Some((self.networks.name(address)?, NameSource::File)))
            .or_else(|| {
                let reverse = self.reverse.as_mut().filter(|_| is_nameable(address))?;
                Some((reverse.name(address)?, NameSource::Reverse))
            })?;
        Some(one((Arc::clone(name), None), source))
    }

    /// What came of the messages so far.
    pub fn counts(&self) -> NameCounts {
        self.counts
    }
}

/// One message: a question that is sent, or an answer that is received.
fn hear(
    piece: &DnsPiece<'_>,
    bytes: &[u8],
    questions: &mut Questions,
    table: &mut Table,
    counts: &mut NameCounts,
) {
    let message = match Message::read(bytes) {
        // A process that is a name server itself hears questions, and sends answers.
        Ok(Some(message)) if message.is_answer == piece.sent => return,
        Ok(Some(message)) => message,
        Ok(None) => return,
        Err(_) => {
            counts.unreadable += 1;
            return;
        }
    };
    let socket = Socket::of(piece);
    if piece.sent {
        counts.asked += 1;
        questions.ask(socket, message.question, piece.time_ns);
        return;
    }
    if !questions.answer(socket, message.question.clone(), piece.time_ns) {
        counts.unasked += 1;
        return;
    }
    counts.answered += 1;
    let who = (piece.netns, piece.process, socket.payer());
    let answer = message.answer();
    table.learn(who, &message.question, &answer, piece.time_ns, is_nameable);
}

/// Whether an address may go by the name of a host. Those of the host itself are many
/// programs' (a list of blocked names gives `127.0.0.1` or `0.0.0.0` to each of them), and that
/// they are loopback addresses says more than `localhost`.
fn is_nameable(address: IpAddr) -> bool {
    let is_many = matches!(
        AddressClass::of(address),
        AddressClass::Loopback | AddressClass::Multicast
    );
    !is_many && !address.is_unspecified()
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
#[cfg(test)]
mod tests;
