//! What most lines are about, written by hand: see [`super::plain`].

use super::plain::{self, Times};
use crate::model::{Connection, Direction, Evidence};

/// Appends the public form: `client` and `server` where the direction is known, `local` and
/// `remote` where saying more would be a guess.
pub(super) fn write(connection: &Connection, times: &mut Times, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b"{\"id\":");
    plain::id(connection.id, buf);
    if let Some(direction) = connection.direction {
        buf.extend_from_slice(b",\"direction\":");
        plain::word(direction.name(), buf);
    }
    buf.extend_from_slice(b",\"family\":");
    plain::word(connection.family().name(), buf);
    buf.extend_from_slice(b",\"netns\":");
    plain::number(connection.netns, buf);
    let (local, remote) = (connection.ends.local, connection.ends.remote);
    let [(name, first), (other, second)]: [(&[u8], _); 2] = match connection.direction {
        Some(Direction::Outbound) => [(b",\"client\":", local), (b",\"server\":", remote)],
        Some(Direction::Inbound) => [(b",\"client\":", remote), (b",\"server\":", local)],
        None => [(b",\"local\":", local), (b",\"remote\":", remote)],
    };
    buf.extend_from_slice(name);
    plain::end(first, buf);
    buf.extend_from_slice(other);
    plain::end(second, buf);
    if let Some(opened) = connection.opened {
        buf.extend_from_slice(b",\"opened\":");
        times.write(opened, buf);
    }
    buf.extend_from_slice(if connection.existing {
        b",\"existing\":true"
    } else {
        b",\"existing\":false"
    });
    let mut field = |name: &[u8], value: Option<u64>| {
        if let Some(value) = value {
            buf.extend_from_slice(name);
            plain::number(value, buf);
        }
    };
    field(b",\"connect_ns\":", connection.connect_ns);
    field(b",\"duration_ns\":", connection.duration_ns);
    if let Some(totals) = &connection.totals {
        field(b",\"sent_bytes\":", Some(totals.sent_bytes));
        field(b",\"received_bytes\":", Some(totals.received_bytes));
        field(b",\"rtt_ns\":", totals.rtt_ns);
        field(b",\"retransmits\":", Some(totals.retransmits.into()));
    }
    if let Some(closed_by) = connection.closed_by {
        buf.extend_from_slice(b",\"closed_by\":");
        plain::word(closed_by.name(), buf);
    }
    if let Some(errno) = connection.errno {
        buf.extend_from_slice(b",\"errno\":");
        plain::word(errno, buf);
    }
    buf.push(b'}');
}

/// Appends how an event is known.
pub(super) fn write_evidence(evidence: &Evidence, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b"{\"process\":");
    plain::word(evidence.process.name(), buf);
    if let Some(direction) = evidence.direction {
        buf.extend_from_slice(b",\"direction\":");
        plain::word(direction.name(), buf);
    }
    if let Some(end) = evidence.end {
        buf.extend_from_slice(b",\"end\":");
        plain::word(end.name(), buf);
    }
    buf.push(b'}');
}
