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
fn late(looks: &mut Looks, count: usize) -> Vec<(Process, Look)> {
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
    let look = looks.look(&process(1, 0), ALL).expect("it is there");
    assert_eq!(look.exe.as_deref(), Some("/bin/x"));
    assert_eq!(look.cwd.as_deref(), Some("/srv"));
    assert_eq!(look.cgroups.as_deref(), Some(&b"0::/a\n"[..]));
    assert_eq!((args(Some(&look)), look.stat.ppid), (Some("free"), Some(7)));
    let only_cwd = Want {
        cwd: true,
        ..Want::default()
    };
    let look = looks.look(&process(1, 0), only_cwd).expect("it is there");
    assert!(look.exe.is_none() && look.args.is_none() && look.cgroups.is_none());
    let other = Process {
        key: ProcessKey {
            pid: 1,
            start_ns: 2 * TICK_NS,
        },
        ..process(1, 0)
    };
    assert!(looks.look(&other, ALL).is_none());
    assert!(looks.look(&process(2, 0), ALL).is_none());
    assert!(looks.look(&process(1, 0), Want::default()).is_none());
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
        let look = looks.look(&process(pid, 1000), ALL);
        assert_eq!(
            look.as_ref().and_then(|it| it.exe.as_deref()),
            Some("/bin/x")
        );
        assert_eq!(args(look.as_ref()), None);
    }
    assert_eq!(looks.doing.len(), OF_USER);
    // Others are read all the same.
    for pid in (1..=40).step_by(2) {
        let look = looks.look(&process(pid, 33), ALL);
        assert_eq!(args(look.as_ref()), Some("free"), "{pid}");
    }
    // With as many users as there may be, what can be seen without the arguments is.
    for uid in 2000..2020 {
        assert!(looks.look(&process(2, uid), ALL).is_some());
    }
    assert_eq!(looks.doing.len(), THREADS - 1);
    assert!(looks.look(&process(1, 33), ALL).is_some());
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
        read += news.iter().filter(|(_, look)| look.args.is_some()).count();
        thread::sleep(Duration::from_millis(1));
    }
    assert!(looks.doing.is_empty() && looks.waiting.is_empty());
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
        assert!(looks.look(&process(2, 1000), ALL).is_some());
    }
    assert_eq!((looks.waiting.len(), looks.unread()), (WAITING_OF_USER, 5));
    for uid in 0..2 * WAITING as u32 {
        assert!(looks.look(&process(2, uid), ALL).is_some());
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
    let look = looks.look(&process(2, 1000), ALL);
    assert_eq!(args(look.as_ref()), None);
    assert!(looks.late().is_empty());
    OPEN.store(true, Ordering::Release);
    let news = late(&mut looks, 1);
    assert_eq!(news[0].0.pid, 2);
    assert_eq!(args(Some(&news[0].1)), Some("held"));
    assert_eq!(looks.unread(), 0);
}
