//! Questions that wait for their answers: an answer that nobody asked for teaches nothing.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
};

use super::message::Question;
use crate::{
    enrich::fair::Fair,
    model::{DnsPiece, DnsTransport, Payer, ProcessKey},
};

/// How many are waited for at once; the oldest of who has most go first. One takes half a kilobyte at most.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// For how long. Resolvers ask again after five seconds, but some wait for minutes; the bound is
/// how many are waited for.
const PATIENCE_NS: u64 = 300 * 1_000_000_000;

/// One process's end of its talk with a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    netns: u32,
    process: ProcessKey,
    payer: Payer,
    transport: DnsTransport,
    local_port: u16,
    // Not as a `SocketAddr`: scopes and flow labels may differ between the two directions.
    server: (IpAddr, u16),
}

impl Socket {
    /// Who pays for what is remembered of it.
    pub(super) fn payer(self) -> Payer {
        self.payer
    }

    pub(super) fn of(piece: &DnsPiece<'_>) -> Self {
        let server: SocketAddr = piece.server;
        Self {
            netns: piece.netns,
            process: piece.process,
            payer: Payer::of(Some(piece.uid), piece.netns, 0),
            transport: piece.transport,
            local_port: piece.local_port,
            server: (server.ip().to_canonical(), server.port()),
        }
    }
}

/// What was asked lately and is not answered yet.
#[derive(Debug)]
pub(super) struct Questions {
    asked: Fair<(Socket, Question), u64>,
}

impl Questions {
    pub(super) fn new() -> Self {
        Self {
            asked: Fair::new(CAPACITY),
        }
    }

    /// `question` was asked on `socket` at `time_ns`. Asked again, it still has one answer.
    pub(super) fn ask(&mut self, socket: Socket, question: Question, time_ns: u64) {
        self.asked.put(socket.payer(), (socket, question), time_ns);
    }

    /// `question` is answered on `socket` at `time_ns`: whether it was asked, and no answer came
    /// before.
    pub(super) fn answer(&mut self, socket: Socket, question: Question, time_ns: u64) -> bool {
        let asked_ns = self.asked.pop(&(socket, question));
        asked_ns.is_some_and(|asked_ns| time_ns.saturating_sub(asked_ns) <= PATIENCE_NS)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }
}
