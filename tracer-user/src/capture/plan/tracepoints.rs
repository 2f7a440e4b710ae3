//! The tracepoints of every plan: the life of connections, seen without hooking a function.

use super::{
    super::facts::Facts,
    types::{Attachment, Program, life},
};

/// Handshakes, failures, ends and listeners, also outside any process.
const STATE: Program = life(
    "state_changed",
    Attachment::RawTracepoint("inet_sock_set_state"),
);

/// The last word on a connection: what was missed of its end, and that nobody accepted it.
const DESTROYED: Program = life(
    "sock_destroyed",
    Attachment::RawTracepoint("tcp_destroy_sock"),
);

/// The same where the kernel describes the arguments: reading them costs less.
const STATE_TYPED: Program = life(
    "state_changed_typed",
    Attachment::TypedTracepoint("inet_sock_set_state"),
);

/// Likewise.
const DESTROYED_TYPED: Program = life(
    "sock_destroyed_typed",
    Attachment::TypedTracepoint("tcp_destroy_sock"),
);

/// The same where raw tracepoints can be interrupted.
const STATE_CLASSIC: Program = life(
    "state_changed_classic",
    Attachment::Tracepoint("sock", "inet_sock_set_state"),
);

/// Likewise.
const DESTROYED_CLASSIC: Program = life(
    "sock_destroyed_classic",
    Attachment::Tracepoint("tcp", "tcp_destroy_sock"),
);

/// The tracepoints to try, best first. The last word on a connection comes first, its
/// beginning last: what begins while they are attached one by one must not be left without
/// an end.
pub(super) fn tracepoints(facts: &Facts) -> Vec<[Program; 2]> {
    let raw = [DESTROYED, STATE];
    let typed = [DESTROYED_TYPED, STATE_TYPED];
    let classic = [DESTROYED_CLASSIC, STATE_CLASSIC];
    match &facts.types {
        Ok(types) if types.raw_tracepoints_interrupted && types.classic_tracepoints => {
            vec![classic, raw]
        }
        Ok(types) if types.state_arguments == Some(3) && types.destroyed_arguments == Some(1) => {
            vec![typed, raw]
        }
        _ => vec![raw],
    }
}

pub(super) fn is_interrupted(facts: &Facts, tracepoints: &[Program; 2]) -> bool {
    let types = facts.types.as_ref();
    types.is_ok_and(|types| types.raw_tracepoints_interrupted)
        && !tracepoints.contains(&STATE_CLASSIC)
}
