//! A typed view of `struct sock`, `inet_sock` and `tcp_sock`, which begin at the same address.

use tracer_common::{Flow, Totals};

use super::{offset, read, read_into};

/// TCP states, from the kernel's `include/net/tcp_states.h`.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const SYN_RECV: u8 = 3;
    pub(crate) const FIN_WAIT1: u8 = 4;
    pub(crate) const CLOSE: u8 = 7;
    pub(crate) const LAST_ACK: u8 = 9;
    pub(crate) const LISTEN: u8 = 10;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// Bit of `SOCK_DONE` in `sk_flags` (`enum sock_flags`): set by `tcp_fin()` alone.
const SOCK_DONE: u64 = 1 << 1;

/// The address of a `struct sock` that a hook handed us.
#[derive(Clone, Copy)]
pub(crate) struct Sock(pub(crate) u64);

impl Sock {
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        read::<u16>(self.0, offset!(sock_protocol)) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn error(self) -> u32 {
        read(self.0, offset!(sock_err))
    }

    #[inline(always)]
    pub(crate) fn backlog(self) -> u32 {
        read(self.0, offset!(sock_backlog))
    }

    /// Own port in host byte order. `inet_sport`, not `skc_num`: the latter is
    /// already zero when the change to `TCP_CLOSE` is announced.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(read(self.0, offset!(inet_sport)))
    }

    /// Whether any segment was ever sent, a SYN included.
    #[inline(always)]
    pub(crate) fn has_sent(self) -> bool {
        read::<u32>(self.0, offset!(tcp_segs_out)) != 0
    }

    /// The listener that this socket, in its first change of state, was cloned from.
    ///
    /// `inet_csk_clone_lock()` copies the listener byte for byte and announces
    /// `SYN_RECV` before `tcp_create_openreq_child()` sets the lists up again, so the
    /// empty list `tsorted_sent_queue` still points at its head in the listener
    /// (Linux 4.15 and later). Names the exact socket, also among several that share
    /// a port. The caller looks the address up, so a wrong one is harmless.
    #[inline(always)]
    pub(crate) fn cloned_from(self) -> u64 {
        let queue = offset!(tcp_tsorted_sent_queue);
        read::<u64>(self.0, queue).wrapping_sub(u64::from(queue))
    }

    /// Writes both ends to `to`, whose addresses must be zero: an IPv4 address fills
    /// only their first four bytes.
    #[inline(always)]
    pub(crate) fn read_flow(self, to: &mut Flow) {
        let family = read::<u16>(self.0, offset!(sock_family));
        to.family = family;
        if family == AF_INET6 {
            read_into(self.0, offset!(sock_v6_saddr), &raw mut to.local_address);
            read_into(self.0, offset!(sock_v6_daddr), &raw mut to.remote_address);
        } else if family == AF_INET {
            read_into(
                self.0,
                offset!(sock_saddr),
                (&raw mut to.local_address).cast::<[u8; 4]>(),
            );
            read_into(
                self.0,
                offset!(sock_daddr),
                (&raw mut to.remote_address).cast::<[u8; 4]>(),
            );
        }
        to.local_port = self.local_port();
        to.remote_port = u16::from_be(read(self.0, offset!(sock_dport)));
        let net: u64 = read(self.0, offset!(sock_net));
        read_into(net, offset!(net_inum), &raw mut to.netns);
    }

    /// The counters, made to mean payload: `bytes_sent` counts a retransmitted byte
    /// again, `bytes_received` counts the peer's FIN as one.
    #[inline(always)]
    pub(crate) fn totals(self) -> Totals {
        let sent: u64 = read(self.0, offset!(tcp_bytes_sent));
        let again: u64 = read(self.0, offset!(tcp_bytes_retrans));
        let received: u64 = read(self.0, offset!(tcp_bytes_received));
        let fin = u64::from(read::<u64>(self.0, offset!(sock_flags)) & SOCK_DONE != 0);
        Totals {
            sent_bytes: sent.saturating_sub(again),
            received_bytes: received.saturating_sub(fin),
            srtt_us: read::<u32>(self.0, offset!(tcp_srtt_us)) >> 3,
            retransmits: read(self.0, offset!(tcp_total_retrans)),
        }
    }
}
