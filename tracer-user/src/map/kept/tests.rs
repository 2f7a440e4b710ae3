//! What stays where there is too much.

use proptest::prelude::*;

use super::{super::numbers::HostId, *};
use crate::model::{Signal, specimens::blank};

fn at(second: u64) -> Timestamp {
    Timestamp::from_ns(second * 1_000_000_000)
}

/// Who pays.
const ROOT: Owner = Owner {
    host: HostId::at(0),
    user: None,
};

fn process(pid: u32, exe: &str) -> Arc<Process> {
    Arc::new(Process {
        exe: Some(exe.into()),
        started: Some(at(u64::from(pid))),
        ..blank::process(pid, "x")
    })
}

/// So many short helpers of one program, each of which dials and is gone.
fn helpers(processes: &mut Processes, pids: std::ops::Range<u32>, exe: impl Fn(u32) -> String) {
    for pid in pids {
        let helper = process(pid, &exe(pid));
        let place = processes.add(&helper, ROOT, at(u64::from(pid)), |_, _| true);
        processes.hold(place, &helper, false);
        processes.hold(place, &helper, true);
    }
}

fn pids(processes: &Processes) -> Vec<u32> {
    processes.list().iter().map(|it| it.pid).collect()
}

#[test]
fn who_listens_or_has_connections_outlasts_any_number_of_helpers() {
    for exe in ["/bin/helper", "/bin/daemon"] {
        let mut processes = Processes::default();
        let (listens, holds) = (process(1, "/bin/daemon"), process(2, "/bin/daemon"));
        processes.add(&listens, ROOT, at(1), |_, _| true);
        processes.listen(&listens, true);
        let place = processes.add(&holds, ROOT, at(2), |_, _| true);
        processes.hold(place, &holds, false);
        helpers(&mut processes, 100..1_100, |_| exe.to_owned());
        let kept = pids(&processes);
        assert_eq!(kept.len(), MAX_PROCESSES);
        assert_eq!(kept[..2], [1, 2], "{exe}");
        assert_eq!(kept.last(), Some(&1_099), "the newest stays, too");
        assert_eq!(processes.cut, 1_002 - MAX_PROCESSES as u64);
        assert_eq!(processes.cut_programs, 0, "{exe}");
    }
}

#[test]
fn a_listener_outlasts_helpers_of_a_program_each() {
    let mut processes = Processes::default();
    for pid in 1..=3 {
        let listens = process(pid, "/bin/daemon");
        processes.add(&listens, ROOT, at(1), |_, _| true);
        processes.listen(&listens, true);
    }
    helpers(&mut processes, 100..300, |pid| format!("/bin/{pid}"));
    assert_eq!(pids(&processes)[..3], [1, 2, 3]);
    // Programs that are no longer there are counted: nobody can say that they did not run.
    assert_eq!(processes.cut, 203 - MAX_PROCESSES as u64);
    assert_eq!(processes.cut_programs, processes.cut);
}

#[test]
fn one_of_each_program_outlasts_many_of_one() {
    let mut processes = Processes::default();
    helpers(&mut processes, 1..4, |pid| format!("/bin/{pid}"));
    for pid in 100..400 {
        let worker = process(pid, "/bin/worker");
        let place = processes.add(&worker, ROOT, at(u64::from(pid)), |_, _| true);
        processes.hold(place, &worker, false);
    }
    assert_eq!(pids(&processes)[..3], [1, 2, 3]);
    assert_eq!(processes.cut_programs, 0);
}

#[test]
fn who_was_first_outlasts_who_failed_and_who_came_later() {
    let mut processes = Processes::default();
    let first = process(1, "/bin/helper");
    let place = processes.add(&first, ROOT, at(1), |_, _| true);
    processes.stand(place, &first, Standing::First);
    for pid in 100..300 {
        let fails = process(pid, "/bin/helper");
        let place = processes.add(&fails, ROOT, at(u64::from(pid)), |_, _| true);
        processes.stand(place, &fails, Standing::Failed);
    }
    assert_eq!(pids(&processes)[0], 1);
}

#[test]
fn who_stopped_to_listen_is_known_by_it_when_it_ends() {
    let mut processes = Processes::default();
    let daemon = process(1, "/bin/daemon");
    processes.add(&daemon, ROOT, at(1), |_, _| true);
    assert!(!processes.has_listened(&daemon));
    processes.listen(&daemon, true);
    processes.listen(&daemon, false);
    assert!(processes.has_listened(&daemon) && processes.end(&daemon));
    assert!(
        !processes.end(&process(2, "/bin/helper")),
        "not one of them"
    );
}

#[test]
fn another_program_in_the_same_process_takes_its_place() {
    let mut processes = Processes::default();
    let shell = process(1, "/bin/sh");
    let place = processes.add(&shell, ROOT, at(1), |_, _| true);
    processes.hold(place, &shell, false);
    let daemon = process(1, "/bin/daemon");
    assert_eq!(processes.add(&daemon, ROOT, at(2), |_, _| true), place);
    assert_eq!(processes.list(), std::slice::from_ref(&daemon));
    // What it holds stays, and whoever else comes to its place later has nothing of it.
    let other = process(2, "/bin/sh");
    processes.hold(place, &other, true);
    processes.hold(place, &shell, false);
    processes.hold(place, &shell, true);
    helpers(&mut processes, 100..300, |_| "/bin/daemon".to_owned());
    assert_eq!(pids(&processes)[0], 1);
}

#[test]
fn parts_of_one_workload_are_ranked_together() {
    let part = |pids: std::ops::Range<u32>, listener: u32| {
        let mut part = Processes::default();
        let listens = process(listener, "/bin/daemon");
        part.add(&listens, ROOT, at(1), |_, _| true);
        part.listen(&listens, true);
        helpers(&mut part, pids, |_| "/bin/helper".to_owned());
        part
    };
    let (one, other) = (part(100..160, 1), part(200..260, 2));
    for (mut all, more) in [(one.clone(), &other), (other.clone(), &one)] {
        all.merge(more);
        let kept = pids(&all);
        assert_eq!(kept.len(), MAX_PROCESSES);
        assert_eq!(kept[..2], [1, 2]);
        assert_eq!((all.cut, all.cut_programs), (122 - MAX_PROCESSES as u64, 0));
        all.merge(more);
        assert_eq!(
            pids(&all)[..2],
            [1, 2],
            "what is there already is not added"
        );
    }
}

fn exec(pid: u32, exe: &str) -> Happened {
    Happened::Exec {
        pid,
        exe: exe.into(),
    }
}

fn exit(pid: u32, status: ExitStatus) -> Happened {
    Happened::Exit {
        pid,
        status: Some(status),
    }
}

fn unlisten(port: u16) -> Happened {
    Happened::Unlisten {
        address: std::net::IpAddr::from([0, 0, 0, 0]).into(),
        port,
    }
}

#[test]
fn the_end_of_a_server_outlasts_health_checks() {
    let mut changes = Changes::default();
    let mut add = |second, what, is_major| {
        let time = at(second);
        changes.add(Change { time, what }, is_major, ROOT, |_, _| true);
    };
    let killed = ExitStatus::Signal(Signal::Name("SIGKILL"));
    let crashed = ExitStatus::Signal(Signal::Name("SIGSEGV"));
    add(1, exit(7, crashed), false);
    add(2, unlisten(6379), true);
    add(2, exit(1, killed), true);
    for n in 10..2_000 {
        add(n, exec(n as u32, "/bin/true"), false);
        // Some checks are of programs with names of their own.
        add(n, exec(n as u32, &format!("/tmp/{n}")), false);
        add(n, exit(n as u32, ExitStatus::Code(0)), false);
    }
    let kept = changes.list();
    assert!(kept.len() <= MAX_CHANGES);
    let has = |what: &Happened| kept.iter().any(|it| it.what == *what);
    assert!(has(&unlisten(6379)) && has(&exit(1, killed)) && has(&exit(7, crashed)));
    assert!(has(&exec(1_999, "/bin/true")), "some of each kind");
    assert_eq!(changes.cut + kept.len() as u64, 3 + 3 * 1_990);
}

#[test]
fn many_listeners_do_not_push_out_the_end_of_their_process() {
    let mut changes = Changes::default();
    let killed = exit(1, ExitStatus::Signal(Signal::Name("SIGKILL")));
    changes.add(
        Change {
            time: at(1),
            what: killed.clone(),
        },
        true,
        ROOT,
        |_, _| true,
    );
    for port in 10_000..12_000 {
        let what = unlisten(port);
        changes.add(Change { time: at(2), what }, true, ROOT, |_, _| true);
    }
    assert_eq!(changes.list()[0].what, killed);
    // One that comes and goes again and again leaves room for others.
    for n in 0..2_000 {
        let (time, what) = (at(3 + n), unlisten(80));
        changes.add(Change { time, what }, true, ROOT, |_, _| true);
    }
    let kept = changes.list();
    let ports: std::collections::BTreeSet<_> = kept
        .iter()
        .filter_map(|it| match it.what {
            Happened::Unlisten { port, .. } => Some(port),
            _ => None,
        })
        .collect();
    assert!(ports.len() > MAX_CHANGES / 2, "{ports:?}");
    assert_eq!(kept[0].what, killed);
}

#[test]
fn addresses_are_kept_in_order_and_the_rest_is_counted() {
    let address = |n: u32| Address::from(std::net::IpAddr::from(n.to_be_bytes()));
    let all = (0..MAX_ADDRESSES as u32 + 7).rev();
    let (kept, surplus) = bounded(all.chain(0..9).map(address).collect());
    assert_eq!((kept.len(), surplus), (MAX_ADDRESSES, 7));
    assert!(kept.windows(2).all(|two| two[0] < two[1]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever processes do: who listens is there as long as there is room for all who do, each is
    /// counted, and how many run the same is right.
    #[test]
    fn whoever_listens_is_there(steps in prop::collection::vec((0..200_u32, 0..9_u32, 0..6_u8), 0..600)) {
        let mut processes = Processes::default();
        let mut other = Processes::default();
        let mut listening = std::collections::BTreeMap::new();
        let mut known = std::collections::BTreeSet::new();
        for (n, (pid, exe, what)) in steps.into_iter().enumerate() {
            let process = process(pid, &format!("/bin/{exe}"));
            if what == 5 {
                other.add(&process, ROOT, at(n as u64), |_, _| true);
                continue;
            }
            known.insert(pid);
            let place = processes.add(&process, ROOT, at(n as u64), |_, _| true);
            match what {
                // Fewer than there is room for.
                0 if listening.len() < MAX_PROCESSES / 2 => {
                    processes.listen(&process, true);
                    *listening.entry(pid).or_insert(0) += 1;
                }
                1 => {
                    processes.end(&process);
                    listening.remove(&pid);
                }
                2 => processes.hold(place, &process, false),
                3 => processes.hold(place, &process, true),
                _ => processes.stand(place, &process, Standing::Failed),
            }
            let kept = pids(&processes);
            prop_assert!(kept.len() <= MAX_PROCESSES);
            prop_assert!(listening.keys().all(|it| kept.contains(it)));
            prop_assert!(kept.len() as u64 + processes.cut >= known.len() as u64);
            prop_assert!(kept.contains(&pid), "the newest has a place");
        }
        let mut merged = processes.clone();
        merged.merge(&other);
        for all in [&processes, &merged] {
            for it in &all.kept {
                let alike = all.kept.iter().filter(|other| program(&other.process) == program(&it.process));
                prop_assert_eq!(alike.count() as u32, it.alike + 1);
            }
        }
        let kept = pids(&merged);
        prop_assert!(kept.len() <= MAX_PROCESSES && listening.keys().all(|it| kept.contains(it)));
    }
}
