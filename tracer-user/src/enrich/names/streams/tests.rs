use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::model::{DnsPiece, DnsTransport, ProcessKey};

fn end(local_port: u16) -> (Socket, bool) {
    let piece = DnsPiece {
        netns: 1,
        process: ProcessKey {
            pid: 7,
            start_ns: 1,
        },
        uid: 0,
        server: SocketAddr::from((Ipv4Addr::LOCALHOST, 53)),
        local_port,
        transport: DnsTransport::Tcp,
        sent: false,
        bytes: &[],
        length: 0,
        time_ns: 0,
    };
    (Socket::of(&piece), false)
}

/// A message of `len` bytes that are all `fill`, after its length.
fn framed(fill: u8, len: u16) -> Vec<u8> {
    [&len.to_be_bytes()[..], &vec![fill; usize::from(len)]].concat()
}

/// Pushes pieces, each with how many bytes it had more than are told; what comes out.
fn run(pieces: &[(&[u8], usize)]) -> (Vec<Vec<u8>>, bool) {
    let (mut streams, mut messages, mut is_lost) = (Streams::new(), Vec::new(), false);
    for (bytes, untold) in pieces {
        let piece = (*bytes, bytes.len() + untold);
        let each = |message: &[u8]| messages.push(message.to_vec());
        is_lost |= streams.push(end(1), piece, 0, each).is_err();
    }
    (messages, is_lost)
}

#[test]
fn messages_are_found_however_they_come() {
    let one = framed(1, 20);
    let two = framed(2, 300);
    let both = [one.clone(), two.clone()].concat();
    let expected = (vec![vec![1; 20], vec![2; 300]], false);
    let cases: [(&str, Vec<&[u8]>); 5] = [
        ("both at once", vec![&both]),
        ("one by one", vec![&one, &two]),
        (
            "lengths by themselves",
            vec![&one[..2], &one[2..], &two[..2], &two[2..]],
        ),
        ("a length in two", vec![&both[..23], &both[23..]]),
        ("byte by byte", both.chunks(1).collect()),
    ];
    for (what, pieces) in cases {
        let pieces: Vec<_> = pieces.into_iter().map(|piece| (piece, 0)).collect();
        assert_eq!(run(&pieces), expected, "{what}");
    }
}

#[test]
fn what_is_not_told_is_passed_over() {
    let long = framed(1, 5000);
    let next = framed(2, 20);
    // The rest of the message, then the next one.
    let (messages, is_lost) = run(&[(&long[..2048], 2954), (&next, 0)]);
    assert_eq!(
        (messages, is_lost),
        (vec![vec![1; 2046], vec![2; 20]], false)
    );
    // What comes after a gap is not put behind what came before it.
    let (messages, is_lost) = run(&[(&long[..2048], 1000), (&long[3048..], 0), (&next, 0)]);
    assert_eq!(
        (messages, is_lost),
        (vec![vec![1; 2046], vec![2; 20]], false)
    );
    // No more is kept than so much.
    let (messages, is_lost) = run(&[(&long[..2], 0), (&long[2..], 0), (&next[..], 0)]);
    assert_eq!(messages, [vec![1; MAX_MESSAGE], vec![2; 20]]);
    assert!(!is_lost);
    // The gap goes beyond the message: what comes next is taken for a beginning.
    let (messages, is_lost) = run(&[(&long[..100], 6000), (&next, 0)]);
    assert_eq!((messages, is_lost), (vec![vec![1; 98], vec![2; 20]], true));
    // So is what comes after a length that no message has.
    let (messages, is_lost) = run(&[(&[0, 3, 1, 1, 1], 0), (&next, 0)]);
    assert_eq!((messages, is_lost), (vec![vec![2; 20]], true));
}

#[test]
fn little_is_kept() {
    let mut streams = Streams::new();
    let long = framed(1, u16::MAX);
    for port in 0..2000 {
        for piece in [&long[..2], &long[2..6000], &long[6000..9000]] {
            let none = |_: &[u8]| panic!("no message is whole");
            assert_eq!(
                streams.push(end(port), (piece, piece.len()), 0, none),
                Ok(())
            );
        }
    }
    assert_eq!(streams.within.len(), CAPACITY.get());
    assert!(streams.bytes() <= CAPACITY.get() * MAX_MESSAGE);
}

#[test]
fn a_port_that_is_used_again_begins_anew() {
    let mut streams = Streams::new();
    let half = framed(1, 100);
    let none = |_: &[u8]| panic!("no message is whole");
    assert_eq!(streams.push(end(1), (&half[..50], 50), 0, none), Ok(()));
    let (next, mut heard) = (framed(2, 20), Vec::new());
    let each = |message: &[u8]| heard.push(message.to_vec());
    let pushed = streams.push(end(1), (&next, next.len()), SILENCE_NS + 1, each);
    assert_eq!((pushed, heard), (Ok(()), vec![vec![2; 20]]));
}
