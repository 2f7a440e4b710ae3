//! What crosses a division as network policies of Kubernetes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    party::{Parties, Party},
    rules::Rules,
    yaml::Quoted,
};
use crate::{
    ask::groups::Crossing,
    model::{Address, Workload},
};

/// A policy for each server, which lets in what was seen to cross. It selects pods by the label
/// `app.kubernetes.io/name`, or `app`, where they are known to have one, else by the owner's name
/// under `app`, which is to be checked.
pub(super) fn write(crossing: &[Crossing], parties: &Parties) -> Rules {
    let mut out = Rules::new(&[
        "Lets in what was seen to cross; a pod that a policy selects lets in nothing else.",
    ]);
    // What a policy selects may be several nodes: an owner's pods on several hosts.
    let mut policies: BTreeMap<Pods, Policy> = BTreeMap::new();
    for it in crossing {
        let (pods, rule) = match rule(it, parties) {
            Ok((pods, rule)) => (Ok(pods), Ok(rule)),
            Err((pods, why)) => (pods.ok_or(()), Err(why)),
        };
        let policy = pods.ok().map(|pods| policies.entry(pods).or_default());
        match (rule, policy) {
            (Ok(rule), Some(policy)) => policy.rules.push(rule),
            (Err(why), policy) => {
                policy.into_iter().for_each(|it| it.left_out += 1);
                out.leave_out(parties.edge(&it.link), why);
            }
            (Ok(_), None) => {}
        }
    }
    let mut names = BTreeSet::new();
    for (pods, policy) in policies {
        // One without rules would shut everybody out.
        if !policy.rules.is_empty() {
            write_policy(pods, &policy, &mut names, &mut out);
        }
    }
    out
}

/// What one policy lets in.
#[derive(Default)]
struct Policy<'a> {
    rules: Vec<Rule<'a>>,
    /// What crosses to the same pods, and is in no rule.
    left_out: u64,
}

/// Who is let in at one port.
struct Rule<'a> {
    client: Party<'a>,
    from: Clients<'a>,
    port: u16,
}

enum Clients<'a> {
    Pods(Pods<'a>),
    Addresses {
        addresses: Vec<Address>,
        /// Those that are known to be missing.
        cut: u64,
    },
}

/// The rule for what crosses, with the pods that it is for.
///
/// # Errors
/// Why there is none, with the pods that it would be for, if they are known.
fn rule<'a>(
    it: &Crossing,
    parties: &Parties<'a>,
) -> Result<(Pods<'a>, Rule<'a>), (Option<Pods<'a>>, &'static str)> {
    let server = parties.party(&it.link.server).map_err(|why| (None, why))?;
    let server = server.workload().filter(|it| it.k8s.is_some());
    let server = server.ok_or((None, "the server is no pod, so there is no policy for it"))?;
    let pods = Pods::of(server).map_err(|why| (None, why))?;
    let of_pods = |why| (Some(pods), why);
    let client = parties.party(&it.link.client).map_err(of_pods)?;
    let port = it.link.port.ok_or("it is not known who opens it");
    let port = port.map_err(of_pods)?;
    let pod = client.workload().filter(|it| it.k8s.is_some());
    let from = match pod {
        Some(pod) => Clients::Pods(Pods::of(pod).map_err(of_pods)?),
        None => {
            // A policy cannot name a link.
            let addresses = it.client_addresses.iter().copied();
            let addresses: Vec<Address> = addresses.filter(|it| it.scope().is_none()).collect();
            if addresses.is_empty() {
                // A rule that names nobody would let in everybody.
                return Err(of_pods(match it.client_addresses.is_empty() {
                    true => "its addresses are not known",
                    false => "its addresses are of a link, which a policy cannot name",
                }));
            }
            let cut = it.client_addresses_cut;
            Clients::Addresses { addresses, cut }
        }
    };
    Ok((pods, Rule { client, from, port }))
}

fn write_policy<'a>(
    pods: Pods<'a>,
    policy: &Policy<'a>,
    names: &mut BTreeSet<(&'a str, String)>,
    out: &mut Rules,
) {
    let name = dns_label(&format!("tracer-split-{}", pods.value), "");
    let more = (2..).map(|n| dns_label(&name, &format!("-{n}")));
    let name = std::iter::once(name.clone()).chain(more);
    // Of two of one name, the later one would take the place of the first.
    let place = |name: &String| (pods.namespace, name.clone());
    let Some(name) = name.into_iter().find(|it| names.insert(place(it))) else {
        return;
    };
    out.line(format_args!("---"));
    out.line(format_args!("apiVersion: networking.k8s.io/v1"));
    out.line(format_args!("kind: NetworkPolicy"));
    out.line(format_args!("metadata:"));
    out.line(format_args!("  name: {}", Quoted(&name)));
    out.line(format_args!("  namespace: {}", Quoted(pods.namespace)));
    out.line(format_args!("spec:"));
    if pods.is_guess {
        out.comment(2, format_args!("{GUESS}"));
    }
    out.line(format_args!("  podSelector:"));
    out.line(format_args!("    matchLabels:"));
    out.line(format_args!("      {}: {}", pods.label, Quoted(pods.value)));
    out.line(format_args!("  policyTypes: [Ingress]"));
    if policy.left_out > 0 {
        out.lacking(
            2,
            format_args!(
                "{} that cross to these pods are left out, and would be shut out",
                policy.left_out
            ),
        );
    }
    out.line(format_args!("  ingress:"));
    for Rule { client, from, port } in &policy.rules {
        out.comment(4, format_args!("{client}"));
        out.line(format_args!("    - from:"));
        match from {
            Clients::Pods(pods) => {
                if pods.is_guess {
                    out.comment(8, format_args!("{GUESS}"));
                }
                out.line(format_args!("        - podSelector:"));
                out.line(format_args!("            matchLabels:"));
                let (label, value) = (pods.label, Quoted(pods.value));
                out.line(format_args!("              {label}: {value}"));
                out.line(format_args!("          namespaceSelector:"));
                out.line(format_args!("            matchLabels:"));
                let namespace = Quoted(pods.namespace);
                out.line(format_args!(
                    "              kubernetes.io/metadata.name: {namespace}"
                ));
            }
            Clients::Addresses { addresses, cut } => {
                if *cut > 0 {
                    out.lacking(
                        8,
                        format_args!(
                            "{cut} addresses of {client} are not known and not in this rule"
                        ),
                    );
                }
                for address in addresses {
                    let bits = match address.ip() {
                        IpAddr::V4(_) => 32,
                        IpAddr::V6(_) => 128,
                    };
                    let cidr = format!("{address}/{bits}");
                    out.line(format_args!(
                        "        - ipBlock: {{cidr: {}}}",
                        Quoted(&cidr)
                    ));
                }
            }
        }
        out.line(format_args!(
            "      ports: [{{protocol: TCP, port: {port}}}]"
        ));
    }
}

const GUESS: &str = "CHECK this label: no label is known, and this is what the owner is called";

/// Pods, as a policy selects them. All of it is what Kubernetes allows, as whoever makes a pod chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pods<'a> {
    namespace: &'a str,
    label: &'static str,
    value: &'a str,
    is_guess: bool,
}

impl<'a> Pods<'a> {
    /// # Errors
    /// Why no policy selects them.
    fn of(workload: &'a Workload) -> Result<Self, &'static str> {
        let namespace = workload.k8s.as_ref().and_then(|it| it.namespace.as_deref());
        let namespace = namespace.filter(|it| is_namespace(it));
        let namespace = namespace.ok_or("the namespace of the pod is not known")?;
        let labels = workload.container.as_ref().map(|it| &it.labels);
        let known = ["app.kubernetes.io/name", "app"].into_iter();
        let known = known.filter_map(|label| Some((label, &**labels?.get(label)?)));
        let (label, value, is_guess) = match known.into_iter().next() {
            Some((label, value)) => (label, value, false),
            None => ("app", &*workload.name, true),
        };
        if !is_label_value(value) {
            return Err("no label of the pod is known by which a policy could select it");
        }
        Ok(Self {
            namespace,
            label,
            value,
            is_guess,
        })
    }
}

/// Whether it can be the name of a namespace: a label of RFC 1123, as Kubernetes has it
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
fn is_namespace(text: &str) -> bool {
    let is_word = |it: &u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    is_bounded(text, |it| is_word(it) || *it == b'-', is_word)
}

/// Whether it can be the value of a label, and selects anything: not empty
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>).
fn is_label_value(text: &str) -> bool {
    let is_word = u8::is_ascii_alphanumeric;
    is_bounded(text, |it| is_word(it) || b"-_.".contains(it), is_word)
}

/// Whether it is of 1 to 63 bytes, with such ones at both ends.
fn is_bounded(text: &str, all: impl Fn(&u8) -> bool, ends: impl Fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let has_ends = bytes.first().is_some_and(&ends) && bytes.last().is_some_and(&ends);
    bytes.len() <= 63 && has_ends && bytes.iter().all(all)
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
