//! An address that tells one machine from all others that this host can reach.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{AddrParseError, IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IP address, and the link it is on where each link may have the same one: `10.0.0.9`,
/// `fe80::1%2` (RFC 4007).
///
/// A link goes by the index of the interface in the network namespace of the socket, never 0: names of
/// interfaces change, and need not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    ip: IpAddr,
    /// 0 if there is none.
    scope: u32,
}

/// Whether the same address may be on several links of a host: `fe80::/10`, `ff01::/16` and
/// `ff02::/16` with whatever flags, as `__ipv6_addr_needs_scope_id()` of the kernel has it.
fn is_of_a_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => matches!(
            ip.segments()[0],
            0xfe80..=0xfebf | 0xff01 | 0xff02 | 0xff11 | 0xff12 | 0xff21 | 0xff22 | 0xff31 | 0xff32
        ),
    }
}

impl Address {
    /// `ip` on the link of that interface. Where the address has no need of it, or `scope` is 0, it
    /// has none.
    pub fn new(ip: IpAddr, scope: u32) -> Self {
        let scope = if is_of_a_link(ip) { scope } else { 0 };
        Self { ip, scope }
    }

    /// Without its link: what it is in a packet.
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// Index of the interface of its link; none if it has none, or that is not known.
    pub fn scope(self) -> Option<u32> {
        (self.scope != 0).then_some(self.scope)
    }

    /// One end of a connection.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }
}

/// In two numbers: as derived it takes five, for each connection.
impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (bits, family) = match self.ip {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 4),
            IpAddr::V6(ip) => (ip.to_bits(), 6),
        };
        state.write_u128(bits);
        state.write_u64(u64::from(self.scope) << 8 | family);
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: 0 }
    }
}

/// That of an end.
impl From<SocketAddr> for Address {
    fn from(end: SocketAddr) -> Self {
        match end {
            SocketAddr::V4(end) => Self::from(IpAddr::V4(*end.ip())),
            SocketAddr::V6(end) => Self::new(IpAddr::V6(*end.ip()), end.scope_id()),
        }
    }
}

/// The same end for whoever sees it from elsewhere: the index of an interface is of one network
/// namespace, and the other end of a link has another.
pub fn without_scope(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip(), end.port())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope() {
            None => self.ip.fmt(f),
            Some(scope) => write!(f, "{}%{scope}", self.ip),
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none without its scope either.
    #[error(transparent)]
    Ip(#[from] AddrParseError),
    /// Behind the `%` there is no index of an interface, or the address has no need of one.
    #[error(
        "a scope is the index of an interface, from 1, and only link-local IPv6 addresses have one, as fe80::1%2"
    )]
    Scope,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((ip, scope)) = text.split_once('%') else {
            return Ok(Self::from(text.parse::<IpAddr>()?));
        };
        let ip: IpAddr = ip.parse::<Ipv6Addr>()?.into();
        Ok(Self::new(ip, scope_of(ip, scope)?))
    }
}

fn scope_of(ip: IpAddr, text: &str) -> Result<u32, AddressError> {
    let is_number = text.bytes().all(|it| it.is_ascii_digit()) && !text.starts_with('0');
    let scope = text.parse().ok().filter(|_| is_number && is_of_a_link(ip));
    scope.ok_or(AddressError::Scope)
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Addresses that go together: `10.0.0.0/8`, `fe80::/10`; on one link alone where that is said:
/// `fe80::1%2`, `fe80::%2/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    net: IpNet,
    /// 0 if on any link.
    scope: u32,
}

impl Network {
    /// Whether `address` is one of them.
    pub fn contains(self, address: Address) -> bool {
        self.net.contains(&address.ip) && (self.scope == 0 || self.scope == address.scope)
    }
}

/// Of a network, or a bare address. IPv4-mapped ones are the IPv4 ones, as events have them.
impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "neither an address nor a network: write for example 10.0.0.0/8, 192.0.2.7, 2001:db8::/32 or fe80::1%2";
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let address: Address = address.parse().map_err(|_| WRONG)?;
        let net = match length {
            None => IpNet::from(address.ip),
            Some(length) => format!("{}/{length}", address.ip)
                .parse()
                .map_err(|_| WRONG)?,
        };
        let net = mapped(net).map_or(net, IpNet::V4);
        Ok(Self {
            net,
            scope: address.scope,
        })
    }
}

fn mapped(net: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(v6) = net else { return None };
    let address = v6.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, v6.prefix_len().checked_sub(96)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ip: IpAddr, link_local in any::<[u16; 7]>(), scope: u32) {
            let [b, c, d, e, f, g, h] = link_local;
            for ip in [ip, Ipv6Addr::new(0xfe80, b, c, d, e, f, g, h).into()] {
                let address = Address::new(ip, scope);
                prop_assert_eq!(address.to_string().parse(), Ok(address));
                let json = serde_json::to_string(&address).expect("JSON");
                prop_assert_eq!(&json, &format!("\"{address}\""));
                prop_assert_eq!(serde_json::from_str::<Address>(&json).ok(), Some(address));
                // As it is in the ends of a connection, and back.
                let end = address.with_port(80);
                prop_assert_eq!(Address::from(end), address);
                prop_assert_eq!(end.to_string().parse::<SocketAddr>().ok(), Some(end));
                prop_assert_eq!(without_scope(end), SocketAddr::new(ip, 80));
            }
        }

        #[test]
        fn any_text_is_an_address_or_none(text in "[0-9a-f:.%/]{0,24}|fe80::1%\\PC{0,12}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
            let _ = text.parse::<Network>();
        }

        #[test]
        fn a_network_has_the_addresses_of_all_its_links_unless_one_is_named(
            scope in 1_u32.., other in 1_u32.., low: u64,
        ) {
            let ip: IpAddr = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low)).into();
            let (here, there) = (Address::new(ip, scope), Address::new(ip, other));
            let net = |text: String| text.parse::<Network>().expect("a network");
            for all in [net("fe80::/10".to_owned()), net(ip.to_string())] {
                prop_assert!(all.contains(here) && all.contains(there));
                prop_assert!(all.contains(ip.into()));
            }
            for one in [net(format!("fe80::%{scope}/64")), net(here.to_string())] {
                prop_assert!(one.contains(here) && !one.contains(ip.into()));
                prop_assert_eq!(one.contains(there), scope == other);
            }
        }
    }

    #[test]
    fn only_addresses_of_a_link_have_a_scope() {
        for (ip, scope) in [
            ("fe80::1", Some(2)),
            ("febf::1", Some(2)),
            ("ff02::1", Some(2)),
            ("ff05::1", None),
            ("fec0::1", None),
            ("2001:db8::1", None),
            ("::1", None),
            ("::", None),
            ("10.0.0.1", None),
            ("169.254.0.1", None),
        ] {
            let address = Address::new(ip.parse().expect("an address"), 2);
            assert_eq!(address.scope(), scope, "{ip}");
            assert_eq!(
                format!("{ip}%2").parse::<Address>().is_ok(),
                scope.is_some()
            );
        }
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in [
            "fe80::1%",
            "fe80::1%0",
            "fe80::1%02",
            "fe80::1%+2",
            "fe80::1%eth0",
            "fe80::1%2%3",
            "fe80::1%4294967296",
            "%2",
            "10.0.0.1%2",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
