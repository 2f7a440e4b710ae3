//! What programs say to name servers, piece by piece as they were sent and received.

use std::net::SocketAddr;

use super::ProcessKey;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsTransport {
    /// Each piece is one message.
    Udp,
    /// Pieces are of a stream, in which each message follows its length: two bytes,
    /// big-endian.
    Tcp,
}

/// What one call of a process sent to a name server (port 53) or received from one.
///
/// Pieces of one socket come in the order in which they were sent and received, each once:
/// what a program only peeked at is not told.
#[derive(Clone, Copy, Debug)]
pub struct DnsPiece<'a> {
    /// Inode number of the network namespace the socket is in.
    pub netns: u32,
    /// The process that made the call.
    pub process: ProcessKey,
    /// Its user.
    pub uid: u32,
    /// The name server's end, as the process sees it.
    pub server: SocketAddr,
    /// Port of this end, after the call has bound it.
    pub local_port: u16,
    /// What carries it.
    pub transport: DnsTransport,
    /// Sent by the process; else received by it.
    pub sent: bool,
    /// Its first bytes, as they went over the wire.
    pub bytes: &'a [u8],
    /// How many bytes it had in all; more than there are in `bytes` if it was cut.
    pub length: usize,
    /// When, nanoseconds of `CLOCK_BOOTTIME`.
    pub time_ns: u64,
}
