//! Which namespaces of a host mean the same machine by a private address.

use super::*;

/// `event` as told in that network namespace.
fn within(netns: u32, mut event: Event) -> Event {
    if let Body::Connect(it) | Body::Accept(it) | Body::Close(it) | Body::Fail(it) = &mut event.body
    {
        it.connection.netns = netns;
    }
    event
}

/// What `app` of that namespace does: from its address it dials 10.0.0.9, or `remote`, and then keeps on
/// dialling one port that refuses, until the end.
fn dials(netns: u32, own: &str, remote: &str, [from, to]: [f64; 2]) -> Vec<Event> {
    let mut client = pair(u64::from(netns)).0;
    client.handshake = None;
    client.id = u64::from(netns) << 8;
    client.local = SocketAddr::new(address(own).ip(), 40_000 + netns as u16);
    client.remote = address(remote);
    client.process = Some(unit(&format!("app-{netns}.service"), netns));
    let events = [client.opens(from), client.closes(to, 1, 1)];
    let mut events: Vec<_> = events.map(|it| within(netns, it)).into();
    client.remote.set_port(9);
    events.push(within(netns, client.fails(to, Reason::Refused)));
    events
}

fn remotes(mut events: Vec<Event>) -> Vec<String> {
    events.sort_by_key(|it| it.time);
    let view = map_of(&events);
    let remotes = view.nodes.iter().filter(|it| it.kind == NodeKind::Remote);
    let ids: Vec<String> = remotes.map(|it| it.id.to_string()).collect();
    for (edge, node) in view.edges.iter().map(|it| (it, &view.nodes[it.server])) {
        let is_whole = edge.established + edge.failures() > 0;
        assert!(is_whole && !node.addresses.is_empty(), "{edge:?}");
    }
    ids
}

const DB: &str = "10.0.0.9:5432";

#[test]
fn one_address_in_two_namespaces_is_one_machine_if_nothing_contradicts() {
    let two = [
        dials(1, "10.0.0.5:0", DB, [1.0, 9.0]),
        dials(2, "10.0.0.6:0", DB, [1.0, 9.0]),
    ];
    assert_eq!(remotes(two.concat()), ["10.0.0.9@web-1"]);
}

#[test]
fn networks_that_have_the_same_addresses_are_two() {
    let two = [
        dials(1, "10.0.0.5:0", DB, [1.0, 9.0]),
        dials(2, "10.0.0.5:0", DB, [2.0, 8.0]),
        // Whoever is in neither is with the first.
        dials(3, "172.16.0.1:0", DB, [2.0, 8.0]),
    ];
    assert_eq!(
        remotes(two.concat()),
        ["10.0.0.9@web-1~1", "10.0.0.9@web-1~2"]
    );
    // What is beyond that network may be one for both: they are behind translations.
    let beyond = "10.9.9.9:5432";
    let two = [
        dials(1, "10.0.0.5:0", beyond, [1.0, 9.0]),
        dials(2, "10.0.0.5:0", beyond, [2.0, 8.0]),
    ];
    assert_eq!(remotes(two.concat()), ["10.9.9.9@web-1"]);
}

#[test]
fn a_container_that_takes_the_address_of_the_one_before_is_in_the_same_network() {
    let two = [
        dials(1, "10.0.0.5:0", DB, [1.0, 4.0]),
        dials(2, "10.0.0.5:0", DB, [5.0, 9.0]),
    ];
    assert_eq!(remotes(two.concat()), ["10.0.0.9@web-1"]);
}

/// Whoever still has a connection, or listens, is still there.
#[test]
fn a_namespace_lasts_as_long_as_what_is_open_in_it() {
    let mut first = dials(1, "10.0.0.5:0", DB, [1.0, 4.0]);
    first.retain(|it| !matches!(it.body, Body::Close(_)));
    let two = [first, dials(2, "10.0.0.5:0", DB, [5.0, 9.0])];
    assert_eq!(
        remotes(two.concat()),
        ["10.0.0.9@web-1~1", "10.0.0.9@web-1~2"]
    );
    let mut listens = dials(1, "10.0.0.5:0", DB, [1.0, 4.0]);
    listens.push(Event {
        time: at(1.0),
        host: host("web-1"),
        body: Body::Listen(ListenerEvent {
            listener: crate::model::Listener {
                local: address("0.0.0.0:80"),
                backlog: None,
                netns: 1,
            },
            process: Some(unit("app-1.service", 1)),
            evidence: Evidence {
                process: ProcessEvidence::Scan,
                direction: None,
                end: None,
            },
        }),
    });
    let two = [listens, dials(2, "10.0.0.5:0", DB, [5.0, 9.0])];
    assert_eq!(
        remotes(two.concat()),
        ["10.0.0.9@web-1~1", "10.0.0.9@web-1~2"]
    );
}

/// `app` of a namespace and who serves what it dials, in another, which calls itself `own`.
fn served(netns: [u32; 2], own: &str, n: u64) -> Vec<Event> {
    let (mut client, mut server) = pair(n);
    client.local = SocketAddr::new([10, 1, netns[0] as u8, 5].into(), 41_000);
    client.process = Some(unit(&format!("app-{}.service", netns[0]), netns[0]));
    server.host = Arc::clone(&client.host);
    server.local = address(own);
    server.remote = client.local;
    server.process = Some(unit(&format!("db-{}.service", netns[1]), netns[1]));
    vec![
        within(netns[0], client.opens(1.0)),
        within(netns[1], server.opens(1.0)),
        within(netns[0], client.closes(9.0, 1, 1)),
        within(netns[1], server.closes(9.0, 1, 1)),
    ]
}

#[test]
fn what_two_serve_at_once_under_one_address_is_two_machines() {
    let dial = |netns: u32| {
        dials(
            netns,
            &format!("10.1.{netns}.5:0"),
            "10.0.0.9:80",
            [1.0, 9.0],
        )
    };
    let both = [
        served([1, 11], DB, 1),
        served([2, 12], DB, 2),
        dial(1),
        dial(2),
    ];
    assert_eq!(
        remotes(both.concat()),
        ["10.0.0.9@web-1~1", "10.0.0.9@web-1~2"]
    );
    // Behind a balancer several serve, none of which has that address itself.
    let balanced = [
        served([1, 11], "10.2.0.1:5432", 1),
        served([2, 12], "10.2.0.2:5432", 2),
        dial(1),
        dial(2),
    ];
    assert_eq!(remotes(balanced.concat()), ["10.0.0.9@web-1"]);
}

#[test]
fn who_is_served_by_the_same_means_the_same() {
    let two = [
        served([1, 11], DB, 1),
        served([2, 11], DB, 2),
        dials(1, "10.0.0.5:0", "10.0.0.9:80", [1.0, 9.0]),
        dials(2, "10.0.0.5:0", "10.0.0.9:80", [1.0, 9.0]),
    ];
    assert_eq!(remotes(two.concat()), ["10.0.0.9@web-1"]);
}

#[test]
fn a_name_of_one_network_is_not_lent_to_another() {
    let mut events = [
        dials(1, "10.0.0.5:0", DB, [1.0, 9.0]),
        dials(2, "10.0.0.5:0", DB, [2.0, 8.0]),
    ]
    .concat();
    for event in &mut events {
        if let Body::Connect(it) | Body::Close(it) = &mut event.body
            && it.connection.netns == 2
        {
            it.connection.name = Some(Arc::new(Name {
                called: Called::One {
                    name: "db.two".into(),
                    canonical: None,
                },
                source: NameSource::Dns,
            }));
        }
    }
    assert_eq!(
        remotes(events),
        ["10.0.0.9@web-1~1", "10.0.0.9@web-1~2", "db.two"]
    );
}
