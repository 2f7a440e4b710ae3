//! What a workload is called for good, and what follows from it: a deployment again is no change, and two
//! services are never one.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    ask::{
        balance::balance,
        diff::diff,
        service::{self, By},
        verify::verify,
    },
    model::Outer,
};

const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";

/// A container with these labels.
fn labelled(name: Option<&str>, image: &str, labels: &[(&str, &str)]) -> Workload {
    let container = Container {
        id: ID.into(),
        name: name.map(Into::into),
        image: (!image.is_empty()).then(|| image.into()),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        ..Container::default()
    };
    Workload {
        container: Some(container),
        ..workload(WorkloadKind::Container, name.unwrap_or(&ID[..12]))
    }
}

fn lasting(workload: Workload) -> (String, Option<String>, By) {
    let it = service::of(&node(workload));
    (it.service, it.instance, it.by)
}

fn node(workload: Workload) -> Node {
    Node {
        kind: NodeKind::Workload,
        workload: Some(Arc::new(workload)),
        ..blank_node("x")
    }
}

#[test]
fn labels_come_before_names_and_names_before_what_it_is_made_of() {
    let swarm = |name| {
        [
            ("com.docker.swarm.service.name", "shop_web"),
            ("com.docker.swarm.task.name", name),
        ]
    };
    let nomad = [
        (
            "com.hashicorp.nomad.alloc_id",
            "6f1c0b6e-9f3d-4f0e-8a7d-0c1b2a394857",
        ),
        ("com.hashicorp.nomad.job_id", "shop"),
        ("com.hashicorp.nomad.task_group_name", "front"),
        ("com.hashicorp.nomad.task_name", "web"),
    ];
    let ecs = [
        ("com.amazonaws.ecs.cluster", "arn:aws:ecs:eu:1:cluster/prod"),
        ("com.amazonaws.ecs.container-name", "web"),
        ("com.amazonaws.ecs.task-definition-family", "shop"),
    ];
    let compose = [
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "web"),
        ("com.docker.compose.container-number", "2"),
    ];
    let once = [
        compose[0],
        compose[1],
        ("com.docker.compose.oneoff", "True"),
    ];
    let uuid = "web-6f1c0b6e-9f3d-4f0e-8a7d-0c1b2a394857";
    let task = "shop_web.1.k2j3h4k5j6h7k8j9h0k1j2h3k";
    for (name, image, labels, service, instance, by) in [
        (
            Some(task),
            "a:1",
            &swarm(task)[..],
            "swarm/shop_web",
            Some("1"),
            By::Replica,
        ),
        (
            Some(task),
            "a:1",
            &[],
            "container/shop_web a",
            Some("1"),
            By::Replica,
        ),
        (
            Some(uuid),
            "a:1",
            &nomad,
            "nomad/default/shop/front/web",
            None,
            By::Replica,
        ),
        (
            Some(uuid),
            "a:1",
            &nomad[1..3],
            "nomad/default/shop/front/web",
            None,
            By::Replica,
        ),
        (
            Some(uuid),
            "a:1",
            &nomad[..1],
            "container/web a",
            None,
            By::Made,
        ),
        (
            Some("ecs-shop-3-web-9ac7"),
            "a",
            &ecs,
            "ecs/prod/shop/web",
            None,
            By::Replica,
        ),
        (
            Some("ecs-shop-3-web-9ac7"),
            "a",
            &ecs[1..],
            "ecs/shop/web",
            None,
            By::Replica,
        ),
        (
            Some("shop-web-2"),
            "a",
            &compose,
            "compose/shop/web",
            Some("2"),
            By::Replica,
        ),
        (
            Some("shop-web-run-1"),
            "a",
            &once,
            "compose/shop/web/run",
            None,
            By::Replica,
        ),
        (Some("web"), "a:1", &[], "container/web", None, By::Name),
        (
            Some("shop_web"),
            "a:1",
            &[],
            "container/shop_web",
            None,
            By::Name,
        ),
        (
            Some("admiring_tesla"),
            "r:5000/a:1",
            &[],
            "image/r:5000/a",
            None,
            By::Made,
        ),
        (None, "redis:7", &[], "image/redis", None, By::Made),
        (None, "", &[], "image/", None, By::Made),
    ] {
        let expected = (service.to_owned(), instance.map(str::to_owned), by);
        assert_eq!(
            lasting(labelled(name, image, labels)),
            expected,
            "{name:?} {labels:?}"
        );
    }
}

#[test]
fn units_last_without_what_a_runtime_put_in_their_names() {
    for (unit, service, instance, by) in [
        (
            r"machine-qemu\x2d7\x2dweb.scope",
            "machine/web",
            None,
            By::Name,
        ),
        ("machine-qemu-8-web.scope", "machine/web", None, By::Name),
        ("machine-qemu-*-web.scope", "machine/web", None, By::Name),
        ("machine-web.scope", "machine/web", None, By::Name),
        (
            "web@2.service",
            "systemd/web@.service",
            Some("2"),
            By::Template,
        ),
        ("web.service", "systemd/web.service", None, By::Name),
        ("run-u123.service", "transient/", None, By::Made),
        ("session-12.scope", "transient/", None, By::Made),
    ] {
        let expected = (service.to_owned(), instance.map(str::to_owned), by);
        assert_eq!(
            lasting(workload(WorkloadKind::Systemd, unit)),
            expected,
            "{unit}"
        );
    }
}

#[test]
fn two_services_have_two_names() {
    let compose = |project| {
        let labels = [
            ("com.docker.compose.project", project),
            ("com.docker.compose.service", "web"),
        ];
        labelled(Some("web"), "a", &labels)
    };
    let nomad = |job| {
        let labels = [
            ("com.hashicorp.nomad.job_name", job),
            ("com.hashicorp.nomad.task_name", "web"),
        ];
        labelled(
            Some("web-6f1c0b6e-9f3d-4f0e-8a7d-0c1b2a394857"),
            "a",
            &labels,
        )
    };
    let ecs = |family, name| {
        let labels = [
            ("com.amazonaws.ecs.container-name", name),
            ("com.amazonaws.ecs.task-definition-family", family),
        ];
        labelled(Some("ecs-x-1-web-0123456789abcdef"), "a", &labels)
    };
    let nested = |outer: Option<&str>| {
        let mut it = labelled(Some("web"), "a", &[]);
        it.container.as_mut().expect("a container").around = outer.map(|name| Outer {
            id: ID.into(),
            name: Some(name.into()),
        });
        it
    };
    // Those of LXC have a name for an id.
    let in_machine = |id: &str| {
        let mut it = labelled(Some("web"), "a", &[]);
        it.container.as_mut().expect("a container").around = Some(Outer {
            id: id.into(),
            name: None,
        });
        it
    };
    let all = [
        compose("shop"),
        compose("blog"),
        nomad("shop"),
        nomad("blog"),
        ecs("shop", "web"),
        ecs("blog", "web"),
        ecs("shop", "db"),
        nested(None),
        in_machine("a"),
        in_machine("b"),
        in_machine("a/b"),
        nested(Some("ci")),
        nested(Some("qa")),
        labelled(Some("shop_redis"), "redis", &[]),
        labelled(Some("cart_redis"), "redis", &[]),
        workload(WorkloadKind::Systemd, "web.service"),
        workload(WorkloadKind::Systemd, "web.scope"),
        workload(WorkloadKind::Executable, "web"),
    ];
    let names: BTreeSet<String> = all.iter().map(|it| lasting(it.clone()).0).collect();
    assert_eq!(names.len(), all.len(), "{names:?}");
}

/// A task of a service of Swarm, as tracer would show it.
fn task(it: &mut Draft, service: &str, slot: u32, id: &str) -> String {
    let name = format!("{service}.{slot}.{id}");
    let labels = [
        ("com.docker.swarm.service.name", service),
        ("com.docker.swarm.task.name", &name),
    ];
    let node = it.container(&name, "shop:1");
    node.workload = Some(Arc::new(labelled(Some(&name), "shop:1", &labels)));
    name
}

fn changes(before: &View, after: &View) -> Vec<String> {
    let found = diff(before, after, &Allowed::default()).found.changes;
    let json = found
        .iter()
        .map(|it| serde_json::to_value(it).expect("JSON"));
    json.map(|it| {
        let name = it
            .pointer("/who/name")
            .or(it.pointer("/before/server/name"));
        let name = name
            .or(it.pointer("/after/server/name"))
            .and_then(|it| it.as_str());
        format!(
            "{} {} {}",
            it["change"],
            it["what"],
            name.unwrap_or_default()
        )
        .replace('"', "")
    })
    .collect()
}

const X: &str = "k2j3h4k5j6h7k8j9h0k1j2h3k";
const Y: &str = "z9y8x7w6v5u4t3s2r1q0p9o8n";
const Z: &str = "a1b2c3d4e5f6g7h8i9j0k1l2m";

#[test]
fn a_service_that_is_deployed_again_has_not_changed() {
    let with = |ids: [&str; 2], dials: usize| {
        let mut it = Draft::new();
        it.unit("app");
        let names = [
            task(&mut it, "shop_web", 1, ids[0]),
            task(&mut it, "shop_web", 2, ids[1]),
        ];
        for name in &names {
            let at = it.index(name);
            it.view.nodes[at].listens(80);
        }
        it.edge("app", &names[dials], 80, 5);
        it.view()
    };
    let (before, after) = (with([X, Y], 0), with([Y, Z], 1));
    assert_eq!(changes(&before, &after), Vec::<String>::new());
    let found = verify(&before, &after).found;
    assert_eq!(
        (found.back.len(), found.missing.len(), found.new.len()),
        (1, 0, 0)
    );
    let balanced = balance(&before, None).found.services;
    assert_eq!(
        (&*balanced[0].service, balanced[0].backends.len()),
        ("shop_web", 2)
    );
}

#[test]
fn a_task_that_was_replaced_while_that_was_watched_is_neither_gone_nor_new() {
    let mut before = Draft::new();
    before.unit("app");
    let old = task(&mut before, "shop_web", 1, X);
    let at = before.index(&old);
    before.view.nodes[at].listens(80);
    before.edge("app", &old, 80, 5);
    let mut after = before.clone();
    after.view.nodes[at].listeners.clear();
    let new = task(&mut after, "shop_web", 1, Y);
    let at = after.index(&new);
    after.view.nodes[at].listens(80);
    after.edge("app", &new, 80, 5);
    let (before, after) = (before.view(), after.view());
    assert_eq!(changes(&before, &after), Vec::<String>::new());
    assert_eq!(changes(&after, &before), Vec::<String>::new());
    assert!(verify(&after, &before).found.complete);
}

#[test]
fn an_instance_less_is_gone_and_one_more_is_new() {
    let with = |ids: &[&str]| {
        let mut it = Draft::new();
        for (slot, id) in (1..).zip(ids) {
            let name = task(&mut it, "shop_web", slot, id);
            let at = it.index(&name);
            it.view.nodes[at].listens(80);
        }
        it.view()
    };
    let (one, two) = (with(&[X]), with(&[Z, Y]));
    assert_eq!(changes(&one, &two).len(), 2, "{:?}", changes(&one, &two));
    let gone = changes(&two, &one);
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(gone.iter().all(|it| it.starts_with("gone")), "{gone:?}");
    // Another service in its place is no other instance.
    let mut other = Draft::new();
    let name = task(&mut other, "blog_web", 1, Z);
    let at = other.index(&name);
    other.view.nodes[at].listens(80);
    assert_eq!(changes(&one, &other.view()).len(), 4);
}

/// A script that an interpreter runs, in a directory.
fn script(it: &mut Draft, name: &str, directory: &str, port: u16) {
    let called = format!("{name} ({directory})");
    let node = it.unit(&called);
    node.workload = Some(Arc::new(workload(WorkloadKind::Executable, name)));
    node.runs(1, "/usr/bin/python3", None).listens(port);
    let process = Arc::make_mut(&mut node.processes[0]);
    process.args = Some(["python3".to_owned(), format!("{directory}/{name}")].into());
}

#[test]
fn two_programs_of_one_language_at_one_port_are_two_services() {
    let mut it = Draft::new();
    it.unit("proxy");
    script(&mut it, "app.py", "/srv/shop", 8080);
    script(&mut it, "app.py", "/srv/blog", 8080);
    it.edge("proxy", "app.py (/srv/shop)", 8080, 90);
    it.edge("proxy", "app.py (/srv/blog)", 8080, 10);
    assert_eq!(balance(&it.view(), None).found.services, []);
    // So are units, whose directories are known from the arguments.
    let units = |other: &str| {
        let mut it = Draft::new();
        it.unit("proxy");
        for (unit, directory) in [("shop.service", "/srv/shop"), ("blog.service", other)] {
            let node = it.unit(unit);
            node.runs(1, "/usr/bin/python3", None).listens(8080);
            let process = Arc::make_mut(&mut node.processes[0]);
            process.args = Some(["python3".to_owned(), format!("{directory}/app.py")].into());
            it.edge("proxy", unit, 8080, 5);
        }
        balance(&it.view(), None).found.services.len()
    };
    assert_eq!((units("/srv/blog"), units("/srv/shop")), (0, 1));
}

#[test]
fn a_name_on_two_hosts_is_one_service_only_if_it_runs_the_same() {
    let with = |other: &str| {
        let mut it = Draft::new();
        it.watched("two");
        it.unit("app.service")
            .runs(1, "/opt/shop", None)
            .listens(80);
        it.unit_on("two", "app.service")
            .runs(1, other, None)
            .listens(80);
        balance(&it.view(), None).found.services.len()
    };
    assert_eq!((with("/opt/2.0/shop"), with("/opt/blog")), (1, 0));
}

#[test]
fn a_script_elsewhere_has_moved_if_there_is_one_of_the_name() {
    let with = |directories: &[&str]| {
        let mut it = Draft::new();
        for directory in directories {
            script(&mut it, "app.py", directory, 8080);
        }
        it.view()
    };
    let moved = changes(&with(&["/srv/a"]), &with(&["/srv/b"]));
    assert_eq!(moved, ["moved workload app.py (/srv/b)"]);
    let other = changes(&with(&["/srv/a", "/srv/b"]), &with(&["/srv/b"]));
    assert_eq!(
        other,
        [
            "gone workload app.py (/srv/a)",
            "gone listener app.py (/srv/a)"
        ]
    );
}

/// A service with these ports, of which some are dialled.
fn serving(ports: &[u16], dialled: &[u16]) -> View {
    let mut it = Draft::new();
    it.unit("app");
    for port in ports {
        match it.view.nodes.iter_mut().find(|it| &*it.name == "rpc") {
            Some(node) => _ = node.listens(*port),
            None => _ = it.unit("rpc").listens(*port),
        }
    }
    for port in dialled {
        it.edge("app", "rpc", *port, 5);
    }
    it.view()
}

#[test]
fn a_high_port_counts_unless_the_kernel_chose_it() {
    for (before, after, expected) in [
        // It is dialled at just that port.
        (
            (&[50_051_u16][..], &[50_051_u16][..]),
            (&[50_053_u16][..], &[50_053_u16][..]),
            2,
        ),
        // It stays, and is none that the kernel gives to those who ask for any.
        (
            (&[80, 50_052], &[80, 50_052]),
            (&[80, 50_054], &[80, 50_054]),
            2,
        ),
        ((&[80, 39_000], &[80]), (&[80], &[80]), 1),
        // Of another program, or passive FTP: another one each time, and not always as many.
        (
            (&[111, 41_001], &[111, 41_001]),
            (&[111, 55_001], &[111, 55_001]),
            0,
        ),
        (
            (&[21], &[21, 40_000, 41_000, 43_001]),
            (&[21], &[21, 50_002]),
            0,
        ),
        (
            (&[21], &[21, 50_002]),
            (&[21], &[21, 40_000, 41_000, 43_001]),
            0,
        ),
        ((&[21], &[21, 50_002]), (&[21], &[21]), 0),
        ((&[111, 41_001, 41_003], &[]), (&[111, 55_001], &[]), 0),
        // There in both.
        ((&[50_051], &[50_051]), (&[50_051], &[50_051]), 0),
        // There in both, and not dialled any more.
        ((&[80, 50_051], &[80, 50_051]), (&[80, 50_051], &[80]), 1),
        // Nobody is there any more, nor at another one.
        ((&[80, 50_051], &[80, 50_051]), (&[80], &[80]), 2),
    ] {
        let found = changes(&serving(before.0, before.1), &serving(after.0, after.1));
        assert_eq!(found.len(), expected, "{before:?} {after:?}: {found:?}");
    }
}

#[test]
fn a_high_port_that_was_there_before_a_start_counts() {
    let kept = |port: u16| {
        let mut it = Draft::new();
        it.unit("app");
        let listens = |at: u64| Change {
            time: super::at(at),
            what: Happened::Listen {
                address: IpAddr::from([0, 0, 0, 0]).into(),
                port,
            },
        };
        let node = it.unit("grpc").listens(80).listens(port);
        node.changes = vec![listens(500)];
        // Dialled before it began to listen again.
        it.edge("app", "grpc", port, 5);
        it.edge("app", "grpc", 80, 5);
        it.view()
    };
    assert_eq!(changes(&kept(50_051), &kept(50_053)).len(), 2);
}

/// A container that nobody gave a name, with one program.
fn nameless(it: &mut Draft, name: &str, image: &str, script: &str, port: Option<u16>) {
    let mut workload = labelled(Some(name), image, &[]);
    workload.container.as_mut().expect("a container").id = format!("id of {name}").into();
    let node = it.container(name, image);
    node.workload = Some(Arc::new(workload));
    node.runs(1, "/usr/bin/python3", None);
    let process = Arc::make_mut(&mut node.processes[0]);
    process.args = Some(["python3".to_owned(), format!("/app/{script}")].into());
    if let Some(port) = port {
        node.listens(port);
    }
}

#[test]
fn containers_without_names_go_by_what_they_do() {
    let with = |all: &[(&str, &str, Option<u16>)]| {
        let mut it = Draft::new();
        it.unit("db");
        for (name, script, port) in all {
            nameless(&mut it, name, "python:3", script, *port);
            it.edge(name, "db", 5432, 1);
        }
        it.view()
    };
    let before = with(&[
        ("zen_hopper", "a.py", Some(80)),
        ("admiring_tesla", "b.py", Some(81)),
    ]);
    let again = with(&[
        ("brave_curie", "b.py", Some(81)),
        ("keen_euler", "a.py", Some(80)),
    ]);
    assert_eq!(changes(&before, &again), Vec::<String>::new());
    let client = with(&[("zen_hopper", "a.py", None)]);
    assert_eq!(
        changes(&client, &with(&[("keen_euler", "a.py", None)])),
        Vec::<String>::new()
    );
    // Another program of the same image is another thing.
    let other = changes(&client, &with(&[("keen_euler", "b.py", None)]));
    assert!(
        other.contains(&"gone workload zen_hopper".to_owned()),
        "{other:?}"
    );
    assert!(
        other.contains(&"new workload keen_euler".to_owned()),
        "{other:?}"
    );
    // Nor do two of one image serve the same because of that.
    let mut it = Draft::new();
    it.unit("proxy");
    nameless(&mut it, "zen_hopper", "", "app.py", Some(80));
    nameless(&mut it, "keen_euler", "", "app.py", Some(80));
    it.edge("proxy", "zen_hopper", 80, 9);
    it.edge("proxy", "keen_euler", 80, 1);
    assert_eq!(balance(&it.view(), None).found.services, []);
}

#[test]
fn a_container_is_itself_whatever_of_it_was_seen() {
    let with = |script| {
        let mut it = Draft::new();
        nameless(&mut it, "0123456789ab", "", script, Some(80));
        it.view()
    };
    assert_eq!(changes(&with("a.py"), &with("b.py")), Vec::<String>::new());
}

#[test]
fn a_machine_that_is_started_again_is_the_same() {
    let with = |unit: &str| {
        let mut it = Draft::new();
        it.unit(unit).listens(5900);
        it.view()
    };
    let before = with(r"machine-qemu\x2d7\x2dweb.scope");
    for again in [
        r"machine-qemu\x2d8\x2dweb.scope",
        "machine-qemu-9-web.scope",
        "machine-qemu-*-web.scope",
    ] {
        assert_eq!(changes(&before, &with(again)), Vec::<String>::new());
    }
    assert_eq!(changes(&before, &with("machine-qemu-7-db.scope")).len(), 4);
}

/// A text of so many letters and digits that a runtime may make up, from a number.
fn made_up(mut seed: u64, digits: &[u8], len: usize) -> String {
    let mut next = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        digits[(seed >> 33) as usize % digits.len()] as char
    };
    // As of any such text, some of it are digits and some are letters.
    (0..len - 2).map(|_| next()).collect::<String>() + "7a"
}

/// A container of this service, as `style` names it; `id` is what the runtime makes up.
fn of_style(style: usize, service: &str, id: u64) -> Workload {
    let swarm = made_up(id, b"0123456789abcdefghijklmnopqrstuvwxyz", 25);
    let hex = made_up(id, b"0123456789abcdef", 32);
    let uuid = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-");
    let uuid = format!("{uuid}{}", &hex[..36 - uuid.len()]);
    let task = format!("{service}.1.{swarm}");
    let alloc = format!("{service}-{uuid}");
    let number = (id % 9 + 1).to_string();
    let it = |name: &str, labels: &[(&str, &str)]| labelled(Some(name), "image:1", labels);
    match style {
        0 => it(
            &task,
            &[
                ("com.docker.swarm.service.name", service),
                ("com.docker.swarm.task.name", &task),
            ],
        ),
        1 => it(&task, &[]),
        2 => it(&alloc, &[("com.hashicorp.nomad.alloc_id", &uuid)]),
        3 => it(
            &alloc,
            &[
                ("com.hashicorp.nomad.job_id", service),
                ("com.hashicorp.nomad.task_name", "web"),
            ],
        ),
        4 => it(
            &format!("ecs-shop-{number}-{service}-{hex}"),
            &[
                ("com.amazonaws.ecs.task-definition-family", "shop"),
                ("com.amazonaws.ecs.container-name", service),
            ],
        ),
        5 => it(&format!("ecs-shop-{number}-{service}-{hex}"), &[]),
        6 => it(
            &format!("{}_shop-{service}-1", &hex[..12]),
            &[
                ("com.docker.compose.project", "shop"),
                ("com.docker.compose.service", service),
                ("com.docker.compose.container-number", "1"),
            ],
        ),
        7 => workload(
            WorkloadKind::Systemd,
            &format!(r"machine-qemu\x2d{number}\x2d{service}.scope"),
        ),
        _ => it(service, &[]),
    }
}

/// What people name services by.
const SERVICE: &str = "[b-y][a-z0-9]{0,8}([-_.][a-z][a-z0-9]{0,6}){0,2}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_up_never_counts_and_what_is_chosen_always_does(
        style in 0..9_usize,
        (one, other) in (SERVICE, SERVICE),
        ids in any::<[u64; 2]>(),
    ) {
        let is_adjective = |it: &str| it.contains('_');
        prop_assume!(one != other && (style < 8 || !is_adjective(&one)));
        let of = |service: &str, id| lasting(of_style(style, service, id));
        prop_assert_eq!(of(&one, ids[0]), of(&one, ids[1]));
        prop_assert_ne!(of(&one, ids[0]).0, of(&other, ids[1]).0);
    }

    #[test]
    fn any_system_that_is_deployed_again_has_not_changed(
        slots in vec(1..4_u32, 1..6),
        dials in vec((0..6_usize, 0..6_usize, any::<[u32; 4]>()), 0..12),
        gone in 0..6_usize,
    ) {
        let name = |at: usize| format!("shop_s{at}");
        // Which instances of two services meet is chance.
        let with = |generation: usize, without: Option<usize>| {
            let mut it = Draft::new();
            let mut tasks: Vec<Vec<String>> = Vec::new();
            for (at, slots) in slots.iter().enumerate() {
                let mut names = Vec::new();
                for slot in 1..=*slots {
                    let seed = (generation * 100 + at * 10) as u64 + u64::from(slot);
                    let id = made_up(seed, b"0123456789abcdefghijklmnopqrstuvwxyz", 25);
                    if without != Some(at) {
                        let name = task(&mut it, &name(at), slot, &id);
                        let node = it.index(&name);
                        it.view.nodes[node].listens(80);
                        names.push(name);
                    }
                }
                tasks.push(names);
            }
            let mut seen = BTreeSet::new();
            for (client, server, which) in &dials {
                let (client, server) = (client % slots.len(), server % slots.len());
                let pick = |of: usize, which: u32| tasks[of].get(which as usize % slots[of] as usize);
                let pair = (pick(client, which[0]), pick(server, which[1 + generation]));
                if let (Some(client), Some(server)) = pair
                    && seen.insert((client, server))
                {
                    it.edge(client, server, 80, 5);
                }
            }
            it.view()
        };
        let (before, after) = (with(1, None), with(2, None));
        prop_assert_eq!(changes(&before, &after), Vec::<String>::new());
        prop_assert!(verify(&before, &after).found.complete);
        // But of a service of which nothing is left, all is gone.
        let gone = gone % slots.len();
        let found = changes(&before, &with(2, Some(gone)));
        let told = found.iter().filter(|it| it.starts_with("gone workload")).count();
        prop_assert_eq!(told, slots[gone] as usize, "{:?}", found);
        let edges = before.edges.iter().filter(|it| {
            let of = |at: usize| before.nodes[at].name.starts_with(&name(gone));
            of(it.client) || of(it.server)
        });
        let told = found.iter().filter(|it| it.starts_with("gone edge")).count();
        prop_assert_eq!(told, edges.count(), "{:?}", found);
    }
}

#[test]
fn what_is_a_users_is_no_service_of_roots() {
    let of = |uid: Option<u32>, mut workload: Workload| {
        workload.uid = uid;
        if let Some(uid) = uid {
            workload.name = format!("{}@{uid}", workload.name).into();
        }
        lasting(workload)
    };
    let made: [fn() -> Workload; 3] = [
        || workload(WorkloadKind::Systemd, "worker@1.service"),
        || {
            labelled(
                Some("shop-web-1"),
                "web:1",
                &[("com.docker.swarm.service.name", "web")],
            )
        },
        || workload(WorkloadKind::Executable, "nginx"),
    ];
    for make in made {
        let all = [None, Some(1000), Some(1001)].map(|uid| of(uid, make()));
        let services: BTreeSet<_> = all.iter().map(|it| &it.0).collect();
        assert_eq!(services.len(), 3, "{all:?}");
        // Else they last alike.
        assert!(
            all.iter().all(|it| (&it.1, it.2) == (&all[0].1, all[0].2)),
            "{all:?}"
        );
        assert!(all[1].0.ends_with("@1000"), "{all:?}");
    }
}
