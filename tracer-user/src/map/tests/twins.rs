//! Hosts with one id, or one name.

use super::*;

fn called(id: &str, name: &str) -> Arc<Host> {
    Arc::new(Host {
        id: id.to_owned(),
        name: name.to_owned(),
    })
}

fn stop(from: f64, to: f64) -> Body {
    Body::Stop(Box::new(blank::stop([at(from), at(to)])))
}

/// A run on `host`, in which `app` opens a connection and keeps it.
fn run(host: &Arc<Host>, n: u64, from: f64, to: f64) -> Vec<Event> {
    let mut client = pair(n).0;
    client.host = Arc::clone(host);
    vec![
        client.tell(from, start()),
        client.opens(from + 1.0),
        client.tell(to, stop(from, to)),
    ]
}

fn merged(runs: impl IntoIterator<Item = Vec<Event>>) -> View {
    let mut events: Vec<Event> = runs.into_iter().flatten().collect();
    events.sort_by_key(|it| it.time);
    map_with(Options::SEVERAL_HOSTS, &events)
}

fn hosts(view: &View) -> Vec<(&str, Vec<&str>, bool)> {
    let hosts = view.coverage.iter();
    hosts
        .map(|it| {
            let twins = it.twins.iter().map(String::as_str).collect();
            (it.host.name.as_str(), twins, it.taken_for_one)
        })
        .collect()
}

#[test]
fn two_names_of_one_id_at_once_are_two_hosts() {
    let (one, two) = (called("c", "web-1"), called("c", "web-2"));
    let view = merged([run(&one, 1, 0.0, 10.0), run(&two, 2, 0.5, 10.5)]);
    assert_eq!(
        hosts(&view),
        [
            ("web-1", vec!["web-2"], false),
            ("web-2", vec!["web-1"], false)
        ]
    );
    assert_eq!(view.edges.len(), 2);
    assert!(
        view.edges
            .iter()
            .all(|it| (it.established, it.live()) == (1, 1))
    );
    assert!(view.coverage.iter().all(|it| it.gaps.is_empty()));
    let ids: Vec<&str> = view.nodes.iter().map(|it| &*it.id).collect();
    assert!(ids.contains(&"web-1/systemd/app.service"), "{ids:?}");
    assert!(ids.contains(&"web-2/systemd/app.service"), "{ids:?}");
    for node in &view.nodes {
        assert!(node.host.as_ref().is_none_or(|it| it.id == "c"));
    }
}

/// Of both the connections have the same numbers, as cloned machines are booted together.
#[test]
fn connections_of_two_hosts_with_one_id_are_not_mixed_up() {
    let ends = [called("c", "web-1"), called("c", "web-2")].map(|host| End {
        host,
        handshake: None,
        ..pair(1).0
    });
    let mut events = Vec::new();
    for (end, sent) in ends.iter().zip([10, 20]) {
        events.extend([end.opens(1.0), end.closes(2.0, sent, 0)]);
        events.push(end.tell(0.0, start()));
        events.push(end.tell(9.0, stop(0.0, 9.0)));
    }
    let view = merged([events]);
    let sent: Vec<u64> = view.edges.iter().map(|it| it.sent_bytes).collect();
    assert_eq!((view.edges.len(), sent), (2, vec![10, 20]));
}

#[test]
fn a_host_that_is_renamed_between_runs_is_one() {
    let (old, new) = (called("c", "old"), called("c", "new"));
    let mut killed = run(&old, 1, 0.0, 10.0);
    killed.pop();
    for first in [run(&old, 1, 0.0, 10.0), killed] {
        let first_ends = first.last().map(|it| it.time);
        let view = merged([first, run(&new, 2, 20.0, 30.0)]);
        assert_eq!(hosts(&view), [("new", vec![], false)]);
        let coverage = &view.coverage[0];
        assert_eq!(coverage.names_before, ["old"]);
        assert_eq!((coverage.from, coverage.to), (at(0.0), at(30.0)));
        let gaps: Vec<_> = coverage.gaps.iter().map(|it| (it.from, it.to)).collect();
        assert_eq!(gaps, [(first_ends.expect("told"), at(20.0))]);
        // One app with one edge; what was open under the old name is not any more.
        let edge = only(&view);
        assert_eq!((edge.established, edge.terminated, edge.live()), (2, 1, 1));
        let host = view.nodes[edge.client]
            .host
            .as_ref()
            .map(|it| it.name.as_str());
        assert_eq!(host, Some("new"));
        assert_eq!(&*view.nodes[edge.server].id, "10.0.0.9@new");
    }
}

#[test]
fn two_runs_at_once_under_one_name_are_doubted() {
    let host = called("c", "web");
    let at_once = merged([run(&host, 1, 0.0, 10.0), run(&host, 2, 5.0, 15.0)]);
    assert_eq!(hosts(&at_once), [("web", vec![], true)]);
    // One goes on after the other ended, and is never told to end itself.
    let mut cut = run(&host, 2, 5.0, 15.0);
    cut[2] = pair(3).0.opens(15.0);
    cut[2].host = Arc::clone(&host);
    let at_once = merged([run(&host, 1, 0.0, 10.0), cut]);
    assert_eq!(hosts(&at_once), [("web", vec![], true)]);
    // One was killed, and the next begins.
    let mut killed = run(&host, 1, 0.0, 10.0);
    killed.pop();
    let rows = [
        vec![
            killed.clone(),
            run(&host, 2, 20.0, 30.0),
            run(&host, 3, 40.0, 50.0),
        ],
        vec![run(&host, 1, 0.0, 10.0), run(&host, 2, 20.0, 30.0)],
        // The same recording, given twice.
        vec![run(&host, 1, 0.0, 10.0), run(&host, 1, 0.0, 10.0)],
    ];
    for runs in rows {
        assert_eq!(hosts(&merged(runs)), [("web", vec![], false)]);
    }
}

#[test]
fn two_hosts_of_one_name_have_ids_that_differ() {
    let hosts = [called("aaaaaaaa-1", "web"), called("aaaaaaaa-2", "web")];
    let view = merged([run(&hosts[0], 1, 0.0, 9.0), run(&hosts[1], 2, 0.0, 9.0)]);
    assert_eq!((view.edges.len(), view.coverage.len()), (2, 2));
    assert!(view.edges.iter().all(|it| it.live() == 1));
}

#[test]
fn what_a_run_left_is_looked_at_for_that_run_alone() {
    let mut map = Map::new(Options::SEVERAL_HOSTS);
    // Another host has many connections open, and many that listen.
    let (one, other) = (called("a", "web-1"), called("b", "web-2"));
    for n in 0..2_000 {
        let mut client = pair(n).0;
        client.host = Arc::clone(&other);
        client.process = Some(unit(&format!("app-{n}.service"), 10));
        map.push(&client.opens(0.5));
    }
    let runs = 2_000_u64;
    for n in 0..runs {
        let from = 10.0 * n as f64;
        let mut events = run(&one, 10_000 + n, from, from + 5.0);
        // And this one has nodes by the hundred, which are over.
        let mut short = pair(20_000 + n).0;
        short.host = Arc::clone(&one);
        short.process = Some(unit(&format!("job-{}.service", n % 500), 10));
        events.extend([short.opens(from + 2.0), short.closes(from + 3.0, 1, 1)]);
        events.sort_by_key(|it| it.time);
        events.iter().for_each(|it| map.push(it));
    }
    let looked_at = (map.connections.looked_at, map.nodes.looked_at);
    // Each is told open once, found missing once, and is over then.
    assert!(looked_at.0 <= 4 * runs as usize, "{looked_at:?}");
    assert!(looked_at.1 <= 4 * runs as usize, "{looked_at:?}");
    let view = check(&map.view());
    let live = |client: &str| {
        let edges = view.edges.iter();
        let of = edges.filter(|it| &*view.nodes[it.client].name == client);
        of.map(|it| it.live()).sum::<u64>()
    };
    assert_eq!((live("app.service"), live("app-7.service")), (1, 1));
}

#[test]
fn connections_that_are_over_take_no_room_among_those_that_are_open() {
    let mut map = Map::new(Options::ONE_HOST);
    let host = host("web-1");
    let mut keeps = pair(1).0;
    keeps.host = Arc::clone(&host);
    map.push(&keeps.opens(0.5));
    for n in 2..20_000 {
        let client = pair(n).0;
        let time = n as f64;
        map.push(&client.opens(time));
        map.push(&client.closes(time + 0.5, 1, 1));
    }
    map.push(&keeps.tell(30_000.0, start()));
    map.push(&keeps.tell(30_001.0, start()));
    assert!(
        map.connections.looked_at <= 3_000,
        "{}",
        map.connections.looked_at
    );
    // What no run found again is over.
    map.push(&keeps.tell(30_002.0, start()));
    map.push(&keeps.tell(30_003.0, start()));
    let view = check(&map.view());
    assert_eq!(view.edges.iter().map(|it| it.live()).sum::<u64>(), 0);
}
