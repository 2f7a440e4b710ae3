//! Rules and units: whatever the names, they let in and start only what they should, and nobody gets into them by
//! choosing a name or an address.

use std::{net::IpAddr, sync::Arc};

use serde::Deserialize as _;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::vocabulary;
use crate::{
    ask::{
        Answer, Link, Split,
        groups::{self, Crossing, Groups},
        recovery_order,
    },
    model::{
        NodeKind, View, Workload, WorkloadKind,
        specimens::{events, views},
    },
    outputs::answers::{self, AnswerFormat},
};

const FORMATS: [AnswerFormat; 4] = [
    AnswerFormat::Nftables,
    AnswerFormat::Networkpolicy,
    AnswerFormat::Systemd,
    AnswerFormat::Compose,
];

/// Where a name from outside can be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Node,
    Workload,
    Host,
    Seen,
    Label,
    Namespace,
    Unit,
    Project,
    Service,
}

impl Slot {
    const ALL: [Self; 9] = [
        Self::Node,
        Self::Workload,
        Self::Host,
        Self::Seen,
        Self::Label,
        Self::Namespace,
        Self::Unit,
        Self::Project,
        Self::Service,
    ];

    /// Whether rules have it as a value, not only in what they say of themselves.
    fn is_value(self) -> bool {
        !matches!(self, Self::Node | Self::Workload | Self::Host | Self::Seen)
    }
}

/// The three tiers on one host, all of them pods that are units and services of compose, too, but for one
/// program; with `name` in this place of each.
fn cluster(slot: Slot, name: &str) -> View {
    let mut view = views::three_tiers();
    let or = |this: Slot, own: String| if slot == this { name.to_owned() } else { own };
    let host = view.coverage[0].host.clone();
    let host = crate::model::Host {
        id: host.id.clone(),
        name: or(Slot::Host, "web-1".to_owned()),
    };
    for (node, at) in view.nodes.iter_mut().zip(0_u8..) {
        node.name = or(Slot::Node, node.name.to_string()).into();
        let Some(workload) = &mut node.workload else {
            continue;
        };
        node.host = Some(Arc::new(host.clone()));
        node.addresses = vec![IpAddr::from([10, 1, 0, at]).into()];
        if workload.kind == WorkloadKind::Executable {
            continue;
        }
        let mut pod = events::workload(WorkloadKind::Pod);
        pod.name = or(Slot::Workload, format!("shop-{at}")).into();
        pod.unit = Some(or(Slot::Unit, format!("shop-{at}.service")).into());
        if let Some(container) = &mut pod.container {
            container.labels = [
                ("app", or(Slot::Label, format!("app-{at}"))),
                (
                    "com.docker.compose.project",
                    or(Slot::Project, "shop".to_owned()),
                ),
                (
                    "com.docker.compose.service",
                    or(Slot::Service, format!("service-{at}")),
                ),
            ]
            .map(|(label, value)| (label.into(), value.into()))
            .into();
        }
        if let Some(k8s) = &mut pod.k8s {
            k8s.namespace = Some(or(Slot::Namespace, "shop".to_owned()).into());
        }
        *workload = Arc::new(pod);
    }
    for coverage in &mut view.coverage {
        coverage.host = Arc::new(host.clone());
        coverage.twins = vec![or(Slot::Seen, "other".to_owned())];
        for it in &mut coverage.blind {
            it.what = or(Slot::Seen, "names".to_owned()).into();
        }
    }
    view
}

/// What crosses where each node is a part of its own, whatever patterns can name.
fn crossing(view: &View) -> Answer<Groups> {
    let all: Split = "all = *".parse().expect("a split");
    let mut answer = groups::groups(view, &groups::Shared::default(), Some(&all));
    let cut = answer.found.split.as_mut().expect("a split");
    let edges = view.edges.iter().map(|edge| {
        let (client, server) = (&view.nodes[edge.client], &view.nodes[edge.server]);
        Crossing {
            from: "one".to_owned(),
            to: "other".to_owned(),
            client_addresses: client.addresses.clone(),
            server_addresses: server.addresses.clone(),
            client_addresses_cut: client.cut.addresses,
            server_addresses_cut: server.cut.addresses,
            link: Link::of(view, edge),
        }
    });
    cut.crossing = edges.collect();
    answer
}

/// The rules or units of all that is between any two nodes of `view`.
fn document(view: &View, format: AnswerFormat) -> String {
    let text = match format {
        AnswerFormat::Systemd | AnswerFormat::Compose => {
            answers::order(&recovery_order::recovery_order(view, 1), view, format)
        }
        _ => answers::rules(&crossing(view), view, format),
    };
    let text = text.expect("a document");
    for line in text.lines() {
        assert!(
            line.bytes().all(|it| matches!(it, b' '..=b'~')),
            "{line:?} in {text}"
        );
    }
    text
}

/// The lines that a reader does not skip, with how many it skips; what a rule of nft says of itself is left out.
fn obeyed(text: &str) -> (Vec<&str>, usize) {
    let (skipped, lines): (Vec<&str>, Vec<&str>) = text
        .lines()
        .partition(|it| it.trim_start().starts_with('#') && !it.contains("/etc/systemd"));
    let lines = lines.into_iter().map(|line| {
        let line = line.split(" comment ").next().unwrap_or(line);
        line.split("  (on ").next().unwrap_or(line)
    });
    (lines.collect(), skipped.len())
}

/// What readers of YAML 1.1 (libyaml, as in Kubernetes and compose) and 1.2 both find.
fn yaml(text: &str) -> Vec<Value> {
    let old = serde_yaml_ng::Deserializer::from_str(text).map(|document| {
        let value = serde_yaml_ng::Value::deserialize(document).expect("YAML 1.1");
        serde_json::to_value(value).expect("keys are text")
    });
    let old: Vec<Value> = old.filter(|it| !it.is_null()).collect();
    let new = YamlLoader::load_from_str(text).expect("YAML 1.2");
    let new: Vec<Value> = new.iter().map(json).filter(|it| !it.is_null()).collect();
    assert_eq!(old, new, "two readers disagree about {text}");
    old
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::String(text) => text.as_str().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(it) => (*it).into(),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(members) => {
            let members = members.iter().map(|(key, value)| {
                let key = key.as_str().expect("keys are text");
                (key.to_owned(), json(value))
            });
            Value::Object(members.collect())
        }
        other => panic!("{other:?} is in no rule"),
    }
}

/// The members of an object, which has these and no others.
fn members<'a, const N: usize>(value: &'a Value, keys: [&str; N]) -> [&'a Value; N] {
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), N, "{value}");
    keys.map(|key| {
        object
            .get(key)
            .unwrap_or_else(|| panic!("{key} of {value}"))
    })
}

fn is_selector(value: &Value, labels: &[&str]) {
    let [selected] = members(value, ["matchLabels"]);
    let selected = selected.as_object().expect("labels");
    assert_eq!(selected.len(), 1, "{value}");
    for (label, value) in selected {
        assert!(labels.contains(&&**label), "{label}");
        let value = value.as_str().expect("a text");
        let is_ours = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        assert!(!value.is_empty() && value.len() <= 63 && value.bytes().all(is_ours));
    }
}

/// A policy that lets in somebody in particular. Returns for how many edges.
fn is_policy(value: &Value) -> usize {
    let [version, kind, metadata, spec] =
        members(value, ["apiVersion", "kind", "metadata", "spec"]);
    assert_eq!(version, "networking.k8s.io/v1");
    assert_eq!(kind, "NetworkPolicy");
    let [name, namespace] = members(metadata, ["name", "namespace"]);
    for it in [name, namespace] {
        let name = it.as_str().expect("a text");
        let is_ours = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        assert!((1..=63).contains(&name.len()) && name.bytes().all(is_ours));
    }
    let [pods, types, ingress] = members(spec, ["podSelector", "policyTypes", "ingress"]);
    let labels = ["app", "app.kubernetes.io/name"];
    is_selector(pods, &labels);
    assert_eq!(types, &serde_json::json!(["Ingress"]));
    let ingress = ingress.as_array().expect("rules");
    // None at all would shut everybody out.
    assert!(!ingress.is_empty());
    for rule in ingress {
        let [from, ports] = members(rule, ["from", "ports"]);
        let from = from.as_array().expect("peers");
        // Nobody in particular is everybody.
        assert!(!from.is_empty());
        for peer in from {
            if let Some(block) = peer.get("ipBlock") {
                members(peer, ["ipBlock"]);
                let [cidr] = members(block, ["cidr"]);
                let cidr = cidr.as_str().expect("a network");
                let (address, bits) = cidr.split_once('/').expect("a network");
                let address: IpAddr = address.parse().expect("an address");
                assert_eq!(bits, if address.is_ipv4() { "32" } else { "128" });
            } else {
                let [pods, namespaces] = members(peer, ["podSelector", "namespaceSelector"]);
                is_selector(pods, &labels);
                is_selector(namespaces, &["kubernetes.io/metadata.name"]);
            }
        }
        let [port] = &ports.as_array().expect("ports")[..] else {
            panic!("{ports}")
        };
        let [protocol, port] = members(port, ["protocol", "port"]);
        assert_eq!(protocol, "TCP");
        assert!(port.as_u64().is_some_and(|it| u16::try_from(it).is_ok()));
    }
    ingress.len()
}

fn is_override(value: &Value) {
    let [services] = members(value, ["services"]);
    for (service, value) in services.as_object().expect("services") {
        let [servers] = members(value, ["depends_on"]);
        let servers = servers.as_array().expect("a list").iter();
        for name in servers
            .map(|it| it.as_str().expect("a text"))
            .chain([&**service])
        {
            let is_ours = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
            assert!(!name.is_empty() && name.bytes().all(is_ours), "{name:?}");
        }
    }
}

/// Lines of a chain that accepts what has these addresses, and nothing else. Returns how many accept.
fn is_chain(text: &str) -> usize {
    const FRAME: [&str; 6] = [
        "table inet tracer_split {",
        "chain forward {",
        "type filter hook forward priority 0; policy accept;",
        "ct state established,related accept",
        "}",
        "",
    ];
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|it| !it.starts_with('#'));
    let mut rules = 0;
    for line in lines.filter(|it| !FRAME.contains(it)) {
        let (rule, comment) = line.split_once(" comment ").expect("a comment");
        let comment = comment
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'));
        let comment = comment.expect("a string");
        let is_ours = |it: u8| it.is_ascii_alphanumeric() || b"._@:- ".contains(&it);
        assert!(
            comment.len() < 128 && comment.bytes().all(is_ours),
            "{line}"
        );
        assert!(rule.ends_with(" accept"), "{line}");
        for word in rule.split(' ') {
            let is_word = [
                "ip", "ip6", "saddr", "daddr", "tcp", "dport", "accept", "{", "}",
            ]
            .contains(&word);
            let word = word.trim_end_matches(',');
            let is_value = word.parse::<IpAddr>().is_ok() || word.parse::<u16>().is_ok();
            assert!(is_word || is_value, "{word} of {line}");
        }
        rules += 1;
    }
    rules
}

/// Drop-ins that order units, and nothing else.
fn is_units(text: &str) {
    for line in text.lines() {
        let Some(units) = line.strip_prefix("After=") else {
            assert!(
                line.is_empty() || line == "[Unit]" || line.starts_with("# "),
                "{line:?}"
            );
            assert!(!line.ends_with('\\'), "{line}");
            continue;
        };
        for unit in units.split(' ') {
            let is_ours = |it: u8| it.is_ascii_alphanumeric() || b":-_.@\\".contains(&it);
            assert!(
                unit.ends_with(".service") && unit.bytes().all(is_ours),
                "{line:?}"
            );
        }
    }
}

/// Whatever reads it finds rules or units, and those only. Returns how much of it.
fn is_sound(text: &str, format: AnswerFormat) -> usize {
    match format {
        AnswerFormat::Networkpolicy => yaml(text).iter().map(is_policy).sum(),
        AnswerFormat::Compose => {
            let documents = yaml(text);
            documents.iter().for_each(is_override);
            documents.len()
        }
        AnswerFormat::Nftables => is_chain(text),
        _ => {
            is_units(text);
            text.matches("[Unit]").count()
        }
    }
}

#[test]
fn names_change_nothing_that_rules_and_units_say() {
    for format in FORMATS {
        for slot in Slot::ALL {
            let good = document(&cluster(slot, "name"), format);
            let number = is_sound(&document(&cluster(Slot::Seen, "name"), format), format);
            assert!(number > 0, "{format:?}: {good}");
            for name in vocabulary::hostile() {
                let bad = document(&cluster(slot, &name), format);
                let found = is_sound(&bad, format);
                if slot.is_value() {
                    assert!(found <= number, "{slot:?} {name:?}: {bad}");
                } else {
                    assert_eq!(obeyed(&bad), obeyed(&good), "{slot:?} {name:?}: {bad}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_name_of_the_format_is_left_out_and_told() {
    for (slot, format) in [
        (Slot::Label, AnswerFormat::Networkpolicy),
        (Slot::Namespace, AnswerFormat::Networkpolicy),
        (Slot::Unit, AnswerFormat::Systemd),
        (Slot::Project, AnswerFormat::Compose),
        (Slot::Service, AnswerFormat::Compose),
    ] {
        let text = document(&cluster(slot, "x\u{2028}- {}"), format);
        assert_eq!(is_sound(&text, format), 0, "{slot:?}: {text}");
        assert!(text.contains("# Left out:"), "{slot:?}: {text}");
        assert!(!text.contains("Proven"), "{slot:?}: {text}");
    }
}

/// `cluster` with all of its workloads changed.
fn changed(change: impl Fn(&mut Workload)) -> View {
    let mut view = cluster(Slot::Node, "name");
    for workload in view.nodes.iter_mut().filter_map(|it| it.workload.as_mut()) {
        change(Arc::make_mut(workload));
    }
    view
}

/// Two programs that call themselves like units, with addresses that their user chose: no rule has either.
#[test]
fn a_program_is_never_taken_for_a_unit() {
    let view = changed(|it| {
        *it = Workload {
            kind: WorkloadKind::Executable,
            name: "postgresql.service".into(),
            unit: Some("postgresql.service".into()),
            ..it.clone()
        };
    });
    for format in FORMATS {
        let text = document(&view, format);
        assert_eq!(is_sound(&text, format), 0, "{text}");
        assert!(
            text.contains("NOT PROVEN") && !text.contains("Proven"),
            "{text}"
        );
        assert!(text.contains("- executable "), "{text}");
        assert!(
            text.contains("a program is called whatever its user likes"),
            "{text}"
        );
    }
}

#[test]
fn what_a_user_owns_the_place_of_is_in_no_rule() {
    let view = changed(|it| it.uid = Some(1000));
    for format in FORMATS {
        let text = document(&view, format);
        assert_eq!(is_sound(&text, format), 0, "{text}");
        assert!(
            text.contains("NOT PROVEN") && !text.contains("Proven"),
            "{text}"
        );
        assert!(text.contains("a user owns the place"), "{text}");
    }
    // One of the two is enough.
    let mut view = cluster(Slot::Node, "name");
    let server = view.edges.iter().find(|it| it.port == Some(6379));
    let server = server.expect("an edge to redis").server;
    let workload = view.nodes[server].workload.as_mut().expect("a workload");
    Arc::make_mut(workload).uid = Some(1000);
    let chain = document(&view, AnswerFormat::Nftables);
    assert!(!chain.contains("dport 6379"), "{chain}");
    assert!(chain.contains("dport 5432"), "{chain}");
}

#[test]
fn a_remote_is_in_rules_by_its_address_alone() {
    let text = document(&cluster(Slot::Seen, "name"), AnswerFormat::Nftables);
    assert!(
        text.contains("comment \"remote 10.0.0.200 to pod shop-"),
        "{text}"
    );
    // Its name is `s3.eu-central-1.amazonaws.example`, and others answer for that.
    assert!(!text.contains("203.0.113.77"), "{text}");
    assert!(
        text.contains("to remote api.stripe.example port 443: whoever answers for the name"),
        "{text}"
    );
}

#[test]
fn rules_name_no_address_of_a_link() {
    let mut view = cluster(Slot::Seen, "name");
    let workloads = |view: &mut View, addresses: &[&str]| {
        let nodes = view.nodes.iter_mut();
        for node in nodes.filter(|it| it.kind == NodeKind::Workload) {
            let addresses = addresses.iter().map(|it| it.parse().expect("an address"));
            node.addresses = addresses.collect();
        }
    };
    workloads(&mut view, &["fe80::1%2"]);
    let firewall = document(&view, AnswerFormat::Nftables);
    assert!(
        firewall.contains("it passes no firewall, as the ends are on one link"),
        "{firewall}"
    );
    assert!(!firewall.contains("saddr"), "{firewall}");
    workloads(&mut view, &["fe80::1%2", "2001:db8::1"]);
    for format in [AnswerFormat::Nftables, AnswerFormat::Networkpolicy] {
        let text = document(&view, format);
        assert!(!text.contains("fe80"), "{text}");
        assert!(is_sound(&text, format) > 0);
    }
    let firewall = document(&view, AnswerFormat::Nftables);
    assert!(
        firewall.contains("ip6 saddr 2001:db8::1 ip6 daddr 2001:db8::1 "),
        "{firewall}"
    );
}

#[test]
fn rules_say_which_addresses_they_leave_out() {
    let mut view = cluster(Slot::Seen, "name");
    // Nothing else in the way of a proof.
    view.coverage.iter_mut().for_each(|it| {
        let whole = views::many(8).coverage.remove(0);
        *it = whole;
    });
    for node in &mut view.nodes {
        node.cut.addresses = 1_234;
    }
    let firewall = document(&view, AnswerFormat::Nftables);
    assert!(
        firewall.contains("# NOT ALL: 1234 addresses of pod shop-"),
        "{firewall}"
    );
    assert!(firewall.contains("NOT PROVEN"), "{firewall}");
    assert!(!firewall.contains("Proven"), "{firewall}");
    for node in &mut view.nodes {
        node.addresses.clear();
    }
    let firewall = document(&view, AnswerFormat::Nftables);
    assert!(
        firewall.contains("as there was no room for them"),
        "{firewall}"
    );
    assert!(!firewall.contains("on one host"), "{firewall}");
    for node in &mut view.nodes {
        node.cut.addresses = 0;
        let addresses = (0..4_000_u32).map(|n| IpAddr::from(n.to_be_bytes()).into());
        node.addresses = addresses.collect();
    }
    let firewall = document(&view, AnswerFormat::Nftables);
    assert!(!firewall.contains("NOT ALL"), "{firewall}");
    assert!(firewall.contains("0.0.15.159"), "all of them are there");
}

/// Pods of one owner on two hosts are two nodes, and what selects them is one policy.
#[test]
fn a_policy_does_not_replace_another() {
    let mut view = changed(|it| {
        it.container = None;
        it.name = "web-1".into();
    });
    let at = view.edges[2].server;
    let workload = view.nodes[at].workload.as_mut().expect("a workload");
    Arc::make_mut(workload).name = "Web.1".into();
    let text = document(&view, AnswerFormat::Networkpolicy);
    is_sound(&text, AnswerFormat::Networkpolicy);
    let lines = text.lines();
    let names: Vec<&str> = lines.filter(|it| it.starts_with("  name: ")).collect();
    assert_eq!(
        names,
        [
            "  name: \"tracer-split-web-1\"",
            "  name: \"tracer-split-web-1-2\""
        ],
        "{text}"
    );
    assert!(text.contains("# CHECK this label"), "{text}");
}

/// What a policy does not let in is shut out, so it says that it lacks some.
#[test]
fn a_policy_says_whom_it_would_shut_out() {
    let view = cluster(Slot::Seen, "name");
    let text = document(&view, AnswerFormat::Networkpolicy);
    // The one that backs up the database is a program.
    assert!(
        text.contains("# NOT ALL: 1 that cross to these pods are left out"),
        "{text}"
    );
    assert!(
        text.contains("- executable backup.sh to workload")
            || text.contains("- executable backup.sh to pod"),
        "{text}"
    );
}

#[test]
fn quoted_text_is_what_it_was_to_both_readers() {
    for name in vocabulary::hostile() {
        let text = format!("a: {}\n", answers::quoted_yaml(&name));
        assert!(text.is_ascii());
        assert_eq!(yaml(&text), [serde_json::json!({"a": name})], "{text}");
    }
}
