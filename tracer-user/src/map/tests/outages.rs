//! When things failed, and how they ended: incidents whose truth is written beside them.

use super::*;
use crate::{
    ask::{
        Doubt,
        failures::{Failures, Happening, What, failures},
        impact::{Way, impact},
    },
    model::{Edge, ExitStatus, Listener, ListenerEvent, Outage, ProcessEvent},
};

/// A workload that listens at a port of web-1.
fn listens(time: f64, name: &str, pid: u32, evidence: ProcessEvidence, begins: bool) -> Event {
    let event = ListenerEvent {
        listener: Listener {
            local: address("0.0.0.0:6379"),
            backlog: Some(511),
            netns: 1,
        },
        process: Some(unit(name, pid)),
        evidence: Evidence {
            process: evidence,
            direction: None,
            end: None,
        },
    };
    Event {
        time: at(time),
        host: host("web-1"),
        body: match begins {
            true => Body::Listen(event),
            false => Body::Unlisten(event),
        },
    }
}

fn exits(time: f64, name: &str, pid: u32) -> Event {
    Event {
        time: at(time),
        host: host("web-1"),
        body: Body::Exit(ProcessEvent {
            process: unit(name, pid),
            exit: Some(ExitStatus::Code(0)),
        }),
    }
}

/// The two ends of connection `n` of `client` with redis, on one host.
fn call(n: u64, client: &str) -> (End, End) {
    let (mut out, mut into) = pair(n);
    out.remote = address("10.0.0.5:6379");
    out.process = Some(unit(client, 10));
    (into.local, into.host) = (out.remote, Arc::clone(&out.host));
    into.process = Some(unit("redis.service", 20));
    (out, into)
}

fn served(n: u64, client: &str, time: f64) -> Vec<Event> {
    let (out, into) = call(n, client);
    vec![
        out.opens(time),
        into.opens(time),
        out.closes(time + 0.01, 10, 20),
        into.closes(time + 0.01, 20, 10),
    ]
}

fn refused(n: u64, client: &str, time: f64) -> Event {
    call(n, client).0.fails(time, Reason::Refused)
}

/// Redis is stopped at 100 and is back at 160; the shop calls it each second, the mailer seldom. How the daemon came
/// into the recording is another matter.
fn incident(before: Vec<Event>, evidence: ProcessEvidence) -> Vec<Event> {
    let mut events = before;
    for second in 10..200_u64 {
        let time = second as f64;
        match second {
            100..160 => events.push(refused(second, "shop.service", time + 0.5)),
            _ => events.extend(served(second, "shop.service", time + 0.5)),
        }
        match second {
            150 => events.push(refused(1000, "mailer.service", time)),
            50 | 190 => events.extend(served(1000 + second, "mailer.service", time)),
            _ => {}
        }
    }
    events.push(listens(100.4, "redis.service", 20, evidence, false));
    events.push(exits(100.401, "redis.service", 20));
    events.push(listens(
        160.3,
        "redis.service",
        30,
        ProcessEvidence::Hook,
        true,
    ));
    // Long after that it is asked, and its helpers came and went meanwhile.
    events.extend(served(7000, "shop.service", 3_700.0));
    events.sort_by_key(|event| event.time);
    events
}

fn found(events: &[Event]) -> Failures {
    failures(&map_of(events), Duration::from_secs(60)).found
}

#[test]
fn an_incident_is_told_an_hour_later_however_the_recording_began() {
    use ProcessEvidence::{Hook, Scan};
    let begun_before = vec![listens(1.0, "redis.service", 20, Hook, true)];
    let begun_after = vec![listens(1.0, "redis.service", 20, Scan, true)];
    for (begun, evidence) in [(begun_before, Hook), (begun_after, Scan)] {
        let found = found(&incident(begun, evidence));
        assert_eq!(found.causes.len(), 1, "{:?}", found.causes);
        let it = &found.causes[0];
        assert_eq!(it.what, What::Outage);
        let server = it.server.as_ref().map(|it| &*it.name);
        assert_eq!((server, it.port), (Some("redis.service"), Some(6379)));
        assert_eq!((it.begin, it.last), (at(100.5), at(159.5)));
        assert_eq!((it.after, it.end), (Some(at(99.5)), Some(at(160.5))));
        assert_eq!(it.length_ns, 60 * SECOND);
        assert_eq!(it.failed, [(Reason::Refused, 61)].into());
        assert_eq!(it.errno, Some("ECONNREFUSED"));
        let clients: Vec<_> = it
            .clients
            .iter()
            .map(|it| (&*it.who.name, it.attempts))
            .collect();
        assert_eq!(clients, [("shop.service", 60), ("mailer.service", 1)]);
        // What ended before it is why; what began after it is not.
        let told = |causes: &[crate::ask::failures::Cause]| -> Vec<&'static str> {
            let word = |it: &crate::ask::failures::Cause| match &it.change {
                Happening::Changed(change) => match change.what {
                    Happened::Exit { .. } => "exit",
                    Happened::Unlisten { .. } => "unlisten",
                    Happened::Listen { .. } => "listen",
                    Happened::Exec { .. } => "exec",
                },
                Happening::Started { .. } => "start",
            };
            causes.iter().map(word).collect()
        };
        assert_eq!(told(&it.before), ["exit", "unlisten"], "{evidence:?}");
        assert_eq!(told(&it.ended_by), ["listen"]);
        for edge in &found.edges {
            assert_eq!(
                told(&edge.before)[..2],
                ["exit", "unlisten"],
                "{evidence:?}"
            );
        }
    }
}

#[test]
fn one_of_several_sockets_is_not_the_last() {
    let hook = ProcessEvidence::Hook;
    let mut events = vec![
        listens(1.0, "redis.service", 20, hook, true),
        listens(1.1, "redis.service", 21, hook, true),
        listens(2.0, "redis.service", 20, hook, false),
    ];
    let unlistened = |events: &[Event]| {
        let view = map_of(events);
        let changes = view.nodes.iter().flat_map(|it| &it.changes);
        let ends = changes.filter(|it| matches!(it.what, Happened::Unlisten { .. }));
        ends.count()
    };
    events.extend(served(1, "shop.service", 1.5));
    assert_eq!(unlistened(&events), 0);
    events.push(listens(3.0, "redis.service", 21, hook, false));
    assert_eq!(unlistened(&events), 1);
}

/// What happened on an edge: when, and whether it failed.
fn events_of(marks: &[(u64, bool)]) -> Vec<Event> {
    let event = |(n, (time, fails)): (usize, &(u64, bool))| {
        let (end, _) = pair(n as u64);
        let time = *time as f64;
        match fails {
            true => end.fails(time, Reason::Refused),
            false => end.opens(time),
        }
    };
    marks.iter().enumerate().map(event).collect()
}

/// The truth about `marks`: of one moment the failure comes first.
fn truth(marks: &[(u64, bool)]) -> Vec<Outage> {
    let mut marks: Vec<(u64, bool)> = marks.iter().map(|(time, fails)| (*time, !fails)).collect();
    marks.sort_unstable();
    let mut outages: Vec<Outage> = Vec::new();
    let mut success = None;
    for (time, succeeds) in marks {
        let time = at(time as f64);
        let open = outages.last_mut().filter(|it| it.end.is_none());
        match (succeeds, open) {
            (true, Some(outage)) => outage.end = Some(time),
            (true, None) => {}
            (false, Some(outage)) => {
                outage.last = time;
                outage.attempts += 1;
            }
            (false, None) => outages.push(Outage {
                after: success,
                begin: time,
                last: time,
                end: None,
                attempts: 1,
                failed: BTreeMap::new(),
                errno: Some("ECONNREFUSED"),
            }),
        }
        if succeeds {
            success = Some(time);
        }
    }
    for outage in &mut outages {
        outage.failed = [(Reason::Refused, outage.attempts)].into();
    }
    outages
}

fn stretches(events: &[Event]) -> (Vec<Outage>, u64) {
    let options = Options {
        patience: Duration::from_secs(1_000_000),
        ..Options::ONE_HOST
    };
    let view = map_with(options, events);
    let history = &only(&view).history;
    (history.stretches.clone(), history.cut)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few enough that each time is kept: what is known does not depend on what was told first.
    #[test]
    fn the_same_events_give_the_same_outages_in_any_order(
        (sorted, shuffled) in prop::collection::vec((1..60_u64, any::<bool>()), 1..16)
            .prop_flat_map(|marks| (Just(marks.clone()), Just(marks).prop_shuffle()))
    ) {
        let truth = truth(&sorted);
        prop_assert_eq!(stretches(&events_of(&shuffled)), (truth.clone(), 0));
        let mut in_order = sorted;
        in_order.sort_unstable();
        prop_assert_eq!(stretches(&events_of(&in_order)).0, truth);
    }

    /// However many there are: told in order, the limits of long outages are exact.
    #[test]
    fn however_much_happens_an_outage_is_exact(
        lengths in prop::collection::vec((1..200_u64, 30..300_u64), 1..8)
    ) {
        let mut marks = Vec::new();
        let mut now = 1;
        let mut expected = Vec::new();
        for (fails, succeeds) in lengths {
            marks.extend((now..now + succeeds).map(|time| (time, false)));
            let begin = now + succeeds;
            marks.extend((begin..begin + fails).map(|time| (time, true)));
            now = begin + fails;
            expected.push((at(begin as f64), at((now - 1) as f64), fails));
        }
        marks.push((now, false));
        let (told, cut) = stretches(&events_of(&marks));
        let told: Vec<_> = told.iter().map(|it| (it.begin, it.last, it.attempts)).collect();
        prop_assert_eq!((told, cut), (expected, 0));
    }
}

fn edge_of(marks: &[(u64, bool)]) -> Edge {
    let view = map_of(&events_of(marks));
    only(&view).clone()
}

#[test]
fn what_fails_now_and_then_has_no_outages_but_the_long_one() {
    // Each second attempt is refused by a dead backend, for an hour; ten minutes of that all are.
    let marks: Vec<_> = (0..3_600_u64)
        .map(|second| (second, second % 2 == 0 || (1_200..1_800).contains(&second)))
        .collect();
    let edge = edge_of(&marks);
    let outages: Vec<_> = edge.outages().map(|it| (it.begin, it.end)).collect();
    assert_eq!(outages, [(at(1_200.0), Some(at(1_801.0)))]);
    assert!(edge.history.stretches.len() <= 16 && edge.history.cut > 1_000);
    // A single one that fails is none.
    assert_eq!(
        edge_of(&[(1, false), (5, true), (60, false)])
            .outages()
            .count(),
        0
    );
    // But while nothing succeeded since, it is.
    let lasting = edge_of(&[(1, false), (5, true)]);
    assert_eq!(lasting.outages().count(), 1);
    assert_eq!(
        (lasting.failing_since, lasting.failing_times),
        (Some(at(5.0)), 1)
    );
}

#[test]
fn an_outage_of_long_ago_outlives_all_that_came_after() {
    let mut marks: Vec<_> = (0..100)
        .map(|second| (second, (40..70).contains(&second)))
        .collect();
    // Then one in twenty fails, for hours.
    marks.extend((100..15_000).map(|second| (second, second % 20 == 0)));
    let edge = edge_of(&marks);
    let outages: Vec<_> = edge.outages().map(|it| (it.begin, it.end)).collect();
    assert_eq!(outages, [(at(40.0), Some(at(70.0)))]);
}

#[test]
fn a_scan_is_one_edge_and_what_serves_is_not_in_it() {
    let mut events = served(1, "shop.service", 1.0);
    for port in 1..=2_000_u16 {
        let (mut end, _) = pair(u64::from(port) + 10);
        end.process = Some(unit("scanner.service", 66));
        end.remote.set_port(port);
        events.push(end.fails(2.0 + f64::from(port) / 1000.0, Reason::Refused));
    }
    // Twice more: what was tried before is not new.
    for port in [5, 1_999] {
        let (mut end, _) = pair(u64::from(port) + 10_000);
        end.process = Some(unit("scanner.service", 66));
        end.remote.set_port(port);
        events.push(end.fails(9.0, Reason::Refused));
    }
    let (mut end, _) = pair(9_000);
    end.process = Some(unit("scanner.service", 66));
    end.remote.set_port(1_500);
    events.push(end.opens(10.0));
    let mut map = Map::new(Options::ONE_HOST);
    events.iter().for_each(|event| map.push(event));
    let view = check(&map.view());
    assert_eq!(
        edges(&view),
        [
            ("scanner.service -> 10.0.0.9:1500".to_owned(), (1, 0, 0)),
            ("scanner.service -> 10.0.0.9:?".to_owned(), (0, 0, 2_002)),
            ("shop.service -> redis.service:6379".to_owned(), (1, 1, 0)),
        ]
        .into()
    );
    let scan = view
        .edges
        .iter()
        .find(|it| it.failures() > 0)
        .expect("the scan");
    assert_eq!((scan.history.ports, scan.is_directed()), (2_000, true));
    // Nor does the map itself keep each of them.
    assert!(map.halves.links().count() < 30);
    // Who scanned is known.
    let doubts = impact(&view, &[0], Way::Dependents, None).proof.doubts;
    let is_undirected = |it: &Doubt| matches!(it, Doubt::Undirected { .. });
    assert!(!doubts.iter().any(is_undirected), "{doubts:?}");
}

#[test]
fn a_port_that_served_others_is_not_lost_in_a_scan() {
    let mut events = served(1, "shop.service", 1.0);
    for port in (1..=200_u16).chain([6379]) {
        let (mut end, _) = call(u64::from(port) + 10, "scanner.service");
        end.remote.set_port(port);
        events.push(end.fails(2.0, Reason::Refused));
    }
    let told = edges(&map_of(&events));
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told["scanner.service -> redis.service:6379"], (0, 0, 1));
}

#[test]
fn lines_that_come_again_fail_once() {
    let events = incident(Vec::new(), ProcessEvidence::Hook);
    let again: Vec<Event> = events
        .iter()
        .flat_map(|it| [it.clone(), it.clone()])
        .collect();
    let history = |events: &[Event]| {
        let edges = map_of(events).edges.into_iter();
        edges
            .map(|it| (it.failures(), it.failing_times, it.history))
            .collect::<Vec<_>>()
    };
    assert_eq!(history(&again), history(&events));
}

#[test]
fn a_connection_of_which_nothing_is_known_carried_no_nothing() {
    let checks = |events: &[Event]| -> u64 {
        let view = map_of(events);
        view.edges.iter().map(|it| it.history.without_payload).sum()
    };
    let (out, into) = call(1, "shop.service");
    let opened = [out.opens(1.0), into.opens(1.0)];
    let closed = |sent, received| {
        [
            out.closes(2.0, sent, received),
            into.closes(2.0, received, sent),
        ]
    };
    assert_eq!(checks(&opened), 0);
    assert_eq!(checks(&[opened.clone(), closed(0, 0)].concat()), 1);
    assert_eq!(checks(&[opened.clone(), closed(0, 9)].concat()), 0);
    // What it carried before what counts is something.
    let mut map = Map::new(Options {
        since: Some(at(1.8)),
        ..Options::ONE_HOST
    });
    let carried = [out.carries(1.5, 10, 20), into.carries(1.5, 20, 10)];
    for event in [opened.clone(), carried, closed(10, 20)].concat() {
        map.push(&event);
    }
    assert_eq!(only(&map.view()).history.without_payload, 0);
    // Nobody saw the end of what was open when the tracer stopped, and is there no more.
    let starts = |time| out.tell(time, start());
    let gone = [starts(0.5)]
        .into_iter()
        .chain(opened)
        .chain([starts(3.0), starts(4.0)]);
    let view = map_of(&gone.collect::<Vec<_>>());
    assert_eq!(only(&view).terminated, 1);
    assert_eq!(only(&view).history.without_payload, 0);
}

#[test]
fn what_both_ends_tell_of_a_scan_is_of_its_port() {
    let mut events = vec![
        listens(0.5, "redis.service", 20, ProcessEvidence::Scan, true),
        listens(1.0, "redis.service", 20, ProcessEvidence::Hook, false),
    ];
    for port in (1..=200_u16).chain([6379]) {
        let (mut out, mut into) = call(u64::from(port) + 10, "scanner.service");
        out.remote.set_port(port);
        (into.local, into.process) = (out.remote, None);
        let time = 2.0 + f64::from(port) / 1000.0;
        events.push(into.fails(time, Reason::NotListening));
        events.push(out.fails(time, Reason::Refused));
    }
    let view = map_of(&events);
    let told = edges(&view);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told["scanner.service -> redis.service:6379"], (0, 0, 1));
    let mut edges = view.edges.iter();
    let redis = edges
        .find(|it| it.port == Some(6379))
        .expect("that of redis");
    assert_eq!(redis.failing_times, 1, "{:?}", redis.history);
    assert_eq!(redis.outages().map(|it| it.attempts).sum::<u64>(), 1);
}

#[test]
fn an_outage_comes_before_a_scan_and_a_scan_before_what_is_alone() {
    let mut events = incident(Vec::new(), ProcessEvidence::Hook);
    for port in 1..=500_u16 {
        let (mut end, _) = pair(u64::from(port) + 10_000);
        end.process = Some(unit("scanner.service", 66));
        end.remote.set_port(port);
        events.push(end.fails(3_600.0, Reason::Refused));
    }
    let (mut end, _) = pair(20_000);
    end.process = Some(unit("batch.service", 67));
    events.push(end.fails(3_650.0, Reason::TimedOut));
    let found = found(&events);
    let told: Vec<_> = found
        .causes
        .iter()
        .map(|it| (it.what, it.ports, it.attempts))
        .collect();
    assert_eq!(
        told,
        [
            (What::Outage, 1, 61),
            (What::Scan, 500, 500),
            (What::NeverServed, 1, 1)
        ]
    );
    assert_eq!(found.edges.len(), 4);
}

fn ended(
    client: (Option<Closer>, Option<&'static str>),
    server: (Option<Closer>, Option<&'static str>),
) -> crate::model::Endings {
    let (out, into) = pair(1);
    let close = |end: &End, (closed_by, errno)| {
        let mut event = end.closes(2.0, 10, 20);
        if let Body::Close(it) = &mut event.body {
            (it.connection.closed_by, it.connection.errno) = (closed_by, errno);
        }
        event
    };
    let events = [
        out.opens(1.0),
        into.opens(1.0),
        close(&out, client),
        close(&into, server),
    ];
    only(&map_of(&events)).history.ended
}

#[test]
fn an_edge_knows_how_its_connections_end() {
    use Closer::{Local, Remote};
    const RESET: Option<&str> = Some("ECONNRESET");
    let one = |ended: crate::model::Endings| {
        assert_eq!(ended.all(), 1);
        [
            ended.orderly,
            ended.reset,
            ended.aborted,
            ended.timed_out,
            ended.other,
        ]
    };
    let orderly = ended((Some(Local), None), (Some(Remote), None));
    assert_eq!(one(orderly), [1, 0, 0, 0, 0]);
    // The server resets it, as it does when it is killed with data that it has not read.
    let reset = ended((Some(Remote), RESET), (Some(Local), None));
    assert_eq!((one(reset), reset.broken()), ([0, 1, 0, 0, 0], 1));
    // A client that closes by a reset when it is done has what it wants.
    let aborted = ended((Some(Local), None), (Some(Remote), RESET));
    assert_eq!((one(aborted), aborted.broken()), ([0, 0, 1, 0, 0], 0));
    // Something between them does.
    assert_eq!(
        one(ended((Some(Remote), RESET), (Some(Remote), RESET))),
        [0, 1, 0, 0, 0]
    );
    let silent = ended((None, Some("ETIMEDOUT")), (Some(Local), None));
    assert_eq!((one(silent), silent.broken()), ([0, 0, 0, 1, 0], 1));
    assert_eq!(
        one(ended((None, Some("EHOSTUNREACH")), (None, None))),
        [0, 0, 0, 0, 1]
    );
}
