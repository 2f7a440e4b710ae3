//! What most lines are about, written by hand: see [`super::plain`].

use super::{
    field,
    plain::{self, Times},
};
use crate::model::{AddressClass, Called, Connection, Direction, Evidence, Name};

/// Appends the public form: `client` and `server` where the direction is known, `local` and
/// `remote` where saying more would be a guess.
pub(super) fn write(
    connection: &Connection,
    times: &mut Times,
    buf: &mut Vec<u8>,
) -> serde_json::Result<()> {
    buf.extend_from_slice(b"{\"id\":");
    plain::id(connection.id, buf);
    if let Some(handshake) = connection.handshake {
        buf.extend_from_slice(b",\"handshake\":");
        plain::key(handshake, buf);
    }
    if let Some(direction) = connection.direction {
        buf.extend_from_slice(b",\"direction\":");
        plain::word(direction.name(), buf);
    }
    buf.extend_from_slice(b",\"family\":");
    plain::word(connection.family().name(), buf);
    buf.extend_from_slice(b",\"netns\":");
    plain::number(connection.netns, buf);
    let local = (connection.ends.local, None);
    let translation = connection.translation.as_deref();
    let remote = (
        translation.map_or(connection.ends.remote, |it| it.server),
        connection.name.as_deref(),
    );
    let ends: [(&[u8], _); 2] = match connection.direction {
        Some(Direction::Outbound) => [(b",\"client\":", local), (b",\"server\":", remote)],
        Some(Direction::Inbound) => [(b",\"client\":", remote), (b",\"server\":", local)],
        None => [(b",\"local\":", local), (b",\"remote\":", remote)],
    };
    for (word, (address, name)) in ends {
        buf.extend_from_slice(word);
        plain::end(address, buf);
        if let Some(name) = name {
            add_name(name, buf)?;
        }
    }
    if !remote.0.ip().is_unspecified() {
        buf.extend_from_slice(b",\"remote_class\":");
        plain::word(AddressClass::of(remote.0.ip()).name(), buf);
    }
    if let Some(translation) = translation {
        buf.extend_from_slice(b",\"dialled\":");
        plain::end(translation.dialled, buf);
    }
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
    Ok(())
}

/// Appends a name to the object that ends the buffer.
fn add_name(name: &Name, buf: &mut Vec<u8>) -> serde_json::Result<()> {
    buf.pop();
    let end = buf.len();
    match &name.called {
        Called::One { name, .. } => field("name", &**name, buf)?,
        Called::OneOf { names, .. } => field("names", names, buf)?,
    }
    if buf.get(end - 1) == Some(&b'{') {
        // The first of its fields: a recording may name what has neither address nor port.
        buf.remove(end);
    }
    match &name.called {
        Called::One { canonical, .. } => {
            if let Some(canonical) = canonical {
                field("canonical", &**canonical, buf)?;
            }
        }
        Called::OneOf { is_cut, .. } => {
            if *is_cut {
                buf.extend_from_slice(b",\"names_cut\":true");
            }
        }
    }
    buf.push(b'}');
    Ok(())
}

/// Appends how an event about `connection` is known.
pub(super) fn write_evidence(
    evidence: &Evidence,
    connection: Option<&Connection>,
    buf: &mut Vec<u8>,
) {
    buf.extend_from_slice(b"{\"process\":");
    plain::word(evidence.process.name(), buf);
    if let Some(direction) = evidence.direction {
        buf.extend_from_slice(b",\"direction\":");
        plain::word(direction.name(), buf);
    }
    if let Some(translation) = connection.and_then(|it| it.translation.as_deref()) {
        buf.extend_from_slice(b",\"address\":");
        plain::word(translation.evidence.name(), buf);
    }
    if let Some(name) = connection.and_then(|it| it.name.as_deref()) {
        buf.extend_from_slice(b",\"name\":");
        plain::word(name.source.name(), buf);
    }
    if let Some(end) = evidence.end {
        buf.extend_from_slice(b",\"end\":");
        plain::word(end.name(), buf);
    }
    buf.push(b'}');
}
