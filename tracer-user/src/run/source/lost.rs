//! What a loss of events is from, and what helps.

use crate::model::{Cause, Counter, Ledger, Lost};

/// The greatest loss of these, its cause, and what helps against that.
pub(super) fn why(lost: &Ledger<Lost>) -> Option<String> {
    let (counter, cause, events) = lost.greatest()?;
    let name = counter.name();
    let (cause, fix) = match (cause, counter) {
        (Cause::RingFull, Counter::Fail) => (
            "the ring buffer was full, or half full of attempts from outside",
            "a larger --ring helps, or a firewall that drops what comes from outside in vain",
        ),
        (Cause::RingFull, _) => ("the ring buffer was full", "a larger --ring helps"),
        (Cause::TableFull, Counter::Listen | Counter::Unlisten) => (
            "there are more listeners than tracer's table has room for",
            "no option helps: find out who opens so many",
        ),
        (Cause::TableFull, Counter::Dns) => (
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
        let lost = |counter, ring_full, table_full| {
            let mut ledger = Ledger::default();
            *ledger.get_mut(counter) = Lost {
                ring_full,
                table_full,
                undecodable: 1,
            };
            why(&ledger).expect("some were lost")
        };
        for (counter, ring_full, table_full, option) in [
            (Counter::Connect, 3, 2, Some("--ring")),
            (Counter::Fail, 3, 2, Some("--ring")),
            (Counter::Exec, 3, 0, Some("--ring")),
            (Counter::Connect, 2, 3, Some("--connections")),
            (Counter::Fail, 2, 3, Some("--connections")),
            (Counter::Existing, 0, 3, Some("--connections")),
            (Counter::Listen, 2, 3, None),
            (Counter::Dns, 2, 3, None),
            (Counter::Close, 0, 0, None),
        ] {
            let text = lost(counter, ring_full, table_full);
            for known in ["--ring", "--connections"] {
                assert_eq!(text.contains(known), option == Some(known), "{text}");
            }
            assert!(text.contains(counter.name()), "{text}");
        }
        assert_eq!(why(&Ledger::default()), None);
    }
}
