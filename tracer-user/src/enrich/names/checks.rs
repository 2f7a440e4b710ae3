//! What must hold of any bytes that are heard as DNS, or read as a file of names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    hosts,
    message::{self, MAX_ADDRESSES, MAX_NAME, Message, Pointer},
    *,
};

const PROCESS: ProcessKey = ProcessKey {
    pid: 7,
    start_ns: 1,
};
const NETNS: u32 = 1;
const NOW_NS: u64 = 1_000_000_000;

/// Hears `bytes` in every way there is.
///
/// # Panics
/// If something does not hold.
pub(crate) fn names(bytes: &[u8]) {
    datagram(bytes);
    stream(bytes);
    about_an_address(bytes);
    hosts_file(bytes);
    networks_file(bytes);
}

fn piece(transport: DnsTransport, sent: bool, bytes: &[u8]) -> DnsPiece<'_> {
    DnsPiece {
        netns: NETNS,
        process: PROCESS,
        uid: 0,
        server: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 53), 53)),
        local_port: 40_000,
        transport,
        sent,
        bytes,
        length: bytes.len(),
        time_ns: NOW_NS,
    }
}

fn is_sound(name: &str) {
    assert!((1..=MAX_NAME).contains(&name.len()), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

/// As an answer about an address: of any bytes, and of those that answer the question and go on
/// with any.
fn about_an_address(bytes: &[u8]) {
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7));
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let question = message::ask_for_name(id, address).expect("a question");
    assert_eq!(message::pointer(&question, id, address), None, "it asks");
    let mut answer = question;
    answer[2] |= 0x80;
    // How many records there are, as it says.
    answer[6..8].copy_from_slice(bytes.first_chunk::<2>().unwrap_or(&[0, 1]));
    answer.extend_from_slice(bytes);
    for bytes in [bytes, &answer] {
        if let Some(Pointer::Name(name)) = message::pointer(bytes, id, address) {
            is_sound(&name);
        }
        assert_eq!(message::pointer(bytes, !id, address), None, "of another");
    }
}

/// Nothing is learnt that was not asked for, all that was asked for is, and once.
fn datagram(bytes: &[u8]) {
    let received = piece(DnsTransport::Udp, false, bytes);
    let mut names = Names::new(None, None, Networks::default());
    names.learn(&received);
    names.learn(&piece(DnsTransport::Udp, true, bytes));
    names.learn(&piece(DnsTransport::Tcp, false, bytes));
    assert_eq!((names.table.len(), names.counts.answered), (0, 0));

    let Ok(Some(message)) = Message::read(bytes) else {
        return;
    };
    is_sound(&message.question.name);
    let answer = message.answer();
    assert!(answer.addresses.len() <= MAX_ADDRESSES);
    if let Some(canonical) = &answer.canonical {
        is_sound(canonical);
        assert_ne!(*canonical, message.question.name);
    }
    if !message.is_answer {
        assert!(answer.addresses.is_empty());
        return;
    }
    // What it answers: the same without the bit that makes it an answer.
    let mut question = bytes.to_vec();
    question[2] &= 0x7f;
    let mut names = Names::new(None, None, Networks::default());
    names.learn(&piece(DnsTransport::Udp, true, &question));
    assert_eq!(names.questions.len(), 1);
    names.learn(&received);
    names.learn(&received);
    let counts = names.counts();
    assert_eq!((counts.asked, counts.answered, counts.unasked), (1, 1, 1));
    assert_eq!(names.questions.len(), 0);
    for (address, _) in answer.addresses {
        let found = names.name(NETNS, (Some(PROCESS), Some(0)), address, NOW_NS);
        assert_eq!(found.is_some(), is_nameable(address));
        if let Some(found) = found {
            assert_eq!(found.only(), Some(&message.question.name));
            assert_eq!(found.source, NameSource::Dns);
        }
        let elsewhere = names.name(NETNS + 1, (Some(PROCESS), Some(0)), address, NOW_NS);
        assert_eq!(elsewhere, None);
    }
}

/// However a stream comes in pieces, it has the same messages; and little of it is kept.
fn stream(bytes: &[u8]) {
    let end = (Socket::of(&piece(DnsTransport::Tcp, false, bytes)), false);
    let split = |size: usize| {
        let (mut streams, mut messages) = (Streams::new(), Vec::new());
        for piece in bytes.chunks(size) {
            let each = |message: &[u8]| messages.push(message.to_vec());
            let pushed = streams.push(end, (piece, piece.len()), NOW_NS, each);
            assert!(streams.bytes() <= 2 * streams::MAX_MESSAGE);
            if pushed.is_err() {
                break;
            }
        }
        messages
    };
    let whole = split(bytes.len().max(1));
    for size in [1, 7, 600] {
        assert_eq!(split(size), whole);
    }
    // Told or not, bytes count.
    let mut names = Names::new(None, None, Networks::default());
    for length in [bytes.len() + 1, bytes.len() + 70_000, 0] {
        let mut piece = piece(DnsTransport::Tcp, false, bytes);
        piece.length = length;
        names.learn(&piece);
    }
    assert_eq!(names.table.len(), 0);
}

fn hosts_file(bytes: &[u8]) {
    let names = hosts::parse(bytes);
    assert!(names.len() <= hosts::MAX_ADDRESSES);
    for (address, name) in names {
        is_sound(&name);
        assert!(is_nameable(address));
    }
}

fn networks_file(bytes: &[u8]) {
    match Networks::parse(bytes) {
        Ok(networks) => {
            for address in ["10.1.2.3", "::1", "2001:db8::1"] {
                let address: IpAddr = address.parse().expect("an address");
                if let Some(name) = networks.name(address) {
                    is_sound(name);
                }
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("line "), "{text}");
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// Examples of all of these: an answer with an alias and two addresses, plain and in a stream,
/// one with an IPv6 address, and the two files.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let name = b"\x03www\x07example\x03com\0";
    let header = |answers: u8| [0x12, 0x34, 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0];
    let aliased = [
        &header(3)[..],
        name,
        &[0, 1, 0, 1],
        // At 33: an alias of `cdn.example.com`, whose labels begin at 45.
        &[0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 6],
        b"\x03cdn\xc0\x10",
        &[0xc0, 45, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1],
        &[0xc0, 45, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 2],
    ]
    .concat();
    let six = [
        &header(1)[..],
        name,
        &[0, 28, 0, 1],
        &[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16],
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    .concat();
    let framed = |message: &[u8]| {
        let length = u16::try_from(message.len()).unwrap_or_default();
        [&length.to_be_bytes(), message].concat()
    };
    let stream = [framed(&aliased), framed(&six)].concat();
    let hosts = b"127.0.0.1 localhost\n10.0.0.7 db.internal db # the database\nfe80::7 Switch.\n";
    let networks = b"# ours\n10.0.0.0/8 office\n10.1.0.0/16 lab\n2001:db8::/32 six\n10.0.0.7 db\n";
    vec![aliased, six, stream, hosts.to_vec(), networks.to_vec()]
}
