use domain::{
    base::{MessageBuilder, Name, StaticCompressor},
    rdata::Txt,
};

use super::*;

type Owned = Name<Vec<u8>>;
/// What it is, records, the addresses that count, and the canonical name.
type Row<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a [&'a str],
    Option<&'a str>,
);
type Change = fn(&mut Vec<u8>);

fn name(text: &str) -> Owned {
    text.parse().expect("a name")
}

/// Records of an answer to a question of type `rtype` about `asked`, compressed as servers do.
fn answer(asked: &str, rtype: Rtype, records: &[(&str, &str)]) -> Vec<u8> {
    let target = StaticCompressor::new(Vec::new());
    let mut builder = MessageBuilder::from_target(target).expect("room");
    builder.header_mut().set_id(77);
    builder.header_mut().set_qr(true);
    let mut builder = builder.question();
    builder.push((name(asked), rtype)).expect("room");
    let mut builder = builder.answer();
    for (owner, data) in records {
        let owner = name(owner);
        let pushed = match data.parse() {
            Ok(IpAddr::V4(address)) => builder.push((owner, 60, A::new(address))),
            Ok(IpAddr::V6(address)) => builder.push((owner, 60, Aaaa::new(address))),
            Err(_) => match data.strip_prefix("text:") {
                Some(text) => {
                    let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes());
                    builder.push((owner, 60, text.expect("short")))
                }
                None => builder.push((owner, 60, Cname::new(name(data)))),
            },
        };
        pushed.expect("room");
    }
    builder.finish().into_target()
}

fn read(bytes: &[u8]) -> Message<'_> {
    Message::read(bytes).expect("readable").expect("addresses")
}

fn addresses(answer: &Answer) -> Vec<String> {
    let addresses = answer.addresses.iter();
    addresses.map(|(address, _)| address.to_string()).collect()
}

#[test]
fn only_what_aliases_lead_to_counts() {
    let rows: &[Row<'_>] = &[
        ("plain", &[("a.test", "10.0.0.1")], &["10.0.0.1"], None),
        (
            "two addresses",
            &[("a.test", "10.0.0.1"), ("a.test", "10.0.0.2")],
            &["10.0.0.1", "10.0.0.2"],
            None,
        ),
        (
            "an alias of an alias, in any order and case",
            &[
                ("C.test", "10.0.0.3"),
                ("b.Test", "c.test"),
                ("A.test", "B.test"),
            ],
            &["10.0.0.3"],
            Some("c.test"),
        ),
        (
            "a stranger's address beside it",
            &[("a.test", "10.0.0.1"), ("bank.test", "10.0.0.9")],
            &["10.0.0.1"],
            None,
        ),
        ("only a stranger's", &[("bank.test", "10.0.0.9")], &[], None),
        ("another type", &[("a.test", "2001:db8::1")], &[], None),
        ("text", &[("a.test", "text:10.0.0.1")], &[], None),
        ("an alias of nothing", &[("a.test", "b.test")], &[], None),
        (
            "aliases in a circle",
            &[("a.test", "b.test"), ("b.test", "a.test")],
            &[],
            None,
        ),
        ("an alias of itself", &[("a.test", "a.test")], &[], None),
        ("none", &[], &[], None),
    ];
    for (what, records, expected, canonical) in rows {
        let bytes = answer("a.test", Rtype::A, records);
        let answer = read(&bytes).answer();
        assert_eq!(addresses(&answer), *expected, "{what}");
        assert_eq!(answer.canonical.as_deref(), *canonical, "{what}");
    }
}

#[test]
fn ipv6_is_asked_for_by_itself() {
    let bytes = answer(
        "a.test",
        Rtype::AAAA,
        &[("a.test", "2001:db8::1"), ("a.test", "::ffff:10.0.0.1")],
    );
    let message = read(&bytes);
    assert_eq!(message.question.wanted, Wanted::Ipv6);
    assert_eq!(addresses(&message.answer()), ["2001:db8::1", "10.0.0.1"]);
}

#[test]
fn of_a_cut_answer_what_is_whole_counts() {
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    let records: Vec<_> = all.iter().map(|address| ("a.test", *address)).collect();
    let bytes = answer("a.test", Rtype::A, &records);
    // A record is two bytes of a pointer, ten of its own, four of an address.
    let begin = bytes.len() - 3 * 16;
    for length in 0..bytes.len() {
        let Ok(Some(message)) = Message::read(&bytes[..length]) else {
            assert!(length < begin);
            continue;
        };
        let whole = length.saturating_sub(begin) / 16;
        let answer = message.answer();
        assert_eq!(addresses(&answer), all[..whole], "{length}");
        assert!(!answer.is_whole, "{length}");
    }
    assert!(read(&bytes).answer().is_whole);
    let mut bytes = bytes;
    bytes[2] |= 1 << 1;
    assert!(!read(&bytes).answer().is_whole, "the server says it is cut");
}

#[test]
fn what_is_not_about_addresses_is_left_out() {
    let cases: [(&str, Change); 5] = [
        ("another operation", |bytes| bytes[2] |= 5 << 3),
        ("no question", |bytes| bytes[5] = 0),
        ("two questions", |bytes| bytes[5] = 2),
        ("another type", |bytes| bytes[12 + 8 + 1] = 16),
        ("another class", |bytes| bytes[12 + 8 + 3] = 3),
    ];
    for (what, damage) in cases {
        let mut bytes = answer("a.test", Rtype::A, &[("a.test", "10.0.0.1")]);
        damage(&mut bytes);
        assert!(matches!(Message::read(&bytes), Ok(None)), "{what}");
    }
    let mut bytes = answer("a.test", Rtype::A, &[("a.test", "10.0.0.1")]);
    bytes[3] |= 2;
    assert_eq!(read(&bytes).answer(), Answer::default(), "it cannot say");
    bytes[3] |= 3;
    let none = Answer {
        is_whole: true,
        ..Answer::default()
    };
    assert_eq!(read(&bytes).answer(), none, "no such name");
}

/// A question about a name of these bytes.
fn question(name: &[u8]) -> Vec<u8> {
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&header[..], name, &[0, 1, 0, 1]].concat()
}

#[test]
fn names_are_written_harmlessly_or_refused() {
    let label = |byte: u8, len: usize| [&[len as u8][..], &vec![byte; len]].concat();
    let long = |byte| {
        [
            label(byte, 62),
            label(byte, 62),
            label(byte, 62),
            label(byte, 62),
        ]
    };
    for (name, expected) in [
        (b"\x03WwW\x04Test\0".to_vec(), Some("www.test".to_owned())),
        (b"\x04_dns\x01-\0".to_vec(), Some("_dns.-".to_owned())),
        (
            b"\x03a.b\x03c\\d\x03\x1b[m\x02\xc3\xa9\x01 \0".to_vec(),
            Some("a\\046b.c\\092d.\\027[m.\\195\\169.\\032".to_owned()),
        ),
        (
            [long(b'x').concat(), vec![0]].concat(),
            Some(vec!["x".repeat(62); 4].join(".")),
        ),
        // Four times as long once it is written.
        ([long(7).concat(), vec![0]].concat(), None),
        // The root.
        (vec![0], None),
        // Longer than names may be.
        ([label(b'x', 63).repeat(4), vec![0]].concat(), None),
        (label(b'x', 63).repeat(60), None),
        // Pointers to themselves, in a circle, forwards, and nowhere.
        (vec![0xc0, 12], None),
        (vec![1, b'a', 0xc0, 12], None),
        (vec![0xc0, 14, 0xc0, 12], None),
        (vec![0xc0, 40], None),
        (vec![0xff, 0xff], None),
        // Labels of a kind that does not exist.
        (vec![0x80, 1, 0], None),
    ] {
        let bytes = question(&name);
        let read = Message::read(&bytes);
        match expected {
            Some(text) => assert_eq!(*read.expect("read").expect("one").question.name, *text),
            None => assert!(matches!(read, Err(Unreadable)), "{name:?}"),
        }
    }
}

#[test]
fn a_bomb_is_small() {
    let records = vec![("a.test", "10.0.0.1"); 3000];
    let bytes = answer("a.test", Rtype::A, &records);
    assert_eq!(read(&bytes).answer().addresses.len(), MAX_ADDRESSES);
    // Aliases of aliases, more than are followed.
    let names: Vec<_> = (0..40).map(|at| format!("n{at}.test")).collect();
    let mut chain: Vec<_> = names
        .windows(2)
        .map(|pair| (&*pair[0], &*pair[1]))
        .collect();
    chain.push((&names[39], "10.0.0.1"));
    let bytes = answer("n0.test", Rtype::A, &chain);
    assert_eq!(read(&bytes).answer(), Answer::default());
    let bytes = answer("n30.test", Rtype::A, &chain);
    let answer = read(&bytes).answer();
    assert_eq!(addresses(&answer), ["10.0.0.1"]);
    assert_eq!(answer.canonical.as_deref(), Some("n39.test"));
    // It says there are more than there are.
    let mut bytes = self::answer("a.test", Rtype::A, &[("a.test", "10.0.0.1")]);
    bytes[6..8].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(addresses(&read(&bytes).answer()), ["10.0.0.1"]);
    assert!(!read(&bytes).answer().is_whole);
}

/// Found by fuzzing: a name that is read out of the header changes with it.
#[test]
fn a_question_that_points_at_the_header_is_none() {
    let bytes = [
        0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3, b'w', b'w', 1, 0xc0, 0, 0, 1, 0, 1, 0,
        0, 0, 0,
    ];
    assert!(matches!(Message::read(&bytes), Err(Unreadable)));
}
