//! What is known with a time: who a connection or an attempt was meant for, and of what use listeners are.

use super::*;
use crate::{
    ask::{Doubt, idle::idle, impact},
    model::{Address, LedPast, Listener, ListeningAt, ServedBy},
};

/// Of one host, `web-1`.
fn tell(time: f64, body: Body) -> Event {
    Event {
        time: at(time),
        host: host("web-1"),
        body,
    }
}

fn socket(name: &str, local: &str, netns: u32, found: bool) -> ListenerEvent {
    ListenerEvent {
        listener: Listener {
            local: address(local),
            backlog: None,
            netns,
        },
        process: Some(unit(name, 20)),
        evidence: Evidence {
            process: match found {
                true => ProcessEvidence::Scan,
                false => ProcessEvidence::Hook,
            },
            direction: None,
            end: None,
        },
    }
}

pub(super) fn listens(name: &str, local: &str, netns: u32, time: f64) -> Event {
    tell(time, Body::Listen(socket(name, local, netns, false)))
}

pub(super) fn is_found(name: &str, local: &str, netns: u32, time: f64) -> Event {
    tell(time, Body::Listen(socket(name, local, netns, true)))
}

pub(super) fn stops(name: &str, local: &str, netns: u32, time: f64) -> Event {
    tell(time, Body::Unlisten(socket(name, local, netns, false)))
}

/// A client on `web-1`, in network namespace 1.
pub(super) fn client(n: u64, name: &str, local: &str, remote: &str) -> End {
    End {
        host: host("web-1"),
        id: n,
        handshake: Some(n),
        direction: Some(Direction::Outbound),
        local: Address::from(address(local)).with_port((40_000 + n % 20_000) as u16),
        remote: address(remote),
        process: Some(unit(name, 10)),
        existing: false,
    }
}

/// The other end of it, as `name` has it.
pub(super) fn server(client: &End, name: Option<&str>) -> End {
    End {
        id: 1_000_000 + client.id,
        direction: Some(Direction::Inbound),
        local: client.remote,
        remote: client.local,
        process: name.map(|name| unit(name, 30)),
        ..client.clone()
    }
}

pub(super) fn of_netns(mut event: Event, netns: u32) -> Event {
    if let Body::Connect(it) | Body::Accept(it) | Body::Close(it) | Body::Fail(it) = &mut event.body
    {
        it.connection.netns = netns;
    }
    event
}

/// A connection of which the client's end alone is told.
pub(super) fn half_open(n: u64, name: &str, local: &str, remote: &str, time: f64) -> [Event; 2] {
    let client = client(n, name, local, remote);
    [client.opens(time), client.closes(time + 0.01, 0, 0)]
}

fn failed(reason: Reason, n: u64, local: &str, remote: &str, time: f64) -> Event {
    client(n, "app.service", local, remote).fails(time, reason)
}

/// Turned away in `netns`, as that says itself.
fn turned_away(reason: Reason, n: u64, remote: &str, netns: u32, time: f64) -> Event {
    let client = client(n, "app.service", "10.0.0.5:0", remote);
    let mut event = server(&client, None).fails(time, reason);
    if let Body::Fail(it) = &mut event.body {
        it.evidence.process = ProcessEvidence::Unknown;
    }
    of_netns(event, netns)
}

/// The edges alone, by names.
pub(super) fn told(events: &[Event]) -> Vec<String> {
    edges(&map_of(events)).into_keys().collect()
}

pub(super) fn node<'a>(view: &'a View, name: &str) -> &'a crate::model::Node {
    let mut nodes = view.nodes.iter();
    nodes
        .find(|it| &*it.name == name)
        .expect("a node of that name")
}

pub(super) fn listener(view: &View, name: &str) -> ListeningAt {
    node(view, name).listeners[0].clone()
}

fn unused(view: &View) -> Vec<(String, u16)> {
    let found = idle(view, None).found.listeners;
    let mut found: Vec<_> = found
        .iter()
        .map(|it| (it.who.name.to_string(), it.port))
        .collect();
    found.sort();
    found
}

#[test]
fn a_handshake_that_nobody_accepts_is_of_who_listens() {
    let checks = |local: &str, remote: &str| -> Vec<Event> {
        let time = |n| 2.0 + n as f64;
        let checks = (0..5).flat_map(|n| half_open(n, "proxy.service", local, remote, time(n)));
        checks.collect()
    };
    for (local, remote, listens_at) in [
        ("127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1:0", "127.0.0.2:8080", "0.0.0.0:8080"),
        ("127.0.0.1:0", "127.0.0.1:8080", "[::]:8080"),
        ("[::1]:0", "[::1]:8080", "[::]:8080"),
        // Its own, though it is no loopback address.
        ("10.0.0.5:0", "10.0.0.5:8080", "0.0.0.0:8080"),
        ("[fe80::5%2]:0", "[fe80::5%2]:8080", "[::]:8080"),
        ("[fe80::5%2]:0", "[fe80::5%2]:8080", "[fe80::5%2]:8080"),
    ] {
        let listens = listens("hung.service", listens_at, 1, 1.0);
        let found = is_found("hung.service", listens_at, 1, 1.5);
        let checks = checks(local, remote);
        let orders = [
            [&[listens.clone()][..], &checks].concat(),
            [&checks[..], &[listens]].concat(),
            [&[found.clone()][..], &checks].concat(),
            [&checks[..], &[found]].concat(),
        ];
        for events in orders {
            let view = map_of(&events);
            let known = "proxy.service -> hung.service:8080".to_owned();
            assert_eq!(edges(&view), [(known, (5, 5, 0))].into(), "{remote}");
            let evidence = &only(&view).evidence;
            assert_eq!((evidence.ends, evidence.client_only), (SeenBy::Client, 5));
            assert_eq!(evidence.server_process, [("listener", 5)].into());
            assert_eq!(listener(&view, "hung.service").connections, 5);
            assert_eq!((unused(&view), view.strays.len()), (Vec::new(), 0));
        }
    }
}

#[test]
fn a_listener_of_another_address_family_link_or_namespace_is_not_meant() {
    for (local, remote, listens_at, netns) in [
        ("127.0.0.1:0", "127.0.0.1:8080", "127.0.0.2:8080", 1),
        ("127.0.0.1:0", "127.0.0.1:8080", "[::1]:8080", 1),
        ("[::1]:0", "[::1]:8080", "0.0.0.0:8080", 1),
        ("127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:8081", 1),
        ("127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:8080", 2),
        ("[fe80::5%2]:0", "[fe80::9%2]:8080", "[fe80::9%3]:8080", 1),
        ("[fe80::5%2]:0", "[fe80::9%2]:8080", "[fe80::9%2]:8080", 2),
        // Who has that address is not known.
        ("10.0.0.5:0", "10.0.0.9:8080", "0.0.0.0:8080", 2),
    ] {
        let mut events = vec![listens("other.service", listens_at, netns, 1.0)];
        events.extend(half_open(1, "app.service", local, remote, 2.0));
        let full = failed(Reason::TimedOut, 2, local, remote, 3.0);
        events.push(full);
        let view = map_of(&events);
        assert_eq!(node(&view, "other.service").listeners[0].connections, 0);
        assert_eq!(
            view.nodes[only(&view).server].kind,
            NodeKind::Remote,
            "{remote}"
        );
    }
}

#[test]
fn what_hangs_in_another_namespace_is_who_listens_at_its_address() {
    let call = half_open(1, "app.service", "10.0.0.5:0", "10.0.0.9:8080", 3.0);
    let known = ["app.service -> hung.service:8080"];
    let remote = ["app.service -> 10.0.0.9:8080"];
    let exact = [listens("hung.service", "10.0.0.9:8080", 2, 1.0)];
    assert_eq!(told(&[&exact[..], &call].concat()), known);
    // With a socket for all addresses it is what was seen there that says so.
    let any = [listens("hung.service", "0.0.0.0:8080", 2, 1.0)];
    let dials = |n, netns, time| {
        let end = client(n, "hung.service", "10.0.0.9:0", "10.0.0.1:53");
        of_netns(end.opens(time), netns)
    };
    let of = |more: &[Event]| {
        let edges = told(&[&any[..], &call, more].concat());
        edges
            .into_iter()
            .filter(|it| it.ends_with("8080"))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&[dials(2, 2, 2.0)]), known);
    assert_eq!(of(&[]), remote);
    // It came there later; two had it; it may have been at either.
    assert_eq!(of(&[dials(2, 2, 4.0)]), remote);
    assert_eq!(
        of(&[dials(2, 2, 2.0), dials(3, 3, 2.5)]),
        known.map(|_| remote[0])
    );
    assert_eq!(of(&[dials(2, 2, 2.0), dials(3, 3, 4.0)]), remote);
}

#[test]
fn hosts_that_are_strangers_do_not_listen_for_each_other() {
    let far = |mut event: Event| {
        event.host = host("db-1");
        event
    };
    let hung = far(listens("hung.service", "10.0.0.9:8080", 1, 1.0));
    let call = half_open(1, "app.service", "10.0.0.5:0", "10.0.0.9:8080", 3.0);
    let alone = [&[hung.clone()][..], &call].concat();
    assert_eq!(told(&alone), ["app.service -> 10.0.0.9:8080"]);
    // They are neighbours, as another connection shows.
    let (here, there) = pair(7);
    let events = [&[here.opens(2.0), there.opens(2.0)][..], &alone].concat();
    assert_eq!(
        told(&events),
        ["app.service -> hung.service:8080", APP_TO_DB]
    );
}

#[test]
fn a_failure_is_of_the_socket_that_would_have_taken_it() {
    let full = |remote, time| turned_away(Reason::AcceptQueueFull, 1, remote, 1, time);
    let dialled = "10.0.0.9:80";
    // Who listened last on that port is `last`, wherever.
    for (first, last, meant) in [
        ("10.0.0.9:80", "127.0.0.1:80", "first"),
        ("10.0.0.9:80", "0.0.0.0:80", "first"),
        ("10.0.0.9:80", "[::]:80", "first"),
        ("0.0.0.0:80", "[::]:80", "first"),
        ("0.0.0.0:80", "10.0.0.8:80", "first"),
        ("[::]:80", "10.0.0.9:80", "last"),
        ("0.0.0.0:80", "10.0.0.9:80", "last"),
    ] {
        let view = map_of(&[
            listens("first", first, 1, 1.0),
            listens("last", last, 1, 2.0),
            full(dialled, 3.0),
        ]);
        let expected = format!("10.0.0.5 -> {meant}:80");
        assert_eq!(
            edges(&view),
            [(expected, (0, 0, 1))].into(),
            "{first} {last}"
        );
        assert_eq!(
            only(&view).evidence.server_process,
            [("listener", 1)].into()
        );
    }
}

#[test]
fn what_nobody_listens_for_is_of_who_did_before_or_else_of_who_did_first() {
    let life = [
        listens("old.service", "0.0.0.0:80", 1, 1.0),
        stops("old.service", "0.0.0.0:80", 1, 2.0),
        listens("new.service", "10.0.0.9:80", 1, 4.0),
        stops("new.service", "10.0.0.9:80", 1, 5.0),
    ];
    let refused = |time| turned_away(Reason::NotListening, 1, "10.0.0.9:80", 1, time);
    let of = |times: [f64; 2], who: &str| {
        for time in times {
            let mut events = life.to_vec();
            events.push(refused(time));
            assert_eq!(told(&events), [format!("10.0.0.5 -> {who}:80")], "{time}");
            events.reverse();
            assert_eq!(told(&events), [format!("10.0.0.5 -> {who}:80")], "{time}");
        }
    };
    of([2.5, 3.9], "old.service");
    of([5.1, 9.0], "new.service");
    // A client that starts before its server means that one.
    of([0.1, 0.9], "old.service");
    // Who listens at that time turns nobody away for that reason.
    of([1.1, 1.9], "unknown");
}

#[test]
fn a_healthy_service_is_not_blamed_for_what_another_family_refused() {
    let refused = failed(Reason::Refused, 1, "127.0.0.1:0", "127.0.0.1:80", 3.0);
    let only_ipv6 = listens("healthy.service", "[::]:80", 1, 1.0);
    let before = [
        listens("dead.service", "0.0.0.0:80", 1, 1.0),
        stops("dead.service", "0.0.0.0:80", 1, 2.0),
    ];
    let alone = [only_ipv6.clone(), refused.clone()];
    assert_eq!(told(&alone), ["app.service -> 127.0.0.1:80"]);
    let events = [&before[..], &[only_ipv6, refused]].concat();
    assert_eq!(told(&events), ["app.service -> dead.service:80"]);
}

#[test]
fn a_failure_stays_where_the_address_was_at_its_time() {
    let before = [turned_away(Reason::NotListening, 1, "10.0.0.9:80", 2, 2.0)];
    let attempt = [failed(Reason::Refused, 1, "10.0.0.5:0", "10.0.0.9:80", 2.0)];
    // Then the address is in another namespace, where somebody serves it.
    let call = client(5, "app.service", "10.0.0.5:0", "10.0.0.9:80");
    let later = [
        listens("later.service", "10.0.0.9:80", 3, 3.0),
        call.opens(4.0),
        of_netns(server(&call, Some("later.service")).opens(4.0), 3),
    ];
    let blamed = |events: &[&[Event]]| {
        let view = map_of(&events.concat());
        let failed = view.edges.iter().filter(|it| it.failures() > 0);
        let servers = failed.map(|it| view.nodes[it.server].name.to_string());
        servers.collect::<Vec<_>>()
    };
    assert_eq!(blamed(&[&before, &attempt, &later]), ["10.0.0.9"]);
    assert_eq!(blamed(&[&attempt, &later]), ["10.0.0.9"]);
    assert_eq!(blamed(&[&later, &attempt, &before]), ["10.0.0.9"]);
    assert_eq!(blamed(&[&before, &later]), ["unknown"]);
    // And who served it before it moved has nothing to do with what fails after.
    let after = [failed(Reason::Refused, 9, "10.0.0.5:0", "10.0.0.9:80", 8.0)];
    assert_eq!(blamed(&[&later, &after]), ["later.service"]);
    let moved = {
        let end = client(6, "other.service", "10.0.0.9:0", "10.0.0.1:53");
        [of_netns(end.opens(7.0), 4)]
    };
    assert_eq!(blamed(&[&later, &moved, &after]), ["10.0.0.9"]);
    // What it fails before it is seen elsewhere is of who served it last.
    let restarted = {
        let end = client(6, "other.service", "10.0.0.9:0", "10.0.0.1:53");
        [of_netns(end.opens(9.0), 4)]
    };
    assert_eq!(blamed(&[&later, &after, &restarted]), ["later.service"]);
}

#[test]
fn who_shares_a_port_is_not_guessed() {
    let events = [
        listens("one.service", "127.0.0.1:80", 1, 1.0),
        listens("two.service", "127.0.0.1:80", 1, 1.1),
    ];
    let call = half_open(1, "app.service", "127.0.0.1:0", "127.0.0.1:80", 2.0);
    let view = map_of(&[&events[..], &call].concat());
    assert!(edges(&view).contains_key("app.service -> 127.0.0.1:80"));
    // Either may have been used.
    assert_eq!(unused(&view), []);
}

#[test]
fn a_run_tells_anew_who_listens() {
    let full = |time| turned_away(Reason::AcceptQueueFull, 1, "10.0.0.9:80", 1, time);
    let runs = [
        tell(0.0, start()),
        listens("old.service", "0.0.0.0:80", 1, 1.0),
        tell(5.0, start()),
        is_found("new.service", "0.0.0.0:80", 1, 5.5),
    ];
    let truth = [
        (-0.5, "unknown"),
        (0.5, "unknown"),
        (2.0, "old.service"),
        (5.1, "new.service"),
    ];
    for (time, who) in truth {
        let events = [&runs[..], &[full(time)]].concat();
        assert_eq!(told(&events), [format!("10.0.0.5 -> {who}:80")], "{time}");
    }
    let found = [
        tell(1.0, start()),
        is_found("old.service", "0.0.0.0:80", 1, 1.5),
    ];
    for time in [0.5, 1.2, 3.0] {
        let events = [&found[..], &[full(time)]].concat();
        assert_eq!(told(&events), ["10.0.0.5 -> old.service:80"], "{time}");
    }
    let view = map_of(&runs);
    assert_eq!(view.nodes.len(), 1, "old.service is gone: {:?}", view.nodes);
    assert_eq!(listener(&view, "new.service").since, None);
}

#[test]
fn what_an_owner_leaves_its_holder_has() {
    let life = [
        is_found("parent.service", "127.0.0.1:80", 1, 1.0),
        stops("parent.service", "127.0.0.1:80", 1, 3.0),
        is_found("child.service", "127.0.0.1:80", 1, 3.5),
    ];
    for (time, who) in [
        (0.5, "parent"),
        (2.0, "parent"),
        (3.2, "child"),
        (9.0, "child"),
    ] {
        let call = half_open(1, "app.service", "127.0.0.1:0", "127.0.0.1:80", time);
        let events = [&life[..], &call].concat();
        assert_eq!(
            told(&events),
            [format!("app.service -> {who}.service:80")],
            "{time}"
        );
    }
}

#[test]
fn a_socket_that_ends_as_nobodys_no_longer_listens() {
    let mut ends = socket("one.service", "127.0.0.1:80", 1, false);
    ends.process = None;
    let view = map_of(&[
        listens("one.service", "127.0.0.1:80", 1, 1.0),
        tell(2.0, Body::Unlisten(ends)),
    ]);
    assert_eq!(view.nodes, []);
}

/// `mgr` listens; `client` comes in, and `name` has it.
fn activated(name: &str) -> Vec<Event> {
    let mut events = vec![listens("mgr.service", "127.0.0.1:7000", 1, 1.0)];
    for n in 0..5 {
        let client = client(n, "client.service", "127.0.0.1:0", "127.0.0.1:7000");
        let server = server(&client, Some(name));
        let time = 2.0 + n as f64;
        events.extend([client.opens(time), server.opens(time)]);
        events.extend([
            client.closes(time + 0.5, 1, 1),
            server.closes(time + 0.5, 1, 1),
        ]);
    }
    events
}

#[test]
fn use_is_of_the_listener_whoever_accepts() {
    let mut events = activated("app.service");
    events.push(listens("idle.service", "127.0.0.1:7001", 1, 1.0));
    let view = map_of(&events);
    let used = listener(&view, "mgr.service");
    assert_eq!((used.connections, used.live), (5, 0));
    assert_eq!((used.since, used.last_used), (Some(at(1.0)), Some(at(6.5))));
    let server = node(&view, "app.service").id.clone();
    assert_eq!(
        used.served_by,
        [ServedBy {
            server,
            connections: 5,
            last_used: at(6.5)
        }]
    );
    assert_eq!(unused(&view), [("idle.service".to_owned(), 7001)]);
    assert!(
        !idle(&view, None)
            .proof
            .doubts
            .iter()
            .any(|it| matches!(it, Doubt::Strays { .. }))
    );
    let manager = node(&view, "mgr.service").id.clone();
    assert_eq!(only(&view).evidence.listeners, [(manager, 5)].into());

    let index = |name| view.nodes.iter().position(|it| &*it.name == name);
    let asked = [index("mgr.service").expect("it listens")];
    let answer = impact::impact(&view, &asked, impact::Way::Dependents, None).found;
    let names = |it: &impact::Reached| (it.who.name.to_string(), it.connections);
    let reached: Vec<_> = answer.reached.iter().map(names).collect();
    assert_eq!(reached, [("client.service".to_owned(), 5)]);
    let served = answer
        .served_by
        .iter()
        .map(|it| (&*it.who.name, it.port, it.connections));
    assert_eq!(served.collect::<Vec<_>>(), [("app.service", Some(7000), 5)]);
    let asked = [index("client.service").expect("it dials")];
    let answer = impact::impact(&view, &asked, impact::Way::Dependencies, None).found;
    assert_eq!(answer.reached.len(), 2);

    // Who accepts by its own socket needs no other.
    let view = map_of(&activated("mgr.service"));
    assert!(only(&view).evidence.listeners.is_empty());
    assert!(listener(&view, "mgr.service").served_by.is_empty());
}

#[test]
fn what_is_open_came_in_by_a_socket_that_is_closed_since() {
    let client = client(1, "client.service", "127.0.0.1:41001", "127.0.0.1:7000");
    let server = server(&client, Some("app.service"));
    let stops = {
        let mut it = listens("mgr.service", "127.0.0.1:7000", 1, 10.0);
        it.body = match it.body {
            Body::Listen(it) => Body::Unlisten(it),
            other => other,
        };
        it
    };
    let events = [
        listens("mgr.service", "127.0.0.1:7000", 1, 1.0),
        client.opens(2.0),
        server.opens(2.1),
        stops,
        client.closes(30.0, 1, 1),
        server.closes(30.1, 1, 1),
    ];
    let came_by = |since: f64| {
        let options = Options {
            since: Some(at(since)),
            ..Options::ONE_HOST
        };
        let view = map_with(options, &events);
        let edge = only(&view);
        let name = |id: &str| {
            &*view
                .nodes
                .iter()
                .find(|it| *it.id == *id)
                .expect("it is there")
                .name
        };
        let all = edge.evidence.listeners.iter();
        all.map(|(id, times)| (name(id).to_owned(), *times))
            .collect::<Vec<_>>()
    };
    for since in [0.0, 5.0, 20.0] {
        assert_eq!(came_by(since), [("mgr.service".to_owned(), 1)], "{since}");
    }
}

#[test]
fn a_port_that_passes_to_another_is_used_by_either_at_its_time() {
    let call = |n, time| {
        let client = client(n, "client.service", "127.0.0.1:0", "127.0.0.1:7000");
        let server = server(&client, Some("app.service"));
        [client.opens(time), server.opens(time)]
    };
    // First it listens itself, and then by a manager.
    let life = [
        listens("app.service", "127.0.0.1:7000", 1, 1.0),
        stops("app.service", "127.0.0.1:7000", 1, 3.0),
        listens("mgr.service", "127.0.0.1:7000", 1, 4.0),
    ];
    let before = [&life[..], &call(1, 2.0)].concat();
    assert_eq!(unused(&map_of(&before)), [("mgr.service".to_owned(), 7000)]);
    // What is open for long does not come in again.
    let client = client(1, "client.service", "127.0.0.1:0", "127.0.0.1:7000");
    let mut closes = server(&client, Some("app.service")).closes(9.0, 1, 1);
    if let Body::Close(it) = &mut closes.body {
        it.connection.opened = Some(at(2.0));
    }
    let lives_on = [&before[..], &[closes]].concat();
    assert_eq!(
        unused(&map_of(&lives_on)),
        [("mgr.service".to_owned(), 7000)]
    );
    let after = [&before[..], &call(2, 5.0)].concat();
    assert_eq!(unused(&map_of(&after)), []);
}

#[test]
fn a_listener_that_is_gone_is_known_to_whom_came_in_by_it() {
    let mut events = activated("app.service");
    events.push(stops("mgr.service", "127.0.0.1:7000", 1, 9.0));
    let view = map_of(&events);
    let at = view.nodes.iter().position(|it| &*it.name == "mgr.service");
    let asked = [at.expect("it is a node")];
    let answer = impact::impact(&view, &asked, impact::Way::Dependents, None).found;
    assert_eq!(answer.reached.len(), 1);
}

#[test]
fn what_came_in_by_no_known_listener_may_have_used_any() {
    let strays = |events: &[Event]| {
        let answer = idle(&map_of(events), None);
        let doubt = |it: &Doubt| matches!(it, Doubt::Strays { .. });
        let strays: Vec<_> = answer.proof.doubts.into_iter().filter(doubt).collect();
        assert!(strays.is_empty() || !answer.proof.proven);
        strays
    };
    let proxy = [listens("proxy.service", "0.0.0.0:15001", 1, 1.0)];
    let call = client(1, "app.service", "10.0.0.5:0", "203.0.113.9:443");
    let taken = |netns| {
        let end = End {
            host: host("web-1"),
            remote: address("10.0.0.77:5000"),
            ..server(&call, Some("proxy.service"))
        };
        [of_netns(end.opens(2.0), netns)]
    };
    let doubt = [Doubt::Strays {
        host: "web-1".to_owned(),
        connections: 1,
    }];
    assert_eq!(strays(&[&proxy[..], &taken(1)].concat()), doubt);
    // Another namespace has its own.
    assert_eq!(strays(&[&proxy[..], &taken(2)].concat()), []);
    assert_eq!(strays(&proxy), []);
    // A socket that was closed after it had taken the connection is known, and one that was before the
    // start is not.
    let closed = [
        listens("proxy.service", "0.0.0.0:443", 1, 1.0),
        stops("proxy.service", "0.0.0.0:443", 1, 3.0),
    ];
    assert_eq!(strays(&[&proxy[..], &closed, &taken(1)].concat()), []);
    // Somebody answered within the namespace, and nobody knows who.
    let call = half_open(3, "app.service", "127.0.0.1:0", "127.0.0.1:9999", 2.0);
    assert_eq!(strays(&[&proxy[..], &call].concat()).len(), 1);
}

#[test]
fn what_a_translation_leads_past_a_listener_is_told_with_it() {
    let socket = [listens("docker-proxy", "0.0.0.0:8080", 1, 1.0)];
    let call = client(1, "app.service", "10.0.0.5:0", "172.17.0.2:80");
    let mut opens = call.opens(2.0);
    if let Body::Connect(it) = &mut opens.body {
        it.connection.ends.remote = address("10.0.0.5:8080");
        it.connection.translation = Some(Box::new(Translation {
            dialled: address("10.0.0.5:8080"),
            server: address("172.17.0.2:80"),
            evidence: AddressEvidence::Conntrack,
        }));
    }
    let web = [of_netns(server(&call, Some("web")).opens(2.0), 2), {
        let mut event = listens("web", "0.0.0.0:80", 2, 1.0);
        event.host = host("web-1");
        event
    }];
    let view = map_of(&[&socket[..], &[opens], &web].concat());
    let proxy = listener(&view, "docker-proxy");
    let past = LedPast {
        client: node(&view, "app.service").id.clone(),
        dialled: Address::from(address("10.0.0.5:8080")),
        server: node(&view, "web").id.clone(),
        port: Some(80),
        connections: 1,
        last_used: at(2.0),
    };
    assert_eq!((proxy.connections, &proxy.led_past[..]), (0, &[past][..]));
    assert!(listener(&view, "web").led_past.is_empty());
    let answer = idle(&view, None).found;
    assert_eq!(answer.listeners.len(), 1);
    assert_eq!(&*answer.listeners[0].led_past[0].server.name, "web");
}

#[test]
fn where_nobody_used_the_address_the_only_listener_of_that_port_is_led_past() {
    let past = |sockets: &[&str]| {
        let call = client(1, "app.service", "10.69.0.2:0", "10.68.0.2:80");
        let mut opens = call.opens(2.0);
        if let Body::Connect(it) = &mut opens.body {
            it.connection.translation = Some(Box::new(Translation {
                dialled: address("10.69.0.1:8080"),
                server: address("10.68.0.2:80"),
                evidence: AddressEvidence::Conntrack,
            }));
        }
        let web = of_netns(server(&call, Some("web")).opens(2.0), 3);
        let mut events = vec![listens("web", "10.68.0.2:80", 3, 1.0), opens, web];
        for (netns, local) in sockets.iter().enumerate() {
            events.push(listens("docker-proxy", local, 10 + netns as u32, 1.0));
        }
        let view = map_of(&events);
        let listeners = &node(&view, "docker-proxy").listeners;
        listeners.iter().flat_map(|it| &it.led_past).count()
    };
    assert_eq!(past(&["0.0.0.0:8080"]), 1);
    assert_eq!(past(&["[::]:8080"]), 1);
    assert_eq!(past(&["0.0.0.0:8080", "[::]:8080"]), 1);
    assert_eq!(past(&["0.0.0.0:8081"]), 0);
    assert_eq!(past(&["127.0.0.1:8080"]), 0);
    // Which of the two it is nobody knows.
    assert_eq!(past(&["0.0.0.0:8080", "0.0.0.0:8080"]), 0);
}

#[test]
fn a_client_that_sees_no_translation_is_led_past_as_well() {
    let far = |mut event: Event| {
        event.host = host("db-1");
        event
    };
    // Both hosts know 10.0.0.9 as the same machine.
    let (here, there) = pair(7);
    let events = [
        far(listens("docker-proxy", "10.0.0.9:8080", 1, 1.0)),
        far(listens("web", "0.0.0.0:80", 2, 1.0)),
        here.opens(2.0),
        there.opens(2.0),
    ];
    let call = client(1, "app.service", "10.0.0.5:0", "10.0.0.9:8080");
    let web = End {
        local: address("172.17.0.2:80"),
        ..server(&call, Some("web"))
    };
    let ends = [call.opens(3.0), far(of_netns(web.opens(3.0), 2))];
    let view = map_with(Options::SEVERAL_HOSTS, &[&events[..], &ends].concat());
    let proxy = listener(&view, "docker-proxy");
    assert_eq!((proxy.connections, proxy.led_past.len()), (0, 1));
    assert_eq!(listener(&view, "web").connections, 1);
}

#[test]
fn handshakes_elsewhere_that_nobody_answered_are_a_doubt() {
    let events = [listens("app.service", "0.0.0.0:8080", 2, 1.0)];
    let check = |remote| half_open(1, "proxy.service", "10.0.0.5:0", remote, 2.0);
    let doubts = |remote| {
        let view = map_of(&[&events[..], &check(remote)].concat());
        let doubts = idle(&view, None).proof.doubts.into_iter();
        let here =
            doubts.filter(|it| matches!(it, Doubt::Unanswered { .. } | Doubt::Strays { .. }));
        here.collect::<Vec<_>>()
    };
    assert_eq!(
        doubts("10.0.0.9:8080"),
        [Doubt::Unanswered { connections: 1 }]
    );
    assert_eq!(doubts("10.0.0.9:8081"), []);
}

#[test]
fn what_one_end_told_is_counted_once_however_much_it_is() {
    const MANY: u64 = halves::MAX_ALONE as u64 + 10_000;
    let mut map = Map::new(Options::ONE_HOST);
    map.push(&listens("hung.service", "127.0.0.1:8080", 1, 0.5));
    for n in 0..MANY {
        let time = 1.0 + n as f64 / 1e3;
        let remote = if n % 2 == 0 {
            "127.0.0.1:8080"
        } else {
            "203.0.113.9:443"
        };
        let end = client(n, "proxy.service", "127.0.0.1:0", remote);
        map.push(&end.opens(time));
        map.push(&end.closes(time + 1e-4, 0, 0));
    }
    let edges = edges(&check(&map.view()));
    let half = (MANY / 2, MANY / 2, 0);
    assert_eq!(edges["proxy.service -> hung.service:8080"], half);
    assert_eq!(edges["proxy.service -> 203.0.113.9:443"], half);
    assert_eq!(edges.len(), 2);
    assert!(map.view().coverage[0].cut.is_nothing());
}

#[test]
fn a_thousand_listeners_more_are_known() {
    let mut map = Map::new(Options::ONE_HOST);
    for port in 1..=3_000 {
        map.push(&listens("many.service", &format!("0.0.0.0:{port}"), 1, 1.0));
    }
    assert_eq!(node(&map.view(), "many.service").listeners.len(), 3_000);
}

/// What the events of a small world may be, each with its time.
fn happening() -> impl Strategy<Value = (u8, u8, u8, u8)> {
    (0..8_u8, 0..3_u8, 0..3_u8, 0..3_u8)
}

proptest! {
    /// Whatever is told late counts for its own time.
    #[test]
    fn the_order_of_telling_changes_nothing(
        world in prop::collection::vec((happening(), any::<u16>()), 1..30),
    ) {
        let mut events = Vec::new();
        for (n, ((what, who, place, netns), _)) in world.iter().enumerate() {
            let n = n as u64;
            let time = 1.0 + n as f64 / 4.0;
            let name = ["one.service", "two.service", "three.service"][usize::from(*who)];
            let sockets = ["0.0.0.0:80", "10.0.0.9:80", "[::]:80"];
            let local = sockets[usize::from(*place)];
            let netns = 1 + u32::from(*netns);
            let remote = ["127.0.0.1:80", "10.0.0.9:80", "10.0.0.5:80"][usize::from(*place)];
            let from = if *place == 0 { "127.0.0.1:0" } else { "10.0.0.5:0" };
            let call = client(n, "app.service", from, remote);
            match what {
                0 => events.push(listens(name, local, netns, time)),
                1 => events.push(stops(name, local, netns, time)),
                2 => events.push(is_found(name, local, netns, time)),
                3 => events.push(turned_away(Reason::NotListening, n, remote, netns, time)),
                4 => events.push(turned_away(Reason::AcceptQueueFull, n, remote, netns, time)),
                5 => events.push(call.fails(time, Reason::Refused)),
                6 => events.extend([call.opens(time), call.closes(time + 0.1, 0, 0)]),
                _ => {
                    let server = server(&call, Some(name));
                    events.extend([call.opens(time), of_netns(server.opens(time), netns)]);
                }
            }
        }
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|at| (world[at % world.len()].1, *at));
        let mixed: Vec<Event> = order.iter().map(|at| events[*at].clone()).collect();
        let patient = Options { patience: Duration::from_secs(3_600), ..Options::ONE_HOST };
        let [one, other] = [events, mixed].map(|events| {
            let view = map_with(patient, &events);
            let listeners: Vec<_> = view
                .nodes
                .iter()
                .map(|it| (it.id.clone(), it.listeners.clone()))
                .collect();
            (edges(&view), listeners, view.strays)
        });
        prop_assert_eq!(one, other);
    }
}

#[test]
fn the_address_of_a_socket_is_one_that_its_namespace_has() {
    let any = Address::from(address("0.0.0.0:80"));
    assert!(any.ip().is_unspecified());
    // It says nothing of who has an address.
    let call = half_open(1, "app.service", "10.0.0.5:0", "10.0.0.9:80", 3.0);
    let any = [listens("any.service", "0.0.0.0:80", 2, 1.0)];
    assert_eq!(
        told(&[&any[..], &call].concat()),
        ["app.service -> 10.0.0.9:80"]
    );
}

/// Sockets of a small host, as its kernel has them: who takes what, and who took it last.
#[derive(Default)]
struct Kernel {
    /// By network namespace and address, both as numbers.
    sockets: BTreeMap<(u32, usize), &'static str>,
    /// The network namespace that has 10.0.0.9.
    owner: u32,
    last: BTreeMap<(u32, &'static str), &'static str>,
    /// Connections by socket.
    took: BTreeMap<(u32, usize, &'static str), u64>,
}

const SOCKETS: [&str; 4] = ["0.0.0.0:80", "10.0.0.9:80", "[::]:80", "127.0.0.1:80"];
const SERVICES: [&str; 3] = ["one.service", "two.service", "three.service"];

impl Kernel {
    fn taker(&self, netns: u32, dialled: &str) -> Option<(usize, &'static str)> {
        let exact = SOCKETS.iter().position(|it| *it == dialled)?;
        let mut order = [exact, 0, 2].into_iter();
        order.find_map(|at| Some((at, *self.sockets.get(&(netns, at))?)))
    }

    fn remember(&mut self) {
        for netns in [1, 2] {
            for dialled in ["127.0.0.1:80", "10.0.0.9:80"] {
                if let Some((_, name)) = self.taker(netns, dialled) {
                    self.last.insert((netns, dialled), name);
                }
            }
        }
    }
}

proptest! {
    /// Whoever is named is who it was, and no listener that was used seems to be unused.
    #[test]
    fn nobody_is_named_who_was_not_meant(
        steps in prop::collection::vec((0..6_u8, 0..3_usize, 0..4_usize, 1..3_u32, 0..3_u8), 1..40),
        turned: bool,
    ) {
        let mut kernel = Kernel { owner: 1, ..Kernel::default() };
        let mut events = Vec::new();
        // Who may be named for what each client dialled; the first must be, where that is its own namespace.
        let mut meant: BTreeMap<String, (Option<&str>, bool)> = BTreeMap::new();
        let mut early: Vec<(String, u32, &str)> = Vec::new();
        let lives = |n: u64, netns: u32, time: f64| {
            let end = client(n, "resolver.service", "10.0.0.9:0", "203.0.113.1:53");
            of_netns(end.opens(time), netns)
        };
        events.push(lives(5_000, 1, 0.5));
        for (n, (what, who, socket, netns, told)) in steps.into_iter().enumerate() {
            let (id, time) = (n as u64, 1.0 + n as f64);
            let (name, local) = (SERVICES[who], SOCKETS[socket]);
            let caller = format!("client{n}.service");
            match what {
                // Nobody binds to an address of another namespace.
                0 if !kernel.sockets.contains_key(&(netns, socket))
                    && (socket != 1 || kernel.owner == netns) =>
                {
                    kernel.sockets.insert((netns, socket), name);
                    events.push(listens(name, local, netns, time));
                    // Who dialled in vain before anybody listened meant the first who does.
                    early.retain(|(caller, at, dialled): &(String, u32, &str)| {
                        let first = kernel.taker(*at, dialled).map(|(_, name)| name);
                        let is_there = *dialled == "127.0.0.1:80" || kernel.owner == *at;
                        if let Some(meant) = meant.get_mut(caller).filter(|_| is_there) {
                            meant.0 = meant.0.or(first);
                        }
                        first.is_none()
                    });
                }
                1 => {
                    if let Some(name) = kernel.sockets.remove(&(netns, socket)) {
                        events.push(stops(name, local, netns, time));
                    }
                }
                2 => {
                    // Seen to leave, and to come.
                    events.push(lives(6_000 + id, kernel.owner, time - 0.3));
                    kernel.owner = netns;
                    events.push(lives(7_000 + id, netns, time));
                }
                3..6 => {
                    let (from, dialled, netns, at) = match what {
                        3 => ("127.0.0.1:0", "127.0.0.1:80", netns, netns),
                        _ => ("10.0.0.5:0", "10.0.0.9:80", 3, kernel.owner),
                    };
                    let end = client(id, &caller, from, dialled);
                    let other = server(&end, Some("child.service"));
                    let nobody = server(&end, None);
                    let taker = kernel.taker(at, dialled);
                    match taker {
                        Some((socket, name)) => {
                            *kernel.took.entry((at, socket, name)).or_default() += 1;
                            let ends = [end.opens(time), end.closes(time + 0.1, 0, 0)];
                            events.extend(ends.map(|it| of_netns(it, netns)));
                            if told == 0 && what == 5 {
                                let ends = [other.opens(time), other.closes(time + 0.1, 0, 0)];
                                events.extend(ends.map(|it| of_netns(it, at)));
                            } else {
                                meant.insert(caller, (Some(name), what == 3));
                            }
                        }
                        None => {
                            // Of several hooks either may not see it; here the client does, or both.
                            events.push(of_netns(end.fails(time, Reason::Refused), netns));
                            if turned || what != 3 {
                                let fails = nobody.fails(time, Reason::NotListening);
                                events.push(of_netns(fails, at));
                            }
                            let last = kernel.last.get(&(at, dialled)).copied();
                            if last.is_none() {
                                early.push((caller.clone(), at, dialled));
                            }
                            meant.insert(caller, (last, what == 3));
                        }
                    }
                }
                _ => {}
            }
            kernel.remember();
        }
        let patient = Options { patience: Duration::from_secs(3_600), ..Options::ONE_HOST };
        let view = map_with(patient, &events);
        for edge in &view.edges {
            let client = &*view.nodes[edge.client].name;
            let server = &*view.nodes[edge.server].name;
            let Some((name, is_sure)) = meant.get(client) else { continue };
            if *is_sure {
                prop_assert_eq!(Some(server).filter(|it| it.ends_with("service")), *name, "{}", client);
            } else if SERVICES.contains(&server) {
                prop_assert_eq!(Some(server), *name, "{}", client);
            }
        }
        let unused = idle(&view, None);
        for node in &view.nodes {
            let mut used = 0;
            for it in &node.listeners {
                let local = it.address.with_port(it.port).to_string();
                let socket = SOCKETS.iter().position(|it| *it == local).expect("a socket");
                let name = SERVICES.into_iter().find(|it| *it == &*node.name).expect("a service");
                let took = kernel.took.get(&(it.netns, socket, name));
                let took = took.copied().unwrap_or(0);
                prop_assert!(it.connections <= took, "{} {local}", node.name);
                used += took;
            }
            let claim = unused.found.listeners.iter().any(|it| it.who.id == node.id);
            prop_assert!(!claim || used == 0 || !unused.proof.proven, "{}", node.name);
        }
    }
}

/// Watching begins while a server is down: what failed then is over when it is back.
#[test]
fn a_client_that_starts_before_its_server_recovers_with_it() {
    let call = client(5, "app.service", "10.0.0.5:0", "10.0.0.9:80");
    let events = [
        turned_away(Reason::NotListening, 1, "10.0.0.9:80", 1, 1.0),
        failed(Reason::Refused, 1, "10.0.0.5:0", "10.0.0.9:80", 1.0),
        listens("late.service", "0.0.0.0:80", 1, 3.0),
        call.opens(4.0),
        server(&call, Some("late.service")).opens(4.0),
    ];
    let view = map_of(&events);
    let edge = only(&view);
    assert_eq!(
        edges(&view),
        [("app.service -> late.service:80".to_owned(), (1, 0, 1))].into()
    );
    assert_eq!(edge.state, EdgeState::Mixed);
    // Until then it is the address that fails.
    assert_eq!(told(&events[..2]), ["app.service -> 10.0.0.9:80"]);
}
