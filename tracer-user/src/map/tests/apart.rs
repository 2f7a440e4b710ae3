//! What has one name and is not the same, and what is the same under several.

use super::*;
use crate::model::{Container, Kubernetes, Listener, Outer, Owner};

/// The ids and names of the servers that these processes are.
fn servers(processes: Vec<Process>) -> Vec<(String, String)> {
    let view = view_of(processes);
    let nodes = view.nodes.iter().filter(|it| &*it.name != "app.service");
    nodes
        .map(|it| (it.id.to_string(), it.name.to_string()))
        .collect()
}

fn view_of(processes: Vec<Process>) -> View {
    let mut events = Vec::new();
    for (n, process) in (1..).zip(processes) {
        let (mut client, mut server) = pair(n);
        let port = 8000 + n as u16;
        server.process = Some(Arc::new(process));
        server.host = host("web-1");
        client.remote.set_port(port);
        server.local.set_port(port);
        events.extend([client.opens(n as f64), server.opens(n as f64)]);
    }
    map_of(&events)
}

#[test]
fn what_is_told_apart_can_be_asked_for() {
    let (shop, blog) = (Some("/srv/shop"), Some("/srv/blog"));
    let view = view_of(vec![app(1, shop), app(2, blog)]);
    let name = "app.py (/srv/blog)";
    let found = crate::ask::find(&view, name).expect("it is there");
    assert_eq!(&*view.nodes[found].name, name);
    let error = crate::ask::find(&view, "app.py").expect_err("there are two");
    assert!(error.to_string().starts_with("2 things"), "{error}");
    let pattern: crate::ask::Pattern = "app.py".parse().expect("a pattern");
    assert_eq!(
        view.nodes.iter().filter(|it| pattern.matches(it)).count(),
        2
    );
}

fn script(pid: u32, name: &str, args: &[&str], cwd: Option<&str>) -> Process {
    let mut process = Process::clone(&unit(name, pid));
    let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
    (workload.kind, workload.unit) = (WorkloadKind::Executable, None);
    process.exe = Some("/usr/bin/python3.11".into());
    process.args = Some(args.iter().map(|it| (*it).to_owned()).collect());
    process.cwd = cwd.map(Into::into);
    process
}

fn app(pid: u32, cwd: Option<&str>) -> Process {
    script(pid, "app.py", &["python3", "app.py"], cwd)
}

fn both(id: &str, name: &str) -> (String, String) {
    (format!("web-1/{id}"), name.to_owned())
}

#[test]
fn scripts_of_one_name_in_two_directories_are_two() {
    let apart = [
        both("executable/app.py (/srv/blog)", "app.py (/srv/blog)"),
        both("executable/app.py (/srv/shop)", "app.py (/srv/shop)"),
    ];
    let (shop, blog) = (Some("/srv/shop"), Some("/srv/blog"));
    assert_eq!(servers(vec![app(1, shop), app(2, blog)]), apart);
    // From a recording, too, in which a script is named as a whole.
    let whole = |pid, path| script(pid, "app.py", &["python3", path], None);
    let whole = vec![whole(1, "/srv/shop/app.py"), whole(2, "/srv/blog/app.py")];
    assert_eq!(servers(whole), apart);
    // Instances of one are one.
    assert_eq!(
        servers(vec![app(1, shop), app(2, blog), app(3, shop)]),
        apart
    );
    let code = |pid, code, cwd| script(pid, "python3", &["python3", "-c", code], cwd);
    let one = vec![
        code(1, "serve(1)", shop),
        code(2, "dial(2)", shop),
        code(3, "serve(3)", shop),
    ];
    assert_eq!(servers(one).len(), 2);
    let two = servers(vec![code(1, "serve(1)", shop), code(2, "serve(1)", blog)]);
    let names: Vec<&str> = two.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["python3 (/srv/blog)", "python3 (/srv/shop)"]);
}

#[test]
fn what_is_alone_keeps_its_name() {
    let alone = [both("executable/app.py", "app.py")];
    let shop = Some("/srv/shop");
    assert_eq!(servers(vec![app(1, shop)]), alone);
    assert_eq!(servers(vec![app(1, shop), app(2, shop)]), alone);
    // Gone before anybody could look: there is only one that it can be.
    assert_eq!(
        servers(vec![app(1, None), app(2, shop), app(3, None)]),
        alone
    );
    let release = |pid, name| app(pid, Some(name));
    let releases = vec![release(1, "/srv/r/20261101"), release(2, "/srv/r/20261102")];
    assert_eq!(servers(releases), alone);
}

/// A container, within another one.
fn container(pid: u32, id: &str, outer: Option<(&str, Option<&str>)>) -> Process {
    let mut process = Process::clone(&unit("web", pid));
    let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
    (workload.kind, workload.unit) = (WorkloadKind::Container, None);
    workload.container = Some(Container {
        id: id.into(),
        name: Some("web".into()),
        around: outer.map(|(id, name)| Outer {
            id: id.into(),
            name: name.map(Into::into),
        }),
        ..Container::default()
    });
    process
}

#[test]
fn containers_of_one_name_in_different_ones_are_different() {
    let all = vec![
        container(1, "aa", None),
        container(2, "bb", Some(("0123456789abcdef", None))),
        // A container may have its name for an id.
        container(3, "web", Some(("c1", Some("ci")))),
        container(4, "web", Some(("c2", Some("qa")))),
    ];
    let expected = [
        both("container/web", "web"),
        both("container/web (0123456789ab)", "web (0123456789ab)"),
        both("container/web (ci)", "web (ci)"),
        both("container/web (qa)", "web (qa)"),
    ];
    assert_eq!(servers(all), expected);
    // One after the other, and the only one of its name.
    let again = vec![container(1, "aa", None), container(2, "bb", None)];
    assert_eq!(servers(again), expected[..1]);
    let outer = Some(("c1", Some("ci")));
    assert_eq!(servers(vec![container(1, "aa", outer)]), expected[..1]);
}

#[test]
fn containers_of_one_name_that_listen_at_once_are_two() {
    let listens = |n: u64, id: &str, is_there: bool| {
        let (_, mut server) = pair(n);
        server.host = host("web-1");
        let process = Arc::new(container(n as u32, id, None));
        server.process = Some(Arc::clone(&process));
        let event = |listens: bool| {
            let it = ListenerEvent {
                listener: Listener {
                    local: server.local,
                    backlog: None,
                    netns: n as u32,
                },
                process: Some(Arc::clone(&process)),
                evidence: Evidence {
                    process: ProcessEvidence::Hook,
                    direction: None,
                    end: None,
                },
            };
            let body = if listens {
                Body::Listen(it)
            } else {
                Body::Unlisten(it)
            };
            server.tell(n as f64, body)
        };
        let mut events = vec![server.opens(n as f64), event(true)];
        if !is_there {
            events.push(event(false));
        }
        events
    };
    let names = |events: Vec<Vec<Event>>| -> Vec<String> {
        let view = map_of(&events.concat());
        let local = view.nodes.iter().filter(|it| it.kind == NodeKind::Workload);
        local.map(|it| it.name.to_string()).collect()
    };
    let both = vec![listens(1, "aa", true), listens(2, "bb", true)];
    assert_eq!(names(both), ["web (aa)", "web (bb)"]);
    // One in the place of the other.
    let again = vec![listens(1, "aa", false), listens(2, "bb", true)];
    assert_eq!(names(again), ["web"]);
}

#[test]
fn containers_of_two_runtimes_are_two() {
    let of = |pid, id, runtime: &str| {
        let mut process = container(pid, id, None);
        let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
        workload.container.as_mut().expect("it has one").runtime = Some(runtime.into());
        process
    };
    let expected = [
        both("container/web (docker)", "web (docker)"),
        both("container/web (podman)", "web (podman)"),
    ];
    let all = vec![
        of(1, "aa", "docker"),
        of(2, "bb", "podman"),
        of(3, "cc", "docker"),
    ];
    assert_eq!(servers(all), expected);
}

#[test]
fn pods_of_one_name_in_two_namespaces_are_two() {
    let pod = |pid, namespace: &str| {
        let mut process = container(pid, &format!("c{pid}"), None);
        let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
        workload.kind = WorkloadKind::Pod;
        workload.k8s = Some(Kubernetes {
            namespace: Some(namespace.into()),
            owner: Some(Owner {
                kind: "ReplicaSet".into(),
                name: "web".into(),
            }),
            ..Kubernetes::default()
        });
        process
    };
    let expected = [both("pod/blog/web", "web"), both("pod/shop/web", "web")];
    assert_eq!(
        servers(vec![pod(1, "shop"), pod(2, "blog"), pod(3, "shop")]),
        expected
    );
}

#[test]
fn what_users_call_alike_is_each_of_its_own() {
    let unit = |pid, uid: Option<u32>| {
        let mut process = Process::clone(&unit("secpg.service", pid));
        let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
        workload.uid = uid;
        if let Some(uid) = uid {
            workload.name = format!("secpg.service@{uid}").into();
        }
        process
    };
    let three = servers(vec![
        unit(1, None),
        unit(2, Some(1000)),
        unit(3, Some(1001)),
    ]);
    assert_eq!(
        three,
        [
            both("systemd/secpg.service", "secpg.service"),
            both("systemd@1000/secpg.service@1000", "secpg.service@1000"),
            both("systemd@1001/secpg.service@1001", "secpg.service@1001"),
        ]
    );
    // Also from a recording that somebody else wrote.
    let mut same = unit(4, None);
    Arc::make_mut(same.workload.as_mut().expect("it has one")).uid = Some(1000);
    assert_eq!(servers(vec![unit(1, None), same]).len(), 2);
}

#[test]
fn a_container_that_a_user_gives_anothers_id_is_not_that_one() {
    let container = |pid, uid: Option<u32>| {
        let mut process = Process::clone(&unit("payments-db", pid));
        let workload = Arc::make_mut(process.workload.as_mut().expect("it has one"));
        (workload.kind, workload.unit, workload.uid) = (WorkloadKind::Container, None, uid);
        workload.container = Some(Container {
            id: "4f797c539e6c".into(),
            name: Some("payments-db".into()),
            ..Container::default()
        });
        process
    };
    let two = servers(vec![container(1, None), container(2, Some(1000))]);
    assert_eq!(two.len(), 2, "{two:?}");
    assert_ne!(two[0].0, two[1].0);
}

#[test]
fn a_remote_that_was_dialled_by_the_id_of_a_workload_is_not_that_one() {
    let (mut client, server) = pair(1);
    let id = "web-1/systemd/app.service";
    let mut dial = client.clone();
    client.host = host("web-1");
    dial.host = host("web-1");
    dial.remote = address("203.0.113.9:5432");
    dial.handshake = None;
    dial.id = 77;
    let mut event = dial.opens(2.0);
    if let Body::Connect(it) = &mut event.body {
        it.connection.name = Some(Arc::new(Name {
            called: Called::One {
                name: id.into(),
                canonical: None,
            },
            source: NameSource::Dns,
        }));
    }
    let view = map_of(&[client.opens(1.0), server.opens(1.0), event]);
    let named: Vec<_> = view.nodes.iter().filter(|it| it.id.contains(id)).collect();
    let found: Vec<_> = named.iter().map(|it| (it.kind, &*it.id)).collect();
    let remote = format!("remote/{id}");
    let expected = [(NodeKind::Remote, &*remote), (NodeKind::Workload, id)];
    assert_eq!(found, expected);
}

/// In a network namespace of its own a user takes the address of the database, and listens there.
#[test]
fn an_address_that_a_user_gave_itself_is_nobodys_elsewhere() {
    let forged = |uid: Option<u32>| {
        let mut event = facts::listens("postgresql.service", "10.0.1.7:5432", 66, 1.0);
        let Body::Listen(it) = &mut event.body else {
            panic!("it listens");
        };
        let process = Arc::make_mut(it.process.as_mut().expect("it has one"));
        Arc::make_mut(process.workload.as_mut().expect("it has one")).uid = uid;
        let dial = facts::client(1, "app.service", "10.0.0.5:0", "10.0.1.7:5432");
        let view = map_of(&[event, dial.fails(2.0, Reason::TimedOut)]);
        let edge = view.edges.first().expect("an edge");
        let server = &view.nodes[edge.server];
        (server.kind, server.name.to_string())
    };
    let database = (NodeKind::Remote, "10.0.1.7".to_owned());
    assert_eq!(forged(Some(1000)), database);
    // A container of root's has the address that root gave it.
    let container = (NodeKind::Workload, "postgresql.service".to_owned());
    assert_eq!(forged(None), container);
}
