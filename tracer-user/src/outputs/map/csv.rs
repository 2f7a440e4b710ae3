//! The map as a table for spreadsheets and scripts: RFC 4180, a row an edge, every counter.
//!
//! CSV has no escapes, so text from outside has the visible form that [`sanitise`] gives it: no
//! cell has a line break, and a file on a terminal is harmless. The exact text is in JSON.

use super::{super::row::Row, words::pairs};
use crate::model::{Edge, Node, View};

/// The header row.
pub(super) const COLUMNS: [&str; 52] = [
    "client_id",
    "client",
    "client_kind",
    "client_role",
    "client_host",
    "server_id",
    "server",
    "server_kind",
    "server_role",
    "server_host",
    "port",
    "state",
    "live_at_start",
    "established",
    "terminated",
    "live",
    "failures",
    "failed",
    "sent_bytes",
    "received_bytes",
    "connect_ns_count",
    "connect_ns_min",
    "connect_ns_p50",
    "connect_ns_p95",
    "connect_ns_p99",
    "connect_ns_max",
    "rtt_ns_count",
    "rtt_ns_min",
    "rtt_ns_p50",
    "rtt_ns_p95",
    "rtt_ns_p99",
    "rtt_ns_max",
    "retransmits",
    "first_seen",
    "last_seen",
    "last_success",
    "last_failure",
    "last_failure_reason",
    "last_failure_errno",
    "evidence_ends",
    "evidence_client_only",
    "evidence_server_only",
    "evidence_both",
    "evidence_client_process",
    "evidence_server_process",
    "evidence_address",
    "client_addresses",
    "server_addresses",
    "client_first_seen",
    "client_last_seen",
    "server_first_seen",
    "server_last_seen",
];

/// Appends a header and the edges, in the order of the view.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    let mut header = Row::new(buf);
    for column in COLUMNS {
        header.plain(column);
    }
    header.end();
    for edge in &view.edges {
        row(view, edge, Row::new(buf));
    }
}

fn row(view: &View, edge: &Edge, mut row: Row) {
    let (client, server) = (&view.nodes[edge.client], &view.nodes[edge.server]);
    for node in [client, server] {
        row.text(&node.id);
        row.text(&node.name);
        row.plain(node.kind_word());
        row.text(
            node.workload
                .as_ref()
                .and_then(|it| it.role.as_deref())
                .unwrap_or_default(),
        );
        row.text(node.host.as_ref().map_or("", |it| &it.name));
    }
    row.known(edge.port);
    row.plain(edge.state.name());
    row.plain(edge.live_at_start);
    row.plain(edge.established);
    row.plain(edge.terminated);
    row.plain(edge.live());
    row.plain(edge.failures());
    row.plain(pairs(
        edge.failed
            .iter()
            .map(|(reason, times)| (reason.name(), *times)),
    ));
    row.plain(edge.sent_bytes);
    row.plain(edge.received_bytes);
    row.quantiles(edge.connect_ns);
    row.quantiles(edge.rtt_ns);
    row.plain(edge.retransmits);
    row.plain(edge.first_seen);
    row.plain(edge.last_seen);
    row.known(edge.last_success);
    row.known(edge.last_failure.map(|it| it.time));
    row.known(edge.last_failure.map(|it| it.reason.name()));
    row.known(edge.last_failure.and_then(|it| it.errno));
    let evidence = &edge.evidence;
    row.plain(evidence.ends.name());
    row.plain(evidence.client_only);
    row.plain(evidence.server_only);
    row.plain(evidence.both);
    for words in [
        &evidence.client_process,
        &evidence.server_process,
        &evidence.address,
    ] {
        row.plain(pairs(words.iter().map(|(word, times)| (*word, *times))));
    }
    row.plain(addresses(client));
    row.plain(addresses(server));
    for node in [client, server] {
        row.plain(node.first_seen);
        row.plain(node.last_seen);
    }
    row.end();
}

fn addresses(node: &Node) -> String {
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    addresses.join(";")
}
