//! The same in every run of the tests: a few hundred inputs each, of which proptest shows
//! the smallest that fails. `PROPTEST_CASES` asks for more.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*, sample::Index};
use tracer_common::{Direction, EXE_LEN, Ended, Executed, Kind, Listening, Opened};

use super::{btf, checks, decode, labels, names, outputs, procfs, replay, rules, seeds};

/// This many cases in a debug build, and nothing is written into the sources: what fails
/// becomes a test by hand.
pub(super) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A record of any kind with any bits.
fn record() -> impl Strategy<Value = Vec<u8>> {
    (0..Kind::COUNT as u32).prop_flat_map(|kind| {
        let size = checks::size(Kind(kind)).expect("every kind has a size");
        vec(any::<u8>(), size).prop_map(move |mut bytes| {
            bytes[8..12].copy_from_slice(&kind.to_ne_bytes());
            bytes
        })
    })
}

/// A record whose tags are ones that mean something, and some that mean nothing.
fn likely_record() -> impl Strategy<Value = Vec<u8>> {
    (record(), text(), any::<[u8; 8]>()).prop_map(|(mut bytes, text, tags)| {
        let kind = bytes[8..12].try_into().map(u32::from_ne_bytes);
        let kind = Kind(kind.expect("four bytes"));
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        macro_rules! at {
            ($type:ident, $($field:ident).+) => { std::mem::offset_of!($type, $($field).+) };
        }
        let mut comm = [0; 16];
        comm.iter_mut()
            .zip(text.bytes())
            .for_each(|(to, from)| *to = from);
        let source = u16::from(tags[0] % 6).to_ne_bytes();
        let family = [2_u16, 10, 10, 0][usize::from(tags[1] % 4)].to_ne_bytes();
        match kind {
            Kind::LISTEN | Kind::UNLISTEN => {
                put(at!(Listening, process.source), &source);
                put(at!(Listening, process.comm), &comm);
                put(at!(Listening, flow.family), &family);
            }
            Kind::EXEC => {
                let mut exe = [0; EXE_LEN];
                exe.iter_mut()
                    .zip(text.bytes())
                    .for_each(|(to, from)| *to = from);
                put(at!(Executed, process.comm), &comm);
                put(at!(Executed, exe), &exe);
                put(
                    at!(Executed, exe_bytes),
                    &(u32::from(tags[3]) * 16).to_ne_bytes(),
                );
                put(
                    at!(Executed, args_bytes),
                    &(u32::from(tags[2]) * 8).to_ne_bytes(),
                );
            }
            Kind::EXIT | Kind::FORK | Kind::CGROUP | Kind::MESSAGE | Kind::REDIRECT => {}
            _ => {
                // The connection is at the same place in both of its records.
                put(at!(Opened, connection.process.source), &source);
                put(at!(Opened, connection.process.comm), &comm);
                put(at!(Opened, connection.flow.family), &family);
                let direction = Direction(tags[3] % 4);
                put(at!(Opened, connection.direction), &[direction.0]);
                put(at!(Opened, connection.flags), &[tags[4] % 8]);
                put(at!(Opened, connection.last_state), &[tags[5] % 13]);
                if tags[6].is_multiple_of(2) {
                    put(at!(Opened, connection.established_ns), &[0; 8]);
                }
            }
        }
        if matches!(kind, Kind::CLOSE | Kind::FAIL) {
            put(at!(Ended, errno), &u32::from(tags[7] % 140).to_ne_bytes());
        }
        bytes
    })
}

/// Text with more than its share of what is hard to print.
fn text() -> impl Strategy<Value = String> {
    let odd = "[\\\\\"'{}\\]\\[nxu0-9 \0-\u{1f}\u{7f}-\u{a0}\u{ad}\u{300}-\u{36f}\u{200b}-\u{206f}\u{fe00}-\u{feff}\u{e0000}-\u{e01ef}]{0,40}";
    prop_oneof![any::<String>(), odd]
}

/// A line of a file of names, or nearly one.
fn names_line() -> impl Strategy<Value = String> {
    let network = prop_oneof![
        any::<(std::net::IpAddr, u8)>().prop_map(|(address, length)| format!("{address}/{length}")),
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, length)| {
            let bits = bits.checked_shr(32 - u32::from(length)).unwrap_or(0);
            let bits = bits.checked_shl(32 - u32::from(length)).unwrap_or(0);
            format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits))
        }),
        any::<std::net::IpAddr>().prop_map(|address| address.to_string()),
        text(),
    ];
    (network, "[ \t]{1,3}", text()).prop_map(|(network, space, name)| network + &space + &name)
}

/// A way to do damage.
#[derive(Clone, Debug)]
enum Damage {
    /// Another byte here.
    Byte(Index, u8),
    /// Another number here, aligned as BTF has them.
    Word(Index, u32),
    /// What is there replaced by what is elsewhere, so many bytes.
    Copy(Index, Index, usize),
    /// Nothing any more from here on.
    Cut(Index),
}

impl Damage {
    fn to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Self::Byte(at, value) => bytes[at.index(len)] = *value,
            Self::Word(at, value) => {
                let at = at.index(len) / 4 * 4;
                if let Some(word) = bytes.get_mut(at..at + 4) {
                    word.copy_from_slice(&value.to_ne_bytes());
                }
            }
            Self::Copy(from, to, count) => {
                let (from, to) = (from.index(len), to.index(len));
                let count = (*count).min(len - from.max(to));
                bytes.copy_within(from..from + count, to);
            }
            Self::Cut(at) => bytes.truncate(at.index(len)),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![
        any::<u32>(),
        0..300_u32,
        // A type with up to as many members, of every kind there is or is not.
        (0..32_u32, 0..4_u32).prop_map(|(kind, vlen)| kind << 24 | vlen),
        Just(u32::MAX),
        Just(0xffff),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Damage::Byte(at, value)),
        8 => (any::<Index>(), word).prop_map(|(at, value)| Damage::Word(at, value)),
        4 => (any::<Index>(), any::<Index>(), 1..64_usize)
            .prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

/// The answers that are asked of this kernel's type information, and what is left of it
/// when nothing else is kept.
static KERNEL: LazyLock<Option<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let Some(whole) = checks::kernel_types() else {
        eprintln!("skipped: the types of this kernel cannot be read");
        return None;
    };
    let carved = checks::carved(whole.clone())?;
    Some((whole, carved))
});

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        decode(&bytes);
    }

    #[test]
    fn a_record_of_another_length_is_none(
        record in record(),
        length in prop_oneof![any::<Index>().prop_map(Ok), vec(any::<u8>(), 1..20).prop_map(Err)],
    ) {
        let mut bytes = record;
        match length {
            Ok(cut) => bytes.truncate(cut.index(bytes.len())),
            Err(more) => bytes.extend(more),
        }
        prop_assert!(checks::Run::new().told(&bytes).is_none());
    }

    #[test]
    fn any_bytes_are_types_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        btf(&bytes);
        // Past the first thing that is looked at.
        let mut bytes = bytes;
        let header = [0x0001_eb9f, 24, 0, bytes.len() as u32 / 2, bytes.len() as u32 / 2, 100];
        bytes.splice(..0, header.into_iter().flat_map(u32::to_ne_bytes));
        btf(&bytes);
    }

    #[test]
    fn files_of_proc_may_hold_anything(bytes in vec(any::<u8>(), 0..300)) {
        procfs(&bytes);
    }

    #[test]
    fn files_of_proc_may_be_damaged(damage in vec(damage(), 1..10)) {
        for mut bytes in [
            b"812 (ng)in(x) S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2\n".to_vec(),
            b"Name:\tnginx\nUmask:\t0022\nUid:\t33\t33\t33\t33\nGid:\t33\t33\t33\t33\n".to_vec(),
            b"nginx: worker\0-g\0daemon off;\0\0".repeat(30),
        ] {
            damage.iter().for_each(|damage| damage.to(&mut bytes));
            procfs(&bytes);
        }
    }

    #[test]
    fn any_bytes_may_come_from_a_name_server(bytes in vec(any::<u8>(), 0..300)) {
        names(&bytes);
        // Past the header: a question, and records of some kind.
        let header = [0, 1, 0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0];
        names(&[&header, &bytes[..]].concat());
        names(&[&header, &b"\x01a\0\0\x01\0\x01"[..], &bytes].concat());
    }

    #[test]
    fn what_comes_from_a_name_server_may_be_damaged(damage in vec(damage(), 1..10)) {
        for mut bytes in seeds("names") {
            damage.iter().for_each(|damage| damage.to(&mut bytes));
            names(&bytes);
        }
    }

    #[test]
    fn a_recording_may_hold_anything(bytes in vec(any::<u8>(), 0..300)) {
        replay(&bytes);
    }

    #[test]
    fn a_recording_may_be_damaged(damage in vec(damage(), 1..10)) {
        for mut bytes in seeds("replay") {
            damage.iter().for_each(|damage| damage.to(&mut bytes));
            replay(&bytes);
        }
    }

    #[test]
    fn files_of_names_may_hold_anything(lines in vec(names_line(), 0..8)) {
        names(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_text_is_made_harmless_and_can_be_had_back(text in text(), max in 0..100_usize) {
        outputs::checks::harmless(&text, max);
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn every_record_tells_something(records in vec(record(), 1..3)) {
        decode(&records.concat());
    }

    #[test]
    fn sense_and_nonsense_are_told_in_lines_that_can_be_read(
        records in vec(likely_record(), 1..6),
    ) {
        decode(&records.concat());
    }

    #[test]
    fn a_damaged_row_of_records_does_no_harm(
        damage in vec(damage(), 1..20),
    ) {
        let mut bytes = checks::examples().concat();
        damage.iter().for_each(|damage| damage.to(&mut bytes));
        decode(&bytes);
    }

    #[test]
    fn damaged_types_of_this_kernel_do_no_harm(damage in vec(damage(), 1..12)) {
        let Some((_, carved)) = &*KERNEL else { return Ok(()) };
        let mut bytes = carved.clone();
        damage.iter().for_each(|damage| damage.to(&mut bytes));
        btf(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn files_of_rules_are_understood_or_refused(
        words in vec("(allow|deny|->|=|\\*|web|db\\*|10\\.0\\.0\\.0/8|\\[fd00::9\\]|:5432|exe|#|[{}\\[\\],!?\\\\]|[ \t\n]|.)", 0..40),
    ) {
        rules(words.concat().as_bytes());
        rules(words.join(" ").as_bytes());
    }
}

proptest! {
    #![proptest_config(cases(4))]

    /// Few, as they are large.
    #[test]
    fn types_of_this_kernel_may_be_damaged_or_end_anywhere(
        damage in vec(damage(), 1..12),
        end in any::<Index>(),
    ) {
        let Some((whole, _)) = &*KERNEL else { return Ok(()) };
        btf(&whole[..end.index(whole.len())]);
        // The header tells where types end, and where strings begin.
        let mut bytes = whole.clone();
        let end = end.index(whole.len()) as u32;
        bytes[12..16].copy_from_slice(&(end / 4 * 4).to_ne_bytes());
        btf(&bytes);
        let mut bytes = whole.clone();
        damage.iter().for_each(|damage| damage.to(&mut bytes));
        btf(&bytes);
    }
}

#[test]
fn what_is_carved_from_types_gives_the_same_answers() {
    let Some((whole, carved)) = KERNEL.clone() else {
        return;
    };
    assert!(carved.len() < 64 << 10, "{} bytes", carved.len());
    checks::agree(whole, carved);
}

#[test]
fn there_is_an_example_of_every_kind() {
    let examples = checks::examples();
    for kind in 0..Kind::COUNT as u32 {
        let is_of_kind = |example: &&Vec<u8>| example[8..12] == kind.to_ne_bytes();
        let example = examples.iter().find(is_of_kind);
        assert!(example.is_some(), "add a record of kind {kind}");
    }
    for target in [
        "decode", "procfs", "names", "replay", "memory", "labels", "rules",
    ] {
        assert!(!seeds(target).is_empty());
    }
    seeds("labels").iter().for_each(|it| labels(it));
    seeds("rules").iter().for_each(|it| rules(it));
    decode(&examples.concat());
}
