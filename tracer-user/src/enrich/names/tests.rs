use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use domain::{
    base::{MessageBuilder, Name as Wire, Rtype},
    rdata::{A, Cname},
};

use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const HOME: u32 = 1;
const SHARED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: 5 }
}

/// A talk of a process with a name server.
#[derive(Clone, Copy)]
struct Talk {
    netns: u32,
    pid: u32,
    uid: u32,
    server: [u8; 4],
    local_port: u16,
    transport: DnsTransport,
}

const TALK: Talk = Talk {
    netns: HOME,
    pid: 7,
    uid: 1000,
    server: [192, 0, 2, 53],
    local_port: 40_000,
    transport: DnsTransport::Udp,
};

impl Talk {
    fn piece<'a>(&self, sent: bool, bytes: &'a [u8], time_ns: u64) -> DnsPiece<'a> {
        DnsPiece {
            netns: self.netns,
            process: process(self.pid),
            uid: self.uid,
            server: SocketAddr::from((self.server, 53)),
            local_port: self.local_port,
            transport: self.transport,
            sent,
            bytes,
            length: bytes.len(),
            time_ns,
        }
    }

    /// Asks for `name`, and is told that it has `address`.
    fn resolve(&self, names: &mut Names, name: &str, address: Ipv4Addr, time_s: u64) {
        let time_ns = time_s * SECOND_NS;
        names.learn(&self.piece(true, &question(1, name), time_ns));
        names.learn(&self.piece(false, &answer(1, name, address), time_ns + 1));
    }
}

fn wire(name: &str) -> Wire<Vec<u8>> {
    name.parse().expect("a name")
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    let mut builder = builder.question();
    builder.push((wire(name), Rtype::A)).expect("room");
    builder.finish()
}

/// An answer, by way of an alias where `name` begins with `www`.
fn answer(id: u16, name: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_qr(true);
    let mut builder = builder.question();
    builder.push((wire(name), Rtype::A)).expect("room");
    let mut builder = builder.answer();
    let mut owner = wire(name);
    if name.to_ascii_lowercase().starts_with("www") {
        let target = wire("cdn.test");
        let pushed = builder.push((owner, 60, Cname::new(target.clone())));
        pushed.expect("room");
        owner = target;
    }
    builder.push((owner, 60, A::new(address))).expect("room");
    builder.finish()
}

fn names() -> Names {
    Names::new(Some(HOME), None, Networks::default())
}

fn found(names: &mut Names, netns: u32, pid: u32, address: Ipv4Addr, now_s: u64) -> Option<String> {
    let now_ns = now_s * SECOND_NS;
    let name = names.name(
        netns,
        (Some(process(pid)), Some(TALK.uid)),
        address.into(),
        now_ns,
    );
    name.and_then(|name| name.only().map(ToString::to_string))
}

#[test]
fn each_process_has_the_name_it_asked_for() {
    let mut names = names();
    let neighbour = Talk { pid: 8, ..TALK };
    TALK.resolve(&mut names, "a.test", SHARED, 100);
    neighbour.resolve(&mut names, "b.test", SHARED, 101);
    let at = |names: &mut Names, pid, at_s| found(names, HOME, pid, SHARED, at_s);
    assert_eq!(at(&mut names, 7, 102).as_deref(), Some("a.test"));
    assert_eq!(at(&mut names, 8, 102).as_deref(), Some("b.test"));
    assert_eq!(
        at(&mut names, 9, 102),
        None,
        "it is not clear which one is meant"
    );
    // Later it is: nobody uses the other name any more.
    neighbour.resolve(&mut names, "b.test", SHARED, 200);
    assert_eq!(at(&mut names, 9, 201).as_deref(), Some("b.test"));
    assert_eq!(at(&mut names, 7, 201), None, "who asked has no other's");
    // Another program uses the process's id.
    let other = ProcessKey {
        start_ns: 6,
        ..process(7)
    };
    let name = names.name(
        HOME,
        (Some(other), Some(TALK.uid)),
        SHARED.into(),
        201 * SECOND_NS,
    );
    assert_eq!(name.map(|name| name.source), Some(NameSource::DnsOther));
}

#[test]
fn what_a_user_asked_for_names_nothing_that_others_dial() {
    let mut names = names();
    let of = |uid| Talk { uid, ..TALK };
    let dials = |names: &mut Names, uid, at_s| {
        let who = (Some(process(9)), uid);
        let name = names.name(HOME, who, SHARED.into(), at_s * SECOND_NS);
        name.and_then(|name| name.only().map(ToString::to_string))
    };
    of(1000).resolve(&mut names, "bank.test", SHARED, 100);
    let own = Some("bank.test");
    assert_eq!(dials(&mut names, Some(1000), 101).as_deref(), own);
    for other in [Some(0), Some(1001), None] {
        assert_eq!(dials(&mut names, other, 101), None, "{other:?}");
    }
    // What root asked for is for all, and a user takes it from nobody else.
    let root = Talk { pid: 8, ..of(0) };
    root.resolve(&mut names, "db.test", SHARED, 102);
    for other in [Some(0), Some(1001), None] {
        let name = dials(&mut names, other, 103);
        assert_eq!(name.as_deref(), Some("db.test"), "{other:?}");
    }
    assert_eq!(dials(&mut names, Some(1000), 103), None, "either is meant");
    of(1000).resolve(&mut names, "db.test", SHARED, 200);
    root.resolve(&mut names, "db.test", SHARED, 200);
    let name = dials(&mut names, Some(1000), 201);
    assert_eq!(name.as_deref(), Some("db.test"), "both mean the same");
    // A resolver of the host asks for others.
    let resolver = Talk { pid: 6, ..of(101) };
    resolver.resolve(&mut names, "cache.test", SHARED, 900);
    for other in [Some(0), Some(1001), Some(102), None] {
        let name = dials(&mut names, other, 901);
        assert_eq!(name.as_deref(), Some("cache.test"), "{other:?}");
    }
}

#[test]
fn several_names_of_a_process_are_told_and_none_is_claimed() {
    let mut names = names();
    TALK.resolve(&mut names, "shop.test", SHARED, 100);
    TALK.resolve(&mut names, "blog.test", SHARED, 101);
    let name = names.name(
        HOME,
        (Some(process(7)), Some(TALK.uid)),
        SHARED.into(),
        102 * SECOND_NS,
    );
    let expected = Name {
        called: Called::OneOf {
            names: vec!["blog.test".into(), "shop.test".into()],
            is_cut: false,
        },
        source: NameSource::Dns,
    };
    assert_eq!(name, Some(expected));
    for number in 0..100 {
        TALK.resolve(&mut names, &format!("n{number}.test"), SHARED, 103);
    }
    let name = names.name(
        HOME,
        (Some(process(7)), Some(TALK.uid)),
        SHARED.into(),
        104 * SECOND_NS,
    );
    let name = name.expect("names");
    assert_eq!(name.all().len(), table::MAX_NAMES);
    assert!(matches!(name.called, Called::OneOf { is_cut: true, .. }));
}

#[test]
fn network_namespaces_do_not_mix() {
    let mut names = names();
    let container = Talk { netns: 2, ..TALK };
    TALK.resolve(&mut names, "a.test", SHARED, 100);
    assert_eq!(found(&mut names, 2, 7, SHARED, 101), None);
    container.resolve(&mut names, "b.test", SHARED, 100);
    for (netns, expected) in [(HOME, "a.test"), (2, "b.test")] {
        for pid in [7, 9] {
            let name = found(&mut names, netns, pid, SHARED, 101);
            assert_eq!(name.as_deref(), Some(expected));
        }
    }
}

#[test]
fn the_name_that_was_asked_for_is_kept_with_what_it_stands_for() {
    let mut names = names();
    TALK.resolve(&mut names, "WWW.a.test", SHARED, 100);
    let mapped = IpAddr::V6(SHARED.to_ipv6_mapped());
    for address in [SHARED.into(), mapped] {
        let name = names.name(
            HOME,
            (Some(process(7)), Some(TALK.uid)),
            address,
            101 * SECOND_NS,
        );
        let expected = Name {
            called: Called::One {
                name: "www.a.test".into(),
                canonical: Some("cdn.test".into()),
            },
            source: NameSource::Dns,
        };
        assert_eq!(name, Some(expected));
    }
}

#[test]
fn only_the_answer_to_the_question_is_believed() {
    let right = answer(1, "a.test", SHARED);
    let cases: [(&str, Talk, Vec<u8>, u64, bool); 13] = [
        ("the answer", TALK, right.clone(), 101, true),
        (
            "in another case",
            TALK,
            answer(1, "A.tEst", SHARED),
            101,
            true,
        ),
        ("late", TALK, right.clone(), 400, true),
        ("too late", TALK, right.clone(), 401, false),
        ("another id", TALK, answer(2, "a.test", SHARED), 101, false),
        (
            "another name",
            TALK,
            answer(1, "b.test", SHARED),
            101,
            false,
        ),
        (
            "another server",
            Talk {
                server: [192, 0, 2, 54],
                ..TALK
            },
            right.clone(),
            101,
            false,
        ),
        (
            "another port",
            Talk {
                local_port: 1,
                ..TALK
            },
            right.clone(),
            101,
            false,
        ),
        (
            "another process",
            Talk { pid: 8, ..TALK },
            right.clone(),
            101,
            false,
        ),
        (
            "another namespace",
            Talk { netns: 2, ..TALK },
            right.clone(),
            101,
            false,
        ),
        (
            "another type",
            TALK,
            {
                let mut bytes = right.clone();
                bytes[12 + 8 + 1] = 28;
                bytes
            },
            101,
            false,
        ),
        (
            "a stream",
            Talk {
                transport: DnsTransport::Tcp,
                ..TALK
            },
            [&[0, right.len() as u8][..], &right].concat(),
            101,
            false,
        ),
        ("only a question", TALK, question(1, "a.test"), 101, false),
    ];
    for (what, talk, bytes, time_s, is_believed) in cases {
        let mut names = names();
        names.learn(&TALK.piece(true, &question(1, "a.test"), 100 * SECOND_NS));
        names.learn(&talk.piece(false, &bytes, time_s * SECOND_NS));
        let name = found(&mut names, talk.netns, talk.pid, SHARED, time_s);
        assert_eq!(name.is_some(), is_believed, "{what}");
        let counts = names.counts();
        assert_eq!(counts.answered, u64::from(is_believed), "{what}");
        let is_forged = !is_believed && what != "only a question";
        assert_eq!(counts.unasked, u64::from(is_forged), "{what}");
    }
}

#[test]
fn an_answer_is_believed_once_and_later_ones_are_counted() {
    let mut names = names();
    let other = Ipv4Addr::new(10, 0, 0, 2);
    TALK.resolve(&mut names, "a.test", SHARED, 100);
    names.learn(&TALK.piece(false, &answer(1, "a.test", other), 101 * SECOND_NS));
    assert_eq!(found(&mut names, HOME, 7, other, 102), None);
    assert_eq!((names.counts().answered, names.counts().unasked), (1, 1));
    // Asked again with the same answer: the same name, for longer.
    TALK.resolve(&mut names, "a.test", SHARED, 150);
    assert_eq!(
        found(&mut names, HOME, 7, SHARED, 200).as_deref(),
        Some("a.test")
    );
    // Asked again with another one: it is no name of the former address.
    TALK.resolve(&mut names, "a.test", other, 201);
    assert_eq!(found(&mut names, HOME, 7, SHARED, 202), None);
    assert_eq!(
        found(&mut names, HOME, 7, other, 202).as_deref(),
        Some("a.test")
    );
}

#[test]
fn streams_are_heard_in_any_pieces() {
    let talk = Talk {
        transport: DnsTransport::Tcp,
        ..TALK
    };
    let frame = |bytes: Vec<u8>| [&[0, bytes.len() as u8][..], &bytes].concat();
    let asked = [
        frame(question(1, "a.test")),
        frame(question(2, "www.b.test")),
    ]
    .concat();
    let other = Ipv4Addr::new(10, 0, 0, 2);
    // Servers may answer in another order.
    let told = [
        frame(answer(2, "www.b.test", other)),
        frame(answer(1, "a.test", SHARED)),
    ]
    .concat();
    for size in 1..told.len() {
        let mut names = names();
        for piece in asked.chunks(size) {
            names.learn(&talk.piece(true, piece, 100 * SECOND_NS));
        }
        for piece in told.chunks(size) {
            names.learn(&talk.piece(false, piece, 101 * SECOND_NS));
        }
        assert_eq!(
            found(&mut names, HOME, 7, SHARED, 102).as_deref(),
            Some("a.test")
        );
        assert_eq!(
            found(&mut names, HOME, 7, other, 102).as_deref(),
            Some("www.b.test")
        );
        let expected = NameCounts {
            asked: 2,
            answered: 2,
            ..NameCounts::default()
        };
        assert_eq!(names.counts(), expected);
    }
}

#[test]
fn addresses_of_the_host_itself_have_no_name() {
    let mut names = names();
    for address in [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
    ] {
        TALK.resolve(&mut names, "blocked.test", address, 100);
        assert_eq!(found(&mut names, HOME, 7, address, 101), None);
    }
    assert_eq!(names.counts().answered, 3);
}

#[test]
fn files_name_what_nobody_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    fs::write(&path, "10.0.0.1 hosts.test\n127.0.0.1 localhost\n").expect("written");
    let networks = Networks::parse(b"10.0.0.0/8 office\n127.0.0.1 me\n").expect("a file");
    let mut names = Names::new(Some(HOME), Some(path), networks);
    names.refresh(0);
    let mut at = |netns, address: [u8; 4]| {
        let name = names.name(netns, (None, None), address.into(), SECOND_NS);
        name.and_then(|name| Some((name.only()?.to_string(), name.source)))
    };
    let file = |name: &str| Some((name.to_owned(), NameSource::File));
    let hosts = Some(("hosts.test".to_owned(), NameSource::Hosts));
    assert_eq!(at(HOME, [10, 0, 0, 1]), hosts);
    assert_eq!(at(2, [10, 0, 0, 1]), file("office"), "another one's file");
    assert_eq!(at(HOME, [10, 0, 0, 2]), file("office"));
    assert_eq!(at(HOME, [127, 0, 0, 1]), file("me"));
    assert_eq!(at(HOME, [11, 0, 0, 1]), None);
    // What was asked for says more than any file.
    TALK.resolve(&mut names, "a.test", SHARED, 1);
    let name = names.name(HOME, (None, Some(TALK.uid)), SHARED.into(), 2 * SECOND_NS);
    assert_eq!(name.map(|name| name.source), Some(NameSource::DnsOther));
}

#[test]
fn questions_without_answers_are_bounded() {
    let mut names = names();
    for number in 0..20_000 {
        let name = format!("n{number}.test");
        names.learn(&TALK.piece(true, &question(1, &name), 100 * SECOND_NS));
    }
    assert_eq!(names.questions.len(), 4096);
    let last = answer(1, "n19999.test", SHARED);
    names.learn(&TALK.piece(false, &last, 100 * SECOND_NS));
    assert_eq!(
        found(&mut names, HOME, 7, SHARED, 101).as_deref(),
        Some("n19999.test")
    );
}

/// However much one user asks, and whatever he is told, others' answers are known.
#[test]
fn nobody_hides_the_names_of_others() {
    let mut names = names();
    let other = Talk {
        pid: 8,
        uid: 1001,
        server: [192, 0, 2, 66],
        ..TALK
    };
    names.learn(&TALK.piece(true, &question(1, "db.test"), 100 * SECOND_NS));
    for number in 0..20_000 {
        let name = format!("n{number}.test");
        names.learn(&other.piece(true, &question(1, &name), 100 * SECOND_NS));
    }
    let told = answer(1, "db.test", SHARED);
    names.learn(&TALK.piece(false, &told, 101 * SECOND_NS));
    for number in 0..40_000_u32 {
        let address = Ipv4Addr::from(0x0b00_0000 | number);
        other.resolve(&mut names, &format!("n{number}.test"), address, 102);
    }
    assert_eq!(
        found(&mut names, HOME, 7, SHARED, 103).as_deref(),
        Some("db.test")
    );
}

#[test]
fn examples_are_what_they_are_meant_to_be() {
    let examples = checks::examples();
    for (example, name, count) in [(0, "www.example.com", 2), (1, "www.example.com", 1)] {
        let message = Message::read(&examples[example]);
        let message = message.expect("readable").expect("addresses");
        assert_eq!(&*message.question.name, name);
        assert_eq!(message.answer().addresses.len(), count);
    }
    assert!(Networks::parse(&examples[4]).is_ok());
    assert_eq!(hosts::parse(&examples[3]).len(), 2);
    examples.iter().for_each(|example| checks::names(example));
}
