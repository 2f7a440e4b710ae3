//! The map as one JSON object: every field.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::json;
use crate::model::{Edge, History, Outage, View};

/// The version of the document.
const VERSION: u32 = 1;

/// Appends `view` on a line of its own.
pub(in crate::outputs) fn write(view: &View, buf: &mut Vec<u8>) {
    json::line(&Document(view), buf);
}

/// A map as it is printed.
pub(crate) struct Document<'a>(pub(crate) &'a View);

impl Serialize for Document<'_> {
    /// `{v, generated, coverage, nodes, edges, strays}`; edges name their nodes by id.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view) = self;
        let mut out = serializer.serialize_struct("Document", 6)?;
        out.serialize_field("v", &VERSION)?;
        if let Some(generated) = &view.generated {
            out.serialize_field("generated", generated)?;
        }
        out.serialize_field("coverage", &view.coverage)?;
        out.serialize_field("nodes", &view.nodes)?;
        out.serialize_field("edges", &Edges(view))?;
        if !view.strays.is_empty() {
            out.serialize_field("strays", &view.strays)?;
        }
        out.end()
    }
}

struct Edges<'a>(&'a View);

impl Serialize for Edges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.edges.iter().map(|edge| Named(self.0, edge)))
    }
}

/// An edge with the ids of its nodes in place of their indices.
struct Named<'a>(&'a View, &'a Edge);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, edge) = self;
        let mut out = serializer.serialize_struct("Edge", 27)?;
        out.serialize_field("client", &view.nodes[edge.client].id)?;
        out.serialize_field("server", &view.nodes[edge.server].id)?;
        if let Some(port) = &edge.port {
            out.serialize_field("port", port)?;
        }
        out.serialize_field("state", &edge.state)?;
        out.serialize_field("live_at_start", &edge.live_at_start)?;
        out.serialize_field("established", &edge.established)?;
        out.serialize_field("terminated", &edge.terminated)?;
        out.serialize_field("live", &edge.live())?;
        out.serialize_field("failed", &edge.failed)?;
        out.serialize_field("sent_bytes", &edge.sent_bytes)?;
        out.serialize_field("received_bytes", &edge.received_bytes)?;
        if let Some(connect_ns) = &edge.connect_ns {
            out.serialize_field("connect_ns", connect_ns)?;
        }
        if let Some(rtt_ns) = &edge.rtt_ns {
            out.serialize_field("rtt_ns", rtt_ns)?;
        }
        out.serialize_field("retransmits", &edge.retransmits)?;
        out.serialize_field("first_seen", &edge.first_seen)?;
        out.serialize_field("last_seen", &edge.last_seen)?;
        if let Some(last_success) = &edge.last_success {
            out.serialize_field("last_success", last_success)?;
        }
        if let Some(last_failure) = &edge.last_failure {
            out.serialize_field("last_failure", last_failure)?;
        }
        if let Some(failing_since) = &edge.failing_since {
            out.serialize_field("failing_since", failing_since)?;
            out.serialize_field("failing_times", &edge.failing_times)?;
        }
        let outages: Vec<&Outage> = edge.outages().collect();
        if !outages.is_empty() {
            out.serialize_field("outages", &outages)?;
        }
        let History {
            stretches: _,
            cut,
            ended,
            without_payload,
            ports,
        } = &edge.history;
        for (name, count) in [
            ("outages_cut", cut),
            ("without_payload", without_payload),
            ("ports", ports),
        ] {
            if *count > 0 {
                out.serialize_field(name, count)?;
            }
        }
        if ended.all() > 0 {
            out.serialize_field("ended", ended)?;
        }
        out.serialize_field("evidence", &edge.evidence)?;
        out.end()
    }
}
