//! What the search has found, as small as it became.

use proptest::{prelude::*, sample::Index, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    check::{check, compare, view_of},
    tell::{at, told},
    world::{Bind, Deed, Fate, How, Pause, Service, Space, World},
};
use crate::model::{Body, Event};

fn service(space: Space, outage: Option<(f64, f64)>) -> Service {
    Service {
        space,
        bind: Bind::Any,
        port: 8000,
        begins: None,
        outage,
        is_activated: false,
    }
}

/// Chooses that one of three.
fn index(n: usize) -> Index {
    let mut runner = TestRunner::deterministic();
    let mut any = std::iter::repeat_with(|| any::<Index>().new_tree(&mut runner));
    any.find_map(|it| it.ok().map(|it| it.current()).filter(|it| it.index(3) == n))
        .expect("any of them")
}

fn deed(client: usize, service: usize, how: How, (time, lasts): (f64, f64)) -> Deed {
    Deed {
        client,
        service: index(service),
        address: index(0),
        how,
        time,
        lasts,
    }
}

/// Compares a world with one in which less happens.
fn compare_with(world: &World, less: &World) {
    let (events, before) = told(world);
    let (fewer, after) = told(less);
    let [events, fewer] = [events, fewer].map(|it| view_of(&it, world.part));
    compare(world, (&events, &before), (&fewer, &after));
}

/// Two namespaces of a host have one address, and one of them was seen to have it. What a client holds open whose
/// other end is over may be of either.
#[test]
fn a_half_that_was_found_is_nobodys_by_its_address() {
    let spaces = [Space::Root(0), Space::Island(1, 0), Space::Bridged(1, 0)];
    let world = World {
        services: spaces.map(|it| service(it, None)).to_vec(),
        clients: vec![Space::Root(1), Space::Island(1, 0)],
        deeds: vec![
            deed(1, 1, How::Used, (2.0, 0.001)),
            deed(0, 1, How::ClosedLate, (852.0, 159.0)),
        ],
        pauses: vec![Pause {
            host: 1,
            from: 783.0,
            lasts: 95.0,
            is_killed: false,
        }],
        part: Some((914.0, 983.0)),
        fate: Fate::Whole,
    };
    let (events, truth) = told(&world);
    check(&world, &view_of(&events, world.part), &truth);
}

/// A server that does not listen any more still holds a connection. In one of two maps its ends are not known to be
/// of one.
#[test]
fn who_listens_no_more_may_hold_what_is_not_told_apart() {
    let held = deed(0, 0, How::Held, (2.0, 0.001));
    let used = deed(0, 0, How::Used, (2.0, 0.001));
    let world = World {
        services: vec![
            service(Space::Pod(1), Some((500.0, 185.0))),
            service(Space::Root(0), None),
        ],
        clients: vec![Space::Root(0)],
        deeds: vec![used.clone(), held.clone(), used],
        pauses: Vec::new(),
        part: Some((617.0, 663.0)),
        fate: Fate::Whole,
    };
    let less = World {
        deeds: vec![held],
        ..world.clone()
    };
    compare_with(&world, &less);
}

/// A line that an earlier run lacks takes nothing from what a later run finds.
#[test]
fn an_end_that_one_run_did_not_find_is_found_by_the_next() {
    let pause = |from| Pause {
        host: 1,
        from,
        lasts: 0.01,
        is_killed: false,
    };
    let world = World {
        services: vec![service(Space::Pod(1), None)],
        clients: vec![Space::Pod(1), Space::Root(0)],
        deeds: vec![deed(0, 0, How::Held, (2.0, 0.001))],
        pauses: vec![pause(18.73), pause(171.77)],
        part: Some((310.0, 358.0)),
        fate: Fate::Whole,
    };
    let (events, truth) = told(&world);
    let whole = view_of(&events, world.part);
    // All that the second run tells of the two ends.
    let of_run = |it: &Event| at(20.0) < it.time && it.time < at(171.0);
    for missing in (0..events.len()).filter(|n| of_run(&events[*n])) {
        let mut left = events.clone();
        let line = left.remove(missing);
        let view = view_of(&left, world.part);
        compare(&world, (&whole, &truth), (&view, &truth));
        assert_eq!(view.edges.len(), 1, "without {line:?}");
    }
}

/// What is open at a server since a time at which nobody watched that may be of any client there.
#[test]
fn who_is_known_by_an_address_is_not_surely_the_same() {
    let late = |client, time, lasts| Deed {
        address: index(2),
        ..deed(client, 0, How::AcceptedLate, (time, lasts))
    };
    let world = World {
        services: vec![service(Space::Root(1), None)],
        clients: vec![Space::Root(0), Space::Root(0)],
        deeds: vec![late(1, 800.2, 0.001), late(0, 669.0, 132.14)],
        pauses: vec![Pause {
            host: 1,
            from: 613.9,
            lasts: 151.1,
            is_killed: false,
        }],
        part: Some((792.8, 999.5)),
        fate: Fate::Whole,
    };
    let less = World {
        deeds: world.deeds[1..].to_vec(),
        ..world.clone()
    };
    compare_with(&world, &less);
}

/// Which run found what is told before its `start` nobody knows.
#[test]
fn what_is_told_before_its_start_is_of_nobody_knows_which_run() {
    let world = World {
        services: vec![service(Space::Bridged(0, 0), None)],
        clients: vec![Space::Root(0)],
        deeds: vec![deed(0, 0, How::Used, (2.0, 158.4))],
        pauses: vec![Pause {
            host: 0,
            from: 132.8,
            lasts: 10.8,
            is_killed: false,
        }],
        part: Some((719.7, 901.9)),
        fate: Fate::Whole,
    };
    let over = World {
        deeds: vec![deed(0, 0, How::Used, (2.0, 135.0))],
        ..world.clone()
    };
    let later = World {
        deeds: [deed(0, 0, How::Used, (800.0, 0.001))]
            .into_iter()
            .chain(world.deeds.clone())
            .collect(),
        ..world.clone()
    };
    let (events, truth) = told(&later);
    let before = view_of(&events, world.part);
    for world in [world, over] {
        let (events, now) = told(&world);
        let starts = events.iter().enumerate();
        let mut starts =
            starts.filter(|(_, it)| matches!(it.body, Body::Start(_)) && at(1.0) < it.time);
        let (place, _) = starts.next().expect("of the second run");
        for later in place + 1..events.len() - 2 {
            let mut late = events.clone();
            let start = late.remove(place);
            late.insert(later, start);
            let view = view_of(&late, world.part);
            check(&world, &view, &now);
            compare(&world, (&before, &truth), (&view, &now));
        }
    }
}

/// What nobody answered may have come to whoever listens, also where another workload was once seen to serve.
#[test]
fn who_served_somewhere_need_not_be_who_listens_there() {
    let activated = Service {
        is_activated: true,
        ..service(Space::Root(1), None)
    };
    let world = World {
        services: vec![activated],
        clients: vec![Space::Pod(1)],
        deeds: vec![
            deed(0, 0, How::AcceptedLate, (116.8, 191.15)),
            deed(0, 0, How::HalfOpen, (204.71, 139.84)),
        ],
        pauses: vec![Pause {
            host: 1,
            from: 187.76,
            lasts: 0.01,
            is_killed: false,
        }],
        part: Some((281.3, 890.3)),
        fate: Fate::Whole,
    };
    let (events, truth) = told(&world);
    check(&world, &view_of(&events, world.part), &truth);
}
