//! Where the running kernel keeps what the programs read.

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $type:literal . $path:literal, $size:literal;)*) => {
        /// Byte offsets into kernel structures, read from the running kernel's BTF by
        /// user space and handed to the programs as the read-only global `OFFSETS`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// What each field means, in the order of the fields: `(structure, path
            /// of members, size in bytes)`. A kernel where one is missing or has
            /// another size is one the programs cannot read.
            pub const MEMBERS: &'static [(&'static str, &'static str, u32)] =
                &[$(($type, $path, $size),)*];

            /// Builds the offsets from numbers in the order of [`Self::MEMBERS`].
            pub const fn from_array(values: [u32; Self::MEMBERS.len()]) -> Self {
                let mut i = 0;
                $(let $name = values[i]; #[allow(unused_assignments)] { i += 1; })*
                Self { $($name,)* }
            }
        }
    };
}

offsets! {
    /// Peer's IPv4 address, network byte order.
    sock_daddr: "sock"."__sk_common.skc_daddr", 4;
    /// Own IPv4 address, network byte order.
    sock_saddr: "sock"."__sk_common.skc_rcv_saddr", 4;
    /// Peer's port, network byte order.
    sock_dport: "sock"."__sk_common.skc_dport", 2;
    /// Address family.
    sock_family: "sock"."__sk_common.skc_family", 2;
    /// Network namespace: a pointer to `struct net`.
    sock_net: "sock"."__sk_common.skc_net.net", 8;
    /// Peer's IPv6 address.
    sock_v6_daddr: "sock"."__sk_common.skc_v6_daddr", 16;
    /// Own IPv6 address.
    sock_v6_saddr: "sock"."__sk_common.skc_v6_rcv_saddr", 16;
    /// `enum sock_flags` bits; bit 1 (`SOCK_DONE`) says that the peer's FIN was received.
    sock_flags: "sock"."__sk_common.skc_flags", 8;
    /// Pending error, a positive errno.
    sock_err: "sock"."sk_err", 4;
    /// IP protocol: MPTCP's outer sockets share the tracepoint.
    sock_protocol: "sock"."sk_protocol", 2;
    /// Limit of the accept queue.
    sock_backlog: "sock"."sk_max_ack_backlog", 4;
    /// Own port, network byte order; still set when the socket is unhashed.
    inet_sport: "inet_sock"."inet_sport", 2;
    /// Namespace inode number.
    net_inum: "net"."ns.inum", 4;
    /// Payload bytes sent, retransmissions included.
    tcp_bytes_sent: "tcp_sock"."bytes_sent", 8;
    /// Payload bytes sent again.
    tcp_bytes_retrans: "tcp_sock"."bytes_retrans", 8;
    /// Sequence numbers received, so a FIN counts as one.
    tcp_bytes_received: "tcp_sock"."bytes_received", 8;
    /// Smoothed round-trip time, microseconds times 8.
    tcp_srtt_us: "tcp_sock"."srtt_us", 4;
    /// Segments retransmitted.
    tcp_total_retrans: "tcp_sock"."total_retrans", 4;
    /// Segments sent.
    tcp_segs_out: "tcp_sock"."segs_out", 4;
    /// A list head that points at itself in a listener, and so at the listener in a fresh clone of it.
    tcp_tsorted_sent_queue: "tcp_sock"."tsorted_sent_queue", 16;
    /// Thread group leader.
    task_group_leader: "task_struct"."group_leader", 8;
    /// Start, nanoseconds of `CLOCK_BOOTTIME`.
    task_start_boottime: "task_struct"."start_boottime", 8;
    /// Name.
    task_comm: "task_struct"."comm", 16;
    /// `PF_*` bits.
    task_flags: "task_struct"."flags", 4;
}

const _: () = assert!(size_of::<Offsets>() == 4 * Offsets::MEMBERS.len());
