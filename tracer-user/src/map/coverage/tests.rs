//! Recordings that were cut, and times that are asked about: what is claimed to have been watched.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::model::{
    Cost, Counter, Evidence, Listener, ListenerEvent, Loss, ProcessEvidence, Repaired, Tally,
    Tracer,
};

fn at(seconds: f64) -> Timestamp {
    let ns = 1_795_309_323_000_000_000 + (seconds * 1e9) as i64;
    Timestamp::from_ns(u64::try_from(ns).expect("a time"))
}

fn tell(time: f64, body: Body) -> Event {
    Event {
        time: at(time),
        host: host(),
        body,
    }
}

fn host() -> Arc<Host> {
    Arc::new(Host {
        id: "id".to_owned(),
        name: "one".to_owned(),
    })
}

fn start(time: f64, blind: &'static str) -> Event {
    let tracer = Tracer {
        version: "1".into(),
        hooks: "fentry".to_owned(),
        kernel: "6".to_owned(),
        arch: "x86_64".to_owned(),
    };
    let blind = Blind {
        id: None,
        what: Cow::Borrowed(blind),
        why: "so".into(),
    };
    tell(
        time,
        Body::Start(Start {
            tracer,
            blind: vec![blind],
        }),
    )
}

/// A line that is one of so many that the run counts.
fn line(time: f64) -> Event {
    tell(
        time,
        Body::Listen(ListenerEvent {
            listener: Listener {
                local: "10.0.0.1:80".parse().expect("an address"),
                backlog: Some(1),
                netns: 1,
            },
            process: None,
            evidence: Evidence {
                process: ProcessEvidence::Hook,
                direction: None,
                end: None,
            },
        }),
    )
}

fn lost(events: u64) -> Ledger<Lost> {
    let mut lost = Ledger::default();
    let of_close: &mut Lost = lost.get_mut(Counter::Close);
    of_close.ring_full = events;
    lost
}

fn loss(time: f64, events: u64) -> Event {
    let interval = Coverage {
        from: at(time - 0.25),
        to: at(time),
    };
    let (lost, missed) = (lost(events), 1);
    tell(
        time,
        Body::Loss(Box::new(Loss {
            lost,
            missed,
            interval,
        })),
    )
}

/// With the account of a run that told so many lines and lost so many events.
fn stop(from: f64, to: f64, lines: u64, lost: u64) -> Event {
    let mut totals: Ledger<Tally> = Ledger::default();
    let mut of = |counter, delivered, ring_full| {
        let tally = totals.get_mut(counter);
        (tally.delivered, tally.lost.ring_full) = (delivered, ring_full);
    };
    of(Counter::Listen, lines, 0);
    of(Counter::Close, 0, lost);
    let stop = Stop {
        totals,
        missed: 0,
        repaired: Repaired::default(),
        unread: 0,
        unattributed: 0,
        cost: Cost::default(),
        lines: None,
        coverage: Coverage {
            from: at(from),
            to: at(to),
        },
    };
    tell(to, Body::Stop(Box::new(stop)))
}

fn between(since: Option<f64>, until: Option<f64>, events: &[Event]) -> HostCoverage {
    let options = Options {
        since: since.map(at),
        until: until.map(at),
        counts_lines: true,
        ..Options::ONE_HOST
    };
    let mut watched = Watched::new(&options);
    for event in events {
        watched.see(event);
    }
    watched.snapshot(&host())
}

fn all(events: &[Event]) -> HostCoverage {
    between(None, None, events)
}

/// From when to when, whether there is a start and a stop, and how many lines are missing.
type Short = (Timestamp, Timestamp, bool, bool, u64);

fn runs(coverage: &HostCoverage) -> Vec<Short> {
    let runs = coverage.runs.iter();
    runs.map(|it| (it.from, it.to, it.started, it.stopped, it.absent))
        .collect()
}

fn gaps(coverage: &HostCoverage) -> Vec<(Timestamp, Timestamp)> {
    coverage.gaps.iter().map(|it| (it.from, it.to)).collect()
}

/// A run of ten seconds with lines at each of 1 to 9, of which three are lost at 5.
fn run(from: f64) -> Vec<Event> {
    let mut events = vec![start(from, "names")];
    events.extend((1..10).map(|at| line(from + f64::from(at))));
    events.insert(6, loss(from + 5.0, 2));
    events.push(stop(from, from + 10.0, 9, 3));
    events
}

#[test]
fn the_ends_of_a_run_are_those_that_it_tells() {
    let coverage = all(&run(0.0));
    assert_eq!(runs(&coverage), [(at(0.0), at(10.0), true, true, 0)]);
    assert_eq!((coverage.from, coverage.to), (at(0.0), at(10.0)));
    assert_eq!((coverage.lost.total(), coverage.missed), (3, 1));
    // A clock that is corrected a little makes no run of its own, nor a longer one.
    let mut events = run(0.0);
    events.insert(1, line(-0.1));
    events.push(line(10.1));
    assert_eq!(runs(&all(&events)), [(at(0.0), at(10.0), true, true, 0)]);
}

#[test]
fn what_was_cut_away_is_told() {
    let events = run(0.0);
    let last = events.len() - 1;
    let whole = (at(0.0), at(10.0), true, true);
    for (events, expected) in [
        (&events[..last], (at(0.0), at(9.0), true, false, 0)),
        (&events[1..], (at(1.0), at(10.0), false, true, 0)),
        (&events[4..last], (at(4.0), at(9.0), false, false, 0)),
        (&events[..1], (at(0.0), at(0.0), true, false, 0)),
        (&events[last..], (at(10.0), at(10.0), false, true, 9)),
        // Cut within, or filtered.
        (
            &[&events[..3], &events[5..]].concat()[..],
            (whole.0, whole.1, true, true, 2),
        ),
    ] {
        assert_eq!(runs(&all(events)), [expected]);
    }
    assert_eq!(runs(&all(&[])), []);
}

#[test]
fn of_what_is_told_again_one_line_is_enough() {
    let mut events = run(0.0);
    let last = events.len() - 1;
    if let Body::Stop(stop) = &mut events[last].body {
        stop.totals.get_mut(Counter::Fail).delivered = 5;
    }
    let absent = |events: &[Event]| all(events).runs[0].absent;
    assert_eq!(absent(&events), 1);
    let fail = Body::Fail(crate::model::specimens::events::connect());
    events.insert(3, tell(2.5, fail));
    assert_eq!(absent(&events), 0);
}

#[test]
fn runs_are_told_apart_by_their_beginnings() {
    let (one, other) = (run(0.0), run(100.0));
    let last = one.len() - 1;
    // The first was killed, and the `start` of the second is missing: its `stop` is not that of the first.
    let pieces = [&one[..last], &other[1..]].concat();
    let coverage = all(&pieces);
    assert_eq!(
        runs(&coverage),
        [
            (at(0.0), at(100.0), true, false, 0),
            // Its lines were taken for those of the first.
            (at(100.0), at(110.0), false, true, 9)
        ]
    );
    // The end of one, and the beginning of another.
    let rotated = [&one[5..], &other[..6]].concat();
    let coverage = all(&rotated);
    assert_eq!(
        runs(&coverage),
        [
            (at(5.0), at(10.0), false, true, 4),
            (at(100.0), at(105.0), true, false, 0)
        ]
    );
    assert_eq!(gaps(&coverage), [(at(10.0), at(100.0))]);
    // Killed and started again, and after that a piece of which nothing is known.
    let again = [&one[..last], &other[..], &[line(200.0), line(201.0)]].concat();
    let coverage = all(&again);
    assert_eq!(
        runs(&coverage),
        [
            (at(0.0), at(9.0), true, false, 0),
            (at(100.0), at(110.0), true, true, 0),
            (at(200.0), at(201.0), false, false, 0)
        ]
    );
    assert_eq!(
        gaps(&coverage),
        [(at(9.0), at(100.0)), (at(110.0), at(200.0))]
    );
    // Each of the runs was blind to the same.
    assert_eq!(coverage.blind.len(), 1);
}

#[test]
fn what_one_run_does_not_see_is_not_seen_in_all() {
    let mut second = run(100.0);
    second[0] = start(100.0, "refusals");
    let events = [run(0.0), second].concat();
    let what = |since| -> Vec<String> {
        let coverage = between(since, None, &events);
        coverage
            .blind
            .iter()
            .map(|it| it.what.to_string())
            .collect()
    };
    assert_eq!(what(None), ["names", "refusals"]);
    assert_eq!(what(Some(100.0)), ["refusals"]);
}

#[test]
fn runs_at_one_time_are_one_time_that_was_watched() {
    // A second one begins and ends while the first goes on.
    let mut events = run(0.0);
    let inner = [start(3.5, "refusals"), stop(3.5, 6.5, 0, 0)];
    events.insert(9, inner[1].clone());
    events.insert(4, inner[0].clone());
    let coverage = all(&events);
    assert_eq!(
        runs(&coverage),
        [
            (at(0.0), at(10.0), true, true, 0),
            (at(3.5), at(6.5), true, true, 0)
        ]
    );
    // A line is missing, of whichever.
    events.pop();
    events.pop();
    events.push(stop(0.0, 10.0, 9, 3));
    let absent = all(&events).runs.iter().map(|it| it.absent).sum::<u64>();
    assert_eq!(absent, 1);
    assert_eq!(gaps(&coverage), []);
}

#[test]
fn a_time_within_a_run_is_whole() {
    let events = run(0.0);
    let last = events.len() - 1;
    let part = |since, until, events| {
        let coverage = between(since, until, events);
        assert_eq!(gaps(&coverage), []);
        runs(&coverage)
    };
    let expected = [(at(3.0), at(7.0), true, true, 0)];
    assert_eq!(part(Some(3.0), Some(7.0), &events), expected);
    // It was killed later: what it told after that time says that it went on until then.
    assert_eq!(part(Some(3.0), Some(7.0), &events[..last]), expected);
    // Nothing does.
    let killed = &events[..8];
    assert_eq!(
        part(Some(3.0), Some(6.5), killed),
        [(at(3.0), at(6.0), true, false, 0)]
    );
    // That another one began later does not.
    let again = [killed, &run(100.0)].concat();
    let coverage = between(Some(3.0), Some(50.0), &again);
    assert_eq!(runs(&coverage), [(at(3.0), at(6.0), true, false, 0)]);
    assert_eq!(gaps(&coverage), [(at(6.0), at(50.0))]);
    // Without a `start` nobody knows what it was blind to then either.
    assert_eq!(
        part(Some(3.0), Some(7.0), &events[1..]),
        [(at(3.0), at(7.0), false, true, 0)]
    );
}

#[test]
fn a_time_in_which_nobody_watched_is_not_claimed() {
    let events = run(0.0);
    for (since, until) in [
        (Some(20.0), None),
        (Some(20.0), Some(30.0)),
        (Some(10.0), None),
    ] {
        let coverage = between(since, until, &events);
        assert!(!coverage.is_watched(), "{coverage:?}");
        assert_eq!(coverage.from, coverage.to);
    }
    assert!(!between(None, Some(-5.0), &events).is_watched());
    // As far as it goes.
    let coverage = between(Some(-5.0), Some(20.0), &events);
    assert_eq!(runs(&coverage), [(at(0.0), at(10.0), true, true, 0)]);
    assert_eq!(gaps(&coverage), [(at(-5.0), at(0.0)), (at(10.0), at(20.0))]);
    // Tables print seconds.
    assert_eq!(gaps(&between(Some(-0.9), Some(10.9), &events)), []);
}

#[test]
fn what_was_lost_counts_where_it_may_have_been() {
    let events = run(0.0);
    let lost = |since, until| between(since, until, &events).lost.total();
    // One of the three no `loss` tells of: when, nobody knows.
    assert_eq!(lost(None, Some(3.0)), 1);
    assert_eq!(lost(Some(7.0), None), 1);
    assert_eq!(lost(Some(4.0), Some(6.0)), 3);
    assert_eq!(lost(Some(20.0), None), 0);
    // It was told after that time, and may have been before.
    assert_eq!(lost(None, Some(4.9)), 3);
}

#[test]
fn what_is_told_twice_is_one_run() {
    let twice: Vec<Event> = run(0.0)
        .into_iter()
        .flat_map(|it| [it.clone(), it])
        .collect();
    let again = [run(0.0), run(0.0)].concat();
    for events in [twice, again] {
        let coverage = all(&events);
        assert_eq!(runs(&coverage), [(at(0.0), at(10.0), true, true, 0)]);
        assert!(coverage.lost.total() >= 3);
    }
}

#[test]
fn the_newest_may_come_first() {
    let mut events = [run(0.0), run(100.0)].concat();
    events.reverse();
    let coverage = all(&events);
    assert_eq!(
        runs(&coverage),
        [
            (at(0.0), at(10.0), true, true, 0),
            (at(100.0), at(110.0), true, true, 0)
        ]
    );
    assert_eq!(gaps(&coverage), [(at(10.0), at(100.0))]);
    assert_eq!(coverage.lost.total(), 6);
}

#[test]
fn where_there_are_too_many_runs_what_gives_way_was_not_watched() {
    let each = |at: u32| {
        let from = f64::from(at) * 20.0;
        [start(from, "names"), stop(from, from + 10.0, 0, 0)]
    };
    let events: Vec<Event> = (0..2_000).flat_map(each).collect();
    let coverage = all(&events);
    assert_eq!(coverage.runs.len(), MAX_RUNS);
    assert_eq!((coverage.from, coverage.to), (at(0.0), at(39_990.0)));
    let longest = gaps(&coverage)
        .into_iter()
        .map(|(from, to)| to.as_ns() - from.as_ns());
    // All but the first 1,023 and the last.
    let least = (2_000 - MAX_RUNS as u64) * 20_000_000_000;
    assert!(longest.max().is_some_and(|it| it > least));
}

#[test]
fn a_thing_that_is_not_seen_is_told_once_and_of_too_many_that_there_are() {
    let mut event = start(0.0, "names");
    if let Body::Start(start) = &mut event.body {
        start.blind = (0..1_000)
            .map(|at| Blind {
                id: None,
                what: format!("thing {}", at / 2).into(),
                why: "so".into(),
            })
            .collect();
    }
    let blind = all(&[event]).blind;
    assert_eq!(blind.len(), MAX_BLIND + 1);
    assert!(blind[MAX_BLIND].what.contains("more"));
}

/// Any time, or one of a few that are near each other.
fn moment() -> impl Strategy<Value = f64> {
    prop_oneof![-1e9..6e9_f64, (0..20_u8).prop_map(f64::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order they come, as after an export that was sorted otherwise.
    #[test]
    fn the_order_of_lines_changes_nothing(events in Just(run(0.0)).prop_shuffle()) {
        let coverage = all(&events);
        prop_assert_eq!(runs(&coverage), [(at(0.0), at(10.0), true, true, 0)]);
        prop_assert_eq!(coverage.lost.total(), 3);
    }

    /// Whatever is missing of two runs, it is never whole, and no time is claimed in which there was none.
    #[test]
    fn what_lacks_a_line_is_never_whole(
        events in Just([run(0.0), run(100.0)].concat()).prop_shuffle(),
        missing in 1..24_usize,
        is_ordered in any::<bool>(),
    ) {
        let mut events = events;
        // Losses are in the account.
        events.retain(|it| !matches!(it.body, Body::Loss(_)));
        events.truncate(events.len().saturating_sub(missing));
        if is_ordered {
            events.sort_by_key(|it| it.time);
        }
        let coverage = all(&events);
        let is_whole = |it: &Run| it.started && it.stopped && it.absent == 0;
        let all_whole = coverage.runs.iter().all(is_whole);
        let of = |run: u64| events.iter().filter(|it| (it.time >= at(100.0)) == (run == 1)).count();
        // All of the one, and nothing of the other.
        let is_one = [of(0), of(1)] == [11, 0] || [of(0), of(1)] == [0, 11];
        prop_assert_eq!(all_whole, is_one || events.is_empty(), "{:?}", coverage.runs);
        prop_assert!(coverage.runs.iter().all(|it| it.from <= it.to && it.to <= at(110.0)));
    }

    /// Whatever a recording says, and whatever time is asked about.
    #[test]
    fn any_lines_have_a_coverage(
        lines in proptest::collection::vec((0..4_u8, moment(), moment(), any::<u64>()), 0..80),
        since in proptest::option::of(moment()),
        until in proptest::option::of(moment()),
    ) {
        let events = lines.iter().map(|(kind, time, other, number)| match kind {
            0 => start(*time, "names"),
            1 => stop(*time, *other, *number, *number),
            2 => loss(*time, *number),
            _ => line(*time),
        });
        let coverage = between(since, until, &events.collect::<Vec<_>>());
        prop_assert_eq!(coverage.is_watched(), !coverage.runs.is_empty());
        for run in &coverage.runs {
            prop_assert!(coverage.from <= run.from && run.from <= run.to && run.to <= coverage.to);
            prop_assert!(since.is_none_or(|since| at(since) <= run.from));
            prop_assert!(until.is_none_or(|until| run.to <= at(until)));
        }
        prop_assert!(coverage.gaps.iter().all(|it| it.from < it.to));
        prop_assert!(coverage.runs.is_sorted_by_key(|it| (it.from, it.to)));
    }
}

/// Of losses, and of attempts that fail, only some are in the account: all lines are counted.
#[test]
fn a_line_of_any_kind_that_was_taken_out_is_missing() {
    let mut events = run(0.0);
    let before = events.len() as u64 - 1;
    if let Some(Body::Stop(stop)) = events.last_mut().map(|it| &mut it.body) {
        stop.lines = Some(before);
    }
    let absent = |events: &[Event]| all(events).runs.iter().map(|it| it.absent).sum::<u64>();
    assert_eq!(absent(&events), 0);
    for at in 1..events.len() - 1 {
        let mut cut = events.clone();
        cut.remove(at);
        assert_eq!(absent(&cut), 1, "without line {at}");
    }
}
