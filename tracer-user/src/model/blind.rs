//! What cannot be seen on a host, and why: each has an id that does not change, for programs, and words,
//! for people.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

/// Something that cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Read")]
pub struct Blind {
    /// Its id; none of what this version does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<BlindId>,
    /// What.
    pub what: Cow<'static, str>,
    /// Why.
    pub why: Cow<'static, str>,
}

impl Blind {
    /// What `id` names, for the reason `why`.
    pub fn new(id: BlindId, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: Some(id),
            what: id.what().into(),
            why: why.into(),
        }
    }

    /// What cannot be seen, in the words of this version if it knows the id: another one may have others.
    pub fn words(&self) -> &str {
        match self.id {
            Some(id) => id.what(),
            None => &self.what,
        }
    }
}

/// As documents have it. Those of earlier versions have no id; their words say the same.
#[derive(Deserialize)]
struct Read {
    id: Option<String>,
    what: String,
    why: String,
}

impl From<Read> for Blind {
    fn from(read: Read) -> Self {
        Self {
            id: match read.id {
                Some(name) => BlindId::from_name(&name),
                None => BlindId::of_words(&read.what),
            },
            what: read.what.into(),
            why: read.why.into(),
        }
    }
}

/// The ids, each with its name in JSON and its words for people. Both are part of the public contract.
macro_rules! ids {
    ($($(#[$doc:meta])* $id:ident, $name:literal, $what:literal;)*) => {
        /// The id of something that cannot be seen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum BlindId {
            $($(#[$doc])* $id,)*
        }

        impl BlindId {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$id),*];

            /// The word for it in JSON.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                }
            }

            /// What cannot be seen, in words.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$id => $what,)*
                }
            }
        }
    };
}

ids! {
    /// A listener is announced before its port is chosen.
    UnboundListeners, "unbound_listeners",
        "the port of a socket that listens without having been bound, and that listen() failed";
    /// MPTCP.
    Mptcp, "mptcp",
        "MPTCP connections as a whole; only their first subflows show";
    /// Raw tracepoints that another task interrupts.
    InterruptedPrograms, "interrupted_programs",
        "some of what happens while another task interrupts tracer's own programs";
    /// The kernel has few places for calls whose return it watches.
    ConcurrentFailures, "concurrent_failures",
        "now and then a failure of connect() without a SYN, where other threads are in the midst of connect()";
    /// Failures that change no socket's state.
    FailuresBeforeSyn, "failures_before_syn",
        "attempts that fail before a SYN is made, as for want of a route or by a policy of this host";
    /// accept() is not hooked, but reads are.
    AcceptorUntilRead, "acceptor_until_read",
        "which process accepted a connection, until it reads from it or closes it";
    /// Neither accept() nor reads are hooked.
    AcceptorUntilClose, "acceptor_until_close",
        "which process accepted a connection, until it closes it";
    /// Calls that were entered before the hook was attached.
    AcceptorWaiting, "acceptor_waiting",
        "who accepted a connection, until it closes, if that accept() was waiting before the start";
    /// Returns that a kretprobe misses.
    AcceptorAmongMany, "acceptor_among_many",
        "who accepted a connection, until it closes, where many processes wait in accept() at once";
    /// The change of state was missed, and with it the error.
    FailureReasonSkipped, "failure_reason_skipped",
        "why an attempt failed, where the kernel skips the run of a program";
    /// `SO_ERROR` clears the error.
    FailureReasonTaken, "failure_reason_taken",
        "why an attempt failed, where its process asked for the error and gave up";
    /// SYNs that a full accept queue turns away.
    AcceptQueueFull, "accept_queue_full",
        "connections turned away by a full accept queue of this host";
    /// SYNs that no socket listens for.
    NotListening, "not_listening",
        "connections refused by this host as nothing listens on their port";
    /// What was there before the start.
    BeforeStart, "before_start",
        "listeners and connections from before the start, until they end";
    /// Totals before the end.
    OpenTotals, "open_totals",
        "what open connections have carried, until they end";
    /// exec().
    Programs, "programs",
        "programs that processes run, and so executable and arguments of those gone within milliseconds";
    /// Control groups as they are made.
    NewCgroups, "new_cgroups",
        "control groups as they are made, and so the container of who is gone within milliseconds";
    /// Owners of network namespaces.
    NetnsOwners, "netns_owners",
        "which network namespaces a user made, and so which names and addresses that user chose";
    /// Owners of control groups.
    CgroupOwners, "cgroup_owners",
        "who made a control group, and so which names of units and containers a user chose";
    /// DNS.
    Dns, "dns",
        "names that processes ask name servers for";
    /// Addresses that are replaced within connect().
    ReplacedAddresses, "replaced_addresses",
        "what a process dialled where a program of a control group replaces the address";
    /// Connection tracking, elsewhere than in tracer's own network namespace.
    TranslationsElsewhere, "translations_elsewhere",
        "translated addresses of other network namespaces";
    /// Connection tracking, where it cannot be listened to.
    TranslationsOfSome, "translations_of_some",
        "translated addresses of some network namespaces";
    /// Connection tracking, as it goes on.
    TranslationsOfNew, "translations_of_new",
        "translated addresses of new connections";
    /// Connection tracking.
    Translations, "translations",
        "translated addresses";
}

impl BlindId {
    /// The id that `name` means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.name() == name)
    }

    /// The id of what `words` say, as this version says it.
    pub fn of_words(words: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.what() == words)
    }
}

impl Serialize for BlindId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_words_are_unique() {
        let words: BTreeSet<&str> = BlindId::ALL.iter().map(|id| id.what()).collect();
        let ids: BTreeSet<&str> = BlindId::ALL.iter().map(|id| id.name()).collect();
        assert_eq!(
            (words.len(), ids.len()),
            (BlindId::ALL.len(), BlindId::ALL.len())
        );
    }

    #[test]
    fn what_is_read_has_its_id_whether_it_was_written_or_not() {
        let blind = Blind::new(BlindId::Dns, "--no-dns");
        let written = serde_json::to_string(&blind).expect("a value");
        assert!(written.contains(r#""id":"dns""#), "{written}");
        for text in [
            written.as_str(),
            r#"{"what":"names that processes ask name servers for","why":"--no-dns"}"#,
        ] {
            assert_eq!(serde_json::from_str::<Blind>(text).expect("a value"), blind);
        }
        let reworded = r#"{"id":"dns","what":"names, as a later version says it","why":"?"}"#;
        let later = r#"{"id":"later","what":"what a later version is blind to","why":"?"}"#;
        for (text, id) in [(reworded, Some(BlindId::Dns)), (later, None)] {
            let read: Blind = serde_json::from_str(text).expect("a value");
            assert_eq!(read.id, id);
        }
    }
}
