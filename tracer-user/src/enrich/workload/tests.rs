//! The choice between pod, container, unit and executable, and what programs are called.

use super::*;
use crate::model::{Owner, ProcessKey};

const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
const OTHER: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
const UID: &str = "4eede96e-e976-4573-bc90-68dfe2516d3b";

pub(super) fn process(comm: &str, exe: Option<&str>, args: &[&str]) -> Process {
    let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
    Process {
        exec_id: 0,
        cgroup: 1,
        netns_owner: None,
        workload: None,
        key: ProcessKey {
            pid: 7,
            start_ns: 0,
        },
        pid: 7,
        ppid: None,
        uid: None,
        comm: comm.into(),
        exe: exe.map(Into::into),
        args: (!args.is_empty()).then(|| args.into()),
        cwd: None,
        started: None,
    }
}

fn choose(paths: &[&str], containers: &[Container], k8s: Option<&Kubernetes>) -> Workload {
    let memberships: Vec<_> = paths.iter().map(|path| membership(path)).collect();
    let process = process("nginx", Some("/usr/sbin/nginx"), &[]);
    let clues = Clues {
        memberships: &memberships,
        process: &process,
        containers,
        k8s,
        node: None,
        port: None,
    };
    workload(&clues, &Roles::builtin())
}

fn named(workload: &Workload) -> (WorkloadKind, &str) {
    (workload.kind, &workload.name)
}

#[test]
fn pod_beats_container_beats_unit_beats_executable() {
    let pod = choose(
        &[&format!("/system.slice/k3s.service/kubepods/pod{UID}/{ID}")],
        &[],
        None,
    );
    assert_eq!(named(&pod), (WorkloadKind::Pod, UID));
    assert_eq!(pod.unit.as_deref(), Some("k3s.service"));
    assert_eq!(
        pod.container.map(|it| it.id.to_string()).as_deref(),
        Some(ID)
    );
    let k8s = pod.k8s.expect("a pod");
    assert_eq!(k8s.qos.as_deref(), Some("guaranteed"));

    let inside = format!("/system.slice/docker-{ID}.scope/system.slice/nginx.service");
    let container = choose(&[&inside], &[], None);
    assert_eq!(named(&container), (WorkloadKind::Container, &ID[..12]));
    assert_eq!(container.unit.as_deref(), Some("nginx.service"));

    let unit = choose(&["/system.slice/nginx.service"], &[], None);
    assert_eq!(named(&unit), (WorkloadKind::Systemd, "nginx.service"));
    assert_eq!(unit.role.as_deref(), Some("web"));

    for paths in [
        &["/user.slice/user-0.slice/session-1.scope"][..],
        &["/box"],
        &["/"],
        &[],
    ] {
        let program = choose(paths, &[], None);
        assert_eq!(named(&program), (WorkloadKind::Executable, "nginx"));
        assert_eq!(program, choose(&[], &[], None), "it folds with its fellows");
    }
}

#[test]
fn runtimes_add_to_what_the_path_says() {
    let known = |id: &str, name: &str| Container {
        id: id.into(),
        name: Some(name.into()),
        ..Container::default()
    };
    let path = format!("/docker/{ID}/docker/{OTHER}");
    let both = [known(ID, "outer"), known(OTHER, "inner")];
    assert_eq!(
        named(&choose(&[&path], &both, None)),
        (WorkloadKind::Container, "inner")
    );
    let outer = choose(&[&path], &both[..1], None);
    assert_eq!(named(&outer), (WorkloadKind::Container, "outer"));
    let runtime = outer.container.and_then(|it| it.runtime);
    assert_eq!(runtime.as_deref(), Some("docker"));
    // Kubernetes' node is not what runs in it.
    let kind = format!("/docker/{ID}/kubelet/kubepods/pod{UID}/{OTHER}");
    let pod = choose(&[&kind], &both[..1], None);
    assert_eq!(
        pod.container.map(|it| it.id.to_string()).as_deref(),
        Some(OTHER)
    );
    let lxc = choose(&["/lxc.payload.web/system.slice/a.service"], &[], None);
    assert_eq!(named(&lxc), (WorkloadKind::Container, "web"));
}

#[test]
fn a_container_says_what_it_is_in() {
    let known = |id: &str, name: &str| Container {
        id: id.into(),
        name: Some(name.into()),
        ..Container::default()
    };
    let around = |path: &str, containers: &[Container]| {
        let outer = choose(&[path], containers, None).container?.around?;
        Some((outer.id.to_string(), outer.name.map(|it| it.to_string())))
    };
    let path = format!("/docker/{ID}/docker/{OTHER}");
    let both = [known(ID, "outer"), known(OTHER, "inner")];
    let outer = (ID.to_owned(), Some("outer".to_owned()));
    assert_eq!(around(&path, &both), Some(outer.clone()));
    assert_eq!(around(&path, &both[1..]), Some((ID.to_owned(), None)));
    // That is what it is taken for itself.
    assert_eq!(around(&path, &both[..1]), None);
    assert_eq!(around(&format!("/docker/{ID}"), &both), None);
    let deep = format!("/docker/{ID}/lxc.payload.vm/docker/{OTHER}");
    let outer = (format!("{ID}/vm"), Some("outer".to_owned()));
    assert_eq!(around(&deep, &both), Some(outer));
    let kind = format!("/docker/{ID}/kubelet/kubepods/pod{UID}/{OTHER}");
    assert_eq!(around(&kind, &both).map(|it| it.0), Some(ID.to_owned()));
}

#[test]
fn a_pod_goes_by_its_owner() {
    let path = format!("/kubepods/burstable/pod{UID}/{ID}");
    let mut k8s = Kubernetes {
        pod: Some("shop-5d4f-x2v".into()),
        uid: Some(UID.into()),
        ..Kubernetes::default()
    };
    assert_eq!(
        named(&choose(&[&path], &[], Some(&k8s))),
        (WorkloadKind::Pod, "shop-5d4f-x2v")
    );
    k8s.owner = Some(Owner {
        kind: "ReplicaSet".into(),
        name: "shop".into(),
    });
    assert_eq!(
        named(&choose(&[&path], &[], Some(&k8s))),
        (WorkloadKind::Pod, "shop")
    );
    // Docker's paths do not tell of the pod, its labels do.
    let docker = format!("/docker/{ID}");
    assert_eq!(
        named(&choose(&[&docker], &[], Some(&k8s))),
        (WorkloadKind::Pod, "shop")
    );
    assert_eq!(choose(&["/a.service"], &[], Some(&k8s)).k8s, None);
    k8s.uid = Some("another".into());
    assert_eq!(
        named(&choose(&[&path], &[], Some(&k8s))),
        (WorkloadKind::Pod, UID)
    );
}

#[test]
fn programs_go_by_what_they_run() {
    for (exe, args, expected) in [
        ("/usr/bin/curl", &["curl", "http://a/b"][..], "curl"),
        (
            "/usr/bin/python3.11",
            &["python3", "/srv/app/manage.py", "runserver"],
            "manage.py",
        ),
        (
            "/usr/bin/python3",
            &["python3", "-u", "-W", "ignore", "-m", "http.server", "80"],
            "http.server",
        ),
        (
            "/usr/bin/python3",
            &["python3", "-c", "import os", "x.py"],
            "python3",
        ),
        ("/usr/bin/python3", &["python3"], "python3"),
        ("/usr/bin/python3", &[], "python3"),
        (
            "/usr/bin/node",
            &[
                "node",
                "--max-old-space-size=512",
                "-r",
                "dotenv",
                "server.js",
            ],
            "server.js",
        ),
        ("/usr/bin/node", &["node", "-e", "1", "x"], "node"),
        ("/usr/bin/ruby3.1", &["ruby", "/usr/bin/sidekiq"], "sidekiq"),
        (
            "/usr/bin/ruby",
            &["puma 5.6 (tcp://0.0.0.0:80) [shop]"],
            "ruby",
        ),
        (
            "/usr/bin/perl",
            &["perl", "-w", "/usr/sbin/munin-node"],
            "munin-node",
        ),
        (
            "/usr/bin/php8.2",
            &["php", "-d", "a=b", "-f", "artisan", "work"],
            "artisan",
        ),
        (
            "/bin/bash",
            &["/bin/bash", "-eu", "/opt/backup.sh"],
            "backup.sh",
        ),
        ("/bin/bash", &["-bash"], "bash"),
        ("/bin/bash", &["bash", "-lc", "backup"], "bash"),
        ("/usr/bin/perl", &["perl", "-ne", "print", "x.log"], "perl"),
        ("/bin/sh", &["sh", "-c", "curl x"], "sh"),
        (
            "/usr/lib/jvm/bin/java",
            &[
                "java",
                "-Xmx1g",
                "-cp",
                "a:b",
                "kafka.Kafka",
                "x.properties",
            ],
            "kafka.Kafka",
        ),
        (
            "/usr/bin/java",
            &["java", "-Dx=y", "-jar", "/opt/shop.jar"],
            "shop.jar",
        ),
        ("/usr/bin/java", &["java", "-Xmx1g…"], "java"),
        ("/usr/bin/python3", &["python3", "/srv/ap…"], "python3"),
        (
            "/usr/bin/python3",
            &["python3", "/srv/a\u{1b}[2J"],
            "python3",
        ),
        ("/usr/bin/python3", &["python3", "/"], "python3"),
    ] {
        let it = process("x", Some(exe), args);
        assert_eq!(&*names::telling(&it), expected, "{args:?}");
    }
}

#[test]
fn without_an_executable_the_name_counts() {
    for (comm, exe, expected) in [
        ("postgres", None, "postgres"),
        ("kworker/0:1-events", None, "kworker"),
        ("/odd", None, "/odd"),
        ("worker 3", Some("/opt/shop"), "shop"),
        ("x", Some("/"), "x"),
        ("x", Some("/memfd:payload"), "memfd:payload"),
    ] {
        assert_eq!(&*names::telling(&process(comm, exe, &[])), expected);
    }
    let long = "ä".repeat(1000);
    let name = names::telling(&process("x", Some(&long), &[]));
    assert_eq!(name.len(), names::MAX_NAME_BYTES);
}

#[test]
fn a_file_that_is_several_programs_goes_by_the_one_that_was_started() {
    for (comm, exe, first, expected) in [
        (
            "redis-server",
            "/usr/bin/redis-check-rdb",
            "/usr/bin/redis-server 127.0.0.1:6379",
            "redis-server",
        ),
        ("nc", "/bin/busybox", "nc", "nc"),
        // The kernel keeps fifteen bytes.
        (
            "a-very-long-nam",
            "/bin/box",
            "/bin/a-very-long-name",
            "a-very-long-name",
        ),
        // What one of them alone says is no name.
        ("sshd", "/tmp/x", "/tmp/x", "x"),
        ("x", "/tmp/x", "sshd", "x"),
        ("a-very-long", "/bin/box", "a-very-long-name", "box"),
        ("nc", "/bin/busybox", "", "busybox"),
        ("\u{7}", "/bin/box", "\u{7}", "box"),
    ] {
        let it = process(comm, Some(exe), &[first]);
        assert_eq!(&*names::telling(&it), expected, "{first:?}");
    }
    // Nor without a file.
    assert_eq!(
        &*names::telling(&process("kworker/0:1", None, &["kworker/0:1"])),
        "kworker"
    );
}
