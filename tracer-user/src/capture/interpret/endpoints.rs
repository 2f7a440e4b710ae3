//! The two endpoints of a connection, and what tells it from all others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_common as abi;

use crate::model::{Address, ConnectionId, Ends};

/// The same for every record of one end of a connection.
pub(super) fn id(kept: &abi::Connection) -> ConnectionId {
    let flow = &kept.flow;
    let addresses = [flow.local_address, flow.remote_address].map(u128::from_be_bytes);
    let [local, remote] = addresses.map(|it| [(it >> 64) as u64, it as u64]);
    let ports = u64::from(flow.local_port) << 16 | u64::from(flow.remote_port);
    let words = [
        local[0],
        local[1],
        remote[0],
        remote[1],
        ports << 32 | u64::from(flow.netns),
        u64::from(kept.direction.0),
    ];
    // Only ends that begin in the same nanosecond must be told apart, so any mixing does.
    let mixed = words.iter().fold(0_u64, |mixed, word| {
        (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    });
    ConnectionId {
        begun_ns: kept.begun_ns,
        salt: (mixed >> 32) as u32,
    }
}

/// Made of the first sequence numbers of both ends, in a way that does not give them away: who
/// knows them can forge segments.
pub(super) fn handshake(sequences: u64) -> Option<u64> {
    if sequences == 0 {
        return None;
    }
    // The finisher of SplitMix64 and of MurmurHash3, one after the other, with one half folded
    // upon the other in between: what comes out has lost what went in.
    let mut mixed = sequences.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed = mixed.wrapping_add(sequences.rotate_left(32));
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    Some(mixed ^ mixed >> 33)
}

pub(super) fn ends(flow: &abi::Flow) -> Ends {
    let end = |address, port| Address::new(ip(flow.family, address), flow.scope).with_port(port);
    Ends {
        local: end(flow.local_address, flow.local_port),
        remote: end(flow.remote_address, flow.remote_port),
    }
}

/// An IPv4-mapped address becomes the IPv4 address that went over the wire.
pub(super) fn ip(family: u16, address: [u8; 16]) -> IpAddr {
    if i32::from(family) == libc::AF_INET6 {
        return Ipv6Addr::from(address).to_canonical();
    }
    let [a, b, c, d, ..] = address;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
