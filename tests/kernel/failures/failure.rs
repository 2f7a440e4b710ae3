//! What fails, and how, as tracer says it.

use rustix::io::Errno;
use serde_json::{Value, json};

/// How an attempt came to nothing, as `failure` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) phase: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) errno: Option<Errno>,
}

pub(crate) const fn failure(phase: &'static str, reason: &'static str, errno: Errno) -> Failure {
    Failure {
        phase,
        reason,
        errno: Some(errno),
    }
}

pub(crate) const fn quiet(phase: &'static str, reason: &'static str) -> Failure {
    Failure {
        phase,
        reason,
        errno: None,
    }
}

pub(crate) const NO_ROUTE: Failure = failure("local", "no_route", Errno::NETUNREACH);
pub(crate) const UNREACHABLE_ROUTE: Failure = failure("local", "no_route", Errno::HOSTUNREACH);
pub(crate) const PROHIBITED_ROUTE: Failure = failure("local", "denied", Errno::ACCESS);
/// An error that says nothing of a route.
pub(crate) const BLACKHOLE: Failure = failure("local", "other", Errno::INVAL);
pub(crate) const DENIED_BY_CGROUP: Failure = failure("local", "denied", Errno::PERM);
pub(crate) const DENIED_BY_MODULE: Failure = failure("local", "denied", Errno::ACCESS);
pub(crate) const REFUSED: Failure = failure("remote", "refused", Errno::CONNREFUSED);
pub(crate) const RESET: Failure = failure("remote", "reset", Errno::CONNRESET);
pub(crate) const TIMED_OUT: Failure = failure("network", "timed_out", Errno::TIMEDOUT);
pub(crate) const ABANDONED: Failure = quiet("abandoned", "abandoned");
pub(crate) const NOT_LISTENING: Failure = quiet("local", "not_listening");
pub(crate) const ACCEPT_QUEUE_FULL: Failure = quiet("local", "accept_queue_full");

/// The failures that not every hook set can see, and the id of the line in `start.blind` that
/// must say so there. Everything else is always seen.
pub(crate) const EXCUSES: [(Failure, &str); 8] = [
    (NO_ROUTE, BEFORE_THE_SYN),
    (UNREACHABLE_ROUTE, BEFORE_THE_SYN),
    (PROHIBITED_ROUTE, BEFORE_THE_SYN),
    (BLACKHOLE, BEFORE_THE_SYN),
    (DENIED_BY_CGROUP, BEFORE_THE_SYN),
    (DENIED_BY_MODULE, BEFORE_THE_SYN),
    (NOT_LISTENING, "not_listening"),
    (ACCEPT_QUEUE_FULL, "accept_queue_full"),
];

/// What a kretprobe misses of these, and only where they would be told.
pub(crate) const NOW_AND_THEN: &str = "concurrent_failures";

/// connect() fails, and no socket's state tells.
pub(crate) const BEFORE_THE_SYN: &str = "failures_before_syn";

impl Failure {
    pub(crate) fn json(self) -> Value {
        json!({"phase": self.phase, "reason": self.reason, "errno": self.errno.map(name)})
    }

    /// The id in `start.blind` where this failure is not seen.
    pub(crate) fn excuse(self) -> Option<&'static str> {
        EXCUSES
            .iter()
            .find(|(failure, _)| *failure == self)
            .map(|(_, excuse)| *excuse)
    }
}

/// The kernel's name of an error, of those that occur here.
pub(crate) fn name(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => "EACCES",
        Errno::ADDRNOTAVAIL => "EADDRNOTAVAIL",
        Errno::CONNREFUSED => "ECONNREFUSED",
        Errno::CONNRESET => "ECONNRESET",
        Errno::HOSTUNREACH => "EHOSTUNREACH",
        Errno::INVAL => "EINVAL",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::NOPROTOOPT => "ENOPROTOOPT",
        Errno::PERM => "EPERM",
        Errno::TIMEDOUT => "ETIMEDOUT",
        _ => "an error that these tests do not know",
    }
}
