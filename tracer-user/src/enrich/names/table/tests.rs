use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: 1 }
}

fn known(name: &str, asked_s: u64, ttl: u32) -> Known {
    Known::new(name.into(), None, asked_s * SECOND_NS, ttl)
}

fn name(known: Option<&Known>) -> Option<&str> {
    known.map(|known| &*known.name)
}

#[test]
fn what_was_asked_last_holds_for_others_if_it_is_clear() {
    for (what, asked, expected) in [
        ("one name", vec![("a", 100)], Some("a")),
        (
            "again and again",
            vec![("a", 100), ("a", 101), ("a", 300)],
            Some("a"),
        ),
        ("two at once", vec![("a", 100), ("b", 101)], None),
        ("two, a minute apart", vec![("a", 100), ("b", 160)], None),
        (
            "two, more than that",
            vec![("a", 100), ("b", 161)],
            Some("b"),
        ),
        ("in turn", vec![("a", 100), ("b", 200), ("a", 201)], None),
        (
            "in turn, slowly",
            vec![("a", 100), ("b", 200), ("a", 300)],
            Some("a"),
        ),
        (
            "once it is quiet",
            vec![("a", 100), ("b", 101), ("b", 162)],
            Some("b"),
        ),
        (
            "an old one comes late",
            vec![("b", 200), ("a", 100)],
            Some("b"),
        ),
        ("not so old", vec![("b", 200), ("a", 150)], None),
        (
            "a third one",
            vec![("a", 100), ("b", 150), ("c", 211)],
            Some("c"),
        ),
    ] {
        let mut table = Table::new();
        for (name, asked_s) in asked {
            table.learn(1, process(7), ADDRESS, &known(name, asked_s, 60));
        }
        let found = table.shared(1, ADDRESS, 400 * SECOND_NS);
        assert_eq!(name(found), expected, "{what}");
        assert_eq!(name(table.shared(2, ADDRESS, 400 * SECOND_NS)), None);
    }
}

#[test]
fn a_name_outlives_its_answer_but_not_for_ever() {
    for (ttl, life_s) in [(0, 3600), (60, 3600), (7200, 7200), (u32::MAX, 86_400)] {
        let mut table = Table::new();
        table.learn(1, process(7), ADDRESS, &known("a", 100, ttl));
        for (now_s, expected) in [(99, true), (100 + life_s - 1, true), (100 + life_s, false)] {
            let now_ns = now_s * SECOND_NS;
            assert_eq!(
                table.own(1, process(7), ADDRESS, now_ns).is_some(),
                expected
            );
            assert_eq!(table.shared(1, ADDRESS, now_ns).is_some(), expected);
        }
    }
}

#[test]
fn what_a_process_asked_last_holds_for_itself() {
    let mut table = Table::new();
    table.learn(1, process(7), ADDRESS, &known("b", 101, 60));
    table.learn(1, process(7), ADDRESS, &known("a", 100, 60));
    table.learn(1, process(8), ADDRESS, &known("c", 102, 60));
    for (pid, expected) in [(7, Some("b")), (8, Some("c")), (9, None)] {
        let found = table.own(1, process(pid), ADDRESS, 103 * SECOND_NS);
        assert_eq!(name(found), expected);
    }
    let again = ProcessKey {
        pid: 7,
        start_ns: 2,
    };
    let found = table.own(1, again, ADDRESS, 103 * SECOND_NS);
    assert_eq!(name(found), None, "another process with that id");
}

#[test]
fn the_table_is_bounded() {
    let mut table = Table::new();
    for number in 0..40_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(number).into();
        table.learn(1, process(number), address, &known("a", 100, 60));
    }
    assert_eq!(table.len(), CAPACITY.get());
}
