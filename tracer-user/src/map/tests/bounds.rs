//! What stays of a workload that has much of everything, and what is said of the rest.

use super::*;
use crate::model::{Address, ExitStatus, Listener, ProcessEvent, Signal};

/// A process of `app.service` that runs `exe`.
fn of_app(pid: u32, exe: &str, started: f64) -> Arc<Process> {
    let mut process = Arc::unwrap_or_clone(unit("app.service", pid));
    process.exe = Some(exe.into());
    process.started = Some(at(started));
    Arc::new(process)
}

fn node<'a>(view: &'a View, name: &str) -> &'a crate::model::Node {
    let mut nodes = view.nodes.iter();
    nodes.find(|it| &*it.name == name).expect("a node")
}

fn listener(process: &Arc<Process>, time: f64, port: u16, listens: bool) -> Event {
    let event = ListenerEvent {
        listener: Listener {
            local: SocketAddr::new([0, 0, 0, 0].into(), port),
            backlog: Some(128),
            netns: 1,
        },
        process: Some(Arc::clone(process)),
        evidence: Evidence {
            process: ProcessEvidence::Hook,
            direction: None,
            end: None,
        },
    };
    Event {
        time: at(time),
        host: host("web-1"),
        body: match listens {
            true => Body::Listen(event),
            false => Body::Unlisten(event),
        },
    }
}

fn ran(process: &Arc<Process>, time: f64, exit: Option<ExitStatus>) -> Event {
    let event = ProcessEvent {
        process: Arc::clone(process),
        exit,
    };
    Event {
        time: at(time),
        host: host("web-1"),
        body: match exit {
            Some(_) => Body::Exit(event),
            None => Body::Exec(event),
        },
    }
}

/// The daemon keeps a connection, and its helpers dial and are gone.
fn with_helpers(helpers: u32, exe: impl Fn(u32) -> String) -> View {
    let mut events = Vec::new();
    let (mut daemon, _) = pair(0);
    daemon.process = Some(of_app(10, "/opt/maind", 0.5));
    events.push(daemon.opens(1.0));
    for n in 1..=helpers {
        let time = 1.0 + f64::from(n);
        let (mut helper, _) = pair(u64::from(n));
        helper.process = Some(of_app(1000 + n, &exe(n), time));
        events.extend([helper.opens(time), helper.closes(time + 0.1, 5, 5)]);
    }
    map_of(&events)
}

/// A recording of several hosts has one value for processes whose lines are alike.
#[test]
fn a_process_of_two_hosts_is_cut_once_on_each() {
    let mut map = Map::new(Options::SEVERAL_HOSTS);
    for n in 1..=300 {
        let process = of_app(1000 + n, &format!("/opt/job-{n}"), 1.0);
        for name in ["web-1", "web-2", "web-1", "web-2"] {
            let (mut end, _) = pair(u64::from(n));
            end.host = host(name);
            end.process = Some(Arc::clone(&process));
            map.push(&end.opens(1.0));
        }
    }
    let view = map.view();
    let apps = || view.nodes.iter().filter(|it| &*it.name == "app.service");
    assert_eq!(apps().count(), 2);
    for app in apps() {
        assert_eq!(app.cut.processes, 300 - app.processes.len() as u64);
    }
}

#[test]
fn a_daemon_is_not_pushed_out_by_its_helpers() {
    for helpers in [20, 300] {
        let view = with_helpers(helpers, |_| "/opt/helper".to_owned());
        let app = node(&view, "app.service");
        let exes: std::collections::BTreeSet<_> = app
            .processes
            .iter()
            .filter_map(|it| it.exe.as_deref())
            .collect();
        assert_eq!(exes, ["/opt/helper", "/opt/maind"].into());
        assert!(
            app.processes.iter().any(|it| it.pid == 1000 + helpers),
            "the last one"
        );
        let kept = app.processes.len() as u64;
        assert_eq!(app.cut.processes, u64::from(helpers) + 1 - kept);
        assert_eq!(app.cut.programs, 0);
    }
    let view = with_helpers(300, |n| format!("/opt/job-{n}"));
    let app = node(&view, "app.service");
    assert!(
        app.processes
            .iter()
            .any(|it| it.exe.as_deref() == Some("/opt/maind"))
    );
    assert_eq!(app.cut.programs, 301 - app.processes.len() as u64);
}

#[test]
fn who_dialled_first_is_known_after_many_others() {
    // It was short itself.
    let mut events = Vec::new();
    for n in 0..300_u32 {
        let time = 1.0 + f64::from(n);
        let (mut helper, _) = pair(u64::from(n));
        helper.process = Some(of_app(1000 + n, "/opt/helper", time));
        events.extend([helper.opens(time), helper.closes(time + 0.1, 5, 5)]);
    }
    let view = map_of(&events);
    let app = node(&view, "app.service");
    assert_eq!(app.processes[0].pid, 1000);
}

#[test]
fn a_connection_whose_opening_was_not_told_is_not_one_less() {
    let (mut daemon, _) = pair(0);
    daemon.process = Some(of_app(10, "/opt/app", 0.5));
    let mut events = vec![daemon.opens(1.0)];
    // What is over at once is told by its end alone.
    let mut short = pair(1).0;
    short.process.clone_from(&daemon.process);
    events.push(short.closes(1.5, 1, 1));
    for n in 2..200_u32 {
        let (mut helper, _) = pair(u64::from(n));
        helper.process = Some(of_app(1000 + n, "/opt/app", f64::from(n)));
        events.push(helper.closes(f64::from(n), 5, 5));
    }
    let view = map_of(&events);
    assert_eq!(node(&view, "app.service").processes[0].pid, 10);
}

#[test]
fn all_addresses_of_a_workload_and_of_a_remote_are_there() {
    let many = 3_000_u32;
    let mut events = Vec::new();
    for n in 0..many {
        let (mut client, mut server) = pair(u64::from(n));
        let own = Address::from(std::net::IpAddr::from((0x0a40_0000 + n).to_be_bytes()));
        client.local = own.with_port(40_000);
        server.remote = client.local;
        if let Some(process) = &mut server.process {
            *process = unit("postgresql.service", 20);
        }
        events.extend([client.opens(1.0), server.opens(1.0)]);
    }
    let view = map_of(&events);
    let app = node(&view, "app.service");
    assert_eq!((app.addresses.len(), app.cut.addresses), (many as usize, 0));
    assert!(app.cut.is_nothing());

    // A name that has as many.
    let mut events = Vec::new();
    for n in 0..many {
        let mut client = pair(1).0;
        (client.id, client.handshake) = (u64::from(n), None);
        let there = Address::from(std::net::IpAddr::from((0xcb00_7100 + n).to_be_bytes()));
        client.remote = there.with_port(443);
        let mut event = client.closes(1.0, 1, 1);
        if let Body::Close(it) = &mut event.body {
            it.connection.name = Some(Arc::new(Name {
                called: Called::One {
                    name: "api.example".into(),
                    canonical: None,
                },
                source: NameSource::Dns,
            }));
        }
        events.push(event);
    }
    let view = map_of(&events);
    assert_eq!(node(&view, "api.example").addresses.len(), many as usize);
    assert!(node(&view, "api.example").cut.is_nothing());

    // Beyond the bound each is counted once.
    let mut events = Vec::new();
    let most = kept::MAX_ADDRESSES as u32;
    for n in (0..most + 5).chain(0..most + 5) {
        let (mut client, _) = pair(1);
        client.id = u64::from(events.len() as u32);
        client.handshake = None;
        let own = Address::from(std::net::IpAddr::from((0x0a40_0000 + n).to_be_bytes()));
        client.local = own.with_port(40_000);
        events.push(client.closes(1.0, 1, 1));
    }
    let view = map_of(&events);
    let app = node(&view, "app.service");
    assert_eq!((app.addresses.len() as u32, app.cut.addresses), (most, 5));
}

#[test]
fn the_end_of_a_server_stays_among_health_checks() {
    let server = of_app(10, "/opt/redis", 0.5);
    let mut events = vec![listener(&server, 1.0, 6379, true)];
    let checks = |events: &mut Vec<Event>, from: u32, to: u32| {
        for n in from..to {
            let check = of_app(1000 + n, "/bin/true", 2.0);
            let time = 2.0 + f64::from(n) / 100.0;
            events.push(ran(&check, time, None));
            events.push(ran(&check, time, Some(ExitStatus::Code(0))));
        }
    };
    let killed = Some(ExitStatus::Signal(Signal::Name("SIGKILL")));
    checks(&mut events, 0, 100);
    events.push(ran(&server, 3.1, killed));
    events.push(listener(&server, 3.1, 6379, false));
    checks(&mut events, 120, 2_000);
    // It is not listening any more, so an edge is what shows it.
    events.push(pair(1).0.opens(30.0));
    let view = map_of(&events);
    let app = node(&view, "app.service");
    let has = |is: &dyn Fn(&Happened) -> bool| app.changes.iter().any(|it| is(&it.what));
    assert!(has(&|it| matches!(
        it,
        Happened::Unlisten { port: 6379, .. }
    )));
    assert!(has(&|it| matches!(it, Happened::Exit { pid: 10, .. })));
    assert!(
        has(&|it| matches!(it, Happened::Exec { .. })),
        "some of each kind"
    );
    assert!(app.cut.changes > 3_000);
    assert!(app.changes.is_sorted_by_key(|it| it.time));
}

#[test]
fn all_listeners_are_there_and_those_beyond_are_counted() {
    let mut haproxy = Arc::unwrap_or_clone(of_app(10, "/opt/haproxy", 0.5));
    haproxy.uid = Some(1000);
    let haproxy = Arc::new(haproxy);
    let mut map = Map::new(Options::ONE_HOST);
    // Of one user.
    let most = listeners::MAX_WORDS as u32 / 32 * 21;
    let mut events = |listens, ports: std::ops::Range<u32>| {
        for n in ports {
            let mut event = listener(&haproxy, 1.0, (n % 60_000) as u16 + 1, listens);
            if let Body::Listen(it) | Body::Unlisten(it) = &mut event.body {
                it.listener.netns = n / 60_000;
            }
            map.push(&event);
        }
        map.view()
    };
    let view = events(true, 0..2_000);
    assert_eq!(node(&view, "app.service").listeners.len(), 2_000);
    assert!(node(&view, "app.service").cut.is_nothing() || view.nodes[0].cut.listeners == 0);
    let view = events(true, 2_000..most + 3);
    let app = node(&view, "app.service");
    assert_eq!((app.listeners.len() as u32, app.cut.listeners), (most, 3));
    // What goes makes room, and what was not kept is counted no more when it is gone.
    let view = events(false, most - 10..most + 3);
    let app = node(&view, "app.service");
    assert_eq!(
        (app.listeners.len() as u32, app.cut.listeners),
        (most - 10, 0)
    );
}

#[test]
fn nodes_beyond_the_bound_are_counted_in_the_coverage() {
    let mut map = Map::new(Options::ONE_HOST);
    // Of one user.
    let most = remotes::MAX_SERVED as u32 / 32 * 21;
    for n in 0..most + 10 {
        let (mut client, _) = pair(1);
        client.id = u64::from(n);
        client.handshake = None;
        let remote = Address::from(std::net::IpAddr::from((0xcb00_0000 + n).to_be_bytes()));
        client.remote = remote.with_port(443);
        map.push(&client.closes(1.0, 1, 1));
    }
    let view = map.view();
    assert_eq!(view.coverage[0].cut.nodes, 10);
    assert_eq!(node(&view, "203.0.84.0/24").members, Some(10));
}

#[test]
fn programs_beyond_any_number_are_one_node() {
    let mut map = Map::new(Options {
        group_by: GroupBy::Process,
        ..Options::ONE_HOST
    });
    let most = 2 * nodes::MAX_NODES as u32;
    for n in 0..most + 9 {
        let (mut client, _) = pair(1);
        client.id = u64::from(n);
        client.handshake = None;
        client.process = Some(of_app(n + 1, "/bin/x", 1.0));
        // No two have one port at one time.
        client.local.set_port(20_000 + (n % 20_000) as u16);
        map.push(&client.closes(f64::from(n / 20_000) * 10.0, 1, 1));
    }
    let view = map.view();
    assert_eq!(view.coverage[0].cut.nodes, 9);
    assert_eq!(node(&view, "other-programs").members, Some(9));
    // One is the remote, and one is what stands for the rest.
    assert_eq!(view.nodes.len() as u32, most + 2);
}

/// A connection of the program `exe` of user `uid`, which has these arguments.
fn of_user(id: u32, uid: u32, exe: &str, args: Option<Arc<[String]>>) -> Event {
    let (mut client, _) = pair(1);
    (client.id, client.handshake) = (u64::from(id), None);
    // No two have one port at one time.
    client.local.set_port(20_000 + (id % 20_000) as u16);
    let time = f64::from(id / 20_000) * 10.0;
    let mut process = Arc::unwrap_or_clone(of_app(id, exe, 1.0));
    (process.workload, process.uid, process.args) = (None, Some(uid), args);
    client.process = Some(Arc::new(process));
    client.closes(time, 1, 1)
}

/// The names of workloads of `view` that begin so.
fn names<'a>(view: &'a View, start: &str) -> Vec<&'a str> {
    let names = view.nodes.iter().map(|it| &*it.name);
    names.filter(|it| it.starts_with(start)).collect()
}

#[test]
fn the_programs_of_one_user_displace_nobody_elses() {
    let mut map = Map::new(Options::ONE_HOST);
    let most = nodes::WORKLOADS.user.entries as u32;
    let mut push = |id, uid, exe: &str| map.push(&of_user(id, uid, exe, None));
    for n in 0..most {
        push(n, 1000, &format!("/tmp/x{n}"));
    }
    let at_the_bound = map.view();
    assert_eq!(names(&at_the_bound, "x").len() as u32, most);
    assert!(at_the_bound.coverage[0].cut.is_nothing());
    let mut push = |id, uid, exe: &str| map.push(&of_user(id, uid, exe, None));
    push(most, 1000, "/tmp/x-one-past");
    for n in 1..60_000 - most {
        push(most + n, 1000, &format!("/tmp/x{}", most + n));
    }
    // Each of the others is there, those of root, too, and what was there stays.
    push(60_000, 0, "/usr/bin/roots");
    push(60_001, 1001, "/usr/bin/others");
    push(60_002, 1000, "/tmp/x7");
    let view = map.view();
    assert_eq!(names(&view, "x").len() as u32, most);
    assert_eq!(names(&view, "roots").len(), 1);
    assert_eq!(names(&view, "others").len(), 1);
    let rest = u64::from(60_000 - most);
    let others = node(&view, "other-programs@1000");
    assert_eq!(others.members, Some(rest));
    assert_eq!(others.kind, NodeKind::Workload);
    assert!(others.workload.is_none() && !others.cut.is_nothing());
    assert_eq!(view.coverage[0].cut.nodes, rest);
}

#[test]
fn long_texts_of_one_user_displace_nobody_elses() {
    let args: Arc<[String]> = vec!["x".repeat(4000)].into();
    let mut map = Map::new(Options::ONE_HOST);
    for n in 0..4000 {
        map.push(&of_user(
            n,
            1000,
            &format!("/tmp/x{n}"),
            Some(Arc::clone(&args)),
        ));
    }
    map.push(&of_user(4001, 1001, "/usr/bin/others", Some(args)));
    let view = map.view();
    let (kept, bound) = (names(&view, "x").len(), nodes::WORKLOADS.user.bytes);
    assert!(
        (bound / 6000..bound / 4000).contains(&kept),
        "{kept} programs of more than 4,000 bytes"
    );
    assert_eq!(names(&view, "others").len(), 1);
    assert_eq!(view.coverage[0].cut.nodes, 4000 - kept as u64);

    // Of one program no process more is kept than there is room for.
    let mut map = Map::new(Options::ONE_HOST);
    for n in 0..100 {
        let args = vec!["x".repeat(200_000)].into();
        map.push(&of_user(n, 1000, "/tmp/x", Some(args)));
    }
    let view = map.view();
    let (kept, bound) = (node(&view, "x").processes.len(), bound / 200_000);
    assert!((bound - 1..=bound).contains(&kept), "{kept} processes");
    assert_eq!(node(&view, "x").cut.processes, 100 - kept as u64);
    assert_eq!(node(&view, "x").processes.last().map(|it| it.pid), Some(99));
}

#[test]
fn users_however_many_leave_room_for_root() {
    let mut map = Map::new(Options::ONE_HOST);
    // Those of one host.
    let most = nodes::WORKLOADS.users.entries as u32 / 8 * 7;
    for n in 0..most + 9 {
        map.push(&of_user(n, 1 + n % 50, &format!("/tmp/x{n}"), None));
    }
    // Of a user who has nothing, there is not even a node for the rest of his own.
    map.push(&of_user(most + 9, 4000, "/tmp/late", None));
    map.push(&of_user(most + 10, 0, "/usr/bin/roots", None));
    let view = map.view();
    assert_eq!(names(&view, "x").len() as u32, most);
    assert_eq!(names(&view, "roots").len(), 1);
    assert_eq!(node(&view, "other-programs").members, Some(1));
    assert_eq!(view.coverage[0].cut.nodes, 10);
}
