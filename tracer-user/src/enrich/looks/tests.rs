use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::model::ProcessKey;

const TICK_NS: u64 = 10_000_000;
const ALL: Want = Want {
    exe: true,
    args: true,
    cwd: true,
    cgroups: true,
};

/// A /proc with processes 1 to `count`. Those of even numbers are called so that [`held`] keeps who reads
/// their arguments.
fn proc_of(count: u32) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for pid in 1..=count {
        let folder = root.path().join(pid.to_string());
        fs::create_dir(&folder).expect("a folder");
        let stat = format!("{pid} (x) S 7 8 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 1 2");
        fs::write(folder.join("stat"), stat).expect("a file");
        let name = if pid % 2 == 0 { "held" } else { "free" };
        fs::write(folder.join("cmdline"), format!("{name}\0")).expect("a file");
        fs::write(folder.join("cgroup"), "0::/a\n").expect("a file");
        symlink("/bin/x", folder.join("exe")).expect("a link");
        symlink("/srv", folder.join("cwd")).expect("a link");
    }
    root
}

fn process(pid: u32, uid: u32) -> Process {
    Process {
        key: ProcessKey {
            pid,
            start_ns: u64::from(pid) * TICK_NS,
        },
        exec_id: 0,
        cgroup: 1,
        netns_owner: None,
        workload: None,
        pid,
        ppid: None,
        uid: Some(uid),
        comm: "x".into(),
        exe: None,
        args: None,
        cwd: None,
        started: None,
    }
}

fn args(look: Option<&Look>) -> Option<&str> {
    let args = look?.args.as_ref()?;
    args.first().map(String::as_str)
}

/// Waits until late news are as many.
fn late(looks: &mut Looks, count: usize) -> Vec<(Process, Option<Look>)> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(looks.late());
        thread::sleep(Duration::from_millis(1));
    }
    all
}

#[test]
fn all_that_is_wanted_is_seen_of_the_same_process_only() {
    let root = proc_of(1);
    let mut looks = Looks::new(root.path().into());
    let look = looks.look(&process(1, 0), ALL).look.expect("it is there");
    assert_eq!(look.exe.as_deref(), Some("/bin/x"));
    assert_eq!(look.cwd.as_deref(), Some("/srv"));
    assert_eq!(look.cgroups.as_deref(), Some(&b"0::/a\n"[..]));
    assert_eq!((args(Some(&look)), look.stat.ppid), (Some("free"), Some(7)));
    let only_cwd = Want {
        cwd: true,
        ..Want::default()
    };
    let look = looks
        .look(&process(1, 0), only_cwd)
        .look
        .expect("it is there");
    assert!(look.exe.is_none() && look.args.is_none() && look.cgroups.is_none());
    let other = Process {
        key: ProcessKey {
            pid: 1,
            start_ns: 2 * TICK_NS,
        },
        ..process(1, 0)
    };
    assert!(looks.look(&other, ALL).look.is_none());
    assert!(looks.look(&process(2, 0), ALL).look.is_none());
    assert!(looks.look(&process(1, 0), Want::default()).look.is_none());
    assert_eq!((looks.threads, looks.unread()), (1, 0));
}

#[test]
fn who_keeps_its_arguments_delays_nobody() {
    static OPEN: AtomicBool = AtomicBool::new(false);
    let held: ReadArgs = |entry| {
        let args = entry.args();
        while args.as_ref().is_some_and(|it| it[0] == "held") && !OPEN.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        args
    };
    let root = proc_of(40);
    let mut looks = Looks::new(root.path().into());
    looks.read_args = held;
    let begun = Instant::now();
    // A user has as many processes as may be, and none of them lets go.
    for pid in (2..=40).step_by(2) {
        let look = looks.look(&process(pid, 1000), ALL).look;
        assert_eq!(
            look.as_ref().and_then(|it| it.exe.as_deref()),
            Some("/bin/x")
        );
        assert_eq!(args(look.as_ref()), None);
    }
    assert_eq!(looks.doing.len(), OF_USER);
    // Others are read all the same.
    for pid in (1..=40).step_by(2) {
        let look = looks.look(&process(pid, 33), ALL).look;
        assert_eq!(args(look.as_ref()), Some("free"), "{pid}");
    }
    // With as many users as there may be, what can be seen without the arguments is.
    for uid in 2000..2020 {
        assert!(looks.look(&process(2, uid), ALL).look.is_some());
    }
    assert_eq!(looks.doing.len(), THREADS - 1);
    assert!(looks.look(&process(1, 33), ALL).look.is_some());
    assert_eq!(looks.threads, THREADS);
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    assert_eq!(looks.unread(), 0, "all may come yet");
    thread::sleep(DEADLINE);
    looks.listen();
    assert_eq!(looks.unread(), THREADS as u64 - 1);
    // Once they let go, all that waited comes.
    OPEN.store(true, Ordering::Release);
    let waited = looks.waiting.len();
    let mut read = 0;
    while read < THREADS - 1 + waited {
        let news = looks.late();
        read += news
            .iter()
            .filter(|it| args(it.1.as_ref()).is_some())
            .count();
        thread::sleep(Duration::from_millis(1));
    }
    assert!(looks.doing.is_empty() && looks.waiting.is_empty());
    assert_eq!(looks.unread(), 0, "what came late is not unread");
}

#[test]
fn who_waits_is_bounded() {
    static OPEN: AtomicBool = AtomicBool::new(false);
    let held: ReadArgs = |_| {
        while !OPEN.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        None
    };
    let root = proc_of(2);
    let mut looks = Looks::new(root.path().into());
    looks.read_args = held;
    for _ in 0..OF_USER + WAITING_OF_USER + 5 {
        assert!(looks.look(&process(2, 1000), ALL).look.is_some());
    }
    assert_eq!((looks.waiting.len(), looks.unread()), (WAITING_OF_USER, 5));
    for uid in 0..2 * WAITING as u32 {
        assert!(looks.look(&process(2, uid), ALL).look.is_some());
    }
    assert_eq!(looks.waiting.len(), WAITING);
    OPEN.store(true, Ordering::Release);
}

#[test]
fn what_comes_late_is_told_with_whose_it_is() {
    static OPEN: AtomicBool = AtomicBool::new(false);
    let held: ReadArgs = |entry| {
        while !OPEN.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        entry.args()
    };
    let root = proc_of(2);
    let mut looks = Looks::new(root.path().into());
    looks.read_args = held;
    let seen = looks.look(&process(2, 1000), ALL);
    assert_eq!((args(seen.look.as_ref()), seen.rest), (None, Rest::Later));
    assert!(looks.late().is_empty());
    OPEN.store(true, Ordering::Release);
    let news = late(&mut looks, 1);
    assert_eq!(news[0].0.pid, 2);
    assert_eq!(args(news[0].1.as_ref()), Some("held"));
    assert_eq!((looks.unread(), looks.unread_at_the_end()), (0, 0));
}

/// Whatever a process does to be slow, and whether its reads come in the end or not.
#[test]
fn who_makes_many_slow_processes_delays_others_by_a_tenth() {
    let begun = Instant::now();
    let mut budget = Budget::new(begun);
    let (mut now, mut waited) = (begun, Duration::ZERO);
    let mut number = 0;
    for _ in 0..10_000 {
        // A look has two waits, and both take all that they may.
        for time in [TURN, PATIENCE] {
            let took = budget.allowed(now, time);
            assert!(took <= time);
            now += took;
            budget.spend(now.checked_sub(took).expect("it was later"), took);
            waited += took;
            number += 1;
        }
        now += Duration::from_micros(500);
    }
    let most = (now - begun) / PART + AT_ONCE + QUICK * number;
    assert!(waited <= most, "{waited:?} of {:?}", now - begun);
    // What nothing delays is always waited for, and all is again after a while.
    assert!(budget.allowed(now, TURN) >= QUICK);
    assert_eq!(budget.allowed(now + AT_ONCE * PART, TURN), TURN);
}

/// Each wait counts, of whichever kind: also one that was not in vain.
#[test]
fn a_slow_read_is_paid_for_when_it_comes_in_time() {
    let slow: ReadArgs = |entry| {
        thread::sleep(Duration::from_millis(1));
        entry.args()
    };
    let root = proc_of(1);
    let mut looks = Looks::new(root.path().into());
    looks.read_args = slow;
    for _ in 0..5 {
        let before = looks.budget.even;
        looks.look(&process(1, 33), ALL);
        assert!(looks.budget.even > before);
    }
}

#[test]
fn what_finds_no_thread_is_looked_at_later() {
    let root = proc_of(1);
    let mut looks = Looks::new(root.path().into());
    looks.threads = THREADS;
    looks.doing.extend((0..THREADS as u64).map(|at| Doing {
        number: u64::MAX - at,
        process: process(2, 1000),
        since: Instant::now(),
        reads: false,
        given_up: false,
    }));
    let seen = looks.look(&process(1, 33), ALL);
    assert_eq!((seen.look.is_none(), seen.rest), (true, Rest::Later));
    assert!(looks.awaits(process(1, 33).program()));
    assert_eq!(looks.unread_at_the_end(), THREADS as u64 + 1);
    looks.doing.clear();
    looks.threads = 0;
    let news = late(&mut looks, 1);
    assert_eq!(news[0].0.pid, 1);
    while looks.awaits(process(1, 33).program()) {
        looks.listen();
    }
    assert_eq!((looks.unread(), looks.unread_at_the_end()), (0, 0));
}
