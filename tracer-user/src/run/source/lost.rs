//! What a loss of events is from, and what helps.

use crate::model::{Cause, Kind, Ledger, Lost};

/// The greatest loss of these, its cause, and what helps against that.
pub(super) fn why(lost: &Ledger<Lost>) -> Option<String> {
    let (kind, cause, events) = lost.greatest()?;
    let name = kind.name();
    let (cause, fix) = match (cause, kind) {
        (Cause::RingFull, Kind::Fail) => (
            "the ring buffer was full, or half full of attempts from outside",
            "a larger --ring helps, or a firewall that drops what comes from outside in vain",
        ),
        (Cause::RingFull, _) => ("the ring buffer was full", "a larger --ring helps"),
        (Cause::TableFull, Kind::Listen | Kind::Unlisten) => (
            "there are more listeners than tracer's table has room for",
            "no option helps: find out who opens so many",
        ),
        (Cause::TableFull, Kind::Dns) => (
            "more threads wait for name servers than tracer remembers",
            "no option helps, and only names are missing",
        ),
        (Cause::TableFull, _) => (
            "the table of connections was full, or one user's share of it",
            "a larger --connections helps",
        ),
        (Cause::Undecodable, _) => (
            "records could not be read",
            "please report it, with what `tracer doctor` says",
        ),
    };
    Some(format!(
        "mostly of kind `{name}` ({events}), as {cause}; {fix}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_that_of_the_table_that_was_full() {
        let lost = |kind, ring_full, table_full| {
            let mut ledger = Ledger::default();
            *ledger.get_mut(kind).expect("of the kernel") = Lost {
                ring_full,
                table_full,
                undecodable: 1,
            };
            why(&ledger).expect("some were lost")
        };
        for (kind, ring_full, table_full, option) in [
            (Kind::Connect, 3, 2, Some("--ring")),
            (Kind::Fail, 3, 2, Some("--ring")),
            (Kind::Exec, 3, 0, Some("--ring")),
            (Kind::Connect, 2, 3, Some("--connections")),
            (Kind::Fail, 2, 3, Some("--connections")),
            (Kind::Existing, 0, 3, Some("--connections")),
            (Kind::Listen, 2, 3, None),
            (Kind::Dns, 2, 3, None),
            (Kind::Close, 0, 0, None),
        ] {
            let text = lost(kind, ring_full, table_full);
            for known in ["--ring", "--connections"] {
                assert_eq!(text.contains(known), option == Some(known), "{text}");
            }
            assert!(text.contains(kind.name()), "{text}");
        }
        assert_eq!(why(&Ledger::default()), None);
    }
}
