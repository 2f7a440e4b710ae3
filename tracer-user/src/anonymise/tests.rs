use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::{
    ask,
    model::{Workload, specimens::events},
    outputs::{Format, Writer},
};

fn line(event: &Event) -> String {
    let mut line = Vec::new();
    Writer::new(Format::Json, false).write(event, &mut line);
    String::from_utf8(line).expect("JSON is text")
}

fn json(event: &Event) -> Value {
    serde_json::from_str(&line(event)).expect("a line is JSON")
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays: a number, a time, or a word of a type that has no other.
    Stays,
    /// It is another one.
    Replaced,
    /// It stays if it is of this list, and is another one if not.
    OneOf(&'static [&'static str]),
    /// It is not there.
    Gone,
}

use Fate::{Gone, OneOf, Replaced, Stays};

/// Every field of every event. A new one has to be put here: does it come from outside?
const FATES: &[(&str, Fate)] = &[
    ("v", Stays),
    ("time", Stays),
    ("event", Stays),
    ("host.id", Replaced),
    ("host.name", Replaced),
    ("tracer.version", Stays),
    ("tracer.hooks", OneOf(&words::HOOKS)),
    ("tracer.kernel", Replaced),
    ("tracer.arch", OneOf(&words::MACHINES)),
    ("blind[].id", Stays),
    ("blind[].what", Replaced),
    ("blind[].why", Replaced),
    ("connection.id", Stays),
    ("connection.handshake", Replaced),
    ("connection.direction", Stays),
    ("connection.family", Stays),
    ("connection.netns", Stays),
    ("connection.existing", Stays),
    ("connection.opened", Stays),
    ("connection.connect_ns", Stays),
    ("connection.duration_ns", Stays),
    ("connection.sent_bytes", Stays),
    ("connection.received_bytes", Stays),
    ("connection.rtt_ns", Stays),
    ("connection.retransmits", Stays),
    ("connection.closed_by", Stays),
    ("connection.errno", Stays),
    ("connection.remote_class", Stays),
    ("ADDRESS.address", Replaced),
    ("ADDRESS.port", Stays),
    ("ADDRESS.name", Replaced),
    ("ADDRESS.names[]", Replaced),
    ("ADDRESS.names_cut", Stays),
    ("ADDRESS.canonical", Replaced),
    ("failure.phase", Stays),
    ("failure.reason", Stays),
    ("failure.errno", Stays),
    ("failure.unanswered_syns", Stays),
    ("listener.address", Replaced),
    ("listener.port", Stays),
    ("listener.backlog", Stays),
    ("listener.netns", Stays),
    ("process.pid", Stays),
    ("process.ppid", Stays),
    // Below 1000 they are of the system.
    ("process.uid", Stays),
    ("process.comm", Replaced),
    ("process.exe", Replaced),
    ("process.args[]", Gone),
    ("process.cwd", Gone),
    ("process.started", Stays),
    ("workload.kind", Stays),
    ("workload.name", Replaced),
    ("workload.uid", Replaced),
    ("workload.unit", Replaced),
    ("workload.slice", Replaced),
    ("workload.role", OneOf(&words::ROLES)),
    ("workload.container.id", Replaced),
    ("workload.container.name", Replaced),
    ("workload.container.image", Replaced),
    ("workload.container.runtime", OneOf(&words::RUNTIMES)),
    ("workload.container.around.id", Replaced),
    ("workload.container.around.name", Replaced),
    ("workload.container.labels.tier", Gone),
    ("workload.container.labels_cut", Stays),
    ("workload.k8s.namespace", Replaced),
    ("workload.k8s.pod", Replaced),
    ("workload.k8s.uid", Replaced),
    ("workload.k8s.qos", OneOf(&words::QUALITIES)),
    ("workload.k8s.owner.kind", OneOf(&words::OWNERS)),
    ("workload.k8s.owner.name", Replaced),
    ("workload.k8s.node", Replaced),
    ("evidence.process", Stays),
    ("evidence.direction", Stays),
    ("evidence.address", Stays),
    ("evidence.name", Stays),
    ("evidence.end", Stays),
    ("exit.code", Stays),
    ("exit.signal", Stays),
    ("lost.*", Stays),
    ("totals.*", Stays),
    ("missed", Stays),
    ("repaired.*", Stays),
    ("cost.*", Stays),
    ("lines", Stays),
    ("unread", Stays),
    ("unattributed", Stays),
    ("coverage.*", Stays),
    ("from", Stays),
    ("to", Stays),
];

fn fate(path: &str) -> Option<Fate> {
    let path = path.strip_prefix("peer.").unwrap_or(path);
    let end = ["client.", "server.", "dialled.", "local.", "remote."].into_iter();
    let end = end.map(|end| format!("connection.{end}"));
    let path = end.fold(path.to_owned(), |path, end| path.replace(&end, "ADDRESS."));
    let of = |(known, fate): &(&str, Fate)| {
        let is = match known.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == *known,
        };
        is.then_some(*fate)
    };
    FATES.iter().find_map(of)
}

fn leaves(value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                leaves(value, &path, out);
            }
        }
        Value::Array(values) => {
            for value in values {
                leaves(value, &format!("{path}[]"), out);
            }
        }
        _ => out.push((path.to_owned(), value.clone())),
    }
}

fn all_leaves(event: &Event) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    leaves(&json(event), "", &mut out);
    out
}

/// Addresses that are the same on every host, and so say nothing.
const COMMON: [&str; 4] = ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254"];

#[test]
fn every_field_is_replaced_or_may_stay() {
    let mut anonymiser = Anonymiser::default();
    let mut seen = BTreeSet::new();
    let all = events::all();
    let paths = all.iter().flat_map(all_leaves).map(|(path, _)| path);
    let new: BTreeSet<String> = paths.filter(|it| fate(it).is_none()).collect();
    assert!(
        new.is_empty(),
        "may these be given away? Say so in FATES: {new:?}"
    );
    for event in all {
        let before = all_leaves(&event);
        let after = all_leaves(&anonymiser.replace(event));
        for (path, value) in &before {
            let told: Vec<&Value> = after
                .iter()
                .filter_map(|(at, it)| (at == path).then_some(it))
                .collect();
            seen.insert(path.clone());
            match fate(path).unwrap_or(Gone) {
                Stays => assert!(told.contains(&value), "{path}: {value} is not {told:?}"),
                Gone => assert!(told.is_empty(), "{path}: {told:?}"),
                OneOf(known) => {
                    let word = value.as_str().expect("a word");
                    assert!(known.contains(&word), "{path}: {word} is in no list");
                    assert!(told.contains(&value), "{path}: {told:?}");
                }
                Replaced => {
                    let is_common = value.as_str().is_some_and(|it| COMMON.contains(&it));
                    assert!(!told.is_empty(), "{path} is left out");
                    assert_eq!(told.contains(&value), is_common, "{path}: {value}");
                }
            }
        }
        for (path, _) in &after {
            assert!(
                before.iter().any(|(known, _)| known == path),
                "{path} comes from nowhere"
            );
        }
    }
    assert!(seen.len() > 80, "few fields: {seen:?}");
}

#[test]
fn nothing_that_a_stranger_wrote_is_left() {
    // Every word of a recording that somebody else made may be any.
    let evil = "Secret-Word";
    let mut event = events::connect();
    let mut workload = Workload::clone(&events::workload(WorkloadKind::Pod));
    workload.role = Some(evil.into());
    if let (Some(container), Some(k8s)) = (&mut workload.container, &mut workload.k8s) {
        container.runtime = Some(evil.into());
        container.labels = words::LABELS
            .map(|it| (it.into(), evil.into()))
            .into_iter()
            .chain([(evil.into(), evil.into())])
            .collect();
        k8s.qos = Some(evil.into());
        k8s.owner = Some(Owner {
            kind: evil.into(),
            name: evil.into(),
        });
    }
    let process = event
        .process
        .as_mut()
        .map(Arc::make_mut)
        .expect("it has one");
    process.workload = Some(Arc::new(workload));
    process.args = Some([evil.to_owned()].into());
    process.cwd = Some(format!("/{evil}").into());
    process.comm = evil.into();
    process.exe = Some(format!("/{evil}").into());
    let start = Body::Start(Start {
        tracer: Tracer {
            version: format!("1.2-{evil}").into(),
            hooks: evil.to_owned(),
            kernel: format!("6.1.0-{evil}"),
            arch: evil.to_owned(),
        },
        blind: vec![Blind {
            id: None,
            what: evil.into(),
            why: evil.into(),
        }],
    });
    let mut anonymiser = Anonymiser::default();
    for body in [Body::Connect(event), start] {
        let told = line(&anonymiser.replace(events::event(body)));
        for word in ["Secret", "secret", "Word"] {
            assert!(!told.contains(word), "{told}");
        }
    }
}

#[test]
fn the_lists_are_those_of_tracer() {
    let table = include_str!("../enrich/workload/roles.txt");
    let lines = table.lines().filter(|it| !it.starts_with('#'));
    for role in lines.filter_map(|it| it.split_whitespace().nth(2)) {
        assert!(words::ROLES.contains(&role), "{role}");
    }
    // Nomad's are put together.
    let service = include_str!("../ask/service.rs");
    for label in service
        .split('"')
        .filter(|it| it.starts_with("com.") || it.starts_with("io."))
    {
        assert!(
            words::LABELS.contains(&label) || label == "com.hashicorp.nomad.{what}",
            "{label}"
        );
    }
    for word in service.split("nomad(\"").skip(1) {
        let word = word.split('"').next().expect("one part at least");
        let label = format!("com.hashicorp.nomad.{word}");
        assert!(words::LABELS.contains(&&*label), "{label}");
    }
}

#[test]
fn the_same_stays_the_same_and_another_another() {
    let mut anonymiser = Anonymiser::default();
    let [a, b, unit, again] = ["a", "b", "a.service", "a"].map(|name| anonymiser.name(name));
    assert_eq!(a, again);
    assert_ne!(a, b);
    assert_eq!(*unit, format!("{a}.service"));
    for event in events::all() {
        let once = line(&anonymiser.replace(event.clone()));
        assert_eq!(once, line(&anonymiser.replace(event)));
    }
    // Another run has another key, so nobody can try names until one fits.
    let other = Anonymiser::default();
    assert_ne!(a, other.name("a"));
    assert_ne!(anonymiser.key.number(7), other.key.number(7));
    assert_ne!(anonymiser.key.id("a"), other.key.id("a"));
}

/// What a question makes of a name, it makes of the one in its place.
#[test]
fn names_keep_their_shape() {
    let key = Key::default();
    for (name, kept) in [
        ("web", ""),
        ("web-1", "-1"),
        ("shop_web.2", ".2"),
        ("nginx.service", ".service"),
        ("app@2.service", "@2.service"),
        ("run-u123.service", "run-u123.service"),
        ("machine-qemu-7-db.scope", "machine-qemu-7-"),
        ("registry:5000/a/b:1.2", ""),
    ] {
        let told = key.name(name);
        let shape =
            |it: &str| -> String { it.chars().filter(|it| "-_.@:/".contains(*it)).collect() };
        assert_eq!(shape(name), shape(&told), "{told}");
        assert!(told.contains(kept), "{told} has no {kept}");
    }
    // The short form of an id, and the parts of a name.
    let id = "4c01db0b339c7d1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192";
    assert!(key.name(id).starts_with(&key.name(&id[..12])));
    assert_ne!(key.name(id), id);
    let [service, task] =
        ["shop_web", "shop_web.1.k2j3h4k5j6h7k8j9h0k1j2h3k"].map(|it| key.name(it));
    assert!(task.starts_with(&format!("{service}.1.")), "{task}");
    for name in [
        "web",
        "shop_web.1.k2j3h4k5j6h7k8j9h0k1j2h3k",
        "0123456789ab_shop-web-1",
        "web-0f2fcd43-4b4e-4c2c-9b52-1f0a3b5d7e91",
        "0f2fcd43-4b4e-4c2c-9b52-1f0a3b5d7e91",
        "eager_turing",
        "eager_turing3",
        "deadbeef0123",
        "ecs-shop-12-web-9ee1c3d1b3f0a4c5d601",
    ] {
        let told = key.name(name);
        assert_ne!(told, name);
        assert_eq!(
            ask::kind_of_name(&told),
            ask::kind_of_name(name),
            "{name}: {told}"
        );
    }
}

#[test]
fn users_of_the_system_stay_and_others_are_replaced() {
    let key = Key::default();
    for uid in [0, 33, 999] {
        assert_eq!(key.user(uid), uid);
    }
    let all: BTreeSet<u32> = (1000..3000).map(|uid| key.user(uid)).collect();
    assert_eq!(all.len(), 2000, "two became one");
    // As in the name of a workload that belongs to one.
    let name = key.name("app.service@1000");
    assert!(
        name.ends_with(&format!(".service@{}", key.user(1000))),
        "{name}"
    );
    key.user(u32::MAX);
}

/// In an anonymised recording a user's program is that user's, of its kind, and told apart from root's and from those
/// of others by the same words everywhere.
#[test]
fn programs_of_users_stay_those_users() {
    let anonymiser = &mut Anonymiser::default();
    let mut told = |uid: Option<u32>, folder: &str| {
        let mut process = Process::clone(&events::process("python3"));
        process.exe = Some("/usr/bin/python3".into());
        process.args = Some(["python3".to_owned(), format!("/srv/{folder}/app.py")].into());
        let mut workload = events::workload(WorkloadKind::Executable);
        (workload.name, workload.uid) = ("app.py".into(), uid);
        if let Some(uid) = uid {
            workload.name = format!("app.py@{uid}").into();
        }
        process.workload = Some(Arc::new(workload));
        let told = anonymiser.process(&Arc::new(process));
        let workload = told.workload.clone().expect("it has one");
        assert_eq!(workload.kind, WorkloadKind::Executable);
        match workload.uid {
            // The shape by which a name is a user's.
            Some(uid) => assert!(workload.name.ends_with(&format!("@{uid}"))),
            None => assert!(!workload.name.contains('@'), "{}", workload.name),
        }
        assert_eq!(workload.uid.is_some(), uid.is_some());
        (Arc::clone(&workload.name), workload.uid)
    };
    let all = [
        told(None, "shop"),
        told(Some(1000), "shop"),
        told(Some(1000), "blog"),
        told(Some(1001), "shop"),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other.0 != one.0), "{all:?}");
    }
    assert_eq!(all[1].1, all[2].1);
    assert_eq!(told(Some(1000), "shop"), all[1]);
}

#[test]
fn programs_of_an_interpreter_stay_apart() {
    let anonymiser = &mut Anonymiser::default();
    let mut told = |args: [&str; 2]| {
        let mut process = Process::clone(&events::process("python3"));
        process.exe = Some("/usr/bin/python3".into());
        process.args = Some(args.map(str::to_owned).into());
        let mut workload = events::workload(WorkloadKind::Executable);
        workload.name = "app.py".into();
        process.workload = Some(Arc::new(workload));
        let told = anonymiser.process(&Arc::new(process));
        let workload = told.workload.clone().expect("it has one");
        (
            told.exe.clone().expect("it has one"),
            Arc::clone(&workload.name),
        )
    };
    let shop = told(["python3", "/srv/shop/app.py"]);
    let blog = told(["python3", "/srv/blog/app.py"]);
    assert_ne!(shop.0, blog.0);
    assert_ne!(shop.1, blog.1);
    assert_eq!(shop, told(["python3", "/srv/shop/app.py"]));
}

#[test]
fn an_address_on_another_link_stays_another() {
    let mut anonymiser = Anonymiser::default();
    let mut end = |text: &str| anonymiser.end(text.parse().expect(text));
    let [two, three, again] = ["[fe80::1%2]:80", "[fe80::1%3]:80", "[fe80::1%2]:80"].map(&mut end);
    assert_eq!(two, again);
    assert_ne!(two, three);
    assert_ne!(two.ip(), "fe80::1".parse::<IpAddr>().expect("an address"));
}

#[test]
fn addresses_keep_their_class_and_differ() {
    let mut anonymiser = Anonymiser::default();
    let mut seen = std::collections::HashSet::new();
    for text in [
        "127.0.0.1",
        "127.0.0.53",
        "::1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "8.8.8.8",
        "1.1.1.1",
        "fd12::1",
        "fe80::1",
        "2001:db8::1",
        "2606:4700::1111",
        "224.0.0.1",
        "ff02::1",
        "239.255.0.9",
    ] {
        let address: IpAddr = text.parse().expect(text);
        let made_up = anonymiser.address(address);
        assert_eq!(
            AddressClass::of(made_up),
            AddressClass::of(address),
            "{text}"
        );
        assert_eq!(made_up.is_ipv4(), address.is_ipv4(), "{text}");
        assert!(seen.insert(made_up), "{text} is {made_up} like another one");
        assert_eq!(anonymiser.address(address), made_up);
    }
    for number in [0, 1, 0x9fff, 0xa000, MAX_ADDRESSES as u32] {
        for (like, class) in [
            ("10.0.0.1", AddressClass::Private),
            ("169.254.1.1", AddressClass::LinkLocal),
            ("100.64.0.1", AddressClass::Shared),
            ("8.8.8.8", AddressClass::Public),
            ("fe80::1", AddressClass::LinkLocal),
        ] {
            let address = made_up(like.parse().expect(like), class, number);
            assert_eq!(AddressClass::of(address), class, "{address}");
        }
    }
}
