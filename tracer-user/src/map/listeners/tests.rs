use super::*;

const OTHERS: [usize; 2] = [7, 8];

fn at(second: usize) -> Timestamp {
    Timestamp::from_ns(second as u64 * 1_000_000_000)
}

fn place(port: u16) -> Place {
    Place {
        host: HostId::at(0),
        netns: 1,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED).into(),
        port,
    }
}

fn word(node: usize, second: usize, listens: bool) -> Word {
    Word {
        time: at(second),
        node: NodeId::at(node),
        listens,
        is_found: false,
        payer: Payer::User(1000),
    }
}

/// Two programs that listen by turns, so many times.
fn by_turns(all: &mut Listeners, port: u16, times: usize) -> usize {
    for n in 0..times {
        all.tell(place(port), word(OTHERS[n % 2], 2 * n + 10, true));
        all.tell(place(port), word(OTHERS[n % 2], 2 * n + 11, false));
    }
    2 * times + 10
}

#[test]
fn of_a_place_the_newest_is_known_however_much_came_before() {
    let mut all = Listeners::default();
    // One that listens all the time, beside others that come and go.
    all.tell(place(80), word(1, 1, true));
    let now = by_turns(&mut all, 80, 5000);
    assert!(all.places[&place(80)].words.len() <= MAX_HERE);
    assert_eq!(all.hosts[&HostId::at(0)].words, all.words);
    assert!(all.cut(HostId::at(0)) > 0, "what is forgotten is counted");
    all.tell(place(80), word(2, now, true));
    let who = holders(all.words(place(80), at(now)), at(now));
    assert_eq!(who, [NodeId::at(1), NodeId::at(2)]);
    // What it is not known of, nothing is said of.
    assert!(all.words(place(80), at(20)).is_empty());
    assert!(!all.holds(place(80), NodeId::at(1), at(20)));
    let open: Vec<NodeId> = all.open().map(|(socket, _)| socket.node).collect();
    assert_eq!(open, [NodeId::at(1), NodeId::at(2)]);
    // What is told late of that time is left out.
    all.tell(place(80), word(1, 30, false));
    all.tell(place(80), word(2, now + 1, false));
    assert_eq!(all.open().count(), 0);
}

#[test]
fn sockets_of_one_place_that_all_listen_are_counted() {
    let mut all = Listeners::default();
    for n in 0..MAX_HERE + 10 {
        all.tell(place(80), word(1, n, true));
    }
    let unkept = |all: &Listeners| all.unkept(|_| true).get(&NodeId::at(1)).copied();
    assert_eq!(unkept(&all), Some(10));
    for n in 0..MAX_HERE + 10 {
        let is_known = all.holds(place(80), NodeId::at(1), at(9_000 + n));
        assert_eq!(is_known, n < MAX_HERE, "{n}");
        all.tell(place(80), word(1, 9_000 + n, false));
    }
    assert_eq!((all.open().count(), unkept(&all)), (0, Some(0)));
    all.tell(place(80), word(1, 20_000, true));
    assert_eq!(all.open().count(), 1);
}

#[test]
fn what_a_place_forgets_is_given_back() {
    let mut all = Listeners::default();
    // Many more words than there is room for, of a few places.
    for port in 1..=100 {
        by_turns(&mut all, port, MAX_WORDS / 50);
    }
    let words: usize = all.places.values().map(|it| it.words.len()).sum();
    assert_eq!(all.words, words);
    assert!(words <= 100 * MAX_HERE);
    // Nothing but what is kept takes room.
    let left = (0..MAX_WORDS).filter(|n| {
        let before = all.words;
        let port = 1_000 + n % 60_000;
        let netns = 2 + (n / 60_000) as u32;
        let place = Place {
            netns,
            ..place(port as u16)
        };
        all.tell(place, word(1, 1, true));
        all.words > before
    });
    assert!(left.count() + words >= MAX_WORDS / 2);
}
