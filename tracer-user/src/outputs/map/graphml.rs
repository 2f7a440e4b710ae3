//! The map as GraphML, which graph tools read: Gephi, yEd, Cytoscape, networkx.
//!
//! Names are here as they are, for programs. What XML has no way to write becomes U+FFFD; what has
//! no visible form is written as a reference, so that a terminal shows nothing that it would obey.

use std::{fmt::Display, io::Write as _};

use super::{super::sanitise::is_printable, coverage, words::pairs};
use crate::model::{Edge, Node, Quantiles, View};

/// An attribute: what it belongs to, its name and its type.
pub(super) type Key = (&'static str, &'static str, &'static str);

/// All attributes. `long` is what the readers have for whole numbers beyond 32 bits.
pub(super) const KEYS: &[Key] = &[
    ("graph", "generated", "string"),
    ("graph", "coverage", "string"),
    ("graph", "lost", "long"),
    ("graph", "missed", "long"),
    ("node", "id", "string"),
    ("node", "label", "string"),
    ("node", "kind", "string"),
    ("node", "workload_kind", "string"),
    ("node", "role", "string"),
    ("node", "host", "string"),
    ("node", "host_id", "string"),
    ("node", "addresses", "string"),
    ("node", "listeners", "string"),
    ("node", "processes", "string"),
    ("node", "members", "long"),
    ("node", "first_seen", "string"),
    ("node", "last_seen", "string"),
    ("edge", "label", "string"),
    ("edge", "port", "int"),
    ("edge", "state", "string"),
    ("edge", "live_at_start", "long"),
    ("edge", "established", "long"),
    ("edge", "terminated", "long"),
    ("edge", "live", "long"),
    ("edge", "failures", "long"),
    ("edge", "failed", "string"),
    ("edge", "sent_bytes", "long"),
    ("edge", "received_bytes", "long"),
    ("edge", "connect_ns_count", "long"),
    ("edge", "connect_ns_min", "long"),
    ("edge", "connect_ns_p50", "long"),
    ("edge", "connect_ns_p95", "long"),
    ("edge", "connect_ns_p99", "long"),
    ("edge", "connect_ns_max", "long"),
    ("edge", "rtt_ns_count", "long"),
    ("edge", "rtt_ns_min", "long"),
    ("edge", "rtt_ns_p50", "long"),
    ("edge", "rtt_ns_p95", "long"),
    ("edge", "rtt_ns_p99", "long"),
    ("edge", "rtt_ns_max", "long"),
    ("edge", "retransmits", "long"),
    ("edge", "first_seen", "string"),
    ("edge", "last_seen", "string"),
    ("edge", "last_success", "string"),
    ("edge", "last_failure", "string"),
    ("edge", "last_failure_reason", "string"),
    ("edge", "last_failure_errno", "string"),
    ("edge", "evidence_ends", "string"),
    ("edge", "evidence_client_only", "long"),
    ("edge", "evidence_server_only", "long"),
    ("edge", "evidence_both", "long"),
    ("edge", "evidence_client_process", "string"),
    ("edge", "evidence_server_process", "string"),
    ("edge", "evidence_address", "string"),
];

/// Appends the document. Elements are `n0`, `e0`, by their place in the view.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    put(
        buf,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
    );
    for (of, name, kind) in KEYS {
        put(
            buf,
            format_args!(
                "<key id=\"{of}.{name}\" for=\"{of}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>\n"
            ),
        );
    }
    put(buf, "<graph id=\"tracer\" edgedefault=\"directed\">\n");
    let mut data = Data { of: "graph", buf };
    data.known("generated", view.generated);
    data.text("coverage", &coverage::line(&view.coverage));
    data.number("lost", view.coverage.iter().map(|it| it.lost.total()).sum());
    data.number("missed", view.coverage.iter().map(|it| it.missed).sum());
    for (index, each) in view.nodes.iter().enumerate() {
        put(buf, format_args!("<node id=\"n{index}\">\n"));
        node(each, Data { of: "node", buf });
        put(buf, "</node>\n");
    }
    for (index, each) in view.edges.iter().enumerate() {
        let Edge { client, server, .. } = each;
        put(
            buf,
            format_args!("<edge id=\"e{index}\" source=\"n{client}\" target=\"n{server}\">\n"),
        );
        edge(each, Data { of: "edge", buf });
        put(buf, "</edge>\n");
    }
    put(buf, "</graph>\n</graphml>\n");
}

fn node(node: &Node, mut data: Data) {
    data.text("id", &node.id);
    data.text("label", &node.name);
    data.word("kind", node.kind.name());
    if let Some(workload) = &node.workload {
        data.word("workload_kind", node.kind_word());
        if let Some(role) = &workload.role {
            data.text("role", role);
        }
    }
    if let Some(host) = &node.host {
        data.text("host", &host.name);
        data.text("host_id", &host.id);
    }
    data.list("addresses", node.addresses.iter().map(ToString::to_string));
    let listeners = node.listeners.iter();
    data.list(
        "listeners",
        listeners.map(|it| it.address.with_port(it.port).to_string()),
    );
    let processes = node.processes.iter();
    data.list(
        "processes",
        processes.map(|it| format!("{}[{}]", it.comm, it.pid)),
    );
    if let Some(members) = node.members {
        data.number("members", members);
    }
    data.word("first_seen", node.first_seen);
    data.word("last_seen", node.last_seen);
}

fn edge(edge: &Edge, mut data: Data) {
    data.text("label", &super::words::label(edge));
    data.known("port", edge.port);
    data.word("state", edge.state.name());
    data.number("live_at_start", edge.live_at_start);
    data.number("established", edge.established);
    data.number("terminated", edge.terminated);
    data.number("live", edge.live());
    data.number("failures", edge.failures());
    data.pairs(
        "failed",
        edge.failed
            .iter()
            .map(|(reason, times)| (reason.name(), *times)),
    );
    data.number("sent_bytes", edge.sent_bytes);
    data.number("received_bytes", edge.received_bytes);
    data.quantiles("connect_ns", edge.connect_ns);
    data.quantiles("rtt_ns", edge.rtt_ns);
    data.number("retransmits", edge.retransmits);
    data.word("first_seen", edge.first_seen);
    data.word("last_seen", edge.last_seen);
    data.known("last_success", edge.last_success);
    data.known("last_failure", edge.last_failure.map(|it| it.time));
    data.known(
        "last_failure_reason",
        edge.last_failure.map(|it| it.reason.name()),
    );
    data.known(
        "last_failure_errno",
        edge.last_failure.and_then(|it| it.errno),
    );
    let evidence = &edge.evidence;
    data.word("evidence_ends", evidence.ends.name());
    data.number("evidence_client_only", evidence.client_only);
    data.number("evidence_server_only", evidence.server_only);
    data.number("evidence_both", evidence.both);
    for (name, words) in [
        ("evidence_client_process", &evidence.client_process),
        ("evidence_server_process", &evidence.server_process),
        ("evidence_address", &evidence.address),
    ] {
        data.pairs(name, words.iter().map(|(word, times)| (*word, *times)));
    }
}

/// Writes the attributes of one element.
struct Data<'a> {
    of: &'static str,
    buf: &'a mut Vec<u8>,
}

impl Data<'_> {
    /// A value that needs no escape: numbers, times, words of ours.
    fn word(&mut self, name: &str, value: impl Display) {
        self.open(name);
        put(self.buf, value);
        put(self.buf, "</data>\n");
    }

    fn known(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.word(name, value);
        }
    }

    /// `long` of GraphML has a sign.
    fn number(&mut self, name: &str, value: u64) {
        self.word(name, value.min(i64::MAX.unsigned_abs()));
    }

    fn quantiles(&mut self, name: &str, quantiles: Option<Quantiles>) {
        let Some(it) = quantiles else { return };
        for (part, value) in [
            ("count", it.count),
            ("min", it.min),
            ("p50", it.p50),
            ("p95", it.p95),
            ("p99", it.p99),
            ("max", it.max),
        ] {
            self.number(&format!("{name}_{part}"), value);
        }
    }

    fn pairs(&mut self, name: &str, values: impl Iterator<Item = (&'static str, u64)>) {
        let value = pairs(values);
        if !value.is_empty() {
            self.word(name, value);
        }
    }

    /// Values in one text, a space between them.
    fn list(&mut self, name: &str, values: impl Iterator<Item = String>) {
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            self.text(name, &values.join(" "));
        }
    }

    /// Text from outside.
    fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        for char in text.chars() {
            match char {
                '<' => put(self.buf, "&lt;"),
                '>' => put(self.buf, "&gt;"),
                '&' => put(self.buf, "&amp;"),
                _ if !is_xml(char) => put(self.buf, '\u{fffd}'),
                _ if is_printable(char) => put(self.buf, char),
                _ => put(self.buf, format_args!("&#{};", u32::from(char))),
            }
        }
        put(self.buf, "</data>\n");
    }

    fn open(&mut self, name: &str) {
        put(self.buf, format_args!("<data key=\"{}.{name}\">", self.of));
    }
}

/// Whether XML 1.0 can hold `char`, if only as a reference.
fn is_xml(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Appends to a buffer in memory, which does not fail.
fn put(buf: &mut Vec<u8>, text: impl Display) {
    let _ = write!(buf, "{text}");
}
