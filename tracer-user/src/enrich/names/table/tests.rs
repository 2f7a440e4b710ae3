use std::{collections::BTreeSet, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Who asks.
const USER: Payer = Payer::User(1000);

fn process(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: 1 }
}

fn question(name: &str) -> Question {
    Question {
        id: 1,
        name: name.into(),
        wanted: Wanted::Ipv4,
    }
}

fn answer(addresses: &[IpAddr], ttl: u32) -> Answer {
    Answer {
        addresses: addresses.iter().map(|it| (*it, ttl)).collect(),
        canonical: None,
        is_whole: true,
    }
}

/// The process with this number is told at that second that `name` has these addresses.
fn tell(table: &mut Table, pid: u32, name: &str, addresses: &[IpAddr], (at_s, ttl): (u64, u32)) {
    let answer = answer(addresses, ttl);
    let who = (1, process(pid), USER);
    table.learn(who, &question(name), &answer, at_s * SECOND_NS, |_| true);
}

/// The names that the process has for [`ADDRESS`] when it dials it then.
fn dial(table: &mut Table, pid: u32, at_s: u64) -> Option<Vec<String>> {
    let living = table.own((1, process(pid), USER), ADDRESS, at_s * SECOND_NS)?;
    let names = living.names.iter();
    Some(names.map(|(name, _)| name.to_string()).collect())
}

fn shared(table: &mut Table, at_s: u64) -> Option<String> {
    let found = table.shared((1, USER), ADDRESS, at_s * SECOND_NS)?;
    Some(found.0.to_string())
}

fn list(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|it| (*it).to_owned()).collect())
}

#[test]
fn a_name_lives_as_long_as_its_answer_may_be_kept() {
    for (ttl, life_s) in [
        (0, 30),
        (29, 30),
        (60, 60),
        (7200, 7200),
        (u32::MAX, 86_400),
    ] {
        for (after_s, is_living) in [(0, true), (life_s - 1, true), (life_s, false)] {
            let mut table = Table::new();
            tell(&mut table, 7, "a", &[ADDRESS], (100, ttl));
            let others = shared(&mut table, 100 + after_s);
            let own = dial(&mut table, 7, 100 + after_s);
            let expected: &[&str] = if is_living { &["a"] } else { &[] };
            assert_eq!(own, list(expected), "TTL {ttl}, after {after_s} s");
            assert_eq!(others.is_some(), is_living, "TTL {ttl}, after {after_s} s");
        }
        let mut table = Table::new();
        tell(&mut table, 7, "a", &[ADDRESS], (100, ttl));
        assert_eq!(dial(&mut table, 7, 99), list(&[]), "before the answer");
    }
}

#[test]
fn a_name_that_is_used_lives_on() {
    let mut table = Table::new();
    tell(&mut table, 7, "a", &[ADDRESS], (100, 60));
    for at_s in (150..2000).step_by(50) {
        assert_eq!(dial(&mut table, 7, at_s), list(&["a"]));
        assert_eq!(
            shared(&mut table, at_s).as_deref(),
            Some("a"),
            "for others, too"
        );
    }
    assert_eq!(dial(&mut table, 7, 2100), list(&[]));
    // Asked for again after it had ended, it is not what was dialled between.
    tell(&mut table, 7, "a", &[ADDRESS], (2200, 60));
    assert_eq!(dial(&mut table, 7, 2200), list(&["a"]));
    assert_eq!(dial(&mut table, 7, 2150), list(&[]));
}

#[test]
fn a_name_that_moved_ends() {
    for (what, now, is_whole, expected) in [
        ("elsewhere", &[OTHER][..], true, &[][..]),
        ("nowhere", &[], true, &[]),
        ("both", &[OTHER, ADDRESS], true, &["a"]),
        ("a part of the answer", &[OTHER], false, &["a"]),
        ("nobody knows", &[], false, &["a"]),
    ] {
        let mut table = Table::new();
        tell(&mut table, 7, "a", &[ADDRESS], (100, 3600));
        tell(&mut table, 8, "a", &[ADDRESS], (101, 3600));
        tell(&mut table, 7, "b", &[OTHER], (102, 3600));
        let told = Answer {
            is_whole,
            ..answer(now, 3600)
        };
        let who = (1, process(7), USER);
        let time_ns = 200 * SECOND_NS;
        table.learn(who, &question("a"), &told, time_ns, |_| true);
        assert_eq!(dial(&mut table, 7, 199), list(&["a"]), "{what}: before");
        assert_eq!(dial(&mut table, 7, 200), list(expected), "{what}");
        assert_eq!(
            dial(&mut table, 7, 201),
            list(expected),
            "{what}: no use brings it back"
        );
        assert_eq!(
            dial(&mut table, 8, 201),
            list(&["a"]),
            "{what}: of another process"
        );
    }
}

#[test]
fn a_moved_name_is_none_for_others() {
    let mut table = Table::new();
    tell(&mut table, 7, "a", &[ADDRESS], (100, 3600));
    assert_eq!(shared(&mut table, 101).as_deref(), Some("a"));
    tell(&mut table, 7, "a", &[OTHER], (110, 3600));
    assert_eq!(shared(&mut table, 111), None);
    tell(&mut table, 8, "b", &[ADDRESS], (112, 3600));
    assert_eq!(shared(&mut table, 113).as_deref(), Some("b"));
}

#[test]
fn several_living_names_are_all_kept() {
    let mut table = Table::new();
    tell(&mut table, 7, "b", &[ADDRESS], (100, 0));
    tell(&mut table, 7, "a", &[ADDRESS], (120, 0));
    tell(&mut table, 8, "c", &[ADDRESS], (120, 0));
    assert_eq!(dial(&mut table, 7, 121), list(&["a", "b"]));
    assert_eq!(dial(&mut table, 8, 121), list(&["c"]), "each its own");
    assert_eq!(dial(&mut table, 9, 121), None, "it asked for nothing");
    assert_eq!(shared(&mut table, 121), None, "of three nobody knows which");
    let again = ProcessKey {
        pid: 7,
        start_ns: 2,
    };
    let found = table.own((1, again, USER), ADDRESS, 121 * SECOND_NS);
    assert_eq!(found, None, "another process with that id");
}

#[test]
fn names_of_one_address_are_bounded_and_say_so() {
    let mut table = Table::new();
    for number in 0..100_000 {
        tell(
            &mut table,
            7,
            &format!("n{number:06}"),
            &[ADDRESS],
            (100, 60),
        );
    }
    let living = table.own((1, process(7), USER), ADDRESS, 101 * SECOND_NS);
    let living = living.expect("it asked");
    assert_eq!((living.names.len(), living.is_cut), (MAX_NAMES, true));
    assert_eq!(shared(&mut table, 101), None);
    // Once all of them are over, one alone is one.
    tell(&mut table, 7, "last", &[ADDRESS], (1000, 60));
    let living = table.own((1, process(7), USER), ADDRESS, 1001 * SECOND_NS);
    let living = living.expect("it asked");
    assert_eq!((living.names.len(), living.is_cut), (1, false));
    assert_eq!(shared(&mut table, 1001).as_deref(), Some("last"));
}

#[test]
fn the_table_is_bounded() {
    let mut table = Table::new();
    for number in 0..40_000_u32 {
        let address = Ipv4Addr::from_bits(number).into();
        tell(&mut table, number, "a", &[address], (100, 60));
    }
    assert_eq!(table.len(), CAPACITY.get());
    assert_eq!(table.answers.len(), ANSWERS.get());
}

/// What happens in a network namespace, a second or more after what was before.
#[derive(Clone, Debug)]
enum Happens {
    /// A process is told which of two addresses a name has, and for how long.
    Told {
        pid: u32,
        name: u8,
        addresses: [bool; 2],
        ttl: u32,
    },
    Dialled {
        pid: u32,
    },
}

fn happens() -> impl Strategy<Value = (u64, Happens)> {
    let told = (
        0..3_u32,
        0..4_u8,
        any::<[bool; 2]>(),
        prop_oneof![Just(0), Just(45), Just(600)],
    );
    let told = told.prop_map(|(pid, name, addresses, ttl)| Happens::Told {
        pid,
        name,
        addresses,
        ttl,
    });
    let dialled = (0..3_u32).prop_map(|pid| Happens::Dialled { pid });
    (
        prop_oneof![1..5_u64, 20..50_u64],
        prop_oneof![told, dialled],
    )
}

/// Until when each name of [`ADDRESS`] lives for each process, as the rules say: slow and plain.
#[derive(Default)]
struct Rules(Vec<(u32, u8, u64, u64)>);

impl Rules {
    fn told(&mut self, pid: u32, name: u8, has_it: bool, ttl: u32, now_s: u64) {
        self.0.retain(|it| (it.0, it.1) != (pid, name));
        if has_it {
            let life_s = u64::from(ttl).max(30);
            self.0.push((pid, name, life_s, now_s + life_s));
        }
    }

    fn living(&self, pid: Option<u32>, now_s: u64) -> BTreeSet<String> {
        let living = self.0.iter().filter(|it| it.3 > now_s);
        let of_it = living.filter(|it| pid.is_none_or(|pid| pid == it.0));
        of_it.map(|it| it.1.to_string()).collect()
    }

    fn dialled(&mut self, pid: u32, now_s: u64) {
        for it in self.0.iter_mut().filter(|it| it.0 == pid && it.3 > now_s) {
            it.3 = it.3.max(now_s + it.2);
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_order_the_rules_hold(steps in prop::collection::vec(happens(), 1..60)) {
        let (mut table, mut rules) = (Table::new(), Rules::default());
        let mut asked = BTreeSet::new();
        let mut now_s = 1000;
        for (later_s, step) in steps {
            now_s += later_s;
            match step {
                Happens::Told { pid, name, addresses, ttl } => {
                    let has: Vec<_> = [ADDRESS, OTHER]
                        .into_iter()
                        .zip(addresses)
                        .filter_map(|(address, has)| has.then_some(address))
                        .collect();
                    tell(&mut table, pid, &name.to_string(), &has, (now_s, ttl));
                    // A longer answer from before still holds.
                    let before = rules.0.iter().find(|it| (it.0, it.1) == (pid, name)).copied();
                    rules.told(pid, name, addresses[0], ttl, now_s);
                    if let (Some(before), Some(now)) = (before, rules.0.last_mut())
                        && addresses[0] && before.3 >= now_s
                    {
                        now.3 = now.3.max(before.3);
                    }
                    if addresses[0] {
                        asked.insert(pid);
                    }
                }
                Happens::Dialled { pid } => {
                    let own = dial(&mut table, pid, now_s);
                    prop_assert_eq!(own.is_some(), asked.contains(&pid));
                    let own: BTreeSet<_> = own.unwrap_or_default().into_iter().collect();
                    prop_assert_eq!(own, rules.living(Some(pid), now_s));
                    rules.dialled(pid, now_s);
                    // Of others a name is taken only where all of them mean the same.
                    let living = rules.living(None, now_s);
                    if let Some(shared) = shared(&mut table, now_s) {
                        prop_assert_eq!(living, BTreeSet::from([shared]));
                    }
                }
            }
        }
    }
}

/// Answers with as many addresses as there may be, to as many names as it takes to fill the tables many times:
/// of a user's processes, however many.
#[test]
fn one_users_answers_push_out_nobody_elses() {
    let mut table = Table::new();
    tell(&mut table, 7, "db", &[ADDRESS], (100, 3600));
    for number in 0..2_000_u32 {
        let addresses =
            (0..16).map(|at| IpAddr::from(Ipv4Addr::from(0x0b00_0000 | number << 4 | at)));
        let addresses: Vec<IpAddr> = addresses.collect();
        let who = (1, process(1_000 + number), Payer::User(2000));
        let question = question(&format!("n{number}"));
        let answer = answer(&addresses, 3600);
        table.learn(who, &question, &answer, 101 * SECOND_NS, |_| true);
        assert!(table.len() <= CAPACITY.get());
    }
    assert_eq!(dial(&mut table, 7, 102), list(&["db"]));
    assert_eq!(shared(&mut table, 102).as_deref(), Some("db"));
    // Nor is it forgotten what the next answer leaves out.
    tell(&mut table, 7, "db", &[OTHER], (103, 3600));
    assert_eq!(dial(&mut table, 7, 104), list(&[]));
}
