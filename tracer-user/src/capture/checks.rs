//! What must hold of whatever the kernel hands over, for property tests and fuzzing, and
//! examples to begin from. Compiled for these only.

use std::{collections::BTreeSet, fs};

use rustix::thread::CapabilitySet;
use tracer_common::{
    Carried, Cgroup, Direction, Ended, Executed, Exited, Forked, Kind, Listening, Message, Offsets,
    Opened, Redirect, Source, flags,
};

use super::{
    btf::{Btf, BtfError},
    clock::Clock,
    decode::{RecordBytes, decode},
    facts::{self, Facts, TypesError},
    interpret::Interpreter,
    plan,
};
use crate::model::{Body, Event, Host, Reason, Told};

/// 2026-11-22T00:00:00Z
const BOOT_NS: u64 = 1_795_305_600_000_000_000;

/// Bytes of a record of this kind; none if there is no such kind.
pub(crate) fn size(kind: Kind) -> Option<usize> {
    Some(match kind {
        Kind::CONNECT | Kind::ACCEPT | Kind::EXISTING => size_of::<Opened>(),
        Kind::CLOSE | Kind::FAIL => size_of::<Ended>(),
        Kind::LISTEN | Kind::UNLISTEN => size_of::<Listening>(),
        Kind::EXEC => size_of::<Executed>(),
        Kind::EXIT => size_of::<Exited>(),
        Kind::FORK => size_of::<Forked>(),
        Kind::CGROUP => size_of::<Cgroup>(),
        Kind::MESSAGE => size_of::<Message>(),
        Kind::REDIRECT => size_of::<Redirect>(),
        Kind::TOTALS => size_of::<Carried>(),
        _ => return None,
    })
}

/// The kind that `bytes` claim to be of.
fn claimed(bytes: &[u8]) -> Option<Kind> {
    // The whole header must be there.
    bytes.get(..16)?;
    let kind = bytes.get(8..12)?.first_chunk()?;
    Some(Kind(u32::from_ne_bytes(*kind)))
}

/// Cuts `bytes` into records, one after the other as each claims to be. The last one may be
/// anything.
pub(crate) fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let size = claimed(bytes).and_then(size).unwrap_or(bytes.len());
        let (first, rest) = bytes.split_at(size.min(bytes.len()));
        bytes = rest;
        (!first.is_empty()).then_some(first)
    })
}

/// One run: records in, events out.
pub(crate) struct Run(Interpreter);

impl Run {
    pub(crate) fn new() -> Self {
        let mut interpreter = Interpreter::new(Host {
            id: "6f1c0b6e".to_owned(),
            name: "web-1".to_owned(),
        });
        interpreter.clock = Clock::started_at(BOOT_NS);
        interpreter.settle();
        Self(interpreter)
    }

    /// What `bytes` tell, if they are a record, and tell something: an event, or a fact.
    ///
    /// # Panics
    /// If something does not hold.
    pub(crate) fn told(&mut self, bytes: &[u8]) -> Option<Option<Event>> {
        let kind = claimed(bytes);
        let is_record = kind.and_then(size) == Some(bytes.len());
        let bytes = &*RecordBytes::from(bytes);
        let record = match decode(bytes) {
            Ok(record) => {
                assert!(is_record, "no record, yet it was read as {record:?}");
                assert_eq!(Some(record.kind()), kind);
                record
            }
            Err(undecodable) => {
                assert!(!is_record, "a record, yet {undecodable:?}");
                assert_eq!(undecodable.len, bytes.len());
                assert_eq!(
                    undecodable.kind,
                    kind.filter(|kind| (kind.0 as usize) < Kind::COUNT)
                );
                return None;
            }
        };
        let told = self.0.told(&record, |_| true);
        // Only an attempt that was told before is not told, what is not of v2, and what nobody did.
        let may_be_silent = matches!(record.kind(), Kind::FAIL | Kind::CGROUP | Kind::FORK);
        assert!(told.is_some() || may_be_silent);
        if let Some(Told::Event(event)) = &told
            && let Body::Fail(fail) = &event.body
        {
            let reason = fail.failure.as_ref().map(|failure| failure.reason);
            // Nobody has to do with what nobody listened to.
            assert!(reason != Some(Reason::NotListening) || fail.process.is_none());
        }
        match told? {
            Told::Event(event) => Some(Some(event)),
            Told::Fact(_) => Some(None),
        }
    }
}

/// Reads `bytes` as the kernel's type information, and plans by it.
///
/// # Panics
/// If something does not hold.
pub(crate) fn types(bytes: &[u8]) {
    let parsed = Btf::parse(bytes.to_vec());
    let types = facts::types_in(bytes.to_vec());
    let btf = match parsed {
        Ok(btf) => btf,
        Err(error) => {
            assert!(matches!(
                error,
                BtfError::Damaged(_) | BtfError::UnknownKind(_)
            ));
            assert_eq!(types, Err(TypesError::Btf(error)));
            return;
        }
    };
    let Ok(types) = types else { return };
    // With an index of names and without, the answer is the same.
    for (name, parameters) in [
        ("tcp_connect", types.connect_parameters),
        ("inet_csk_accept", types.accept_parameters),
        ("tcp_close", types.close_parameters),
    ] {
        assert_eq!(btf.parameters(name).ok(), parameters);
    }
    let (structure, path, size, _) = Offsets::MEMBERS[0];
    let member = btf.member(structure, path).expect("it was found before");
    assert_eq!(member.size, size);
    let facts = Facts {
        release: "6.12.0".to_owned(),
        arch: "x86_64".to_owned(),
        capabilities: CapabilitySet::all(),
        types: Ok(types),
        ring_buffer: Some(true),
        host_pids: true,
        preemption: false,
        kprobes: true,
    };
    for wanted in [None].into_iter().chain(plan::HookSet::ALL.map(Some)) {
        if let Ok(plans) = plan::plan(&facts, wanted) {
            for plan in &plans.candidates {
                assert!(!plan.programs.is_empty());
                let _ = plan.blind();
            }
        }
    }
}

/// This kernel's type information; none if it cannot be read.
pub(crate) fn kernel_types() -> Option<Vec<u8>> {
    fs::read("/sys/kernel/btf/vmlinux").ok()
}

/// As little of it as gives the same answers.
pub(crate) fn carved(types: Vec<u8>) -> Option<Vec<u8>> {
    let names = facts::names().collect();
    let paths = Offsets::MEMBERS.iter().map(|(_, path, ..)| *path);
    let members: BTreeSet<_> = paths
        .chain(facts::CLASSIC.iter().map(|(_, member, _)| *member))
        .flat_map(|path| path.split(['.', '|']))
        .collect();
    Some(Btf::parse(types).ok()?.carve(&names, &members))
}

/// Asks the same of both.
///
/// # Panics
/// If the answers differ.
#[cfg(test)]
pub(crate) fn agree(one: Vec<u8>, other: Vec<u8>) {
    let answers = |data| {
        facts::types_in(data).map(|types| facts::Types {
            // Ids are not the same in less.
            functions: [].into(),
            ..types
        })
    };
    assert_eq!(answers(one), answers(other));
}

/// Writes a value into a record, by the name of its field.
macro_rules! put {
    ($bytes:ident, $type:ident, $($($field:ident).+ = $value:expr;)*) => {
        $({
            let at = std::mem::offset_of!($type, $($field).+);
            let value = $value;
            $bytes[at..at + value.len()].copy_from_slice(&value);
        })*
    };
}

/// A process that a hook saw.
macro_rules! put_process {
    ($bytes:ident, $type:ident, $($process:ident).+, $comm:expr) => {
        put! { $bytes, $type,
            $($process).+.start_ns = 80_000_000_000_u64.to_ne_bytes();
            $($process).+.cgroup = 4_242_u64.to_ne_bytes();
            $($process).+.tgid = 812_u32.to_ne_bytes();
            $($process).+.netns_owner = 1000_u32.to_ne_bytes();
            $($process).+.uid = 33_u32.to_ne_bytes();
            $($process).+.source = Source::HOOK.0.to_ne_bytes();
            $($process).+.exec_id = 7_u16.to_ne_bytes();
            $($process).+.comm = $comm;
        }
    };
}

/// The two ends of a connection over IPv4.
macro_rules! put_flow {
    ($bytes:ident, $type:ident, $($flow:ident).+) => {
        put! { $bytes, $type,
            $($flow).+.local_address = [10, 0, 0, 5];
            $($flow).+.remote_address = [10, 0, 0, 9];
            $($flow).+.local_port = 41_532_u16.to_ne_bytes();
            $($flow).+.remote_port = 5_432_u16.to_ne_bytes();
            $($flow).+.family = 2_u16.to_ne_bytes();
            $($flow).+.netns = 4_026_531_840_u32.to_ne_bytes();
        }
    };
}

macro_rules! put_connection {
    ($bytes:ident, $type:ident) => {
        put_flow!($bytes, $type, connection.flow);
        put_process!($bytes, $type, connection.process, *b"nginx");
        put! { $bytes, $type,
            connection.begun_ns = 90_000_000_000_u64.to_ne_bytes();
            connection.established_ns = 90_000_184_223_u64.to_ne_bytes();
            connection.direction = [Direction::OUTBOUND.0];
            connection.flags = [flags::SENT];
            connection.last_state = [4];
        }
    };
}

fn blank(kind: Kind) -> Vec<u8> {
    let mut bytes = vec![0; size(kind).unwrap_or_default()];
    bytes[..8].copy_from_slice(&90_009_120_331_u64.to_ne_bytes());
    bytes[8..12].copy_from_slice(&kind.0.to_ne_bytes());
    bytes
}

fn opened(kind: Kind) -> Vec<u8> {
    let mut bytes = blank(kind);
    put_connection!(bytes, Opened);
    bytes
}

fn ended(kind: Kind) -> Vec<u8> {
    let mut bytes = blank(kind);
    put_connection!(bytes, Ended);
    put! { bytes, Ended,
        totals.sent_bytes = 1_204_u64.to_ne_bytes();
        totals.received_bytes = 88_172_u64.to_ne_bytes();
        totals.srtt_us = 201_u32.to_ne_bytes();
        totals.retransmits = 2_u32.to_ne_bytes();
        errno = 104_u32.to_ne_bytes();
    }
    bytes
}

fn carried() -> Vec<u8> {
    let mut bytes = blank(Kind::TOTALS);
    put_connection!(bytes, Carried);
    put! { bytes, Carried,
        totals.sent_bytes = 1_204_u64.to_ne_bytes();
        totals.received_bytes = 88_172_u64.to_ne_bytes();
        totals.srtt_us = 201_u32.to_ne_bytes();
        totals.retransmits = 2_u32.to_ne_bytes();
    }
    bytes
}

fn listening(kind: Kind) -> Vec<u8> {
    let mut bytes = blank(kind);
    put_flow!(bytes, Listening, flow);
    put_process!(bytes, Listening, process, *b"nginx");
    put! { bytes, Listening,
        flow.remote_address = [0; 16];
        flow.remote_port = [0; 2];
        backlog = 511_u32.to_ne_bytes();
    }
    bytes
}

/// Records as the kernel side writes them, and some that are odd.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let mut ipv6 = opened(Kind::ACCEPT);
    put! { ipv6, Opened,
        connection.flow.family = 10_u16.to_ne_bytes();
        connection.flow.local_address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        connection.flow.remote_address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5];
        connection.direction = [Direction::INBOUND.0];
        connection.process.source = Source::LISTENER.0.to_ne_bytes();
        connection.process.comm = *b"\x1b[31m\xe2\x80\xae\xff\"\\\n";
    }
    let mut on_link = ipv6.clone();
    put! { on_link, Opened,
        connection.flow.local_address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        connection.flow.remote_address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        connection.flow.scope = 2_u32.to_ne_bytes();
    }
    let mut unknown = opened(Kind::EXISTING);
    put! { unknown, Opened,
        connection.established_ns = [0; 8];
        connection.direction = [Direction::UNKNOWN.0];
        connection.flags = [flags::EXISTING];
        connection.process.source = Source::SCAN.0.to_ne_bytes();
    }
    let mut found_over = ended(Kind::CLOSE);
    put! { found_over, Ended, connection.flags = [flags::FOUND_OVER]; }
    let mut turned_away = ended(Kind::FAIL);
    put! { turned_away, Ended,
        connection.direction = [Direction::INBOUND.0];
        connection.last_state = [10];
        connection.process = [0; 48];
        sequence = 0x1234_5678_u32.to_ne_bytes();
    }
    let mut exec = blank(Kind::EXEC);
    put_process!(exec, Executed, process, *b"curl");
    put! { exec, Executed,
        parent = 1_u32.to_ne_bytes();
        args_bytes = 26_u32.to_ne_bytes();
        exe_bytes = 13_u32.to_ne_bytes();
        exe = *b"curl\0bin\0usr\0";
        args = *b"curl\0-s\0http://10.0.0.9/\0\0";
    }
    let mut fork = blank(Kind::FORK);
    put_process!(fork, Forked, process, *b"sh");
    put! { fork, Forked,
        child_start_ns = 81_000_000_000_u64.to_ne_bytes();
        child = 4712_u32.to_ne_bytes();
        parent = 4711_u32.to_ne_bytes();
    }
    let mut exit = blank(Kind::EXIT);
    put_process!(exit, Exited, process, *b"curl");
    put! { exit, Exited, status = (7_u32 << 8).to_ne_bytes(); }
    let mut killed = exit.clone();
    put! { killed, Exited, status = 9_u32.to_ne_bytes(); }
    let mut cgroup = blank(Kind::CGROUP);
    put! { cgroup, Cgroup,
        id = 4711_u64.to_ne_bytes();
        path = *b"/system.slice/nginx.service";
    }
    let mut message = blank(Kind::MESSAGE);
    put_flow!(message, Message, flow);
    put_process!(message, Message, process, *b"curl");
    put! { message, Message,
        sock = 0xffff_8880_0000_1000_u64.to_ne_bytes();
        sent = [1];
        kept = 29_u16.to_ne_bytes();
        length = 29_u32.to_ne_bytes();
        bytes = *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\x08internal\0\0\x01\0\x01";
    }
    let mut redirect = blank(Kind::REDIRECT);
    put_flow!(redirect, Redirect, flow);
    put! { redirect, Redirect,
        dialled_address = [10, 96, 0, 17];
        dialled_port = 5432_u16.to_ne_bytes();
        dialled_family = 2_u16.to_ne_bytes();
    }
    vec![
        opened(Kind::CONNECT),
        ipv6,
        on_link,
        unknown,
        ended(Kind::CLOSE),
        found_over,
        ended(Kind::FAIL),
        turned_away,
        listening(Kind::LISTEN),
        listening(Kind::UNLISTEN),
        exec,
        fork,
        exit,
        killed,
        cgroup,
        message,
        redirect,
        carried(),
    ]
}
