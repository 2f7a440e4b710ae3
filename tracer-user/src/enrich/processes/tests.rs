use std::fs;

use super::*;
use crate::{
    enrich::{looks::ReadArgs, workload::Roles},
    model::ProcessKey,
    procfs::Entry,
};

const TICK_NS: u64 = 10_000_000;
const START_TICKS: u64 = 98_765;

/// A /proc with one process, 812, as the arguments say.
fn proc_with(comm: &str, start_ticks: u64, cmdline: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    fill(&root, comm, start_ticks, cmdline);
    root
}

fn fill(root: &tempfile::TempDir, comm: &str, start_ticks: u64, cmdline: &str) {
    let dir = root.path().join("812");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a directory");
    let stat = format!("812 ({comm}) S 7 8 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start_ticks} 1 2");
    fs::write(dir.join("stat"), stat).expect("a file");
    fs::write(dir.join("cmdline"), cmdline).expect("a file");
    std::os::unix::fs::symlink(format!("/usr/sbin/{comm}"), dir.join("exe")).expect("a link");
}

fn bare(comm: &str) -> Process {
    Process {
        key: ProcessKey {
            pid: 812,
            start_ns: START_TICKS * TICK_NS + 1234,
        },
        exec_id: 0,
        cgroup: 1,
        netns_owner: None,
        workload: None,
        pid: 812,
        ppid: None,
        uid: Some(33),
        comm: comm.into(),
        exe: None,
        args: None,
        cwd: None,
        started: None,
    }
}

fn processes(root: &tempfile::TempDir) -> Processes {
    Processes::new(
        root.path().into(),
        Workloads::new(root.path(), Roles::builtin(), None, None),
    )
}

/// Without the workload, which is always made of what is there.
fn plain(processes: &mut Processes, process: Process) -> Process {
    Process {
        workload: None,
        ..Process::clone(&enriched(processes, process))
    }
}

fn enriched(processes: &mut Processes, process: Process) -> Arc<Process> {
    processes.complete(&Arc::new(process))
}

#[test]
fn adds_what_proc_knows_and_remembers_it() {
    let root = proc_with("nginx", START_TICKS, "nginx\0-g\0");
    let mut processes = processes(&root);
    let first = enriched(&mut processes, bare("nginx"));
    assert_eq!(first.ppid, Some(7));
    assert_eq!(first.exe.as_deref(), Some("/usr/sbin/nginx"));
    assert_eq!(
        first.args.as_deref(),
        Some(&["nginx".to_owned(), "-g".to_owned()][..])
    );

    root.close().expect("removed");
    let second = enriched(&mut processes, bare("nginx"));
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn where_it_works_is_known_only_of_what_that_tells_apart() {
    let root = tempfile::tempdir().expect("a temporary directory");
    for (comm, cmdline, expected) in [
        ("python3", "python3\0app.py\0", Some("/srv/shop")),
        ("python3", "python3\0/srv/app.py\0", None),
        ("nginx", "nginx\0-g\0", None),
    ] {
        fill(&root, comm, START_TICKS, cmdline);
        std::os::unix::fs::symlink("/srv/shop", root.path().join("812/cwd")).expect("a link");
        let found = enriched(&mut processes(&root), bare(comm));
        assert_eq!(found.cwd.as_deref(), expected, "{cmdline}");
        // Of another process with its pid, it is not.
        let other = Process {
            key: ProcessKey {
                pid: 812,
                start_ns: 1,
            },
            args: found.args.clone(),
            exe: found.exe.clone(),
            ..bare(comm)
        };
        assert_eq!(enriched(&mut processes(&root), other).cwd, None);
    }
}

#[test]
fn another_process_with_the_same_pid_is_not_believed() {
    for ticks in [START_TICKS - 1, START_TICKS + 1, 0, u64::MAX] {
        let root = proc_with("nginx", ticks, "nginx\0");
        let mut processes = processes(&root);
        assert_eq!(plain(&mut processes, bare("nginx")), bare("nginx"));
    }
}

#[test]
fn another_program_in_the_same_process_is_not_believed() {
    let root = proc_with("curl", START_TICKS, "curl\0");
    let mut processes = processes(&root);
    let expected = Process {
        ppid: Some(7),
        ..bare("sh")
    };
    assert_eq!(plain(&mut processes, bare("sh")), expected);
    // The event that comes from the new program finds it.
    assert_eq!(
        enriched(&mut processes, bare("curl")).exe.as_deref(),
        Some("/usr/sbin/curl")
    );
}

/// What `bare` is said to have executed, as the kernel tells it.
fn executed(comm: &str, exec_id: u16, exe: &str, args: &[&str]) -> Arc<Process> {
    Arc::new(Process {
        exec_id,
        ppid: Some(7),
        exe: Some(exe.into()),
        args: Some(args.iter().map(|it| (*it).to_owned()).collect()),
        ..bare(comm)
    })
}

fn of_program(comm: &str, exec_id: u16) -> Process {
    Process {
        exec_id,
        ..bare(comm)
    }
}

fn workload(process: &Process) -> &str {
    process.workload.as_ref().map_or("", |it| &it.name)
}

#[test]
fn what_a_process_runs_does_not_depend_on_its_name() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut processes = processes(&root);
    processes.learn_executed(&executed("client", 3, "/opt/client", &["client", "-v"]));
    for comm in ["client", "", "worker 1", "\u{fffd}", "client"] {
        let process = enriched(&mut processes, of_program(comm, 3));
        assert_eq!(&*process.comm, comm);
        assert_eq!(process.exe.as_deref(), Some("/opt/client"));
        assert_eq!(process.args.as_ref().map(|args| args.len()), Some(2));
        assert_eq!(process.ppid, Some(7));
        assert_eq!(workload(&process), "client");
    }
}

#[test]
fn the_name_that_it_was_started_by_names_it() {
    let root = tempfile::tempdir().expect("a temporary directory");
    // The name is looked at before the process gets another one, and after that.
    for comms in [["server", "main"], ["main", "server"]] {
        let mut processes = processes(&root);
        processes.learn_executed(&executed("server", 3, "/bin/multicall", &["server"]));
        for comm in comms {
            let process = enriched(&mut processes, of_program(comm, 3));
            assert_eq!(workload(&process), "server");
        }
    }
}

#[test]
fn each_program_of_a_process_is_its_own() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut processes = processes(&root);
    processes.learn_executed(&executed("same", 3, "/opt/one", &["same"]));
    processes.learn_executed(&executed("same", 4, "/opt/other", &["same"]));
    // The first one's connection may end after that.
    for (exec_id, exe) in [(4, "/opt/other"), (3, "/opt/one"), (4, "/opt/other")] {
        let process = enriched(&mut processes, of_program("same", exec_id));
        assert_eq!(process.exe.as_deref(), Some(exe));
    }
}

#[test]
fn a_program_of_which_nobody_told_is_looked_up() {
    let root = proc_with("nginx", START_TICKS, "nginx\0-g\0");
    let mut processes = processes(&root);
    processes.learn_executed(&executed("sh", 3, "/bin/sh", &["sh"]));
    // The next one's record was lost.
    let process = enriched(&mut processes, of_program("nginx", 4));
    assert_eq!(process.exe.as_deref(), Some("/usr/sbin/nginx"));
    // It had been seen by a name that it no longer had: once that is told, it is known.
    let mut processes = self::processes(&root);
    assert_eq!(enriched(&mut processes, bare("starting")).exe, None);
    for comm in ["nginx", "starting"] {
        let process = enriched(&mut processes, bare(comm));
        assert_eq!(process.exe.as_deref(), Some("/usr/sbin/nginx"), "{comm}");
    }
}

#[test]
fn a_program_is_inherited() {
    let root = proc_with("nginx", START_TICKS, "nginx\0-g\0");
    let mut processes = processes(&root);
    let key = |pid| ProcessKey { pid, start_ns: 9 };
    let child = |pid, exec_id| Process {
        key: key(pid),
        pid,
        exec_id,
        ..bare("worker")
    };
    // From one that is older than we are; from that, another one; neither is there any more.
    for (parent, pid) in [(bare("nginx"), 813), (child(813, 0), 814)] {
        processes.learn_forked(&Fork {
            process: Arc::new(parent),
            child: key(pid),
            ppid: Some(1),
        });
        let process = enriched(&mut processes, child(pid, 0));
        assert_eq!(process.exe.as_deref(), Some("/usr/sbin/nginx"), "{pid}");
        assert_eq!((process.ppid, process.pid), (Some(1), pid));
        assert_eq!(workload(&process), "nginx");
    }
    // What it runs itself is not what it inherited.
    assert_eq!(enriched(&mut processes, child(814, 1)).exe, None);
}

#[test]
fn what_is_gone_is_not_looked_for_again() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut processes = processes(&root);
    assert_eq!(plain(&mut processes, bare("nginx")), bare("nginx"));
    fill(&root, "nginx", START_TICKS, "nginx\0");
    assert_eq!(plain(&mut processes, bare("nginx")), bare("nginx"));
}

#[test]
fn the_user_is_the_one_of_the_event() {
    let root = proc_with("nginx", START_TICKS, "nginx\0");
    let mut processes = processes(&root);
    enriched(&mut processes, bare("nginx"));
    let other = enriched(
        &mut processes,
        Process {
            uid: Some(0),
            ..bare("nginx")
        },
    );
    assert_eq!((other.uid, other.ppid), (Some(0), Some(7)));
}

#[test]
fn hostile_files_add_nothing() {
    let root = proc_with("nginx", START_TICKS, "nginx\0");
    for stat in [
        &b""[..],
        b"812 (nginx",
        b"\xff\xff(\xff)\xff",
        &[b'('; 100_000],
    ] {
        fs::write(root.path().join("812/stat"), stat).expect("a file");
        let mut processes = processes(&root);
        assert_eq!(plain(&mut processes, bare("nginx")), bare("nginx"));
    }
}

#[test]
fn memory_is_bounded() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut processes = processes(&root);
    for pid in 0..20_000 {
        let process = Process {
            pid,
            key: ProcessKey { pid, start_ns: 1 },
            ..bare("x")
        };
        enriched(&mut processes, process);
        assert!(processes.completed.len() <= LATELY);
    }
    assert_eq!(processes.known.len(), CAPACITY.get());
    for exec_id in 0..20_000 {
        processes.learn_executed(&executed("x", exec_id, "/x", &[]));
    }
    assert_eq!(processes.programs.len(), PROGRAMS.get());
}

/// What a process has as its arguments is its own to write.
#[test]
fn what_was_executed_counts_and_not_what_is_written_over_it() {
    let root = proc_with("nginx", START_TICKS, "trusted\0");
    let mut processes = processes(&root);
    // The path of its executable did not fit.
    let told = Process {
        exe: None,
        ..Process::clone(&executed("nginx", 3, "", &["nginx", "--evil"]))
    };
    processes.learn_executed(&Arc::new(told));
    let process = enriched(&mut processes, of_program("nginx", 3));
    let args = process.args.as_deref().expect("they were told");
    assert_eq!(args, ["nginx", "--evil"]);
    assert_eq!(process.exe.as_deref(), Some("/usr/sbin/nginx"));
    // What is not remembered is asked of it.
    processes.programs.clear();
    processes.known.pop(&key(&of_program("nginx", 3)));
    let process = enriched(&mut processes, of_program("nginx", 3));
    assert_eq!(
        process.args.as_deref().map(|it| it[0].as_str()),
        Some("trusted")
    );
}

#[test]
fn what_is_known_of_a_program_is_not_looked_for() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut processes = processes(&root);
    processes.workloads.learn(&Cgroup {
        id: 1,
        maker: 0,
        path: "/a".into(),
    });
    let has_v1 = processes.workloads.needs_list(&bare("x"));
    processes.learn_executed(&executed("nginx", 3, "/usr/sbin/nginx", &["nginx"]));
    let want = processes.of_program(&of_program("nginx", 3));
    assert_eq!((want, has_v1), (Want::default(), false));
}

#[test]
fn what_comes_late_is_in_what_is_told_later() {
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    let mut processes = processes(&root);
    let looked = Look {
        stat: crate::procfs::Proc::new(root.path())
            .stat(812)
            .expect("it is there"),
        exe: Some("/usr/sbin/python3".into()),
        args: None,
        cwd: Some("/srv".into()),
        cgroups: None,
    };
    // Until then, it is an interpreter that runs nobody knows what.
    processes.learn_program(&bare("python3"), &looked, Rest::Later);
    let first = enriched(&mut processes, bare("python3"));
    assert_eq!((workload(&first), first.args.is_none()), ("python3", true));
    let child = ProcessKey {
        pid: 813,
        start_ns: 9,
    };
    processes.learn_forked(&Fork {
        process: Arc::new(bare("python3")),
        child,
        ppid: Some(812),
    });
    let late = Look {
        args: Some(["python3", "/srv/app.py"].map(str::to_owned).into()),
        ..looked
    };
    let changed = processes.take_late(&bare("python3"), Some(&late));
    let [(old, new)] = &changed[..] else {
        panic!("{changed:?}");
    };
    assert!(Arc::ptr_eq(old, &first));
    assert_eq!((workload(new), new.cwd.is_none()), ("app.py", true));
    processes.completed.clear();
    let second = enriched(&mut processes, bare("python3"));
    assert!(Arc::ptr_eq(&second, new));
    let child = Process {
        key: child,
        pid: 813,
        ..bare("python3")
    };
    assert_eq!(workload(&enriched(&mut processes, child)), "app.py");
}

#[test]
fn secrets_are_masked_where_arguments_are_read() {
    let root = proc_with("app", START_TICKS, "app\0--token=S3cret\0-p\08080\0");
    let told = |arguments| {
        let mut processes = processes(&root);
        processes.tell_arguments(arguments);
        let args = enriched(&mut processes, bare("app")).args.clone();
        args.map(|it| it.join(" "))
    };
    let masked = "app --token=*** -p 8080";
    assert_eq!(told(Arguments::default()).as_deref(), Some(masked));
    let full = "app --token=S3cret -p 8080";
    assert_eq!(told(Arguments::Full).as_deref(), Some(full));
    assert_eq!(told(Arguments::None), None);
}

/// A program that has inherited what it runs is told of anew with the one that it has that from, and nothing else.
#[test]
fn what_comes_late_is_of_those_that_inherited_it() {
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    let mut processes = processes(&root);
    let late = Look {
        stat: crate::procfs::Proc::new(root.path())
            .stat(812)
            .expect("it is there"),
        exe: Some("/usr/sbin/python3".into()),
        args: Some(["python3", "/srv/app.py"].map(str::to_owned).into()),
        cwd: None,
        cgroups: None,
    };
    let first = Look {
        args: None,
        ..late.clone()
    };
    processes.learn_program(&bare("python3"), &first, Rest::Never);
    let child_of = |parent: &Process, pid| Process {
        key: ProcessKey { pid, start_ns: 9 },
        pid,
        exec_id: parent.exec_id,
        ..bare("python3")
    };
    let mut parent = bare("python3");
    for pid in 900..910 {
        let child = child_of(&parent, pid);
        processes.learn_forked(&Fork {
            process: Arc::new(parent),
            child: child.key,
            ppid: None,
        });
        assert_eq!(
            workload(&enriched(&mut processes, child.clone())),
            "python3"
        );
        parent = child;
    }
    for pid in 0..100 {
        enriched(&mut processes, child_of(&bare("x"), pid));
    }
    let origin = bare("python3").program();
    assert_eq!(processes.known.of_origin(origin).len(), 10);
    let changed = processes.take_late(&bare("python3"), Some(&late));
    assert_eq!(changed.len(), 10);
    for (_, new) in changed {
        assert_eq!(workload(&new), "app.py");
    }
    assert_eq!(processes.known.len(), 110);
}

/// What became of a run in which the arguments of this process were read by `read`: how many are left unread, and
/// how many without a workload.
fn finished(processes: &mut Processes, process: Process, read: ReadArgs) -> (u64, u64) {
    processes.looks.read_by(read);
    enriched(processes, process);
    processes.finish()
}

fn never(_: &Entry) -> Option<Arc<[String]>> {
    loop {
        thread::park();
    }
}

fn later(entry: &Entry) -> Option<Arc<[String]>> {
    thread::sleep(Duration::from_millis(300));
    entry.args()
}

#[test]
fn arguments_that_were_never_read_are_in_doubt_where_they_name_the_workload() {
    let script = "python3\0/srv/app.py\0";
    let root = proc_with("python3", START_TICKS, script);
    assert_eq!(
        finished(&mut processes(&root), bare("python3"), never),
        (1, 1)
    );
    // Its unit names it.
    let mut in_unit = processes(&root);
    in_unit.workloads.learn(&Cgroup {
        id: 1,
        maker: 0,
        path: "/system.slice/shop.service".into(),
    });
    let told = finished(&mut in_unit, bare("python3"), never);
    let named = enriched(&mut in_unit, bare("python3"));
    assert_eq!((workload(&named), told), ("shop.service", (1, 0)));
    // Its executable does.
    let root = proc_with("nginx", START_TICKS, "nginx\0-g\0x\0");
    assert_eq!(
        finished(&mut processes(&root), bare("nginx"), never),
        (1, 0)
    );
}

#[test]
fn what_came_late_is_in_doubt_where_it_changed_the_workload() {
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    assert_eq!(
        finished(&mut processes(&root), bare("python3"), later),
        (0, 1)
    );
    let root = proc_with("python3", START_TICKS, "python3\0--version\0");
    assert_eq!(
        finished(&mut processes(&root), bare("python3"), later),
        (0, 0)
    );
    // It went on to another program before it was read.
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    let mut gone = processes(&root);
    gone.looks.read_by(later);
    enriched(&mut gone, bare("python3"));
    fill(&root, "nginx", START_TICKS, "nginx\0");
    assert_eq!(gone.finish(), (0, 1));
}

/// Once all is read, what is made later is not in doubt, also if there was nothing to read. And what a process that
/// inherited something has of its own decides nothing for the others.
#[test]
fn what_was_read_is_not_in_doubt_later() {
    let root = proc_with("python3", START_TICKS, "");
    let mut processes = processes(&root);
    processes.looks.read_by(later);
    enriched(&mut processes, bare("python3"));
    let rest = |processes: &Processes| {
        let program = processes.programs.peek(&bare("python3").program());
        program.expect("it is known").run.borrow().rest
    };
    assert_eq!(rest(&processes), Rest::Later);
    let child = ProcessKey {
        pid: 813,
        start_ns: 9,
    };
    processes.learn_forked(&Fork {
        process: Arc::new(bare("python3")),
        child,
        ppid: Some(812),
    });
    let child = Process {
        key: child,
        pid: 813,
        ..bare("python3")
    };
    processes.take_late(&child, None);
    assert_eq!(rest(&processes), Rest::Later);
    assert_eq!(processes.finish(), (0, 0));
    assert_eq!(rest(&processes), Rest::Nothing);
    enriched(&mut processes, child);
    assert_eq!(processes.finish(), (0, 0));
}

/// What is looked at in time is not.
#[test]
fn what_is_gone_or_read_at_once_is_not_in_doubt() {
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    let mut processes = processes(&root);
    enriched(&mut processes, bare("python3"));
    let gone = Process {
        key: ProcessKey {
            pid: 813,
            start_ns: 1,
        },
        ..bare("python3")
    };
    enriched(&mut processes, gone);
    assert_eq!(processes.finish(), (0, 0));
}

/// A process that nobody could look at makes others, of which there is nothing to look at any more.
#[test]
fn those_that_inherit_what_could_not_be_read_are_in_doubt_too() {
    let root = proc_with("python3", START_TICKS, "python3\0/srv/app.py\0");
    let mut processes = processes(&root);
    processes.looks.read_by(later);
    let child = ProcessKey {
        pid: 813,
        start_ns: 9,
    };
    processes.learn_forked(&Fork {
        process: Arc::new(bare("python3")),
        child,
        ppid: Some(812),
    });
    let child = Process {
        key: child,
        pid: 813,
        ..bare("python3")
    };
    assert_eq!(workload(&enriched(&mut processes, child)), "python3");
    assert_eq!(processes.finish(), (0, 1));
}
