//! Buffers open records until the ring buffer is drained. If the close record arrives in the same drain, the
//! open record is dropped, since the close repeats it. For consumers that count connections and show no
//! opening by itself.

use foldhash::HashMap;
use tracer_common::{Connection, Direction, Kind, Opened, Process, Source};

use super::decode::Record;
use crate::model::Take;

/// One endpoint of one connection: by the sequence numbers of its handshake, and when it began.
type Endpoint = (u64, u64, u8);

fn endpoint(connection: &Connection) -> Endpoint {
    let Direction(direction) = connection.direction;
    (connection.handshake, connection.begun_ns, direction)
}

/// Whether the process at the end of a connection is all that its opening says of whose it is:
/// unless the connection was passed on.
fn says_who_opened(opener: &Process, closer: &Process) -> bool {
    let is_seen = matches!(opener.source, Source::HOOK | Source::SCAN);
    !is_seen || (opener.tgid, opener.start_ns) == (closer.tgid, closer.start_ns)
}

/// The most that are buffered.
const MAX_HELD: usize = 16 << 10;

/// Whether a record is buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It is, for now.
    Held,
    /// It is not: it is to be told now.
    Passed,
}

/// Buffered openings, in their order.
#[derive(Default)]
pub(super) struct Openings {
    /// None in the place of one that was dropped.
    held: Vec<Option<(Kind, Opened)>>,
    places: HashMap<Endpoint, usize>,
    /// How many were dropped.
    pub(super) folded: u64,
}

impl Openings {
    /// Buffers `record` if it is an opening. Before any that is neither an opening nor a close, the buffer is
    /// flushed to `tell`: the record may be about them.
    pub(super) fn hold(
        &mut self,
        record: &Record<'_>,
        tell: impl FnMut(&Record<'_>) -> Take,
    ) -> Hold {
        match *record {
            Record::Connect(opened) | Record::Accept(opened) if self.held.len() < MAX_HELD => {
                let endpoint = endpoint(&opened.connection);
                // Of some the handshake was not seen.
                if endpoint.0 != 0 && !self.places.contains_key(&endpoint) {
                    self.places.insert(endpoint, self.held.len());
                    self.held.push(Some((record.kind(), *opened)));
                    return Hold::Held;
                }
            }
            Record::Close(ended) => {
                let endpoint = endpoint(&ended.connection);
                let Some(place) = self.places.get(&endpoint).copied() else {
                    return Hold::Passed;
                };
                let is_whole = |opened: &(Kind, Opened)| {
                    says_who_opened(&opened.1.connection.process, &ended.connection.process)
                };
                if self.held[place].as_ref().is_some_and(is_whole) {
                    self.places.remove(&endpoint);
                    self.held[place] = None;
                    self.folded += 1;
                    return Hold::Passed;
                }
            }
            // It is about another connection than the buffered ones.
            Record::Totals(carried)
                if !self.places.contains_key(&endpoint(&carried.connection)) =>
            {
                return Hold::Passed;
            }
            // It is about a process that has done nothing yet.
            Record::Fork(_) => return Hold::Passed,
            _ => {}
        }
        self.release(tell);
        Hold::Passed
    }

    /// Flushes the buffer to `tell`, also when that is full: there are few.
    pub(super) fn release(&mut self, mut tell: impl FnMut(&Record<'_>) -> Take) {
        self.places.clear();
        for (kind, opened) in self.held.drain(..).flatten() {
            tell(&match kind {
                Kind::CONNECT => Record::Connect(&opened),
                _ => Record::Accept(&opened),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            checks,
            decode::{RecordBytes, decode},
        },
        *,
    };

    /// Records of that kind in that order, of connections with these handshakes; what is told, and
    /// in which order.
    fn told(records: &[(Kind, u64)]) -> Vec<(Kind, u64)> {
        let mut openings = Openings::default();
        let mut told = Vec::new();
        let examples = checks::examples();
        for (kind, handshake) in records {
            let is_of_kind = |bytes: &&Vec<u8>| bytes[8..12] == kind.0.to_ne_bytes();
            let example = examples
                .iter()
                .find(is_of_kind)
                .expect("an example of each");
            let kept = RecordBytes::from(&example[..]);
            let mut record = decode(&kept).expect("a record");
            let (mut opened, mut ended, mut carried);
            match record {
                Record::Connect(it) => {
                    opened = *it;
                    opened.connection.handshake = *handshake;
                    record = Record::Connect(&opened);
                }
                Record::Accept(it) => {
                    opened = *it;
                    opened.connection.handshake = *handshake;
                    record = Record::Accept(&opened);
                }
                Record::Close(it) => {
                    ended = *it;
                    ended.connection.handshake = *handshake;
                    record = Record::Close(&ended);
                }
                Record::Totals(it) => {
                    carried = *it;
                    carried.connection.handshake = *handshake;
                    record = Record::Totals(&carried);
                }
                _ => {}
            }
            let mut tell = |record: &Record<'_>| {
                told.push((record.kind(), handshake_of(record)));
                Take::More
            };
            if openings.hold(&record, &mut tell) == Hold::Passed {
                tell(&record);
            }
        }
        openings.release(|record| {
            told.push((record.kind(), handshake_of(record)));
            Take::More
        });
        told
    }

    fn handshake_of(record: &Record<'_>) -> u64 {
        match record {
            Record::Connect(it) | Record::Accept(it) => it.connection.handshake,
            Record::Close(it) => it.connection.handshake,
            Record::Totals(it) => it.connection.handshake,
            _ => 0,
        }
    }

    #[test]
    fn what_is_over_is_told_once_and_the_rest_in_its_order() {
        let (connect, close) = ((Kind::CONNECT, 7), (Kind::CLOSE, 7));
        assert_eq!(told(&[connect, close]), [close]);
        assert_eq!(told(&[close]), [close]);
        assert_eq!(told(&[connect]), [connect]);
        let others = [(Kind::CONNECT, 8), (Kind::CONNECT, 9)];
        assert_eq!(
            told(&[others[0], connect, others[1], close]),
            [close, others[0], others[1]]
        );
    }

    #[test]
    fn whoever_closes_does_not_stand_for_who_opened() {
        let process = |source, tgid| Process {
            start_ns: 7,
            cgroup: 1,
            tgid,
            netns_owner: 0,
            uid: 0,
            source,
            exec_id: 0,
            comm: [0; 16],
        };
        let (opener, closer) = (process(Source::HOOK, 1), process(Source::CLOSE, 2));
        assert!(!says_who_opened(&opener, &closer));
        assert!(says_who_opened(&opener, &process(Source::HOOK, 1)));
        // Whose listener it was says nothing of who had the connection.
        assert!(says_who_opened(&process(Source::LISTENER, 1), &closer));
    }

    #[test]
    fn the_ends_of_two_connections_do_not_mix() {
        // Nobody saw the handshakes of these.
        let unknown = [(Kind::CONNECT, 0), (Kind::CLOSE, 0)];
        assert_eq!(told(&unknown), unknown);
        // The same numbers twice: one of them is not held back, and so the other is not, either.
        let twice = [(Kind::CONNECT, 7), (Kind::CONNECT, 7), (Kind::CLOSE, 7)];
        assert_eq!(told(&twice), twice);
    }

    #[test]
    fn nothing_else_overtakes_an_opening() {
        for kind in [Kind::LISTEN, Kind::EXEC, Kind::FAIL, Kind::MESSAGE] {
            let records = [(Kind::CONNECT, 7), (kind, 0), (Kind::CLOSE, 7)];
            assert_eq!(told(&records), records);
        }
    }

    #[test]
    fn what_was_carried_comes_after_its_own_opening_only() {
        let (connect, close) = ((Kind::CONNECT, 7), (Kind::CLOSE, 7));
        let (own, other) = ((Kind::TOTALS, 7), (Kind::TOTALS, 8));
        assert_eq!(told(&[connect, own, close]), [connect, own, close]);
        assert_eq!(told(&[connect, other, close]), [other, close]);
    }

    #[test]
    fn there_is_a_limit() {
        let many: Vec<_> = (1..=2 * MAX_HELD as u64)
            .map(|n| (Kind::CONNECT, n))
            .collect();
        assert_eq!(told(&many), many);
    }
}
