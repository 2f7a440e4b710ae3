//! Who makes much hides nobody else.

use super::*;
use crate::model::{Address, Listener, Node};

/// An address out of very many, each in a network of its own or among 256.
fn stranger(n: u32) -> SocketAddr {
    Address::from(std::net::IpAddr::from((0x2000_0000 + n).to_be_bytes())).with_port(40_000)
}

/// `program` of the user `uid` on web-1.
fn of_user(uid: u32, program: &str) -> Arc<Process> {
    let mut process = Arc::unwrap_or_clone(unit(program, 1_000 + uid));
    process.uid = Some(uid);
    Arc::new(process)
}

/// What `client` has with `remote`, as the client's end tells.
fn dials(client: &Arc<Process>, remote: SocketAddr, n: u32) -> End {
    End {
        id: u64::from(n),
        handshake: None,
        remote,
        process: Some(Arc::clone(client)),
        ..pair(1).0
    }
}

/// The same of what comes in from `remote`, if anybody listens at `port`.
fn comes(server: Option<&Arc<Process>>, port: u16, remote: SocketAddr, n: u32) -> End {
    End {
        id: u64::from(n),
        handshake: None,
        direction: Some(Direction::Inbound),
        local: SocketAddr::new(address("10.0.0.5:0").ip(), port),
        remote,
        process: server.cloned(),
        ..pair(1).0
    }
}

fn find<'a>(view: &'a View, name: &str) -> Option<&'a Node> {
    view.nodes.iter().find(|it| &*it.name == name)
}

/// What root's services do, each with a remote of its own: none of it is folded, whatever came before.
fn is_all_told(map: &mut Map, time: f64) {
    let web = of_user(0, "web.service");
    let user = of_user(999, "postgresql.service");
    let ends = [
        (dials(&web, address("198.51.100.1:443"), 1_000_000), true),
        (dials(&web, address("198.51.100.2:443"), 1_000_001), false),
        (dials(&user, address("198.51.100.3:443"), 1_000_002), true),
        (dials(&user, address("198.51.100.4:443"), 1_000_003), false),
        (
            comes(Some(&web), 8080, address("198.51.100.5:40000"), 1_000_004),
            true,
        ),
    ];
    for (end, answers) in &ends {
        map.push(&match answers {
            true => end.closes(time, 1, 1),
            false => end.fails(time, Reason::Refused),
        });
    }
    let view = check(&map.view());
    for (end, answers) in &ends {
        let name = end.remote.ip().to_string();
        let node = find(&view, &name);
        assert!(node.is_some(), "{name} is told by itself");
        let edges = edges(&view);
        let mut of_it = edges.iter().filter(|(edge, _)| edge.contains(&name));
        let counts = if *answers { (1, 1, 0) } else { (0, 0, 1) };
        assert_eq!(of_it.next().map(|it| *it.1), Some(counts), "{name}");
    }
}

#[test]
fn attempts_from_any_address_hide_nobody() {
    let mut map = Map::new(Options::ONE_HOST);
    let web = of_user(0, "web.service");
    let many = 40_000;
    for n in 0..many {
        let closed = comes(None, 81, stranger(256 * n), n);
        map.push(&closed.fails(1.0, Reason::NotListening));
        let full = comes(Some(&web), 80, stranger(256 * n + 1), many + n);
        map.push(&full.fails(1.0, Reason::AcceptQueueFull));
    }
    is_all_told(&mut map, 2.0);
    let view = map.view();
    let told = view.nodes.len();
    assert!(told < 10_000, "{told} nodes");
    assert!(
        view.coverage[0].cut.nodes > 60_000,
        "what is folded is counted"
    );
    // Who comes in at last is told by itself, and so at the port that all were turned away from.
    let last = comes(Some(&web), 80, stranger(256 * (many - 1) + 1), 3_000_000);
    map.push(&last.closes(3.0, 1, 1));
    let view = map.view();
    assert!(find(&view, &last.remote.ip().to_string()).is_some());
}

#[test]
fn a_users_remotes_hide_nobody_elses() {
    let mut map = Map::new(Options::ONE_HOST);
    let miner = of_user(1000, "miner");
    for n in 0..40_000 {
        map.push(&dials(&miner, stranger(n), n).closes(1.0, 1, 1));
        map.push(
            &dials(&miner, stranger(0x0100_0000 + n), 100_000 + n).fails(1.0, Reason::Refused),
        );
    }
    is_all_told(&mut map, 2.0);
    let view = map.view();
    // What is beyond his share is told by its networks.
    let networks = view.nodes.iter().filter(|it| it.name.ends_with("/24"));
    let members: u64 = networks.filter_map(|it| it.members).sum();
    assert_eq!(view.coverage[0].cut.nodes, members);
    assert!(members > 40_000);
}

#[test]
fn a_users_ports_hide_nobody_elses() {
    let mut map = Map::new(Options::ONE_HOST);
    let miner = of_user(1000, "miner");
    let mut n = 0;
    for host in 0..6 {
        for port in 1..=50_000_u16 {
            let mut at = stranger(host);
            at.set_port(port);
            n += 1;
            map.push(&dials(&miner, at, n).closes(1.0, 1, 1));
        }
    }
    assert!(map.view().coverage[0].cut.edges > 0);
    is_all_told(&mut map, 2.0);
}

#[test]
fn a_users_listeners_hide_nobody_elses() {
    let listens = |process: &Arc<Process>, netns, port| Event {
        time: at(1.0),
        host: host("web-1"),
        body: Body::Listen(ListenerEvent {
            listener: Listener {
                local: SocketAddr::new([0, 0, 0, 0].into(), port),
                backlog: Some(1),
                netns,
            },
            process: Some(Arc::clone(process)),
            evidence: Evidence {
                process: ProcessEvidence::Hook,
                direction: None,
                end: None,
            },
        }),
    };
    let mut map = Map::new(Options::ONE_HOST);
    let squatter = of_user(1000, "squatter");
    for netns in 10..14 {
        for port in 1..=40_000 {
            map.push(&listens(&squatter, netns, port));
        }
    }
    map.push(&listens(&of_user(0, "web.service"), 1, 80));
    map.push(&listens(&of_user(999, "postgresql.service"), 1, 5432));
    let view = map.view();
    for name in ["web.service", "postgresql.service"] {
        let node = find(&view, name).expect("a node");
        assert_eq!((node.listeners.len(), node.cut.listeners), (1, 0), "{name}");
    }
    let squatter = find(&view, "squatter").expect("a node");
    let all = squatter.listeners.len() as u64 + squatter.cut.listeners;
    assert_eq!(all, 160_000, "what is not kept is counted");
    assert!(squatter.cut.listeners > 0);
}

/// The same event of an end that was dialled by `name`.
fn called(mut event: Event, name: &str, source: NameSource) -> Event {
    let (Body::Connect(it) | Body::Close(it) | Body::Fail(it)) = &mut event.body else {
        panic!("of a connection");
    };
    it.connection.name = Some(Arc::new(Name {
        called: Called::One {
            name: name.into(),
            canonical: None,
        },
        source,
    }));
    event
}

#[test]
fn what_a_user_calls_an_address_is_no_name_of_it_for_others() {
    let at = address("198.51.100.7:443");
    let (root, user) = (of_user(0, "web.service"), of_user(1000, "evil"));
    let other = of_user(1001, "postgresql.service");
    let resolver = of_user(101, "systemd-resolved.service");
    // Who dials it by a name, who by number, and what that is called then.
    let rows = [
        (&user, &[&root][..], "198.51.100.7"),
        (&user, &[&other], "198.51.100.7"),
        (&user, &[&user], "bank.test"),
        (&user, &[&user, &other], "198.51.100.7"),
        (&user, &[&root, &user], "198.51.100.7"),
        (&other, &[&user, &other, &root], "198.51.100.7"),
        (&root, &[&user], "bank.test"),
        (&root, &[&other, &root], "bank.test"),
        (&resolver, &[&user, &other, &root], "bank.test"),
    ];
    for source in [NameSource::Dns, NameSource::DnsOther] {
        for (by, dialling, expected) in &rows {
            let mut events = vec![called(
                dials(by, at, 1).closes(1.0, 1, 1),
                "bank.test",
                source,
            )];
            let numbers = dialling.iter().zip(2..);
            events.extend(numbers.map(|(who, n)| dials(who, at, n).closes(2.0, 1, 1)));
            let back: Vec<Event> = events.iter().rev().cloned().collect();
            for events in [events, back] {
                let view = map_of(&events);
                for who in *dialling {
                    // What others asked for is no name of what `by` dials either: it may go by number.
                    let is_by = Arc::ptr_eq(who, by) && source == NameSource::Dns;
                    let name = &who.workload.as_ref().expect("a workload").name;
                    let edge = format!("{name} -> {expected}:443");
                    assert!(
                        is_by || edges(&view).contains_key(&edge),
                        "{edge}: {:?}",
                        edges(&view)
                    );
                }
            }
        }
    }
    // A file is nobody's to say otherwise; a second name of a user's takes none from others.
    let events = [
        called(
            dials(&user, at, 1).closes(1.0, 1, 1),
            "file.test",
            NameSource::Hosts,
        ),
        called(
            dials(&user, at, 2).closes(1.0, 1, 1),
            "bank.test",
            NameSource::Dns,
        ),
        dials(&root, at, 3).closes(1.0, 1, 1),
    ];
    let view = map_of(&events);
    assert!(edges(&view).contains_key("web.service -> file.test:443"));
}

#[test]
fn who_has_its_name_from_others_goes_by_number_where_a_remote_comes_in() {
    let (web, user) = (of_user(0, "web.service"), of_user(1000, "evil"));
    let at = address("198.51.100.7:40000");
    let named = called(
        dials(&user, at, 1).closes(1.0, 1, 1),
        "bank.test",
        NameSource::Dns,
    );
    let view = map_of(&[named, comes(Some(&web), 80, at, 2).closes(1.0, 1, 1)]);
    assert!(edges(&view).contains_key("198.51.100.7 -> web.service:80"));
}

/// The same event in another network namespace.
fn within(mut event: Event, netns: u32) -> Event {
    match &mut event.body {
        Body::Listen(it) | Body::Unlisten(it) => it.listener.netns = netns,
        Body::Connect(it) | Body::Accept(it) | Body::Close(it) | Body::Fail(it) => {
            it.connection.netns = netns;
        }
        _ => {}
    }
    event
}

/// `process` in a place that the user `uid` owns.
fn in_place_of(uid: u32, process: &Arc<Process>) -> Arc<Process> {
    let mut process = Arc::unwrap_or_clone(Arc::clone(process));
    let workload = process.workload.as_mut().map(Arc::make_mut);
    workload.expect("a workload").uid = Some(uid);
    Arc::new(process)
}

/// `process` listens there, at any address.
fn listens(process: &Arc<Process>, netns: u32, port: u16) -> Event {
    let event = ListenerEvent {
        listener: Listener {
            local: SocketAddr::new([0, 0, 0, 0].into(), port),
            backlog: Some(1),
            netns,
        },
        process: Some(Arc::clone(process)),
        evidence: Evidence {
            process: ProcessEvidence::Hook,
            direction: None,
            end: None,
        },
    };
    Event {
        time: at(1.0),
        host: host("web-1"),
        body: Body::Listen(event),
    }
}

#[test]
fn a_users_network_namespace_takes_nobodys_address() {
    let web = of_user(0, "web.service");
    let evil = in_place_of(1000, &of_user(1000, "evil"));
    let db = address("10.0.0.9:5432");
    // It has the address of another machine, and what is refused there is of no process that is known.
    let mut refused = comes(None, 81, stranger(1), 3);
    refused.local = SocketAddr::new(db.ip(), 81);
    let events = [
        listens(&evil, 66, 5432),
        within(refused.fails(2.0, Reason::NotListening), 66),
        dials(&web, db, 1).closes(3.0, 1, 1),
    ];
    let back: Vec<Event> = events.iter().rev().cloned().collect();
    for events in [&events[..], &back[..]] {
        let edges = edges(&map_of(events));
        assert!(
            edges.contains_key("web.service -> 10.0.0.9:5432"),
            "{edges:?}"
        );
    }
    // By workloads of all of a host it is the same, whoever was seen last.
    let by_host = Options {
        group_by: GroupBy::Host,
        ..Options::ONE_HOST
    };
    let mut own = comes(Some(&evil), 5432, stranger(1), 4);
    own.local = db;
    let events = [
        within(own.closes(2.0, 1, 1), 66),
        listens(&evil, 66, 5432),
        dials(&web, db, 1).closes(3.0, 1, 1),
        within(own.closes(2.0, 1, 1), 66),
    ];
    let edges = edges(&map_with(by_host, &events));
    assert!(edges.contains_key("web-1 -> 10.0.0.9:5432"), "{edges:?}");
}

/// `IP_FREEBIND` needs no right: a socket may be bound to an address that nobody has here, and listen.
#[test]
fn a_user_that_binds_an_address_of_others_does_not_have_it() {
    let web = of_user(0, "web.service");
    let evil = of_user(1000, "session-3.scope");
    let sshd = of_user(0, "sshd.service");
    let db = address("10.0.0.9:5432");
    let mut listens_there = listens(&evil, 1, 5432);
    if let Body::Listen(it) = &mut listens_there.body {
        it.listener.local = db;
    }
    // It dials from there as well, in vain.
    let mut dialled = dials(&evil, stranger(1), 3);
    dialled.local = SocketAddr::new(db.ip(), 40_001);
    let events = [
        listens(&sshd, 1, 22),
        listens_there,
        dialled.fails(2.0, Reason::Other),
        dials(&web, db, 1).closes(3.0, 1, 1),
        dials(&web, address("10.0.0.9:22"), 2).closes(3.0, 1, 1),
    ];
    let back: Vec<Event> = events.iter().rev().cloned().collect();
    for events in [&events[..], &back[..]] {
        let view = map_of(events);
        let edges = edges(&view);
        for port in [22, 5432] {
            let edge = format!("web.service -> 10.0.0.9:{port}");
            assert!(edges.contains_key(&edge), "{edges:?}");
        }
        let evil = find(&view, "session-3.scope").expect("it is there");
        assert!(!evil.addresses.contains(&Address::from(db)), "{evil:?}");
    }
    // What root's services listen at, their host has.
    let mut of_host = listens(&sshd, 1, 22);
    if let Body::Listen(it) = &mut of_host.body {
        it.listener.local = address("10.0.0.9:22");
    }
    let dialled = dials(&web, address("10.0.0.9:22"), 2).closes(3.0, 1, 1);
    let edges = edges(&map_of(&[of_host, dialled]));
    assert!(
        edges.contains_key("web.service -> sshd.service:22"),
        "{edges:?}"
    );
}

/// `process` in a container.
fn contained(process: &Arc<Process>) -> Arc<Process> {
    let mut process = Arc::unwrap_or_clone(Arc::clone(process));
    let workload = process.workload.as_mut().map(Arc::make_mut);
    workload.expect("a workload").kind = WorkloadKind::Container;
    Arc::new(process)
}

#[test]
fn what_a_container_calls_an_address_is_no_name_of_it_for_others() {
    let at = address("198.51.100.7:443");
    let web = of_user(0, "web.service");
    for uid in [0, 101] {
        let evil = contained(&of_user(uid, "evil"));
        let named = called(
            dials(&evil, at, 1).closes(1.0, 1, 1),
            "db.internal",
            NameSource::Dns,
        );
        let view = map_of(&[named, dials(&web, at, 2).closes(2.0, 1, 1)]);
        let edges = edges(&view);
        for edge in ["web.service -> 198.51.100.7:443", "evil -> db.internal:443"] {
            assert!(edges.contains_key(edge), "{edge}: {edges:?}");
        }
    }
}

#[test]
fn a_users_programs_in_units_of_root_leave_room_for_roots() {
    let mut map = Map::new(Options::ONE_HOST);
    let args: Arc<[String]> = vec!["x".repeat(4000)].into();
    let mut n = 0;
    for session in 0..1000 {
        let unit = format!("session-{session}.scope");
        n += 1;
        map.push(&dials(&of_user(0, &unit), stranger(1), n).closes(1.0, 1, 1));
        for pid in 0..60 {
            let mut process = Arc::unwrap_or_clone(of_user(1000, &unit));
            (process.pid, process.args) = (100_000 + pid, Some(Arc::clone(&args)));
            n += 1;
            map.push(&dials(&Arc::new(process), stranger(1), n).closes(1.0, 1, 1));
        }
    }
    map.push(&dials(&of_user(0, "late.service"), stranger(1), n + 1).closes(1.0, 1, 1));
    let view = map.view();
    assert!(find(&view, "late.service").is_some(), "root's have room");
    assert_eq!(view.coverage[0].cut.nodes, 0);
    let cut: u64 = view.nodes.iter().map(|it| it.cut.processes).sum();
    assert!(cut > 50_000, "a user fills what is his: {cut}");
}

/// What `map` had no room for on its only host, before and after what root's services do.
fn cuts_nothing_of_roots(map: &mut Map, time: f64) {
    let before = map.view().coverage[0].cut;
    let web = of_user(0, "web.service");
    let mut events = vec![listens(&web, 1, 80)];
    for n in 0..10 {
        let at = |port| SocketAddr::new([10, 9, 9, n as u8].into(), port);
        let mut comes_in = comes(Some(&web), 80, stranger(1), 2_000_000 + n);
        comes_in.local = at(80);
        let own = dials(&web, at(9000 + n as u16), 2_000_100 + n);
        events.extend([comes_in.closes(time, 1, 1), own.closes(time, 1, 1)]);
    }
    events.iter().for_each(|it| map.push(it));
    assert_eq!(map.view().coverage[0].cut, before);
}

#[test]
fn a_users_own_addresses_hide_nobody_elses() {
    let mut map = Map::new(Options::ONE_HOST);
    let evil = of_user(1000, "evil");
    // As many places as there is room for, and more, at which it accepts.
    for n in 0..halves::MAX_PLACES as u32 + 1000 {
        let mut comes_in = comes(Some(&evil), 1, stranger(n % 8), n);
        comes_in.local = stranger(n);
        map.push(&comes_in.closes(1.0, 1, 1));
    }
    assert!(map.view().coverage[0].cut.servers > 1000);
    cuts_nothing_of_roots(&mut map, 2.0);
}

#[test]
fn a_users_scans_hide_nobody_elses() {
    let mut map = Map::new(Options::ONE_HOST);
    let (evil, web) = (of_user(1000, "evil"), of_user(0, "web.service"));
    let scan = |map: &mut Map, who, to: u32, n: &mut u32| {
        for port in 1..=halves::MAX_FAILING_PORTS as u16 + 10 {
            let mut at = stranger(to);
            at.set_port(port);
            *n += 1;
            map.push(&dials(who, at, *n).fails(1.0, Reason::Refused));
        }
    };
    let mut n = 0;
    (0..1200).for_each(|to| scan(&mut map, &evil, to, &mut n));
    scan(&mut map, &web, 5000, &mut n);
    let view = map.view();
    let place = view.nodes.iter().position(|it| &*it.name == "web.service");
    let mut own = view.edges.iter().filter(|it| Some(it.client) == place);
    assert_eq!(
        own.next().map(|it| it.history.ports),
        Some(26),
        "all its ports"
    );
}
