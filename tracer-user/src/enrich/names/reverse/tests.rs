//! Against servers of this process, on real sockets.

use super::*;

/// A server that answers each question by `answer`, given its bytes, so many times.
fn server(times: usize, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let at = socket.local_addr().expect("its address");
    thread::spawn(move || {
        let mut bytes = [0; 512];
        for _ in 0..times {
            let (length, from) = socket.recv_from(&mut bytes).expect("a question");
            for answer in answer(&bytes[..length]) {
                socket.send_to(&answer, from).expect("to answer");
            }
        }
    });
    at
}

/// The answer `name` to a question, which is its beginning.
fn named(question: &[u8], name: &[&str]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80; // it answers
    bytes[7] = 1; // one record
    let mut data = Vec::new();
    for label in name {
        data.push(label.len() as u8);
        data.extend_from_slice(label.as_bytes());
    }
    data.push(0);
    // Its owner is the name in the question; PTR, IN, a minute.
    bytes.extend_from_slice(&[0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
    bytes.extend_from_slice(&data);
    bytes
}

fn with_code(question: &[u8], code: u8) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[3] |= code;
    bytes
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const NAME: &[&str] = &["Db", "Example"];

fn waited(reverse: &mut Reverse, address: IpAddr) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let name = reverse.name(address).map(ToString::to_string);
        let is_answered = reverse
            .known
            .peek(&address)
            .is_some_and(|it| it.until.is_some());
        if is_answered || Instant::now() > deadline {
            return name;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_name_is_there_when_it_was_answered() {
    let at = server(2, |question| vec![named(question, NAME)]);
    let mut reverse = Reverse::of(vec![at]).expect("a thread");
    assert_eq!(reverse.name(ADDRESS), None, "nobody waits");
    assert_eq!(waited(&mut reverse, ADDRESS).as_deref(), Some("db.example"));
    let v6 = "2001:db8::7".parse().expect("an address");
    assert_eq!(waited(&mut reverse, v6).as_deref(), Some("db.example"));
}

#[test]
fn what_answers_something_else_is_not_believed() {
    let at = server(1, |question| {
        let mut other_number = named(question, &["forged"]);
        other_number[0] ^= 1;
        let mut other_question = named(question, &["forged"]);
        other_question[13] ^= 1; // the first digit of the address
        let not_an_answer = question.to_vec();
        vec![
            Vec::new(),
            other_number,
            other_question,
            not_an_answer,
            named(question, NAME),
        ]
    });
    let mut reverse = Reverse::of(vec![at]).expect("a thread");
    assert_eq!(waited(&mut reverse, ADDRESS).as_deref(), Some("db.example"));
}

#[test]
fn the_next_server_is_asked_where_one_cannot_answer() {
    let failing = server(1, |question| vec![with_code(question, 2)]);
    let good = server(1, |question| vec![named(question, NAME)]);
    let mut reverse = Reverse::of(vec![failing, good]).expect("a thread");
    assert_eq!(waited(&mut reverse, ADDRESS).as_deref(), Some("db.example"));
}

#[test]
fn no_name_is_an_answer_too() {
    let at = server(1, |question| vec![with_code(question, 3)]);
    let mut reverse = Reverse::of(vec![at]).expect("a thread");
    assert_eq!(waited(&mut reverse, ADDRESS), None);
    // It is not asked again soon: there is nobody who would answer.
    assert_eq!(reverse.name(ADDRESS), None);
    let until = reverse.known.peek(&ADDRESS).and_then(|known| known.until);
    assert!(until > Some(Instant::now() + NAMELESS / 2));
}

#[test]
fn servers_are_read_as_resolvers_read_them() {
    let at = |text: &str| {
        servers(text)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        at(
            "# mine\nsearch example\nnameserver 192.0.2.1 \nnameserver\t2001:db8::1\nnameserver x\n"
        ),
        ["192.0.2.1:53", "[2001:db8::1]:53"]
    );
    assert_eq!(at(&"nameserver 192.0.2.1\n".repeat(9)).len(), MAX_SERVERS);
    assert_eq!(at("options edns0\n"), ["127.0.0.1:53"]);
}
