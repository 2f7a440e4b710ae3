//! What is used, what fails, and how load is spread.

use std::time::Duration;

use super::*;
use crate::ask::{
    balance::{Load, Offender, balance},
    failures::{Failing, Happening, failures},
    idle::idle,
};
use crate::model::Stray;

#[test]
fn a_listener_is_idle_if_nobody_got_through() {
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db").listens(5432).listens(5433).listens(0);
    it.unit("old").listens(80);
    it.unit("new").listens(81).changed(
        at(500),
        Happened::Listen {
            address: IpAddr::from([0, 0, 0, 0]).into(),
            port: 81,
        },
    );
    it.remote("scanner", "198.51.100.7");
    it.edge("app", "db", 5432, 5);
    it.edge("app", "db", 5433, 0).fails(3, at(99));
    it.edge("scanner", "old", 80, 0).fails(3, at(99));
    let answer = idle(&it.view(), None);
    let found = answer.found.listeners.iter();
    let found: Vec<_> = found
        .map(|it| (&*it.who.name, it.port, it.since, it.callers.len()))
        .collect();
    assert_eq!(
        found,
        [
            ("db", 5433, None, 1),
            ("old", 80, None, 1),
            ("new", 81, Some(at(500)), 0)
        ]
    );
    // A scanner dials in vain, and that is its own business.
    assert_eq!(lines(&answer.found.unanswered), ["app -> db:5433"]);
    assert_eq!(answer.found.too_short_for, ["daily", "weekly", "monthly"]);
}

#[test]
fn what_is_still_open_is_used_however_quiet_it_is() {
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db").listens(5432).listens(6000);
    it.edge("app", "db", 5432, 5).last_seen = at(100);
    it.edge("app", "db", 6000, 5).last_seen = at(100);
    it.view.edges[1].terminated = 4;
    let idle = |seconds: u64| {
        let found = idle(&it.clone().view(), Some(Duration::from_secs(seconds))).found;
        let ports = found.listeners.iter().map(|it| (it.port, it.last_used));
        ports.collect::<Vec<_>>()
    };
    assert_eq!(idle(3_500), []);
    assert_eq!(idle(3_499), [(5432, Some(at(100)))]);
    assert_eq!(idle(u64::MAX), []);
}

#[test]
fn an_attempt_that_fails_is_no_use() {
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db").listens(5432);
    let edge = it.edge("app", "db", 5432, 5);
    edge.last_success = Some(at(100));
    edge.fails(1, at(3_000));
    let found = idle(&it.view(), Some(Duration::from_secs(3_000))).found;
    assert_eq!(found.listeners[0].last_used, Some(at(100)));
}

#[test]
fn a_listener_is_used_by_what_comes_in_whoever_serves_it() {
    let mut it = Draft::new();
    it.unit("client");
    it.unit("app");
    let manager = it.unit("manager").listens(7000).listens(7001);
    manager.listeners[0].connections = 3;
    manager.listeners[0].last_used = Some(at(100));
    let id = Arc::clone(&manager.id);
    it.edge("client", "app", 7000, 3).evidence.listeners = [(id, 3)].into();
    let view = it.view();
    let unused = |seconds: Option<u64>| {
        let found = idle(&view, seconds.map(Duration::from_secs))
            .found
            .listeners;
        let mut ports: Vec<_> = found.iter().map(|it| (it.port, it.last_used)).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(unused(None), [(7001, None)]);
    assert_eq!(unused(Some(3_500)), [(7001, None)]);
    assert_eq!(unused(Some(3_499)), [(7000, Some(at(100))), (7001, None)]);
}

#[test]
fn what_came_in_somewhere_casts_doubt_on_the_unused_of_that_namespace() {
    let mut it = Draft::new();
    it.unit("old").listens(80);
    let strays = |netns, connections| Stray {
        host: "id-of-one".to_owned(),
        netns,
        connections,
    };
    it.view.strays = vec![strays(1, 2), strays(9, 5)];
    let host = it.view.nodes[0].host.clone().expect("its host");
    assert_eq!(host.id, "id-of-one");
    let doubt = Doubt::Strays {
        host: host.name.clone(),
        connections: 2,
    };
    assert_eq!(idle(&it.clone().view(), None).proof.doubts, [doubt]);
    // Where nothing is unused there is nothing to doubt.
    it.view.nodes[0].listeners[0].connections = 1;
    it.view.nodes[0].listeners[0].last_used = Some(at(1));
    assert_eq!(idle(&it.view(), None).proof.doubts, []);
}

#[test]
fn an_undirected_edge_may_have_come_in_by_any_listener_of_its_host() {
    let mut it = Draft::new();
    it.unit("manager").listens(7000);
    it.unit("app");
    it.remote("far", "198.51.100.7");
    it.edge("app", "far", None, 1);
    let doubts = idle(&it.view(), None).proof.doubts;
    assert_eq!(doubts, [Doubt::Undirected { edges: 1 }]);
}

#[test]
fn handshakes_that_brought_nothing_back_may_have_come_to_an_unused_listener() {
    let doubts = |address: &str, unanswered: u64| {
        let mut it = Draft::new();
        it.unit("proxy");
        it.unit("app").listens(8080);
        it.remote("far", address);
        let edge = it.edge("proxy", "far", 8080, 4);
        edge.evidence.unanswered = unanswered;
        idle(&it.view(), None).proof.doubts
    };
    let doubt = [Doubt::Unanswered { connections: 4 }];
    assert_eq!(doubts("10.0.0.9", 4), doubt);
    assert_eq!(doubts("10.0.0.9", 0), []);
    assert_eq!(doubts("127.0.0.1", 4), []);
}

fn failing(it: Draft, window: u64) -> Failing {
    let mut edges = failures(&it.view(), Duration::from_secs(window))
        .found
        .edges;
    assert_eq!(edges.len(), 1);
    edges.remove(0)
}

/// `app → db`, which fails since 1,000, and what happened around that.
fn outage() -> Draft {
    let mut it = Draft::new();
    let app = it.unit("app");
    app.changed(
        at(995),
        Happened::Exit {
            pid: 4,
            status: None,
        },
    );
    let db = it.unit("db");
    db.changed(
        at(500),
        Happened::Exit {
            pid: 1,
            status: None,
        },
    );
    db.changed(
        at(990),
        Happened::Exit {
            pid: 2,
            status: None,
        },
    );
    // What ends at the same moment may be told a little late. What comes later is what came of it.
    db.changed(
        Timestamp::from_ns(at(1_000).as_ns() + 50_000_000),
        Happened::Exit {
            pid: 3,
            status: None,
        },
    );
    db.changed(
        at(1_001),
        Happened::Exit {
            pid: 9,
            status: None,
        },
    );
    db.changed(
        Timestamp::from_ns(at(1_000).as_ns() + 1),
        Happened::Listen {
            address: IpAddr::from([0, 0, 0, 0]).into(),
            port: 5432,
        },
    );
    db.runs(5, "/bin/db", Some(at(998)))
        .runs(6, "/bin/db", None);
    let edge = it.edge("app", "db", 5432, 7);
    edge.last_success = Some(at(900));
    edge.fails(130, at(3_500)).failing_since = Some(at(1_000));
    edge.failing_times = 130;
    it
}

fn causes(of: &Failing) -> Vec<(String, u64)> {
    let cause = |it: &failures::Cause| {
        let seconds = (it.change.time().as_ns() - at(0).as_ns()) / SECOND;
        let what = match &it.change {
            Happening::Started { .. } => "start",
            Happening::Changed(_) => "exit",
        };
        (format!("{} {what}", it.who.name), seconds)
    };
    of.before.iter().map(cause).collect()
}

#[test]
fn causes_are_within_the_window_and_the_newest_comes_first() {
    let told = |window| causes(&failing(outage(), window));
    let cause = |what: &str, at: u64| (what.to_owned(), at);
    let near = [
        cause("db exit", 1_000),
        cause("db start", 998),
        cause("app exit", 995),
        cause("db exit", 990),
    ];
    assert_eq!(told(60), near);
    assert_eq!(told(9), near[..3]);
    assert_eq!(told(0), near[..1]);
    assert_eq!(told(u64::MAX).len(), 5);
}

#[test]
fn by_another_clock_what_served_may_have_ended_a_little_later() {
    let told = |on: &str, late_ms: u64| {
        let mut it = Draft::new();
        it.unit("app");
        let time = Timestamp::from_ns(at(1_000).as_ns() + late_ms * 1_000_000);
        let address = IpAddr::from([0, 0, 0, 0]).into();
        let db = it.unit_on(on, "db");
        db.changed(
            time,
            Happened::Unlisten {
                address,
                port: 5432,
            },
        );
        // A helper of it that ends says nothing.
        db.changed(
            time,
            Happened::Exit {
                pid: 3,
                status: None,
            },
        );
        it.edge("app", "db", 5432, 0).fails(1, at(1_000));
        failing(it, 60).before.len()
    };
    assert_eq!((told("one", 50), told("one", 500)), (2, 0));
    assert_eq!((told("two", 50), told("two", 500)), (2, 1));
    assert_eq!(told("two", 1_500), 0);
}

#[test]
fn whoever_stops_to_listen_may_take_a_while_to_end() {
    let told = |stops_ms: i64, ends_ms: i64| {
        let mut it = Draft::new();
        it.unit("app");
        let time =
            |ms: i64| Timestamp::from_ns(at(1_000).as_ns().saturating_add_signed(ms * 1_000_000));
        let address = IpAddr::from([0, 0, 0, 0]).into();
        let port = 5432;
        let db = it.unit("db");
        db.changed(time(stops_ms), Happened::Unlisten { address, port });
        db.changed(
            time(ends_ms),
            Happened::Exit {
                pid: 3,
                status: None,
            },
        );
        it.edge("app", "db", port, 0).fails(1, at(1_000));
        failing(it, 60).before.len()
    };
    assert_eq!((told(-10, 500), told(-10, 1_500)), (2, 1));
    // It came of what failed.
    assert_eq!(told(300, 500), 0);
}

#[test]
fn what_dials_itself_is_told_of_once() {
    let mut it = Draft::new();
    let db = it.unit("db");
    for pid in [1, 2] {
        db.changed(at(990), Happened::Exit { pid, status: None });
    }
    it.edge("db", "db", 5432, 0).fails(1, at(1_000));
    assert_eq!(failing(it, 60).before.len(), 2);
}

#[test]
fn the_rate_is_over_the_time_in_which_it_fails() {
    // 130 in the 2,600 seconds since it fails.
    assert!((failing(outage(), 60).per_minute - 3.0).abs() < 0.01);
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db");
    // A single one right now is no division by nothing.
    let edge = it.edge("app", "db", 5432, 0).fails(1, at(3_600));
    edge.failing_since = Some(at(3_600));
    edge.failing_times = 1;
    assert!((failing(it, 60).per_minute - 60.0).abs() < 0.01);
    // What failed before it last succeeded is not of now.
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db");
    let edge = it.edge("app", "db", 5432, 1).fails(1_001, at(3_600));
    edge.failing_since = Some(at(3_590));
    edge.failing_times = 1;
    assert!((failing(it, 60).per_minute - 6.0).abs() < 0.01);
}

#[test]
fn what_fails_now_comes_before_what_recovered() {
    let mut it = Draft::new();
    for name in ["a", "b", "c", "well"] {
        it.unit(name);
    }
    it.edge("a", "well", 1, 5);
    it.edge("a", "b", 1, 5).fails(1, at(2_900));
    it.edge("a", "c", 1, 0).fails(1, at(100));
    it.edge("b", "c", 1, 0).fails(1, at(200));
    let found = failures(&it.view(), Duration::ZERO).found.edges;
    let links: Vec<String> = found.iter().map(|it| line(&it.link)).collect();
    assert_eq!(links, ["b -> c:1", "a -> c:1", "a -> b:1"]);
}

#[test]
fn instances_of_a_template_share_their_load() {
    let mut it = Draft::new();
    it.unit("proxy");
    for instance in 1..=4 {
        it.unit(&format!("app@{instance}.service")).listens(8080);
    }
    it.edge("proxy", "app@1.service", 8080, 75);
    it.edge("proxy", "app@2.service", 8080, 25);
    it.edge("proxy", "app@3.service", 8080, 0).fails(4, at(100));
    let found = balance(&it.view(), None).found;
    assert_eq!(found.services.len(), 1);
    let service = &found.services[0];
    assert_eq!((&*service.service, service.port), ("app@.service", 8080));
    assert_eq!(service.connections, 100);
    assert!((service.skew - 3.0).abs() < 0.001);
    let loads: Vec<_> = service
        .backends
        .iter()
        .map(|it| (it.connections, it.load))
        .collect();
    assert_eq!(
        loads,
        [
            (75, Load::Over),
            (25, Load::Even),
            // It is called, and in vain: that is not the same as nobody's need.
            (0, Load::Under),
            (0, Load::Unused)
        ]
    );
    assert_eq!(service.clients[0].backends, 3);
    assert_eq!(found.violations, None);
}

#[test]
fn an_instance_that_is_down_is_one_and_a_check_is_no_load() {
    let mut it = Draft::new();
    it.unit("proxy");
    it.unit("late");
    it.unit("monitor");
    for (at, name) in ["one", "two", "three"].into_iter().enumerate() {
        let node = it.unit(name);
        node.runs(10 + at as u32, "/usr/sbin/nginx", None);
        node.uses(&format!("10.0.0.{}", at + 1));
    }
    it.remote("10.0.0.4", "10.0.0.4");
    it.remote("10.0.9.4", "10.0.9.4");
    it.remote("db.internal", "10.0.0.5");
    it.unit("other").runs(77, "/usr/sbin/nginx", None);
    for name in ["one", "two"] {
        it.edge("proxy", name, 80, 50);
        it.edge("monitor", name, 80, 100).history.without_payload = 100;
        it.edge("late", name, 80, 10);
    }
    // It went before `late` came.
    it.edge("proxy", "three", 80, 5).last_success = Some(at(100));
    it.view.edges.last_mut().expect("an edge").fails(9, at(200));
    it.edge("monitor", "three", 80, 0).fails(9, at(200));
    // That one never was there. One that is elsewhere, or goes by a name, may be anything.
    for name in ["10.0.0.4", "10.0.9.4", "db.internal"] {
        it.edge("proxy", name, 80, 0).fails(9, at(300));
    }
    // The same program for others is another service.
    it.unit("batch");
    it.edge("batch", "other", 80, 7);
    let found = balance(&it.view(), None).found;
    assert_eq!(found.services.len(), 1);
    let service = &found.services[0];
    assert_eq!((service.connections, service.checks), (125, 200));
    let told: Vec<_> = service
        .backends
        .iter()
        .map(|it| {
            (
                &*it.who.name,
                it.connections,
                it.checks,
                it.down,
                it.by_address,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("one", 60, 100, false, false),
            ("two", 60, 100, false, false),
            ("three", 5, 0, true, false),
            ("10.0.0.4", 0, 0, true, true),
        ]
    );
}

#[test]
fn a_service_that_nobody_calls_is_even_and_unused() {
    let mut it = Draft::new();
    it.unit("app@1.service").listens(80);
    it.unit("app@2.service").listens(80);
    let found = balance(&it.view(), None).found;
    assert!((found.services[0].skew - 1.0).abs() < 0.001);
    assert!(
        found.services[0]
            .backends
            .iter()
            .all(|it| it.load == Load::Unused)
    );
    assert_eq!(found.busiest, []);
}

#[test]
fn what_is_forbidden_is_told_with_who_does_it() {
    let mut it = Draft::new();
    it.unit("shell")
        .runs(7, "/bin/sh", None)
        .runs(3, "/bin/nc", None);
    it.unit("app");
    it.unit("db");
    it.edge("shell", "db", 5432, 1);
    it.edge("app", "db", 5432, 9);
    let policy: Policy = "allow app -> db:5432\ndeny * -> db"
        .parse()
        .expect("a policy");
    let found = balance(&it.view(), Some(&policy)).found;
    let violations = found.violations.expect("it was asked for");
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, "deny * -> db");
    assert_eq!(line(&violations[0].link), "shell -> db:5432");
    let offender = |pid, exe: &str| Offender {
        pid,
        exe: exe.to_owned(),
    };
    assert_eq!(
        violations[0].processes,
        [offender(3, "/bin/nc"), offender(7, "/bin/sh")]
    );
}
