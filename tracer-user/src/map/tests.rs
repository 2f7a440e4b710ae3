//! Maps of small worlds whose truth is written beside them.

mod alike;
mod apart;
mod late;
mod outages;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::ask::{WhoError, focus};
use crate::model::specimens::{
    SECOND, at_exactly as at,
    blank::{self, address, host},
    ends::{End, unit},
};
use crate::model::{
    AddressEvidence, Called, Closer, Coverage, EdgeState, Evidence, Host, Ledger, Loss, Lost, Name,
    NameSource, NodeKind, Process, ProcessEvidence, Reason, SeenBy, Stop, Translation,
    WorkloadKind,
};
use crate::outputs::wire::map::Document;

mod bounds;
mod facts;
mod hiding;
mod realms;
mod twins;

/// The two ends of connection `n`: `app` on web-1 to PostgreSQL on db-1.
fn pair(n: u64) -> (End, End) {
    let client = End {
        host: host("web-1"),
        id: n,
        handshake: Some(n),
        direction: Some(Direction::Outbound),
        local: SocketAddr::new(address("10.0.0.5:0").ip(), 40_000 + n as u16),
        remote: address("10.0.0.9:5432"),
        process: Some(unit("app.service", 10)),
        existing: false,
    };
    let server = End {
        host: host("db-1"),
        id: 1000 + n,
        direction: Some(Direction::Inbound),
        local: client.remote,
        remote: client.local,
        process: Some(unit("postgresql.service", 20)),
        ..client.clone()
    };
    (client, server)
}

fn map_of(events: &[Event]) -> View {
    map_with(Options::ONE_HOST, events)
}

fn map_with(options: Options, events: &[Event]) -> View {
    let mut map = Map::new(options);
    for event in events {
        map.push(event);
    }
    check(&map.view())
}

/// What holds of every view.
fn check(view: &View) -> View {
    let ids: Vec<_> = view.nodes.iter().map(|node| &node.id).collect();
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
    for edge in &view.edges {
        let opened = edge.live_at_start + edge.established;
        assert!(opened >= edge.terminated, "{edge:?}");
        assert_eq!(edge.live(), opened - edge.terminated);
        assert!(edge.first_seen <= edge.last_seen);
        assert_eq!(edge.state == EdgeState::Ok, edge.failures() == 0);
    }
    document(view);
    view.clone()
}

/// The map as it is printed.
fn document(view: &View) -> serde_json::Value {
    serde_json::to_value(Document(view)).expect("JSON")
}

/// Each edge as `client -> server:port`, with what was established, terminated and failed.
fn edges(view: &View) -> BTreeMap<String, (u64, u64, u64)> {
    let edge = |it: &crate::model::Edge| {
        let port = it.port.map_or("?".to_owned(), |port| port.to_string());
        let (client, server) = (&view.nodes[it.client].name, &view.nodes[it.server].name);
        (
            format!("{client} -> {server}:{port}"),
            (it.established, it.terminated, it.failures()),
        )
    };
    view.edges.iter().map(edge).collect()
}

fn only(view: &View) -> &crate::model::Edge {
    assert_eq!(view.edges.len(), 1, "{:?}", edges(view));
    &view.edges[0]
}

const APP_TO_DB: &str = "app.service -> postgresql.service:5432";

#[test]
fn both_ends_make_one_edge_whichever_comes_first() {
    let (client, server) = pair(1);
    let (opens, accepted) = (client.opens(1.0), server.opens(1.1));
    let (closes, closed) = (client.closes(2.0, 100, 2000), server.closes(2.1, 2000, 100));
    let orders = [
        [&opens, &accepted, &closes, &closed],
        [&accepted, &opens, &closed, &closes],
        [&opens, &closes, &accepted, &closed],
        [&opens, &closes, &closed, &accepted],
    ];
    let mut views = Vec::new();
    for order in &orders[..3] {
        let view = map_of(&order.map(Clone::clone));
        assert_eq!(edges(&view), [(APP_TO_DB.to_owned(), (1, 1, 0))].into());
        let edge = only(&view);
        assert_eq!((edge.sent_bytes, edge.received_bytes), (100, 2000));
        assert_eq!(edge.retransmits, 2);
        assert_eq!(edge.evidence.ends, SeenBy::Both);
        assert_eq!(
            edge.connect_ns.map(|it| (it.count, it.max)),
            Some((1, 50_000))
        );
        assert_eq!(edge.rtt_ns.map(|it| it.count), Some(1));
        views.push(view);
    }
    assert_eq!(views[0].edges, views[1].edges);
}

#[test]
fn a_half_alone_is_an_edge_to_an_address() {
    let (client, server) = pair(1);
    let view = map_of(&[client.opens(1.0), client.closes(2.0, 1, 2)]);
    assert_eq!(
        edges(&view),
        [("app.service -> 10.0.0.9:5432".to_owned(), (1, 1, 0))].into()
    );
    assert_eq!(only(&view).evidence.ends, SeenBy::Client);
    assert_eq!(view.nodes[only(&view).server].kind, NodeKind::Remote);

    let view = map_of(&[server.opens(1.0), server.closes(2.0, 2000, 100)]);
    assert_eq!(
        edges(&view),
        [("10.0.0.5 -> postgresql.service:5432".to_owned(), (1, 1, 0))].into()
    );
    let edge = only(&view);
    // From client to server, whichever end tells.
    assert_eq!((edge.sent_bytes, edge.received_bytes), (100, 2000));
    assert_eq!(edge.evidence.ends, SeenBy::Server);
}

/// The same on a link: addresses are alike on all of them, and its interface has another index at
/// either end.
fn pair_on_link(n: u64, [here, there]: [u32; 2]) -> (End, End) {
    let (mut client, mut server) = pair(n);
    let end = |last: u8, scope: u32, port: u16| address(&format!("[fe80::{last}%{scope}]:{port}"));
    let port = client.local.port();
    (client.local, client.remote) = (end(5, here, port), end(9, here, 5432));
    (server.local, server.remote) = (end(9, there, 5432), end(5, there, port));
    (client, server)
}

#[test]
fn one_address_on_two_links_is_two_machines() {
    let mut events = Vec::new();
    for (n, scope) in [(1, 2), (2, 3)] {
        let (client, server) = pair_on_link(n, [scope, 10 + scope]);
        events.extend([client.opens(1.0), client.closes(2.0, 1, 1)]);
        events.push(
            pair_on_link(10 + n, [scope, 10 + scope])
                .0
                .fails(3.0, Reason::Refused),
        );
        events.extend([server.opens(1.0), server.closes(2.0, 1, 1)]);
    }
    let clients: Vec<Event> = events
        .iter()
        .filter(|it| it.host.name == "web-1")
        .cloned()
        .collect();
    let view = map_of(&clients);
    assert_eq!(
        edges(&view),
        [2, 3]
            .map(|scope| (format!("app.service -> fe80::9%{scope}:5432"), (1, 1, 1)))
            .into()
    );
    let ids: Vec<&str> = view.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(
        ids,
        [
            "fe80::9%2@web-1",
            "fe80::9%3@web-1",
            "web-1/systemd/app.service"
        ]
    );
    // With the servers' ends they are workloads, and what failed was of these.
    events.sort_by_key(|event| event.time);
    let view = map_of(&events);
    assert_eq!(edges(&view), [(APP_TO_DB.to_owned(), (2, 2, 2))].into());
}

#[test]
fn a_link_of_another_namespace_is_another_link() {
    let mut events = Vec::new();
    for (n, netns) in [(1, 1), (2, 77)] {
        let (client, _) = pair_on_link(n, [2, 2]);
        for mut event in [client.opens(1.0), client.closes(2.0, 1, 1)] {
            if let Body::Connect(it) | Body::Close(it) = &mut event.body {
                it.connection.netns = netns;
            }
            events.push(event);
        }
    }
    let view = map_of(&events);
    let ids: Vec<&str> = view.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(
        ids,
        [
            "fe80::9%2@web-1~1",
            "fe80::9%2@web-1~77",
            "web-1/systemd/app.service"
        ]
    );
}

#[test]
fn the_ends_of_a_link_meet_though_its_index_differs() {
    let (mut client, mut server) = pair_on_link(1, [2, 7]);
    server.host = Arc::clone(&client.host);
    for handshake in [Some(1), None] {
        for end in [&mut client, &mut server] {
            end.handshake = handshake;
            end.existing = handshake.is_none();
        }
        let opened = [client.opens(1.0), server.opens(1.0)];
        let closed = [client.closes(2.0, 1, 1), server.closes(2.0, 1, 1)];
        let view = map_of(&[opened, closed].concat());
        assert_eq!(only(&view).evidence.ends, SeenBy::Both, "{handshake:?}");
        assert_eq!(only(&view).terminated, 1);
    }
    // An attempt has no handshake.
    let failed = [
        client.fails(1.0, Reason::Refused),
        server.fails(1.0, Reason::NotListening),
    ];
    assert_eq!(only(&map_of(&failed)).failures(), 1);
}

#[test]
fn what_waited_for_its_other_end_is_counted_once() {
    let mut events = Vec::new();
    for n in 0..50 {
        let (client, server) = pair(n);
        let time = n as f64 * 0.5;
        events.extend([
            client.opens(time),
            client.closes(time + 0.1, 1, 1),
            // Most in time, some long after the other end.
            server.opens(time + 0.2),
            server.closes(time + if n % 10 == 0 { 30.0 } else { 0.3 }, 1, 1),
        ]);
    }
    events.sort_by_key(|event| event.time);
    let view = map_of(&events);
    let total: u64 = view
        .edges
        .iter()
        .map(|it| it.established + it.live_at_start)
        .sum();
    assert_eq!(edges(&view)[APP_TO_DB].0, 50);
    // However late a close comes.
    assert_eq!(total, 50, "{:?}", edges(&view));
}

#[test]
fn a_refused_attempt_belongs_to_who_served_there() {
    let (client, server) = pair(1);
    let mut events = vec![
        client.opens(1.0),
        server.opens(1.0),
        client.closes(2.0, 1, 1),
        server.closes(2.0, 1, 1),
    ];
    let refused = pair(2).0.fails(5.0, Reason::Refused);
    events.push(refused.clone());
    let view = map_of(&events);
    assert_eq!(edges(&view), [(APP_TO_DB.to_owned(), (1, 1, 1))].into());
    let edge = only(&view);
    assert_eq!(edge.state, EdgeState::Failed);
    assert_eq!(edge.failed, [(Reason::Refused, 1)].into());
    assert_eq!(
        edge.last_failure.map(|it| it.errno),
        Some(Some("ECONNREFUSED"))
    );

    let (client, server) = pair(3);
    events.extend([client.opens(6.0), server.opens(6.0)]);
    let view = map_of(&events);
    assert_eq!(only(&view).state, EdgeState::Mixed);
    assert_eq!(only(&view).live(), 1);

    // Nobody ever served there.
    let view = map_of(&[refused]);
    assert_eq!(
        edges(&view),
        [("app.service -> 10.0.0.9:5432".to_owned(), (0, 0, 1))].into()
    );
}

#[test]
fn an_attempt_that_both_ends_tell_of_is_one() {
    let (client, server) = pair(1);
    let (late_client, late_server) = pair(2);
    let turned_away = End {
        process: None,
        ..late_server
    };
    let client_says = late_client.fails(3.0, Reason::Refused);
    let server_says = turned_away.fails(3.0, Reason::NotListening);
    let before = [client.opens(1.0), server.opens(1.0)];
    for two in [[&client_says, &server_says], [&server_says, &client_says]] {
        let mut events = before.to_vec();
        events.extend(two.map(Clone::clone));
        let view = map_of(&events);
        assert_eq!(edges(&view), [(APP_TO_DB.to_owned(), (1, 0, 1))].into());
        assert_eq!(only(&view).failed, [(Reason::Refused, 1)].into());
        assert_eq!(only(&view).evidence.both, 2);
    }
    // The server alone knows it.
    let mut events = before.to_vec();
    events.push(server_says);
    let view = map_of(&events);
    assert_eq!(
        edges(&view)["10.0.0.5 -> postgresql.service:5432"],
        (0, 0, 1)
    );
}

#[test]
fn syns_that_were_dropped_belong_to_the_attempt_that_came_through() {
    let (client, server) = pair(1);
    let full = |time| server.fails(time, Reason::AcceptQueueFull);
    let view = map_of(&[full(1.0), full(2.0), client.opens(2.5), server.opens(2.6)]);
    assert_eq!(edges(&view), [(APP_TO_DB.to_owned(), (1, 0, 2))].into());
    assert_eq!(only(&view).state, EdgeState::Mixed);
}

#[test]
fn an_end_says_what_its_opening_did() {
    let (client, server) = pair(1);
    let closes = |end: &End, time| {
        let mut event = end.closes(time, 10, 20);
        if let Body::Close(it) = &mut event.body {
            it.connection.opened = Some(at(2.5));
        }
        event
    };
    let turned_away = server.fails(1.0, Reason::AcceptQueueFull);
    let begin = client.tell(0.5, start());
    let ends = [closes(&client, 3.0), closes(&server, 3.1)];
    let openings = [client.opens(2.5), server.opens(2.5)];
    let before = [begin, turned_away];
    let all = map_of(&[&before[..], &openings, &ends].concat());
    let alone = map_of(&[&before[..], &ends].concat());
    assert_eq!(edges(&all), [(APP_TO_DB.to_owned(), (1, 1, 1))].into());
    assert_eq!(document(&alone), document(&all));
}

#[test]
fn who_served_an_address_last_does_not_depend_on_the_order_of_telling() {
    let (one, app_one) = pair(1);
    let (two, served_by_two) = pair(2);
    let two_server = End {
        process: Some(unit("standby.service", 30)),
        ..served_by_two
    };
    let refused = pair(3).0.fails(2.0, Reason::Refused);
    let closes = |end: &End| {
        let mut event = end.closes(1.5, 10, 20);
        if let Body::Close(it) = &mut event.body {
            it.connection.opened = Some(at(1.1));
        }
        event
    };
    let begin = one.tell(0.5, start());
    let stays = [one.opens(1.0), app_one.opens(1.0)];
    let opens = [two.opens(1.1), two_server.opens(1.1)];
    let ends = [closes(&two), closes(&two_server)];
    let view = |events: &[&[Event]]| {
        let view = map_of(
            &[
                &[begin.clone()][..],
                &events.concat(),
                std::slice::from_ref(&refused),
            ]
            .concat(),
        );
        document(&view)
    };
    let told = view(&[&stays, &opens, &ends]);
    let failed = |edge: &&serde_json::Value| edge["failed"]["refused"] == 1;
    let edges = told["edges"].as_array().expect("edges");
    let edge = edges.iter().find(failed).expect("the one that failed");
    assert_eq!(edge["server"], "db-1/systemd/standby.service");
    assert_eq!(view(&[&ends, &stays])["edges"], told["edges"]);
}

proptest! {
    /// As a live map has it: in each look, openings whose ends are in it are left out, and the others
    /// come last.
    #[test]
    fn openings_may_be_folded_into_their_ends(
        order in prop::collection::vec(0..6_u64, 0..60),
        looks in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut opened = std::collections::HashMap::new();
        let (mut events, mut folded) = (Vec::new(), Vec::new());
        let mut held: Vec<(u64, Event)> = Vec::new();
        // Each number is an end: it opens, closes, and then opens anew under another id.
        for (n, number) in order.into_iter().enumerate() {
            let time = 1.0 + n as f64 / 1e3;
            let (which, life) = (number / 2, opened.entry(number).or_insert((0, None::<f64>)));
            let (client, server) = pair(1 + which + 10 * life.0);
            let end = if number % 2 == 0 { client } else { server };
            match life.1.take() {
                None => {
                    life.1 = Some(time);
                    let event = end.opens(time);
                    held.push((number, event.clone()));
                    events.push(event);
                }
                Some(begun) => {
                    life.0 += 1;
                    let mut event = end.closes(time, 10, 20);
                    if let Body::Close(it) = &mut event.body {
                        it.connection.opened = Some(at(begun));
                    }
                    held.retain(|(held, _)| *held != number);
                    folded.push(event.clone());
                    events.push(event);
                }
            }
            if looks[n] {
                folded.extend(held.drain(..).map(|(_, event)| event));
            }
        }
        folded.extend(held.into_iter().map(|(_, event)| event));
        let begin = pair(1).0.tell(0.5, start());
        let other = pair(1).1.tell(0.5, start());
        let view = |events: &[Event]| {
            let view = map_of(&[&[begin.clone(), other.clone()][..], events].concat());
            document(&view)
        };
        prop_assert_eq!(view(&folded), view(&events));
    }
}

#[test]
fn what_is_open_has_carried_what_was_told_last() {
    let (client, server) = pair(1);
    let mut events = vec![
        client.opens(1.0),
        server.opens(1.0),
        client.carries(2.0, 10, 200),
        server.carries(2.0, 200, 10),
    ];
    let carried = |events: &[Event]| {
        let view = map_of(events);
        let edge = only(&view);
        assert_eq!(edge.evidence.ends, SeenBy::Both);
        (edge.live(), edge.sent_bytes, edge.received_bytes)
    };
    assert_eq!(carried(&events), (1, 10, 200));
    // It is cumulative, and an end says all.
    events.push(client.carries(3.0, 11, 250));
    assert_eq!(carried(&events), (1, 11, 250));
    events.push(server.closes(4.0, 300, 12));
    assert_eq!(carried(&events), (0, 12, 300));
    events.push(client.carries(4.5, 11, 299));
    assert_eq!(carried(&events), (0, 12, 300));
    events.push(client.closes(5.0, 12, 300));
    assert_eq!(carried(&events), (0, 12, 300));
    // Nothing is opened by it: this one was counted for good.
    events.push(client.carries(5.5, 12, 300));
    assert_eq!(carried(&events), (0, 12, 300));
    assert!(map_of(&[client.carries(1.0, 1, 1)]).edges.is_empty());
}

#[test]
fn an_end_that_was_found_later_leaves_what_was_carried_before() {
    let (client, _) = pair(1);
    let found = Body::Close(client.event(3.0, None, None));
    let view = map_of(&[
        client.opens(1.0),
        client.carries(2.0, 10, 200),
        client.tell(3.0, found),
    ]);
    let edge = only(&view);
    assert_eq!(
        (edge.live(), edge.sent_bytes, edge.received_bytes),
        (0, 10, 200)
    );
}

#[test]
fn what_is_open_counts_in_a_window_by_what_is_told_within_it() {
    let (client, _) = pair(1);
    let events = [
        client.opens(1.0),
        client.carries(2.0, 10, 200),
        client.carries(4.0, 20, 400),
    ];
    let window = |since: Option<f64>, until: Option<f64>| {
        let options = Options {
            since: since.map(at),
            until: until.map(at),
            ..Options::ONE_HOST
        };
        let view = map_with(options, &events);
        let edge = only(&view);
        (edge.live_at_start, edge.sent_bytes, edge.received_bytes)
    };
    assert_eq!(window(None, Some(3.0)), (0, 10, 200));
    // What was carried before is of the time before: parts of a time add up to it.
    assert_eq!(window(Some(3.0), None), (1, 10, 200));
    // Told before, and not again.
    assert_eq!(window(Some(3.0), Some(3.5)), (1, 0, 0));
}

/// What one end is told to have carried more each time, and whether the last time is its end.
type Carrying = (Vec<u64>, bool);

/// A connection: its ends, of which the second may be elsewhere; and the rest of what is told of it, in
/// whatever order.
fn carrying() -> impl Strategy<Value = (Carrying, Option<Carrying>)> {
    let one = || (proptest::collection::vec(1..1000_u64, 0..4), any::<bool>());
    (one(), proptest::option::of(one()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order in which totals and ends are told, each connection counts once, with what was
    /// told last of it.
    #[test]
    fn what_was_told_last_is_counted_once(
        connections in proptest::collection::vec(carrying(), 1..6),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let mut openings = Vec::new();
        let mut rest = Vec::new();
        let mut sums = (0, 0);
        let mut live = 0;
        for (n, (ours, theirs)) in connections.iter().enumerate() {
            let (client, server) = pair(n as u64);
            // Returns whether it is over, and what went from the client to the server; twice as much
            // comes back.
            let mut tell = |end: &End, (steps, ends): &Carrying| {
                openings.push(end.opens(0.0));
                let is_client = end.direction == Some(Direction::Outbound);
                let mut sent = 0;
                for (at, step) in steps.iter().enumerate() {
                    sent += step;
                    let time = 0.1 + at as f64 * 0.1;
                    let (out, back) = if is_client { (sent, 2 * sent) } else { (2 * sent, sent) };
                    rest.push(match *ends && at + 1 == steps.len() {
                        true => end.closes(time, out, back),
                        false => end.carries(time, out, back),
                    });
                }
                (*ends && !steps.is_empty(), sent)
            };
            let ours = tell(&client, ours);
            let theirs = theirs.as_ref().map_or((false, 0), |theirs| tell(&server, theirs));
            // The client's say, unless the server's alone say all.
            let (_, sent) = match (ours, theirs) {
                ((false, _), (true, _)) | ((_, 0), _) => theirs,
                _ => ours,
            };
            sums = (sums.0 + sent, sums.1 + 2 * sent);
            live += u64::from(!ours.0 && !theirs.0);
        }
        for (at, other) in order.iter().enumerate().take(rest.len()) {
            let other = other.index(rest.len());
            rest.swap(at, other);
        }
        let view = map_of(&[openings, rest].concat());
        let sum = |figure: fn(&crate::model::Edge) -> u64| view.edges.iter().map(figure).sum::<u64>();
        prop_assert_eq!((sum(|it| it.sent_bytes), sum(|it| it.received_bytes)), sums);
        prop_assert_eq!(sum(|it| it.established), connections.len() as u64);
        prop_assert_eq!(sum(crate::model::Edge::live), live);
    }
}

#[test]
fn what_was_there_before_is_live_at_the_start() {
    let (client, server) = pair(1);
    let [client, server] = [client, server].map(|end| End {
        existing: true,
        handshake: None,
        host: host("one"),
        ..end
    });
    let unknown = End {
        direction: None,
        ..server.clone()
    };
    for server in [&server, &unknown] {
        let view = map_of(&[client.opens(0.0), server.opens(0.0)]);
        let edge = only(&view);
        assert_eq!(
            (edge.live_at_start, edge.established, edge.live()),
            (1, 0, 1)
        );
        assert_eq!(edge.evidence.ends, SeenBy::Both);
        assert_eq!(edges(&view).keys().collect::<Vec<_>>(), [APP_TO_DB]);
        let view = map_of(&[
            client.opens(0.0),
            server.opens(0.0),
            client.closes(1.0, 1, 1),
            server.closes(1.0, 1, 1),
        ]);
        let edge = only(&view);
        assert_eq!(
            (edge.live_at_start, edge.terminated, edge.live()),
            (1, 1, 0)
        );
    }
    // Of one end, without a word on who opened it.
    let view = map_of(&[unknown.opens(0.0)]);
    assert_eq!(
        edges(&view).keys().collect::<Vec<_>>(),
        ["postgresql.service -> 10.0.0.5:?"]
    );
}

#[test]
fn a_window_has_what_happened_in_it() {
    let mut events = Vec::new();
    for (n, from, to) in [
        (1, 1.0, 2.0),
        (2, 3.0, 12.0),
        (3, 11.0, 13.0),
        (4, 14.0, 25.0),
        (5, 30.0, 31.0),
    ] {
        let (client, server) = pair(n);
        events.extend([
            client.opens(from),
            server.opens(from),
            client.closes(to, 1, 1),
            server.closes(to, 1, 1),
        ]);
    }
    events.push(pair(9).0.fails(5.0, Reason::Refused));
    events.sort_by_key(|event| event.time);
    let window = Options {
        since: Some(at(10.0)),
        until: Some(at(20.0)),
        ..Options::ONE_HOST
    };
    let view = map_with(window, &events);
    let edge = only(&view);
    assert_eq!(
        (
            edge.live_at_start,
            edge.established,
            edge.terminated,
            edge.live()
        ),
        (1, 2, 2, 1)
    );
    assert_eq!(edge.failures(), 0);
    assert!(edge.first_seen >= at(10.0) && edge.last_seen <= at(20.0));
    assert!(
        view.coverage
            .iter()
            .all(|it| it.from >= at(10.0) && it.to <= at(20.0))
    );
}

fn start() -> Body {
    Body::Start(blank::start())
}

fn lost(events: u64) -> Ledger<Lost> {
    let mut lost = Ledger::default();
    *lost.get_mut(crate::model::Counter::Close) = Lost {
        ring_full: events,
        ..Lost::default()
    };
    lost
}

#[test]
fn a_second_run_leaves_a_gap_and_keeps_nothing_open() {
    let (client, _) = pair(1);
    let tell = |time, body| client.tell(time, body);
    let mut totals = Ledger::default();
    *totals.get_mut(crate::model::Counter::Close) = crate::model::Tally {
        seen: 9,
        delivered: 4,
        lost: Lost {
            ring_full: 5,
            ..Lost::default()
        },
    };
    let stop = Body::Stop(Box::new(Stop {
        totals,
        missed: 2,
        ..blank::stop([at(0.0), at(3.0)])
    }));
    let loss = Body::Loss(Box::new(Loss {
        lost: lost(3),
        missed: 1,
        interval: Coverage {
            from: at(1.0),
            to: at(2.0),
        },
    }));
    let view = map_of(&[
        tell(0.0, start()),
        client.opens(1.0),
        tell(2.0, loss.clone()),
        tell(3.0, stop),
        tell(10.0, start()),
        tell(11.0, loss),
    ]);
    let edge = only(&view);
    assert_eq!((edge.established, edge.terminated, edge.live()), (1, 1, 0));
    let coverage = &view.coverage[0];
    assert_eq!((coverage.from, coverage.to), (at(0.0), at(11.0)));
    let gaps: Vec<_> = coverage.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(gaps, [(at(3.0), at(10.0))]);
    // What `stop` told of the first run, and `loss` of the one that goes on.
    assert_eq!((coverage.lost.total(), coverage.missed), (8, 3));
}

#[test]
fn a_window_knows_nothing_of_runs_before_it() {
    let (client, _) = pair(1);
    let window = Options {
        since: Some(at(10.0)),
        ..Options::ONE_HOST
    };
    let tell = |time, body| client.tell(time, body);
    let loss = |from| {
        Body::Loss(Box::new(Loss {
            lost: lost(3),
            missed: 1,
            interval: Coverage {
                from: at(from),
                to: at(from),
            },
        }))
    };
    let mut totals = Ledger::<crate::model::Tally>::default();
    totals.get_mut(crate::model::Counter::Close).lost.ring_full = 6;
    let stop = Body::Stop(Box::new(Stop {
        totals,
        missed: 2,
        ..blank::stop([at(3.0), at(13.0)])
    }));
    let view = map_with(
        window,
        &[
            tell(0.0, start()),
            client.opens(1.0),
            // That run was killed, and its connection is nobody's any more.
            tell(3.0, start()),
            tell(4.0, loss(4.0)),
            pair(2).0.opens(11.0),
            tell(12.0, loss(12.0)),
            tell(13.0, stop),
        ],
    );
    let edge = only(&view);
    assert_eq!(edge.established, 1);
    assert_eq!((edge.live_at_start, edge.live()), (edge.terminated, 1));
    let coverage = &view.coverage[0];
    assert_eq!((coverage.from, coverage.to), (at(10.0), at(13.0)));
    assert!(coverage.gaps.is_empty());
    assert_eq!((coverage.lost.total(), coverage.missed), (3, 1));
}

#[test]
fn private_addresses_of_strangers_are_not_the_same_machine() {
    let (client, _) = pair(1);
    let stranger = End {
        host: host("web-2"),
        id: 5,
        handshake: Some(5),
        ..client.clone()
    };
    let view = map_with(
        Options::SEVERAL_HOSTS,
        &[client.opens(1.0), stranger.opens(1.0)],
    );
    let ids: Vec<_> = view.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(
        ids,
        [
            "10.0.0.9@web-1",
            "10.0.0.9@web-2",
            "web-1/systemd/app.service",
            "web-2/systemd/app.service"
        ]
    );

    // They are neighbours: each was seen to reach the other at its own address.
    let there = End {
        handshake: Some(6),
        id: 6,
        local: address("10.0.0.5:5000"),
        remote: address("10.0.0.6:80"),
        ..client.clone()
    };
    let here = End {
        host: host("web-2"),
        direction: Some(Direction::Inbound),
        local: there.remote,
        remote: there.local,
        ..there.clone()
    };
    let view = map_with(
        Options::SEVERAL_HOSTS,
        &[
            client.opens(1.0),
            stranger.opens(1.0),
            there.opens(2.0),
            here.opens(2.0),
        ],
    );
    let remotes = view
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Remote);
    assert_eq!(
        remotes.map(|node| &*node.id).collect::<Vec<_>>(),
        ["10.0.0.9@web-1"]
    );
}

#[test]
fn nodes_are_what_was_asked_for() {
    let (client, server) = pair(1);
    let worker = End {
        process: Some(unit("app.service", 11)),
        id: 2,
        handshake: Some(2),
        local: address("10.0.0.5:40002"),
        ..client.clone()
    };
    let events = [client.opens(1.0), server.opens(1.0), worker.opens(1.0)];
    let names = |group_by| {
        let view = map_with(
            Options {
                group_by,
                ..Options::ONE_HOST
            },
            &events,
        );
        view.nodes
            .iter()
            .map(|node| node.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(GroupBy::Workload),
        ["postgresql.service", "app.service"]
    );
    assert_eq!(
        names(GroupBy::Process),
        ["postgresql[20]", "app[10]", "app[11]"]
    );
    assert_eq!(names(GroupBy::Host), ["db-1", "web-1"]);
    assert_eq!(names(GroupBy::Namespace), ["db-1", "web-1"]);
}

#[test]
fn focus_follows_both_ways_and_round_circles() {
    // a -> b -> c -> b, d -> c, e alone to f.
    let edge = |n: u64, from: &str, to: &str| {
        let (client, server) = pair(n);
        let client = End {
            process: Some(unit(from, 1)),
            host: host("one"),
            ..client
        };
        let server = End {
            process: Some(unit(to, 1)),
            host: host("one"),
            ..server
        };
        [client.opens(1.0), server.opens(1.0)]
    };
    let events = [
        edge(1, "a", "b"),
        edge(2, "b", "c"),
        edge(3, "c", "b"),
        edge(4, "d", "c"),
        edge(5, "e", "f"),
    ];
    let view = map_of(&events.concat());
    let around = |who, depth| {
        let part = focus::focus(&view, who, depth).expect(who);
        check(&part);
        part.nodes
            .iter()
            .map(|it| it.name.to_string())
            .collect::<String>()
    };
    assert_eq!(around("a", None), "abc");
    assert_eq!(around("a", Some(1)), "ab");
    assert_eq!(around("c", None), "abcd");
    assert_eq!(around("e", None), "ef");
    assert_eq!(around("b", Some(0)), "b");
    assert_eq!(crate::ask::find(&view, "one/systemd/a"), Ok(0));
    let unknown = crate::ask::find(&view, "A").expect_err("no such name");
    assert!(
        matches!(&unknown, WhoError::Unknown(names) if names[0] == "a"),
        "{unknown}"
    );
}

/// What a client dials, how it is called, where that leads, and which node that is.
type Dials<'a> = (&'a str, &'a str, Option<(&'a str, NameSource)>, &'a str);

#[test]
fn nothing_moves_to_a_name_that_its_client_neither_asked_for_nor_dialled() {
    let (shop, blog, pod) = ("10.96.0.1:80", "10.96.0.2:80", "10.0.0.9:80");
    let own = |name| Some((name, NameSource::Dns));
    let other = |name| Some((name, NameSource::DnsOther));
    let rows: [(&str, &[Dials<'_>]); 6] = [
        (
            "two services with one pod behind them",
            &[
                (shop, pod, own("shop"), "shop"),
                (blog, pod, own("blog"), "blog"),
                (blog, pod, None, "blog"),
            ],
        ),
        (
            "a service that nobody has a name of",
            &[
                (shop, pod, own("shop"), "shop"),
                (blog, pod, None, "10.0.0.9"),
            ],
        ),
        (
            "the pod itself",
            &[
                (shop, pod, own("shop"), "shop"),
                (pod, pod, None, "10.0.0.9"),
            ],
        ),
        (
            "the pod has a name",
            &[(pod, pod, own("pod"), "pod"), (blog, pod, None, "10.0.0.9")],
        ),
        (
            "two names of one address",
            &[
                (shop, shop, own("shop"), "shop"),
                (shop, shop, other("shop"), "10.96.0.1"),
                (shop, shop, own("blog"), "blog"),
            ],
        ),
        (
            "one name of an address",
            &[
                (shop, shop, other("shop"), "shop"),
                (shop, shop, None, "shop"),
            ],
        ),
    ];
    for (what, dials) in rows {
        for is_failing in [false, true] {
            let mut events = Vec::new();
            for (n, (dialled, server, name, _)) in (0..).zip(dials) {
                let client = End {
                    id: n,
                    handshake: Some(n),
                    local: SocketAddr::new(address("10.0.0.5:1").ip(), 40_000 + n as u16),
                    remote: address(dialled),
                    process: Some(unit(&format!("client{n}"), 10)),
                    ..pair(1).0
                };
                let mut event = match is_failing {
                    true => client.fails(1.0, Reason::Refused),
                    false => client.opens(1.0),
                };
                let (Body::Connect(it) | Body::Fail(it)) = &mut event.body else {
                    panic!("an attempt");
                };
                if dialled != server {
                    it.connection.translation = Some(Box::new(Translation {
                        dialled: address(dialled),
                        server: address(server),
                        evidence: AddressEvidence::Conntrack,
                    }));
                }
                it.connection.name = name.map(|(name, source)| {
                    Arc::new(Name {
                        called: Called::One {
                            name: name.into(),
                            canonical: None,
                        },
                        source,
                    })
                });
                events.push(event);
            }
            let view = map_of(&events);
            check(&view);
            for (n, (.., expected)) in dials.iter().enumerate() {
                let client = format!("client{n}");
                let edge = view
                    .edges
                    .iter()
                    .find(|it| *view.nodes[it.client].name == *client);
                let edge = edge.unwrap_or_else(|| panic!("{what}: no edge of {client}"));
                let server = &view.nodes[edge.server].name;
                assert_eq!(
                    **server, **expected,
                    "{what}: {client}, failing: {is_failing}"
                );
            }
        }
    }
}

#[test]
fn a_name_that_two_have_is_ambiguous() {
    let (client, _) = pair(1);
    let other = End {
        host: host("web-2"),
        id: 9,
        handshake: Some(9),
        ..client.clone()
    };
    let view = map_of(&[client.opens(1.0), other.opens(1.0)]);
    let error = crate::ask::find(&view, "app.service").expect_err("there are two");
    assert_eq!(
        error.to_string(),
        "2 things in this map are called that: name one by its id, web-1/systemd/app.service or web-2/systemd/app.service"
    );
    crate::ask::find(&view, "web-1/systemd/app.service").expect("an id is unique");
}

/// 40 clients of one server on one port, three of which are refused on another; and `app`, which
/// uses 30 servers.
fn crowd() -> Vec<Event> {
    let (client, server) = pair(1);
    let mut events = Vec::new();
    for n in 0..40 {
        let end = End {
            id: n,
            handshake: Some(n),
            remote: address(&format!("192.0.2.{n}:{}", 50_000 + n)),
            ..server.clone()
        };
        events.extend([end.opens(1.0), end.closes(1.5, 10, 1)]);
        if n < 3 {
            events.push(
                End {
                    local: address("10.0.0.9:5433"),
                    process: None,
                    ..end
                }
                .fails(2.0, Reason::NotListening),
            );
        }
        if n < 30 {
            let end = End {
                id: n,
                handshake: Some(n + 1000),
                remote: address(&format!("203.0.113.{n}:443")),
                ..client.clone()
            };
            events.push(end.opens(1.0));
        }
    }
    events
}

#[test]
fn what_is_alike_is_folded_and_counted_exactly() {
    let mut map = Map::new(Options::ONE_HOST);
    for event in crowd() {
        map.push(&event);
    }
    assert_eq!(map.view().edges.len(), 73);
    let view = check(&map.folded(40));
    assert_eq!(
        edges(&view)
            .iter()
            .filter(|(name, _)| name.contains("client"))
            .collect::<Vec<_>>(),
        [(
            &"37 clients -> postgresql.service:5432".to_owned(),
            &(37, 37, 0)
        )]
    );
    // Those that fail have edges of their own still.
    assert_eq!(view.edges.iter().filter(|it| it.failures() > 0).count(), 3);
    let group = view
        .nodes
        .iter()
        .find(|it| it.members.is_some())
        .expect("a group");
    assert_eq!(group.members, Some(37));
    assert_eq!(
        &*group.id,
        "clients of db-1/systemd/postgresql.service:5432"
    );
    let sum = |view: &View| {
        let sums = view.edges.iter().map(|it| {
            (
                it.established,
                it.terminated,
                it.failures(),
                it.received_bytes,
            )
        });
        sums.fold((0, 0, 0, 0), |a, b| {
            (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3)
        })
    };
    for max_edges in [73, 40, 10, 1] {
        assert_eq!(sum(&check(&map.folded(max_edges))), sum(&map.view()));
    }
    assert!(map.folded(1).edges.len() < 8);
    assert_eq!(map.folded(73), map.view());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is told in whatever order, and whatever is lost of it: the sums hold, and nothing
    /// is counted that was not told.
    #[test]
    fn the_identity_holds_always(
        steps in prop::collection::vec((0..6_u64, 0..7_u8, 0..40_u32), 0..120),
    ) {
        let mut map = Map::new(Options { waiting: 4, connections: 5, ..Options::ONE_HOST });
        let mut time = 0.0;
        let mut told = 0;
        for (n, what, pause) in steps {
            time += f64::from(pause) / 10.0;
            let (client, server) = pair(n);
            let event = match what {
                0 => client.opens(time),
                1 => server.opens(time),
                2 => client.closes(time, 1, 1),
                3 => server.closes(time, 1, 1),
                4 => client.fails(time, Reason::Refused),
                5 => server.fails(time, Reason::AcceptQueueFull),
                _ => client.tell(time, start()),
            };
            told += 1;
            map.push(&event);
            let view = check(&map.view());
            let all: u64 = view.edges.iter().map(|it| it.established + it.live_at_start + it.failures()).sum();
            prop_assert!(all <= told);
        }
    }
}

/// Whoever closes it: passed to another process, a connection stays on the edge of who opened it.
#[test]
fn a_connection_stays_with_who_opened_it() {
    let heir = Some(unit("heir.service", 99));
    let closes_for = |end: &End, evidence| {
        let passed = End {
            process: heir.clone(),
            ..end.clone()
        };
        let mut event = passed.closes(2.0, 10, 20);
        if let Body::Close(close) = &mut event.body {
            close.evidence.process = evidence;
        }
        event
    };
    let (client, server) = pair(1);
    let close = ProcessEvidence::Close;
    let view = map_of(&[
        client.opens(0.0),
        server.opens(0.0),
        closes_for(&client, close),
        closes_for(&server, close),
    ]);
    let edge = only(&view);
    assert_eq!((edge.established, edge.terminated), (1, 1));
    assert_eq!(edges(&view).keys().collect::<Vec<_>>(), [APP_TO_DB]);
    // Nor does who closes it listen there from then on.
    let mut refused = pair(2).1;
    refused.process = None;
    let view = map_of(&[
        client.opens(0.0),
        server.opens(0.0),
        closes_for(&server, close),
        refused.fails(3.0, Reason::NotListening),
    ]);
    let nodes: Vec<_> = view.nodes.iter().map(|it| &*it.name).collect();
    assert!(!nodes.contains(&"heir.service"), "{nodes:?}");
    // Whose listener it came by only stood in for who had it.
    let mut opens = server.opens(0.0);
    if let Body::Accept(accept) = &mut opens.body {
        accept.evidence.process = ProcessEvidence::Listener;
    }
    let view = map_of(&[opens, closes_for(&server, close)]);
    assert_eq!(view.edges.len(), 1, "{:?}", edges(&view));
    let server = &view.nodes[view.edges[0].server];
    assert_eq!(&*server.name, "heir.service");
}

/// A simultaneous open has two clients, and is one connection: of the first that began.
#[test]
fn two_that_dial_each_other_have_one_connection() {
    let (one, server) = pair(1);
    let other = End {
        id: 2,
        direction: Some(Direction::Outbound),
        ..server
    };
    for ends in [[&one, &other], [&other, &one]] {
        let mut events: Vec<_> = ends.iter().map(|end| end.opens(0.0)).collect();
        events.extend(ends.iter().map(|end| end.closes(1.0, 10, 10)));
        let view = map_of(&events);
        let edge = only(&view);
        assert_eq!((edge.established, edge.terminated), (1, 1));
        assert_eq!(edge.evidence.ends, SeenBy::Both);
        assert_eq!(edges(&view).keys().collect::<Vec<_>>(), [APP_TO_DB]);
    }
}
