//! Networks of one host that look the same, and hosts that have the same addresses: who is meant.

use super::{
    facts::{client, half_open, is_found, listener, listens, node, of_netns, server, stops, told},
    *,
};
use crate::ask::{Allowed, Doubt, diff, idle::idle, impact};

/// Somebody in that namespace dials out, and is seen to have that address.
fn has(n: u64, own: &str, netns: u32, time: f64) -> Event {
    let end = client(n, "resolver.service", own, "203.0.113.1:53");
    of_netns(end.opens(time), netns)
}

#[test]
fn of_two_namespaces_that_have_an_address_at_once_none_is_guessed() {
    let one = is_found("one.service", "172.17.0.2:80", 2, 0.0);
    let other = listens("other.service", "172.17.0.2:80", 3, 1.0);
    let call = half_open(1, "app.service", "172.17.0.1:0", "172.17.0.2:80", 2.0);
    let to = |name: &str| format!("app.service -> {name}:80");
    let of = |more: &[Event]| {
        let edges = told(&[more, &call].concat()).into_iter();
        let edges: Vec<_> = edges.filter(|it| it.starts_with("app")).collect();
        edges
    };
    assert_eq!(of(std::slice::from_ref(&one)), [to("one.service")]);
    assert_eq!(of(&[one, other]), [to("172.17.0.2")]);
    // One that came later does not take what another one has, which is still there.
    let any = [("one.service", 2), ("other.service", 3)];
    let any = any.map(|(name, netns)| is_found(name, "0.0.0.0:80", netns, 0.0));
    let seen = [
        has(10, "172.17.0.2:0", 2, 0.5),
        has(11, "172.17.0.2:0", 3, 1.0),
    ];
    let here = [&any[..], &seen].concat();
    assert_eq!(of(&here), [to("172.17.0.2")]);
    // What is gone has left it to the other.
    assert_eq!(of(&[&any[1..], &seen].concat()), [to("other.service")]);
}

#[test]
fn a_socket_is_used_by_who_was_served_there_though_another_has_the_address_later() {
    let mut events = vec![is_found("mgr.service", "10.0.0.9:7000", 2, 0.0)];
    let end = client(1, "first.service", "10.0.0.5:0", "10.0.0.9:7000");
    let other = server(&end, Some("worker.service"));
    events.extend([end.opens(1.0), of_netns(other.opens(1.0), 2)]);
    events.extend(half_open(
        2,
        "app.service",
        "10.0.0.5:0",
        "10.0.0.9:7000",
        5.0,
    ));
    events.push(has(3, "10.0.0.9:0", 3, 9.0));
    let view = map_of(&events);
    assert_eq!(listener(&view, "mgr.service").connections, 2);
    let id = &node(&view, "mgr.service").id;
    let at = view.nodes.iter().position(|it| it.id == *id);
    let at = at.expect("it listens");
    let answer = impact::impact(&view, &[at], impact::Way::Dependents, None);
    assert_eq!(answer.found.reached.len(), 2);
}

#[test]
fn what_was_open_before_and_is_told_of_by_both_hosts_counts_once() {
    let far = |mut event: Event| {
        event.host = host("db-1");
        event
    };
    // The hosts share the network of the server, and of the client's nobody knows.
    let (here, there) = pair(7);
    let mut events = vec![
        far(is_found("postgresql.service", "0.0.0.0:5432", 1, 0.0)),
        here.opens(1.0),
        there.opens(1.0),
    ];
    let held = End {
        handshake: None,
        existing: true,
        ..client(1, "pod.service", "10.1.0.2:0", "10.0.0.9:5432")
    };
    events.push(of_netns(held.opens(0.5), 2));
    events.push(far(server(&held, Some("postgresql.service")).opens(0.5)));
    for _ in 0..2 {
        let view = map_of(&events);
        let at = node(&view, "postgresql.service").id.clone();
        let at = view.nodes.iter().position(|it| it.id == at);
        let at = at.expect("it listens");
        let answer = impact::impact(&view, &[at], impact::Way::Dependents, None);
        let reached = answer.found.reached.iter();
        assert_eq!(reached.map(|it| it.connections).sum::<u64>(), 2);
        assert_eq!(listener(&view, "postgresql.service").connections, 2);
        events.reverse();
    }
}

#[test]
fn what_one_connection_brought_back_answers_no_other() {
    let mut events = vec![is_found("app.service", "0.0.0.0:8080", 2, 0.0)];
    events.extend(half_open(
        1,
        "proxy.service",
        "10.0.0.5:0",
        "10.0.0.9:8080",
        1.0,
    ));
    let other = client(2, "proxy.service", "10.0.0.5:0", "10.0.0.9:8080");
    events.extend([other.opens(2.0), other.closes(3.0, 1, 7)]);
    let doubts = idle(&map_of(&events), None).proof.doubts;
    assert!(doubts.contains(&Doubt::Unanswered { connections: 1 }));
}

#[test]
fn what_was_open_before_may_be_what_seems_to_be_gone() {
    let listener = Event {
        host: host("db-1"),
        ..is_found("postgresql.service", "0.0.0.0:5432", 1, 0.0)
    };
    let (here, there) = pair(7);
    let before = map_of(&[listener.clone(), here.opens(1.0), there.opens(1.0)]);
    let held = [here, there].map(|end| End {
        handshake: None,
        existing: true,
        ..end
    });
    let carries = held.clone().map(|end| end.carries(2.0, 1, 7));
    let after = [
        &[listener][..],
        &held.clone().map(|end| end.opens(0.5)),
        &carries,
    ]
    .concat();
    let answer = diff::diff(&before, &map_of(&after), &Allowed::default());
    let doubt = Doubt::Unmatched { connections: 1 };
    assert!(answer.proof.doubts.contains(&doubt));
    // A run that begins meanwhile did not see it begin, though the other host did.
    let [client, server] = &held;
    let client = End {
        handshake: Some(7),
        existing: false,
        ..client.clone()
    };
    let again = [
        client.opens(0.2),
        server.tell(0.3, start()),
        server.opens(0.4),
        client.carries(2.0, 1, 7),
        server.carries(2.0, 7, 1),
    ];
    let again = [&after[..1], &again].concat();
    let since = Options {
        since: Some(at(1.0)),
        ..Options::SEVERAL_HOSTS
    };
    let found = map_with(since, &again);
    let unmatched: u64 = found.edges.iter().map(|it| it.evidence.unmatched).sum();
    let both: u64 = found.edges.iter().map(|it| it.evidence.both).sum();
    assert_eq!(unmatched + both, 1);
    // Of one host all are matched.
    let after: Vec<_> = after
        .into_iter()
        .filter(|it| it.host == host("web-1"))
        .collect();
    let answer = diff::diff(&before, &map_of(&after), &Allowed::default());
    assert!(!answer.proof.doubts.contains(&doubt));
}

#[test]
fn what_nobody_answered_may_have_come_to_a_socket_that_is_gone() {
    let mut events = vec![is_found("app.service", "0.0.0.0:8080", 1, 0.0)];
    let own = client(1, "app.service", "10.0.0.5:0", "10.0.0.1:53");
    events.push(own.opens(0.5));
    events.extend(half_open(
        2,
        "proxy.service",
        "10.0.0.5:0",
        "10.0.0.9:8080",
        1.0,
    ));
    let doubts = |events: &[Event]| {
        let view = map_of(events);
        let id = &node(&view, "app.service").id;
        let at = view.nodes.iter().position(|it| it.id == *id);
        let at = at.expect("it is there");
        let answer = impact::impact(&view, &[at], impact::Way::Dependents, None);
        let doubt = Doubt::Unanswered { connections: 1 };
        answer.proof.doubts.contains(&doubt)
    };
    assert!(doubts(&events));
    events.push(stops("app.service", "0.0.0.0:8080", 1, 2.0));
    assert!(doubts(&events));
}

#[test]
fn a_namespace_is_there_as_long_as_the_same_is_told_of_it_again() {
    let inside = |time: f64, known: &End| {
        let id = 100 + time as u64;
        of_netns(
            End {
                id,
                handshake: Some(id),
                ..known.clone()
            }
            .opens(time),
            2,
        )
    };
    let known = client(20, "cron.service", "127.0.0.1:0", "127.0.0.1:53");
    let call = client(1, "app.service", "172.17.0.1:0", "172.17.0.2:80");
    let of = |last: f64| {
        let events = [
            has(10, "172.17.0.2:0", 2, 0.5),
            inside(0.6, &known),
            inside(last, &known),
            listens("other.service", "0.0.0.0:80", 3, 2.0),
            has(11, "172.17.0.2:0", 3, 2.5),
            stops("other.service", "0.0.0.0:80", 3, 4.0),
            call.fails(6.0, Reason::Refused),
        ];
        let edges = told(&events).into_iter();
        edges.filter(|it| it.starts_with("app")).collect::<Vec<_>>()
    };
    assert_eq!(of(1.0), ["app.service -> other.service:80"]);
    assert_eq!(of(5.0), ["app.service -> 172.17.0.2:80"]);
}
