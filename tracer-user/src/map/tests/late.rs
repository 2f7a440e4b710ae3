//! What is told late, in any order, twice, or not at all: a connection is one all the same.

use proptest::sample::Index;

use super::*;

/// What is told of one connection: when, in seconds, and which of its lines at all.
#[derive(Clone, Debug)]
struct Life {
    opens: [f64; 2],
    closes: [f64; 2],
    told: [bool; 4],
}

fn life() -> impl Strategy<Value = Life> {
    let time = || prop_oneof![0.0..3.0, 0.0..10_000.0];
    let two = || [time(), time()];
    (two(), two(), Just([true; 4])).prop_map(|(opens, lasts, told)| Life {
        opens,
        closes: [opens[0] + lasts[0], opens[1] + lasts[1]],
        told,
    })
}

fn cut_life() -> impl Strategy<Value = Life> {
    (life(), any::<[bool; 4]>()).prop_map(|(life, told)| Life { told, ..life })
}

/// All lines of these, each connection by its number.
fn lines(lives: &[Life], one_host: bool) -> Vec<(u64, Event)> {
    let mut lines = Vec::new();
    for (n, life) in (1..).zip(lives) {
        let (client, mut server) = pair(n);
        if one_host {
            server.host = Arc::clone(&client.host);
        }
        let all = [
            client.opens(life.opens[0]),
            server.opens(life.opens[1]),
            client.closes(life.closes[0], 5, 7),
            server.closes(life.closes[1], 7, 5),
        ];
        let told = all.into_iter().zip(life.told).filter(|(_, told)| *told);
        lines.extend(told.map(|(event, _)| (n, event)));
    }
    lines
}

fn connections(view: &View) -> u64 {
    view.edges.iter().map(crate::model::Edge::connections).sum()
}

proptest! {
    #[test]
    fn the_order_and_the_distance_of_lines_do_not_matter(
        lives in prop::collection::vec(life(), 1..12),
        one_host in any::<bool>(),
        again in any::<bool>(),
        order in prop::collection::vec(any::<Index>(), 128),
    ) {
        let mut left: Vec<Event> = lines(&lives, one_host).into_iter().map(|it| it.1).collect();
        if again {
            left.extend(left.clone());
        }
        let mut told = Vec::new();
        for index in order {
            if !left.is_empty() {
                told.push(left.swap_remove(index.index(left.len())));
            }
        }
        told.extend(left);
        let view = map_of(&told);
        let n = lives.len() as u64;
        prop_assert_eq!(
            edges(&view),
            BTreeMap::from([(APP_TO_DB.to_owned(), (n, n, 0))])
        );
        let edge = only(&view);
        prop_assert_eq!((edge.sent_bytes, edge.received_bytes), (5 * n, 7 * n));
        prop_assert_eq!((edge.evidence.both, edge.evidence.by_addresses), (n, 0));
    }

    #[test]
    fn what_is_told_of_in_part_is_one_all_the_same(
        lives in prop::collection::vec(cut_life(), 1..12),
        one_host in any::<bool>(),
        order in prop::collection::vec(any::<Index>(), 64),
    ) {
        let lines = lines(&lives, one_host);
        let mut all: Vec<u64> = lines.iter().map(|it| it.0).collect();
        all.sort_unstable();
        all.dedup();
        let mut left: Vec<Event> = lines.into_iter().map(|it| it.1).collect();
        let mut told = Vec::new();
        for index in order {
            if !left.is_empty() {
                told.push(left.swap_remove(index.index(left.len())));
            }
        }
        prop_assert_eq!(connections(&map_of(&told)), all.len() as u64);
    }

    #[test]
    fn parts_of_a_time_add_up_to_it(
        lives in prop::collection::vec(cut_life(), 1..12),
        carries in prop::collection::vec((any::<Index>(), 0.0..5_000.0), 0..8),
        (one, other) in (0.0..6_000.0, 0.0..6_000.0),
    ) {
        let mut events: Vec<Event> = lines(&lives, false).into_iter().map(|it| it.1).collect();
        for (of, time) in carries {
            let n = of.index(lives.len());
            let life = &lives[n];
            if life.told[0] && life.told[2] && life.opens[0] < time && time < life.closes[0] {
                let (client, _) = pair(n as u64 + 1);
                events.push(client.carries(time, 2, 3));
            }
        }
        events.sort_by_key(|it| it.time);
        let cuts = [f64::min(one, other), f64::max(one, other)].map(at);
        let window = |since, until| {
            let options = Options { since, until, ..Options::ONE_HOST };
            map_with(options, &events)
        };
        let sums = |view: &View| {
            view.edges.iter().fold((0, 0, 0, 0), |sum, it| {
                let (established, terminated) = (sum.0 + it.established, sum.1 + it.terminated);
                (established, terminated, sum.2 + it.sent_bytes, sum.3 + it.received_bytes)
            })
        };
        let whole = sums(&window(None, None));
        let parts = [
            window(None, Some(cuts[0])),
            window(Some(cuts[0]), Some(cuts[1])),
            window(Some(cuts[1]), None),
        ];
        let parts = parts.iter().map(sums).fold((0, 0, 0, 0), |sum, it| {
            (sum.0 + it.0, sum.1 + it.1, sum.2 + it.2, sum.3 + it.3)
        });
        prop_assert_eq!(parts, whole);
    }
}

/// More than any queue of a map holds, each with one end.
fn crowd(from: f64) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..6_000 {
        let (mut client, _) = pair(n % 20_000);
        client.id = 1_000_000 + n;
        client.handshake = Some(1_000_000 + n);
        client.remote = address("203.0.113.7:443");
        let time = from + n as f64 / 100.0;
        events.extend([client.opens(time), client.closes(time + 0.005, 1, 1)]);
    }
    events
}

/// So many crowds, one after the other.
fn crowds(parts: u32) -> Vec<Event> {
    let mut events = Vec::new();
    for part in 0..parts {
        let mut crowd = crowd(f64::from(part) * 70.0 + 1.0);
        for event in &mut crowd {
            if let Body::Connect(it) | Body::Close(it) = &mut event.body {
                it.connection.id.begun_ns += u64::from(part) * 10_000;
                it.connection.handshake = Some(it.connection.id.begun_ns);
            }
        }
        events.extend(crowd);
    }
    events
}

#[test]
fn a_server_that_accepts_late_is_the_other_end_of_what_was_counted() {
    for parts in [1, 9] {
        let (client, mut server) = pair(1);
        server.host = Arc::clone(&client.host);
        let mut events = vec![client.opens(0.0), client.closes(0.1, 5, 0)];
        events.extend(crowds(parts));
        // The client was given up for want of room by now.
        let mut accepted = server.opens(0.0);
        accepted.time = at(700.0);
        events.extend([accepted, server.closes(701.0, 0, 5)]);
        let view = map_of(&events);
        assert_eq!(edges(&view)[APP_TO_DB], (1, 1, 0));
        assert_eq!(connections(&view), u64::from(parts) * 6_000 + 1);
        let edge = view.edges.iter().find(|it| it.port == Some(5432));
        let evidence = &edge.expect("the edge").evidence;
        assert_eq!((evidence.both, evidence.client_only), (1, 0));
        assert_eq!(view.coverage[0].recounted, 0);
    }
}

#[test]
fn who_may_be_counted_twice_is_counted() {
    let (client, mut server) = pair(1);
    server.host = Arc::clone(&client.host);
    let mut events = vec![client.opens(0.0), client.closes(0.1, 5, 0)];
    events.extend(crowds(12));
    let mut accepted = server.opens(0.0);
    accepted.time = at(900.0);
    events.push(accepted);
    let view = map_of(&events);
    assert_eq!(view.coverage[0].recounted, 1);
}

/// As a firewall does that answers handshakes itself.
#[test]
fn ends_with_the_same_addresses_meet_without_a_common_handshake() {
    for late in [0.0, 0.3] {
        let mut events = Vec::new();
        for n in 0..3 {
            let (client, mut server) = pair(n);
            server.host = Arc::clone(&client.host);
            server.handshake = Some(900 + n);
            let time = n as f64;
            events.extend([
                client.opens(time),
                server.opens(time + late),
                client.closes(time + 5.0, 1, 2),
                server.closes(time + 5.1, 2, 1),
            ]);
        }
        // Open ones, those of which one end is over, and those that are over.
        for until in [4.0, 6.05, 100.0] {
            let told: Vec<Event> = events
                .iter()
                .filter(|it| it.time < at(until))
                .cloned()
                .collect();
            let view = map_of(&told);
            let edge = only(&view);
            assert_eq!(edge.connections(), 3, "until {until}");
            assert_eq!(edge.evidence.by_addresses, 3, "until {until}");
            assert_eq!(edge.evidence.ends, SeenBy::Both);
        }
    }
    // At another time they are of others.
    let (client, mut server) = pair(1);
    server.host = Arc::clone(&client.host);
    server.handshake = Some(900);
    let view = map_of(&[client.opens(0.0), server.opens(50.0)]);
    assert_eq!(view.edges.len(), 2);
}

#[test]
fn loopbacks_of_two_namespaces_are_apart() {
    let mut events = Vec::new();
    for (netns, name) in [(1, "one.service"), (2, "other.service")] {
        let (mut client, mut server) = pair(u64::from(netns));
        client.process = Some(unit(&format!("client-of-{name}"), 100 + netns));
        server.process = Some(unit(name, 200 + netns));
        server.host = Arc::clone(&client.host);
        for end in [&mut client, &mut server] {
            end.existing = true;
            end.handshake = None;
        }
        (client.local, client.remote) = (address("127.0.0.1:41000"), address("127.0.0.1:8080"));
        (server.local, server.remote) = (client.remote, client.local);
        for (end, time) in [(&server, 0.1), (&client, 0.2)] {
            let mut event = end.opens(time);
            if let Body::Existing(it) = &mut event.body {
                it.connection.netns = netns;
            }
            events.push(event);
        }
        // They fail alike, too.
        for (end, reason) in [(&server, Reason::NotListening), (&client, Reason::Refused)] {
            let mut event = end.fails(1.0, reason);
            if let Body::Fail(it) = &mut event.body {
                it.connection.netns = netns;
            }
            events.push(event);
        }
    }
    events.sort_by_key(|it| it.time);
    let expected = ["one.service", "other.service"]
        .map(|name| (format!("client-of-{name} -> {name}:8080"), (0, 0, 1)));
    assert_eq!(edges(&map_of(&events)), BTreeMap::from(expected));
}

#[test]
fn a_refusal_behind_a_translation_is_one() {
    let mut events = Vec::new();
    for n in 0..4 {
        let (client, mut server) = pair(n);
        // The router has put an address of its own in the client's place.
        server.remote = SocketAddr::new(address("10.0.0.1:0").ip(), 60_000 + n as u16);
        let time = n as f64 * 3.0;
        events.extend([
            server.fails(time, Reason::NotListening),
            client.fails(time + 0.01, Reason::Refused),
        ]);
    }
    for until in [0.02, 5.0, 100.0] {
        let told: Vec<Event> = events
            .iter()
            .filter(|it| it.time < at(until))
            .cloned()
            .collect();
        let failed = told.len() as u64 / 2;
        let expected = BTreeMap::from([(APP_TO_DB.to_owned(), (0, 0, failed))]);
        assert_eq!(edges(&map_of(&told)), expected);
    }
    // A stranger's is its own.
    let (_, mut server) = pair(9);
    server.remote = address("198.51.100.3:1234");
    events.push(server.fails(40.0, Reason::NotListening));
    assert_eq!(map_of(&events).edges.len(), 2);
}

#[test]
fn a_port_that_dials_itself_serves_nobody() {
    let (mut client, _) = pair(1);
    (client.local, client.remote) = (address("127.0.0.1:40000"), address("127.0.0.1:40000"));
    let mut server = client.clone();
    (server.id, server.direction) = (2, Some(Direction::Inbound));
    let view = map_of(&[
        client.opens(0.0),
        client.closes(1.0, 3, 3),
        server.closes(1.0, 3, 3),
    ]);
    assert!(view.edges.is_empty(), "{:?}", edges(&view));
}

#[test]
fn a_connection_that_outlives_runs_of_the_tracer_is_one() {
    let (client, mut server) = pair(1);
    server.host = Arc::clone(&client.host);
    let mut events = vec![
        client.tell(0.0, start()),
        client.opens(1.0),
        server.opens(1.0),
    ];
    for run in 1..4_u64 {
        let time = run as f64 * 100.0;
        events.push(client.tell(time, start()));
        for end in [&client, &server] {
            let mut found = end.clone();
            found.id += run * 10_000;
            (found.existing, found.handshake) = (true, None);
            events.push(found.opens(time + 1.0));
        }
    }
    let one = |view: &View| {
        let edge = only(view);
        (edge.live_at_start, edge.established, edge.live())
    };
    assert_eq!(one(&map_of(&events)), (0, 1, 1));
    // The next one does not find it.
    events.push(client.tell(500.0, start()));
    assert_eq!(one(&map_of(&events)), (0, 1, 0));
    let (other, _) = pair(2);
    events.extend([client.tell(600.0, start()), other.opens(601.0)]);
    assert_eq!(connections(&map_of(&events)), 2);
}

#[test]
fn what_a_later_run_did_not_find_was_over_before_it() {
    let (client, mut server) = pair(1);
    server.host = Arc::clone(&client.host);
    let mut events = vec![
        client.tell(0.0, start()),
        client.opens(1.0),
        server.opens(1.0),
        client.tell(100.0, start()),
    ];
    let since = |events: &[Event], since| {
        let options = Options {
            since: Some(at(since)),
            ..Options::ONE_HOST
        };
        connections(&map_with(options, events))
    };
    assert_eq!([50.0, 200.0].map(|time| since(&events, time)), [1, 0]);
    // It does, if late.
    for end in [client, server] {
        let found = End {
            id: 10_000 + end.id,
            handshake: None,
            existing: true,
            ..end
        };
        events.push(found.opens(101.0));
    }
    assert_eq!(
        [50.0, 100.5, 200.0].map(|time| since(&events, time)),
        [1; 3]
    );
}

/// Each gives its own number to the same end, a little later or earlier.
#[test]
fn two_tracers_on_one_host_tell_of_the_same_connections() {
    let mut events = Vec::new();
    for n in 0..20 {
        let (client, mut server) = pair(n);
        server.host = Arc::clone(&client.host);
        let time = n as f64;
        for tracer in [0, 1] {
            let late = f64::from(tracer) * 1e-6;
            for end in [&client, &server] {
                let mut told = end.clone();
                told.id = told.id * 10 + u64::from(tracer as u8);
                events.extend([
                    told.opens(time + late),
                    told.closes(time + 0.5 + late, 3, 3),
                ]);
            }
        }
    }
    events.sort_by_key(|it| it.time);
    let view = map_of(&events);
    assert_eq!(
        edges(&view),
        BTreeMap::from([(APP_TO_DB.to_owned(), (20, 20, 0))])
    );
}

#[test]
fn a_clock_that_is_set_back_changes_no_count() {
    for step in [-3_600.0, -5.0, 3_600.0] {
        let mut events = Vec::new();
        for n in 0..40 {
            let (client, server) = pair(n);
            let time = n as f64 * 0.1 + 10_000.0 + if n >= 20 { step } else { 0.0 };
            events.extend([
                client.opens(time),
                client.closes(time + 0.01, 1, 1),
                server.opens(time + 0.02),
                server.closes(time + 0.03, 1, 1),
            ]);
        }
        let expected = BTreeMap::from([(APP_TO_DB.to_owned(), (40, 40, 0))]);
        let view = map_of(&events);
        assert_eq!(edges(&view), expected, "{step}");
        let steps = view.coverage[0].steps_back.map(|it| it.times);
        assert_eq!(steps, (step < 0.0).then_some(1), "{step}");
    }
}

/// A recording may give any number of numbers to the same end.
#[test]
fn numbers_of_the_same_end_take_no_more_room_than_connections() {
    let (mut client, _) = pair(1);
    (client.existing, client.handshake) = (true, None);
    let options = Options {
        connections: 8,
        ..Options::ONE_HOST
    };
    let mut map = Map::new(options);
    for n in 0..1_000 {
        client.id = n;
        map.push(&client.opens(1.0));
    }
    assert!(map.connections.numbers() <= 8);
    let view = check(&map.view());
    assert_eq!((only(&view).live_at_start, only(&view).live()), (1, 1));
    assert_eq!(view.coverage[0].untracked, 0);
    // The end of it is told under one for which there was no room.
    map.push(&client.closes(2.0, 5, 7));
    assert_eq!(only(&map.view()).live(), 0);
}
