use std::net::Ipv4Addr;

use super::{super::message::tests::translation, *};

const HOST: u32 = 1;
const POD: u32 = 2;
const OTHER: u32 = 3;

fn entry(client: &str, dialled: &str, server: &str, server_sees: &str) -> Entry {
    Entry {
        zone: 0,
        translation: translation(client, dialled, server, server_sees),
    }
}

fn ends(local: &str, remote: &str) -> Ends {
    Ends {
        local: local.parse().expect("an address"),
        remote: remote.parse().expect("an address"),
    }
}

fn outbound(table: &mut Table, netns: u32, client: &str, server: &str) -> Option<Tracked> {
    table.translated(netns, &ends(client, server), Direction::Outbound, Some(50))
}

fn inbound(table: &mut Table, netns: u32, client: &str, server: &str) -> Option<Tracked> {
    table.translated(netns, &ends(server, client), Direction::Inbound, Some(50))
}

const CLIENT: &str = "10.1.0.2:4000";
const SERVICE: &str = "10.96.0.10:80";
const SERVER: &str = "10.1.0.9:8080";
const MASK: &str = "192.0.2.1:1234";

#[test]
fn both_ends_find_what_is_between_them() {
    let mut table = Table::new();
    assert_eq!(outbound(&mut table, HOST, CLIENT, SERVICE), None);
    let entry = entry(CLIENT, SERVICE, SERVER, MASK);
    table.learn(HOST, &entry, 100);
    let expected = Some(entry.translation);
    // In the namespace of the rules, and in one that is behind them.
    for netns in [HOST, POD] {
        assert_eq!(outbound(&mut table, netns, CLIENT, SERVICE), expected);
        assert_eq!(inbound(&mut table, netns, MASK, SERVER), expected);
        assert_eq!(outbound(&mut table, netns, CLIENT, SERVER), None);
        assert_eq!(inbound(&mut table, netns, CLIENT, SERVICE), None);
    }
}

#[test]
fn the_own_namespace_counts_first_and_others_must_agree() {
    let mut table = Table::new();
    let (one, two) = (
        entry(CLIENT, SERVICE, SERVER, CLIENT),
        entry(CLIENT, SERVICE, "10.1.0.8:8080", CLIENT),
    );
    table.learn(HOST, &one, 100);
    table.learn(OTHER, &two, 100);
    assert_eq!(outbound(&mut table, POD, CLIENT, SERVICE), None);
    let found = outbound(&mut table, OTHER, CLIENT, SERVICE);
    assert_eq!(found, Some(two.translation));
    table.learn(OTHER, &one, 101);
    let found = outbound(&mut table, POD, CLIENT, SERVICE);
    assert_eq!(found, Some(one.translation));
}

#[test]
fn zones_of_a_namespace_must_agree() {
    let mut table = Table::new();
    let one = entry(CLIENT, SERVICE, SERVER, CLIENT);
    let two = Entry {
        zone: 5,
        ..entry(CLIENT, SERVICE, "10.1.0.8:8080", CLIENT)
    };
    table.learn(HOST, &one, 100);
    table.learn(HOST, &two, 100);
    assert_eq!(outbound(&mut table, HOST, CLIENT, SERVICE), None);
}

#[test]
fn loopback_addresses_are_of_one_namespace_only() {
    let mut table = Table::new();
    let local = entry(
        "127.0.0.1:4000",
        "127.0.0.1:80",
        "127.0.0.1:8080",
        "127.0.0.1:4000",
    );
    table.learn(HOST, &local, 100);
    let mut find = |netns| outbound(&mut table, netns, "127.0.0.1:4000", "127.0.0.1:80");
    assert_eq!(find(HOST), Some(local.translation));
    assert_eq!(find(POD), None);
}

#[test]
fn a_translation_may_follow_another() {
    let mut table = Table::new();
    // The pod leaves under another address, then the host finds the server.
    table.learn(POD, &entry(CLIENT, SERVICE, SERVICE, MASK), 100);
    table.learn(HOST, &entry(MASK, SERVICE, SERVER, MASK), 100);
    let whole = Some(translation(CLIENT, SERVICE, SERVER, MASK));
    assert_eq!(outbound(&mut table, POD, CLIENT, SERVICE), whole);
    assert_eq!(inbound(&mut table, OTHER, MASK, SERVER), whole);
    // One that is undone again is none.
    table.learn(HOST, &entry(MASK, SERVICE, SERVICE, CLIENT), 101);
    assert_eq!(outbound(&mut table, POD, CLIENT, SERVICE), None);
}

#[test]
fn circles_end() {
    let mut table = Table::new();
    for (netns, to) in [(HOST, SERVER), (POD, SERVICE)] {
        let from = if to == SERVER { SERVICE } else { SERVER };
        table.learn(netns, &entry(CLIENT, from, to, CLIENT), 100);
    }
    assert_eq!(outbound(&mut table, HOST, CLIENT, SERVICE), None);
}

#[test]
fn what_is_older_than_the_connection_is_of_another() {
    let mut table = Table::new();
    let entry = entry(CLIENT, SERVICE, SERVER, CLIENT);
    table.learn(HOST, &entry, 100);
    let mut find = |direction, begun_ns| {
        let ends = match direction {
            Direction::Outbound => ends(CLIENT, SERVICE),
            Direction::Inbound => ends(SERVER, CLIENT),
        };
        table.translated(HOST, &ends, direction, begun_ns).is_some()
    };
    assert!(find(Direction::Outbound, Some(100)));
    assert!(!find(Direction::Outbound, Some(101)));
    assert!(find(Direction::Outbound, None));
    // The server's end begins when the SYN has come.
    assert!(find(Direction::Inbound, Some(100 + ON_ITS_WAY_NS)));
    assert!(!find(Direction::Inbound, Some(101 + ON_ITS_WAY_NS)));
}

#[test]
fn a_dump_does_not_take_back_what_was_told_later() {
    let mut table = Table::new();
    let (old, new) = (
        entry(CLIENT, SERVICE, SERVER, CLIENT),
        entry(CLIENT, SERVICE, "10.1.0.8:8080", CLIENT),
    );
    table.learn(HOST, &new, 200);
    table.learn(HOST, &old, 100);
    let found = outbound(&mut table, HOST, CLIENT, SERVICE);
    assert_eq!(found, Some(new.translation));
}

#[test]
fn a_namespace_that_is_gone_is_forgotten() {
    let mut table = Table::new();
    let one = entry(CLIENT, SERVICE, SERVER, CLIENT);
    table.learn(HOST, &one, 100);
    table.learn(OTHER, &one, 100);
    table.forget(HOST);
    assert!(outbound(&mut table, POD, CLIENT, SERVICE).is_some());
    table.forget(OTHER);
    assert_eq!((table.len(), table.served.len()), (0, 0));
}

#[test]
fn the_table_is_bounded() {
    let mut table = Table::new();
    for n in 0..u32::try_from(CAPACITY).expect("a number") + 10 {
        let client = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n), 4000));
        let mut it = entry(CLIENT, SERVICE, SERVER, CLIENT);
        (it.translation.client, it.translation.server_sees) = (client, client);
        table.learn(HOST, &it, 100);
    }
    assert_eq!((table.len(), table.served.len()), (CAPACITY, CAPACITY));
    for netns in 0..100 {
        let it = entry(CLIENT, SERVICE, SERVER, CLIENT);
        table.learn(netns, &it, 100);
    }
    let pair = ends(CLIENT, SERVICE);
    let pair = Pair {
        client: pair.local,
        server: pair.remote,
    };
    let places = table.dialled.get(&pair).expect("it was told last");
    assert_eq!(places.all().count(), PLACES);
}

/// Netlink tells addresses without their links.
#[test]
fn the_link_of_an_address_is_not_asked_for() {
    let mut table = Table::new();
    let (client, service, server) = ("[fe80::5]:4000", "[fe80::1]:80", "[fe80::1]:8080");
    let entry = entry(client, service, server, client);
    table.learn(HOST, &entry, 100);
    let found = outbound(&mut table, HOST, "[fe80::5%2]:4000", "[fe80::1%2]:80");
    assert_eq!(found, Some(entry.translation));
}
