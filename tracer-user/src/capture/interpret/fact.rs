//! Records that become facts: what is no line of its own.

use tracer_common as abi;

use super::{
    endpoints::{ends, ip},
    processes::key,
};
use crate::model::{Address, Cgroup, DnsPiece, DnsTransport, Redirect};

/// None if it is of another hierarchy than v2, or its path did not fit.
pub(super) fn cgroup(made: &abi::Cgroup) -> Option<Cgroup> {
    let end = made.path.iter().position(|byte| *byte == 0)?;
    let is_whole = end + 1 < made.path.len();
    (made.hierarchy == 0 && is_whole).then(|| Cgroup {
        id: made.id,
        maker: made.maker,
        path: String::from_utf8_lossy(&made.path[..end]).into(),
    })
}

pub(super) fn exchanged(message: &abi::Message) -> DnsPiece<'_> {
    let length = usize::try_from(message.length).unwrap_or(usize::MAX);
    let kept = length.min(message.kept.into());
    let bytes = message.bytes.get(..kept).unwrap_or(&message.bytes);
    let ends = ends(&message.flow);
    DnsPiece {
        netns: message.flow.netns,
        process: key(&message.process),
        uid: message.process.uid,
        server: ends.remote,
        local_port: ends.local.port(),
        transport: if message.stream == 0 {
            DnsTransport::Udp
        } else {
            DnsTransport::Tcp
        },
        sent: message.sent != 0,
        bytes,
        length,
        time_ns: message.header.time_ns,
    }
}

pub(super) fn redirected(redirect: &abi::Redirect) -> Redirect {
    let dialled = ip(redirect.dialled_family, redirect.dialled_address);
    let dialled = Address::new(dialled, redirect.dialled_scope);
    Redirect {
        netns: redirect.flow.netns,
        ends: ends(&redirect.flow),
        dialled: dialled.with_port(redirect.dialled_port),
    }
}
