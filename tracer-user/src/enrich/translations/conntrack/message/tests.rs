use proptest::{collection::vec, prelude::*};

use super::*;

/// What Linux 6.18 sent of a connection from 10.1.1.1:60442 to 10.9.9.9:80 that a rule sends
/// to 127.0.0.1:8080.
#[cfg(target_endian = "little")]
const REAL_V4: &str = "c4000000000100060000000000000000020000003400018014000180080001000a010101080002000a0909091c000280050001000600000006000200ec1a000006000300005000003400028014000180080001007f000001080002000a0101011c0002800500010006000000060002001f90000006000300ec1a000008000c00930a99b508000300000001a80800070000000078300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000";
/// And of one from [fd99::1]:37618 to [fd99::9]:80, likewise to [fd99::1]:8081.
#[cfg(target_endian = "little")]
const REAL_V6: &str = "f40000000001000600000000000000000a0000004c0001802c00018014000300fd99000000000000000000000000000114000400fd9900000000000000000000000000091c00028005000100060000000600020092f2000006000300005000004c0002802c00018014000300fd99000000000000000000000000000114000400fd9900000000000000000000000000011c0002800500010006000000060002001f9100000600030092f2000008000c0016ca888108000300000001a80800070000000078300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000";

#[cfg(target_endian = "little")]
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte"))
        .collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(in crate::enrich::translations) fn translation(
    client: &str,
    dialled: &str,
    server: &str,
    server_sees: &str,
) -> Tracked {
    Tracked {
        client: at(client),
        dialled: at(dialled),
        server: at(server),
        server_sees: at(server_sees),
    }
}

/// An attribute with its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE + value.len()).expect("a short attribute");
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(align(out.len()), 0);
    out
}

fn tuple_of(kind: u16, protocol: u8, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let address = |v4, v6, ip| match ip {
        IpAddr::V4(ip) => attribute(v4, &ip.octets()),
        IpAddr::V6(ip) => attribute(v6, &ip.octets()),
    };
    let ip = [
        address(CTA_IP_V4_SRC, CTA_IP_V6_SRC, from.ip()),
        address(CTA_IP_V4_DST, CTA_IP_V6_DST, to.ip()),
    ];
    let ports = [
        attribute(CTA_PROTO_NUM, &[protocol]),
        attribute(CTA_PROTO_SRC_PORT, &from.port().to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &to.port().to_be_bytes()),
    ];
    // Nested ones have a flag in their type.
    let inside = [
        attribute(CTA_TUPLE_IP | 0x8000, &ip.concat()),
        attribute(CTA_TUPLE_PROTO | 0x8000, &ports.concat()),
    ];
    attribute(kind | 0x8000, &inside.concat())
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).expect("a short message");
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 10]);
    out.extend(body);
    out.resize(align(out.len()), 0);
    out
}

fn event(protocol: u8, it: &Tracked, zone: Option<u16>) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(tuple_of(CTA_TUPLE_ORIG, protocol, it.client, it.dialled));
    body.extend(tuple_of(
        CTA_TUPLE_REPLY,
        protocol,
        it.server,
        it.server_sees,
    ));
    body.extend(attribute(CTA_STATUS, &DST_NAT.to_be_bytes()));
    if let Some(zone) = zone {
        body.extend(attribute(CTA_ZONE, &zone.to_be_bytes()));
    }
    message(CT_NEW, &body)
}

fn read(bytes: &[u8]) -> Vec<Message> {
    messages(bytes).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn what_a_kernel_sent() {
    let v4 = translation(
        "10.1.1.1:60442",
        "10.9.9.9:80",
        "127.0.0.1:8080",
        "10.1.1.1:60442",
    );
    let v6 = translation(
        "[fd99::1]:37618",
        "[fd99::9]:80",
        "[fd99::1]:8081",
        "[fd99::1]:37618",
    );
    let entry = |translation| {
        Message::Entry(Entry {
            zone: 0,
            translation,
        })
    };
    assert_eq!(read(&bytes(REAL_V4)), [entry(v4)]);
    let both = [bytes(REAL_V4), bytes(REAL_V6)].concat();
    assert_eq!(read(&both), [entry(v4), entry(v6)]);
}

#[test]
fn only_translated_tcp_is_an_entry() {
    let same = translation("10.0.0.1:1", "10.0.0.2:2", "10.0.0.2:2", "10.0.0.1:1");
    let other = translation("10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:2", "10.0.0.1:1");
    assert_eq!(read(&event(6, &same, None)), [Message::Other]);
    assert_eq!(read(&event(17, &other, None)), [Message::Other]);
    let entry = Entry {
        zone: 7,
        translation: other,
    };
    assert_eq!(read(&event(6, &other, Some(7))), [Message::Entry(entry)]);
    // The end of an entry is none.
    let mut ended = event(6, &other, None);
    ended[4] = 2;
    assert_eq!(read(&ended), [Message::Other]);
}

#[test]
fn how_a_dump_ends() {
    let refused = message(NLMSG_ERROR, &(-1_i32).to_ne_bytes());
    assert_eq!(read(&refused), [Message::Failed(1)]);
    assert_eq!(read(&message(NLMSG_DONE, &[0; 4])), [Message::Done]);
    let worst = message(NLMSG_ERROR, &i32::MIN.to_ne_bytes());
    assert_eq!(read(&worst), [Message::Failed(i32::MAX)]);
}

#[test]
fn a_request_is_as_long_as_it_says() {
    let request = dump_request(DST_NAT, DST_NAT);
    assert_eq!(request[..4], 36_u32.to_ne_bytes());
    assert_eq!(request.len(), 36);
    assert_eq!(read(&request), [Message::Other]);
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| (ip, port).into()),
        // Not IPv4-mapped, which would come out as IPv4.
        any::<([u8; 15], u16)>().prop_map(|(rest, port)| {
            let mut ip = [0xfd; 16];
            ip[1..].copy_from_slice(&rest);
            (ip, port).into()
        }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..512)) {
        let _ = read(&bytes);
        let _ = entry(&bytes);
    }

    #[test]
    fn bent_messages_are_read(
        ends in vec(address(), 4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let it = Tracked { client: ends[0], dialled: ends[1], server: ends[2], server_sees: ends[3] };
        let mut bytes = [event(6, &it, Some(3)), event(6, &it, None)].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(read(&bytes).len() <= bytes.len() / HEADER);
    }

    #[test]
    fn what_is_sent_is_read(ends in vec(address(), 4), zone in any::<Option<u16>>()) {
        let translation = Tracked { client: ends[0], dialled: ends[1], server: ends[2], server_sees: ends[3] };
        let expected = if translation.is_any() {
            Message::Entry(Entry { zone: zone.unwrap_or(0), translation })
        } else {
            Message::Other
        };
        prop_assert_eq!(read(&event(6, &translation, zone)), vec![expected]);
    }
}
