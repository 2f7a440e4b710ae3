//! What crosses a division as network policies of Kubernetes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
    sync::Arc,
};

use super::compose::quoted;
use crate::{ask::groups::Crossing, model::View};

/// A policy for each server, which lets in what was seen to cross. It selects pods by the label
/// `app.kubernetes.io/name`, or `app`, where they are known to have one, else by the owner's name
/// under `app`, which is to be checked.
pub(super) fn write(crossing: &[Crossing], view: &View) -> String {
    // What a policy selects may be several nodes: an owner's pods on several hosts.
    let mut servers: BTreeMap<Selected, (&str, Vec<&Crossing>)> = BTreeMap::new();
    for it in crossing.iter().filter(|it| it.link.port.is_some()) {
        let server = &*it.link.server.id;
        let selected = servers.entry(Selected::of(view, server));
        selected.or_insert((server, Vec::new())).1.push(it);
    }
    let mut names = BTreeSet::new();
    let mut out = String::from(
        "# Lets in what was seen to cross; a pod that a policy selects lets in nothing else.\n",
    );
    for (server, crossing) in servers.into_values() {
        let Some(node) = view.nodes.iter().find(|it| *it.id == *server) else {
            continue;
        };
        let Some(k8s) = node.workload.as_ref().and_then(|it| it.k8s.as_ref()) else {
            // Writing to memory does not fail.
            let _ = writeln!(out, "# {}: no pod, so no policy", quoted(&node.name));
            continue;
        };
        let name = dns_label(&format!("tracer-split-{}", node.name), "");
        let place = |name: &str| (k8s.namespace.clone(), name.to_owned());
        let more = (2..).map(|n| dns_label(&name, &format!("-{n}")));
        let name = std::iter::once(name.clone()).chain(more);
        // Of two of one name, the later one would take the place of the first.
        let Some(name) = name.into_iter().find(|it| names.insert(place(it))) else {
            continue;
        };
        let _ = write!(
            out,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\n"
        );
        if let Some(namespace) = &k8s.namespace {
            let _ = writeln!(out, "  namespace: {}", quoted(namespace));
        }
        let (label, value) = selector(view, server);
        let _ = write!(
            out,
            "spec:\n  podSelector:\n    matchLabels:\n      {label}: {}\n  policyTypes: [Ingress]\n  ingress:\n",
            quoted(&value)
        );
        for it in crossing {
            let client = view.nodes.iter().find(|node| node.id == it.link.client.id);
            let pod = client.and_then(|it| it.workload.as_ref()?.k8s.as_ref());
            // A policy cannot name a link.
            let addresses = || {
                let addresses = it.client_addresses.iter();
                addresses.filter(|it| it.scope().is_none())
            };
            if pod.is_none() && addresses().next().is_none() {
                // A rule that names nobody would let in everybody.
                let name = quoted(&it.link.client.name);
                let why = match it.client_addresses.is_empty() {
                    true => "its addresses are not known",
                    false => "its addresses are of a link, which a policy cannot name",
                };
                let _ = writeln!(out, "    # {name}: {why}");
                continue;
            }
            out.push_str("    - from:\n");
            match pod {
                Some(pod) => {
                    let (label, value) = selector(view, &it.link.client.id);
                    let _ = write!(
                        out,
                        "        - podSelector:\n            matchLabels:\n              {label}: {}\n",
                        quoted(&value)
                    );
                    if let Some(namespace) = &pod.namespace {
                        let _ = write!(
                            out,
                            "          namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: {}\n",
                            quoted(namespace)
                        );
                    }
                }
                None => {
                    if it.client_addresses_cut > 0 {
                        let (cut, name) = (it.client_addresses_cut, quoted(&it.link.client.name));
                        let _ = writeln!(
                            out,
                            "        # NOT ALL: {cut} addresses of {name} are not known and not in this rule"
                        );
                    }
                    for address in addresses() {
                        let bits = match address.ip() {
                            IpAddr::V4(_) => 32,
                            IpAddr::V6(_) => 128,
                        };
                        let _ = writeln!(out, "        - ipBlock: {{cidr: {address}/{bits}}}");
                    }
                }
            }
            let port = it.link.port.unwrap_or_default();
            let _ = writeln!(out, "      ports: [{{protocol: TCP, port: {port}}}]");
        }
    }
    out
}

/// The label that tells the pods of a node, and its value.
fn selector(view: &View, id: &str) -> (&'static str, String) {
    let node = view.nodes.iter().find(|it| *it.id == *id);
    let workload = node.and_then(|it| it.workload.as_deref());
    let labels = workload.and_then(|it| Some(&it.container.as_ref()?.labels));
    for label in ["app.kubernetes.io/name", "app"] {
        if let Some(value) = labels.and_then(|it| it.get(label)) {
            return (label, value.to_string());
        }
    }
    (
        "app",
        workload.map_or_else(String::new, |it| it.name.to_string()),
    )
}

/// What a policy selects; what is no pod, by its id.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Selected {
    Pods(Option<Arc<str>>, &'static str, String),
    Other(String),
}

impl Selected {
    fn of(view: &View, id: &str) -> Self {
        let node = view.nodes.iter().find(|it| *it.id == *id);
        let k8s = node.and_then(|it| it.workload.as_ref()?.k8s.as_ref());
        match k8s {
            Some(k8s) => {
                let (label, value) = selector(view, id);
                Self::Pods(k8s.namespace.clone(), label, value)
            }
            None => Self::Other(id.to_owned()),
        }
    }
}

/// `text` as Kubernetes allows names: lower case, digits and hyphens, at most 63, with `end`.
fn dns_label(text: &str, end: &str) -> String {
    let name: String = text
        .chars()
        .map(|it| {
            if it.is_ascii_alphanumeric() {
                it.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(63 - end.len())
        .collect();
    format!("{}{end}", name.trim_end_matches('-'))
}
