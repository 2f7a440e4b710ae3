//! Numbers, times and addresses: nearly all of a line. Appended as they are, since to go
//! through a formatter takes several times as long as all the rest.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
};

use crate::model::{Address, ConnectionId, Timestamp};

/// Appends digits.
pub(super) fn number(number: impl itoa::Integer, buf: &mut Vec<u8>) {
    buf.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a string that needs no escape.
pub(super) fn word(word: &str, buf: &mut Vec<u8>) {
    debug_assert!(
        word.bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
    );
    buf.push(b'"');
    buf.extend_from_slice(word.as_bytes());
    buf.push(b'"');
}

/// Appends what `Display` of an id gives.
pub(super) fn id(id: ConnectionId, buf: &mut Vec<u8>) {
    buf.push(b'"');
    let digits = (16 - id.begun_ns.leading_zeros() / 4).max(1);
    hex(id.begun_ns, digits, buf);
    hex(id.salt.into(), 8, buf);
    buf.push(b'"');
}

/// Appends all sixteen digits of a number that is a name.
pub(super) fn key(key: u64, buf: &mut Vec<u8>) {
    buf.push(b'"');
    hex(key, 16, buf);
    buf.push(b'"');
}

/// Appends the last `digits` of a number, at most 16.
fn hex(number: u64, digits: u32, buf: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |at: u32| DIGITS[(number >> (4 * at) & 0xf) as usize];
    buf.extend((0..digits).rev().map(digit));
}

/// Appends one end as an object. An unspecified address or a port of 0 means that none was
/// assigned, and is left out.
pub(super) fn end(end: SocketAddr, buf: &mut Vec<u8>) {
    buf.push(b'{');
    let has_address = !end.ip().is_unspecified();
    if has_address {
        buf.extend_from_slice(b"\"address\":\"");
        address(end.into(), buf);
        buf.push(b'"');
    }
    if end.port() != 0 {
        if has_address {
            buf.push(b',');
        }
        buf.extend_from_slice(b"\"port\":");
        number(end.port(), buf);
    }
    buf.push(b'}');
}

fn address(address: Address, buf: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(v4) => {
            for (n, octet) in v4.octets().into_iter().enumerate() {
                if n > 0 {
                    buf.push(b'.');
                }
                number(octet, buf);
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(_) => drop(write!(buf, "{address}")),
    }
}

/// Points in time: those of one second have all but the fraction in common.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Since 1970.
    second: Option<u64>,
    /// That second and a point, as `2026-11-22T01:02:03.`
    text: String,
}

impl Times {
    const SECOND_NS: u64 = 1_000_000_000;

    /// Appends what `Display` of the time gives.
    pub(super) fn write(&mut self, time: Timestamp, buf: &mut Vec<u8>) {
        let (second, fraction) = (
            time.as_ns() / Self::SECOND_NS,
            time.as_ns() % Self::SECOND_NS,
        );
        if self.second != Some(second) {
            self.text = time.to_string();
            self.text.truncate("2026-11-22T01:02:03.".len());
            self.second = Some(second);
        }
        buf.push(b'"');
        buf.extend_from_slice(self.text.as_bytes());
        // A one in front keeps the zeros.
        let mut digits = itoa::Buffer::new();
        buf.extend_from_slice(&digits.format(Self::SECOND_NS + fraction).as_bytes()[1..]);
        buf.extend_from_slice(b"Z\"");
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut buf = Vec::new();
        write(&mut buf);
        String::from_utf8(buf).expect("UTF-8")
    }

    proptest! {
        #[test]
        fn times_are_as_displayed(first: u64, apart in 0..3_000_000_000_u64) {
            let mut times = Times::default();
            for ns in [first, first.saturating_add(apart), first] {
                let time = Timestamp::from_ns(ns);
                prop_assert_eq!(written(|buf| times.write(time, buf)), format!("\"{time}\""));
            }
        }

        #[test]
        fn ids_are_as_displayed(begun_ns: u64, shift in 0..64_u32, salt: u32) {
            let it = ConnectionId { begun_ns: begun_ns >> shift, salt };
            prop_assert_eq!(written(|buf| id(it, buf)), format!("\"{it}\""));
        }

        #[test]
        fn addresses_are_as_displayed(ip: IpAddr, low: u64, scope: u32) {
            let link_local = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low));
            for ip in [ip, link_local.into()] {
                let it = Address::new(ip, scope);
                prop_assert_eq!(written(|buf| address(it, buf)), it.to_string());
            }
        }
    }

    #[test]
    fn what_was_not_assigned_is_left_out() {
        for (it, expected) in [
            ("0.0.0.0:0", "{}"),
            ("[::]:80", r#"{"port":80}"#),
            ("10.0.0.1:0", r#"{"address":"10.0.0.1"}"#),
            ("[fe80::1]:65535", r#"{"address":"fe80::1","port":65535}"#),
            ("[fe80::1%2]:80", r#"{"address":"fe80::1%2","port":80}"#),
        ] {
            assert_eq!(
                written(|buf| end(it.parse().expect("an end"), buf)),
                expected
            );
        }
    }
}
