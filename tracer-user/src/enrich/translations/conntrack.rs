//! Netlink's words for tracked connections (`nfnetlink_conntrack.h`), of TCP that is translated.
//!
//! Read here and not by a library: of the ones there are, none reads tracked connections whole and
//! is well kept, and what is needed are two addresses and two ports.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
    netlink::{self, SocketAddrNetlink},
    recv, send, socket_with, sockopt,
};

use crate::model::{AddressEvidence, Ends, Translation};

/// `NF_NETLINK_CONNTRACK_NEW` and `_DESTROY`, as bits of the groups to hear.
const GROUPS: u32 = 1 | 4;
/// `NFNL_SUBSYS_CTNETLINK`, the upper byte of a message's type.
const CTNETLINK: u16 = 1;
/// `IPCTNL_MSG_CT_NEW`, `_GET`, `_DELETE`, its lower byte.
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// Attributes: `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`; in these `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
/// `NLA_TYPE_MASK`: the two upper bits of an attribute's type say how it is written.
const TYPE: u16 = 0x3fff;
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const FAMILY: usize = 4;
/// Room that the kernel keeps for what was not heard yet, bytes.
const ROOM: usize = 4 << 20;
/// The kernel sends at most this at once, bytes.
pub(super) const DATAGRAM: usize = 32 << 10;

/// Opens a socket that hears of tracked connections in the network namespace of this thread, and
/// asks for those that are there.
///
/// # Errors
/// The kernel's: `EPERM` without `CAP_NET_ADMIN`, `EPROTONOSUPPORT` without netfilter.
pub(super) fn open() -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::NETFILTER),
    )?;
    // More than the limit if we may; what does not fit is asked for again.
    if sockopt::set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
    }
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    ask(&socket)?;
    Ok(socket)
}

/// Asks for all that are tracked now; the answers come among the rest.
pub(super) fn ask(socket: &OwnedFd) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER + FAMILY);
    bytes.extend(
        u32::try_from(HEADER + FAMILY)
            .unwrap_or_default()
            .to_ne_bytes(),
    );
    bytes.extend((CTNETLINK << 8 | GET).to_ne_bytes());
    bytes.extend((REQUEST | DUMP).to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port
    bytes.extend([0; FAMILY]); // of any family, version 0
    send(socket, &bytes, SendFlags::empty())?;
    Ok(())
}

/// Receives what is there; none if that is nothing.
///
/// # Errors
/// The kernel's: `ENOBUFS` if it had no room for something.
pub(super) fn receive<'a>(
    socket: &OwnedFd,
    room: &'a mut [u8; DATAGRAM],
) -> io::Result<Option<&'a [u8]>> {
    match recv(socket, &mut room[..], RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(room.get(..length)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Something about a translated connection, by its ends as the client sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is tracked, and leads elsewhere than it was dialled.
    Is(Ends, Translation),
    /// A connection between these ends is tracked no more, or leads where it was dialled.
    IsNot(Ends),
}

/// What the messages in `bytes` tell. Total: what makes no sense is left out.
pub(super) fn read(mut bytes: &[u8]) -> impl Iterator<Item = Heard> {
    std::iter::from_fn(move || {
        while let Some(length) = bytes.first_chunk().map(|it| u32::from_ne_bytes(*it)) {
            let length = usize::try_from(length).ok()?;
            if length < HEADER || length > bytes.len() {
                return None;
            }
            let (message, rest) = bytes.split_at(length);
            bytes = &rest[(length.next_multiple_of(4) - length).min(rest.len())..];
            if let Some(heard) = message_of(message) {
                return Some(heard);
            }
        }
        None
    })
}

fn message_of(message: &[u8]) -> Option<Heard> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let is_new = match (kind >> 8, kind & 0xff) {
        (CTNETLINK, NEW) => true,
        (CTNETLINK, DELETE) => false,
        _ => return None,
    };
    let attributes = message.get(HEADER + FAMILY..)?;
    let original = tuple(attribute(attributes, ORIGINAL)?)?;
    let ends = Ends {
        local: original.source,
        remote: original.destination,
    };
    let reply = tuple(attribute(attributes, REPLY)?)?;
    if !is_new || reply.source == ends.remote {
        return Some(Heard::IsNot(ends));
    }
    let translation = Translation {
        dialled: ends.remote,
        server: reply.source,
        evidence: AddressEvidence::Conntrack,
    };
    Some(Heard::Is(ends, translation))
}

struct Tuple {
    source: SocketAddr,
    destination: SocketAddr,
}

/// None if it is not of TCP.
fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let addresses = attribute(bytes, ADDRESSES)?;
    let v4 = |kind| -> Option<IpAddr> {
        let bytes: [u8; 4] = attribute(addresses, kind)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes).into())
    };
    let v6 = |kind| -> Option<IpAddr> {
        let bytes: [u8; 16] = attribute(addresses, kind)?.try_into().ok()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    // `CTA_IP_V4_SRC`, `_DST`, `CTA_IP_V6_SRC`, `_DST`
    let (source, destination) = v4(1).zip(v4(2)).or_else(|| v6(3).zip(v6(4)))?;
    let protocol = attribute(bytes, PROTOCOL)?;
    // `CTA_PROTO_NUM`, `_SRC_PORT`, `_DST_PORT`; ports in network byte order
    if attribute(protocol, 1)? != [6] {
        return None;
    }
    let port = |kind| -> Option<u16> {
        let bytes = attribute(protocol, kind)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    Some(Tuple {
        source: SocketAddr::new(source, port(2)?),
        destination: SocketAddr::new(destination, port(3)?),
    })
}

/// The value of the first attribute of this kind among those in `bytes`.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let found = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & TYPE;
        let value = bytes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple(kind: u16, source: SocketAddr, destination: SocketAddr, protocol: u8) -> Vec<u8> {
        let mut addresses = Vec::new();
        for (at, end) in [(0, source), (1, destination)] {
            addresses.extend(match end.ip() {
                IpAddr::V4(v4) => put(1 + at, &v4.octets()),
                IpAddr::V6(v6) => put(3 + at, &v6.octets()),
            });
        }
        let ports = [
            put(1, &[protocol]),
            put(2, &source.port().to_be_bytes()),
            put(3, &destination.port().to_be_bytes()),
        ];
        // `NLA_F_NESTED`, as the kernel sets it.
        let nested = [
            put(ADDRESSES | 0x8000, &addresses),
            put(PROTOCOL | 0x8000, &ports.concat()),
        ];
        put(kind | 0x8000, &nested.concat())
    }

    fn message(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        let body = parts.concat();
        let mut bytes = ((HEADER + FAMILY + body.len()) as u32)
            .to_ne_bytes()
            .to_vec();
        bytes.extend((CTNETLINK << 8 | kind).to_ne_bytes());
        bytes.extend([0; 10 + FAMILY]);
        bytes.extend(body);
        bytes
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn translated(kind: u16, protocol: u8, [client, dialled, server]: [&str; 3]) -> Vec<u8> {
        let (client, dialled, server) = (address(client), address(dialled), address(server));
        message(
            kind,
            &[
                tuple(ORIGINAL, client, dialled, protocol),
                tuple(REPLY, server, client, protocol),
            ],
        )
    }

    const V4: [&str; 3] = ["10.0.0.5:41000", "10.96.0.17:80", "10.0.0.9:8080"];
    const V6: [&str; 3] = ["[fd00::5]:41000", "[fd00::17]:80", "[fd00::9]:8080"];
    const SAME: [&str; 3] = ["10.0.0.5:41000", "10.0.0.9:80", "10.0.0.9:80"];

    #[test]
    fn what_leads_elsewhere_is_a_translation() {
        for [client, dialled, server] in [V4, V6] {
            let bytes = translated(NEW, 6, [client, dialled, server]);
            let ends = Ends {
                local: address(client),
                remote: address(dialled),
            };
            let translation = Translation {
                dialled: address(dialled),
                server: address(server),
                evidence: AddressEvidence::Conntrack,
            };
            let heard: Vec<_> = read(&bytes).collect();
            assert_eq!(heard, [Heard::Is(ends, translation)]);
            let gone: Vec<_> = read(&translated(DELETE, 6, [client, dialled, server])).collect();
            assert_eq!(gone, [Heard::IsNot(ends)]);
        }
    }

    #[test]
    fn several_messages_come_at_once_and_other_protocols_are_left_out() {
        let bytes = [
            translated(NEW, 17, V4),
            translated(NEW, 6, SAME),
            message(NEW, &[]),
            translated(NEW, 6, V4),
        ];
        let heard: Vec<_> = read(&bytes.concat()).collect();
        assert!(
            matches!(heard[..], [Heard::IsNot(_), Heard::Is(..)]),
            "{heard:?}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).count() <= bytes.len());
        }

        #[test]
        fn damaged_messages_end(at in 0..500_usize, value: u8, cut in 0..500_usize) {
            let mut bytes = [translated(NEW, 6, V6), translated(NEW, 6, V4)].concat();
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(cut.max(1));
            prop_assert!(read(&bytes).count() <= 2 * length);
        }
    }
}
