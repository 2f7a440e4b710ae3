//! A typed view of `struct sk_buff` on its way in: a TCP segment or a UDP datagram that this host
//! received.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_common::{Flow, MESSAGE_LEN};

use super::{Room, offset, opaque, read, read_into};

/// The address of a `struct sk_buff` that holds a TCP segment or a UDP datagram.
#[derive(Clone, Copy)]
pub(crate) struct Packet(pub(crate) u64);

/// Offsets in the headers that go over the wire.
mod wire {
    pub(super) const V4_SOURCE: u32 = 12;
    pub(super) const V4_DESTINATION: u32 = 16;
    pub(super) const V6_SOURCE: u32 = 8;
    pub(super) const V6_DESTINATION: u32 = 24;
    // Of both TCP and UDP.
    pub(super) const SOURCE: u32 = 0;
    pub(super) const DESTINATION: u32 = 2;
    pub(super) const UDP_HEADER: u64 = 8;
    pub(super) const TCP_SEQUENCE: u32 = 4;
    pub(super) const TCP_FLAGS: u32 = 13;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// First sequence number of who asked, by a `struct tcp_request_sock`.
#[inline(always)]
pub(crate) fn first_sequence(request: u64) -> u32 {
    read(request, offset!(request_rcv_isn))
}

impl Packet {
    #[inline(always)]
    fn network(self) -> u64 {
        let head: u64 = read(self.0, offset!(skb_head));
        head + u64::from(read::<u16>(self.0, offset!(skb_network_header)))
    }

    #[inline(always)]
    fn transport(self) -> u64 {
        let head: u64 = read(self.0, offset!(skb_head));
        head + u64::from(read::<u16>(self.0, offset!(skb_transport_header)))
    }

    /// Whether it asks for a connection: a SYN, neither ACK nor RST.
    #[inline(always)]
    pub(crate) fn is_request(self) -> bool {
        const SYN: u8 = 1 << 1;
        const RST: u8 = 1 << 2;
        const ACK: u8 = 1 << 4;
        read::<u8>(self.transport(), wire::TCP_FLAGS) & (SYN | RST | ACK) == SYN
    }

    /// Sequence number, which a segment that is sent again has again.
    #[inline(always)]
    pub(crate) fn sequence(self) -> u32 {
        u32::from_be(read(self.transport(), wire::TCP_SEQUENCE))
    }

    /// Port that it was sent from, host byte order.
    #[inline(always)]
    pub(crate) fn source_port(self) -> u16 {
        u16::from_be(read(self.transport(), wire::SOURCE))
    }

    /// Writes who sent it to `to`, in the place of the other end, but for its scope.
    #[inline(always)]
    pub(crate) fn read_source(self, to: &mut Flow) {
        let network = self.network();
        if read::<u8>(network, 0) >> 4 == 6 {
            to.family = AF_INET6;
            read_into(network, wire::V6_SOURCE, &raw mut to.remote_address);
        } else {
            to.family = AF_INET;
            read_into(
                network,
                wire::V4_SOURCE,
                (&raw mut to.remote_address).cast::<[u8; 4]>(),
            );
        }
        to.remote_port = self.source_port();
    }

    /// Whether all of it lies behind its headers; else some of it is in pages of which the kernel
    /// does not tell programs where they are.
    #[inline(always)]
    pub(crate) fn is_linear(self) -> bool {
        read::<u32>(self.0, offset!(skb_data_len)) == 0
    }

    /// Writes the first `length` bytes of a datagram that is linear to the beginning of `room`, or
    /// as many as there is room for in a record. Gives how many.
    #[inline(always)]
    pub(crate) fn read_datagram(self, length: u32, room: *mut Room) -> u32 {
        let kept = opaque(u64::from(length).min(MESSAGE_LEN as u64));
        if kept > MESSAGE_LEN as u64 {
            return 0;
        }
        let bytes = self.transport() + wire::UDP_HEADER;
        // SAFETY: `kept` is at most half of the room. The helper checks the address.
        unsafe { bpf_probe_read_kernel(room.cast(), kept as u32, bytes as *const _) };
        kept as u32
    }

    /// Writes both ends to `to`, whose addresses must be zero: the destination is ours. The
    /// namespace is that of the device it came in by, or 0: the kernel forgets the device
    /// once it has found a socket (`tcp_v4_rcv()`).
    #[inline(always)]
    pub(crate) fn read_flow(self, to: &mut Flow) {
        self.read_source(to);
        let network = self.network();
        if to.family == AF_INET6 {
            read_into(network, wire::V6_DESTINATION, &raw mut to.local_address);
            // Not `skb_iif`: what this host sends to itself comes in by the loopback device.
            let iif = offset!(tcp_cb_v6_iif);
            if iif != 0 {
                to.scope = read(self.0, offset!(skb_cb) + iif);
            }
        } else {
            read_into(
                network,
                wire::V4_DESTINATION,
                (&raw mut to.local_address).cast::<[u8; 4]>(),
            );
        }
        to.local_port = u16::from_be(read(self.transport(), wire::DESTINATION));
        let device: u64 = read(self.0, offset!(skb_dev));
        let net: u64 = read(device, offset!(net_device_net));
        read_into(net, offset!(net_inum), &raw mut to.netns);
    }
}
