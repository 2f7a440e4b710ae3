//! What kind of network an address is in, by the address alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// Where clouds answer their machines' questions about themselves.
const METADATA_V4: [Ipv4Addr; 6] = [
    // Most of them.
    Ipv4Addr::new(169, 254, 169, 254),
    // Amazon's containers: roles of tasks, and of pods.
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    // Azure's wire server, a public address that never leaves the host.
    Ipv4Addr::new(168, 63, 129, 16),
    // Alibaba, in the middle of a shared network.
    Ipv4Addr::new(100, 100, 100, 200),
    // Scaleway.
    Ipv4Addr::new(169, 254, 42, 42),
];

/// The same with IPv6.
const METADATA_V6: [Ipv6Addr; 5] = [
    // Amazon: machines, and pods.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    // Scaleway.
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    // OpenStack.
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// What kind of network an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// The host itself: `127.0.0.0/8`, `::1`.
    Loopback,
    /// A network of one's own: RFC 1918, `fc00::/7`.
    Private,
    /// The same link: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// Where a cloud tells its machines who they are, and often gives them credentials:
    /// `169.254.169.254` and its like.
    Metadata,
    /// Between a provider and its customers: `100.64.0.0/10`.
    Shared,
    /// Many hosts at once.
    Multicast,
    /// No host: for documentation, for the future, or none at all.
    Reserved,
    /// The Internet.
    Public,
}

impl AddressClass {
    /// The class of `address`. An IPv4 address inside an IPv6 one (mapped, or translated by the
    /// well-known prefix `64:ff9b::/96`) has the class it has by itself.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => class_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(address) => class_v4(address),
                None => class_v6(address),
            },
        }
    }

    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Public => "public",
        }
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let last = Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    let is_translated = bits >> 32 == 0x0064_ff9b_u128 << 64;
    address.to_ipv4_mapped().or(is_translated.then_some(last))
}

fn class_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.octets() {
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        [169, 254, ..] => AddressClass::LinkLocal,
        [100, 64..=127, ..] => AddressClass::Shared,
        [224..=239, ..] => AddressClass::Multicast,
        // This network; for the future, with the broadcast address; protocol assignments;
        // documentation; measurements.
        [0 | 240..=255, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [198, 18..=19, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // The second half are the site-local ones of old.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        // Translated by a network of one's own.
        [0x64, 0xff9b, 1, ..] => AddressClass::Private,
        // None, and what the IPv4 ones were once written as; discarded; documentation.
        [0, ..] | [0x100, 0, 0, 0, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            AddressClass::Reserved
        }
        _ => AddressClass::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_class() {
        use AddressClass::*;
        for (address, expected) in [
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("10.0.0.0", Private),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.168.1.1", Private),
            ("fd12::1", Private),
            ("fec0::1", Private),
            ("64:ff9b:1::a00:1", Private),
            ("64:ff9b::a00:1", Private),
            ("64:ff9b::808:808", Public),
            ("169.254.0.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("::ffff:169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("169.254.170.23", Metadata),
            ("168.63.129.16", Metadata),
            ("100.100.100.200", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::23", Metadata),
            ("fd20:ce::254", Metadata),
            ("fe80::a9fe:a9fe", Metadata),
            ("100.63.255.255", Public),
            ("100.64.0.0", Shared),
            ("100.127.255.255", Shared),
            ("100.128.0.0", Public),
            ("224.0.0.1", Multicast),
            ("ff02::1", Multicast),
            ("0.0.0.0", Reserved),
            ("255.255.255.255", Reserved),
            ("192.0.2.1", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("198.19.0.1", Reserved),
            ("240.0.0.1", Reserved),
            ("::", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff:1::1", Reserved),
            ("8.8.8.8", Public),
            ("2606:4700::1111", Public),
        ] {
            let parsed: IpAddr = address.parse().expect("an address");
            assert_eq!(AddressClass::of(parsed), expected, "{address}");
        }
    }
}
