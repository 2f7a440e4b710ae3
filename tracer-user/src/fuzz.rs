//! What fuzzing and property tests drive: bytes in, and a panic if something does not
//! hold. No part of the interface of this crate; `tests/fuzz` is the only user.

use std::{fs, sync::Arc};

use crate::{
    ask,
    capture::checks::{self, Run},
    enrich,
    model::{Workload, WorkloadKind},
    outputs::{self, Format, Writer},
    procfs::{self, MAX_ARGS, MAX_ARGS_BYTES},
    replay,
};

/// Bytes of the ring buffer → records → events → lines.
///
/// # Panics
/// If something does not hold.
pub fn decode(bytes: &[u8]) {
    // All of them as one record, then as the row of records that they claim to be.
    let rows: [Vec<&[u8]>; 2] = [vec![bytes], checks::records(bytes).collect()];
    for row in rows {
        let (mut run, mut json) = (Run::new(), Writer::new(Format::Json, false));
        for record in row {
            if let Some(Some(event)) = run.told(record) {
                outputs::checks::line(&event, &mut json);
                replay::checks::comes_back(&event);
            }
        }
    }
}

/// The kernel's type information.
///
/// # Panics
/// If something does not hold.
pub fn btf(bytes: &[u8]) {
    checks::types(bytes);
}

/// Files of /proc.
///
/// # Panics
/// If something does not hold.
pub fn procfs(bytes: &[u8]) {
    if let Some(stat) = procfs::parse_stat(bytes) {
        assert_ne!(stat.ppid, Some(0));
        outputs::checks::harmless(&stat.comm, 24);
    }
    for is_cut in [false, true] {
        let args = procfs::parse_args(bytes, is_cut);
        assert_eq!(args.is_none(), bytes.iter().all(|byte| *byte == 0));
        let Some(args) = args else { continue };
        assert!((1..=MAX_ARGS).contains(&args.len()));
        let len: usize = args.iter().map(String::len).sum();
        assert!(len <= 3 * bytes.len() + '…'.len_utf8());
        outputs::checks::harmless(&args.join(" "), 120);
    }
    // Whatever a process calls itself, nothing else of it changes.
    let mut line = b"812 (".to_vec();
    line.extend_from_slice(bytes);
    line.extend_from_slice(
        b") S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2000\n",
    );
    let stat = procfs::parse_stat(&line).expect("a stat line");
    assert_eq!(stat.comm, String::from_utf8_lossy(bytes));
    assert_eq!((stat.ppid, stat.start_ticks), (Some(1), 98_765));
}

/// Messages of name servers, by datagrams and in streams, and files of names.
///
/// # Panics
/// If something does not hold.
pub fn names(bytes: &[u8]) {
    enrich::names::checks::names(bytes);
}

/// What runtimes say of containers, and the lines that it gets into.
///
/// # Panics
/// If something does not hold.
pub fn labels(bytes: &[u8]) {
    for (container, k8s) in enrich::runtimes::checks::containers(bytes, CONTAINER) {
        let workload = Arc::new(Workload {
            kind: WorkloadKind::Container,
            name: container.name.clone().unwrap_or_default(),
            uid: None,
            unit: None,
            slice: None,
            container: Some(container),
            k8s,
            role: None,
        });
        let event = replay::checks::with_processes(|it| it.workload = Some(Arc::clone(&workload)));
        outputs::checks::line(&event, &mut Writer::new(Format::Json, false));
        replay::checks::comes_back(&event);
    }
}

/// A container's id.
const CONTAINER: &str = "6a825448c5ef07ac0c3b99532b18bdec0e1d0bb1eb41b4672d570634a1409a85";

/// A recorded stream, line by line, and the map that is made of it.
///
/// # Panics
/// If something does not hold.
pub fn replay(bytes: &[u8]) {
    replay::checks::recording(bytes);
}

/// Files of rules, of roles, and of names: whatever is in one, it is read or refused, and what is read can be used.
///
/// # Panics
/// If something does not hold.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    ask::checks::rules(text);
    let _ = enrich::workload::Roles::with(text);
}

/// A recorded stream, and the map that is made of it, as `map --from` does: what takes memory.
pub fn map_of(bytes: &[u8]) {
    replay::checks::map_of(bytes);
}

/// The most memory that a recording of so many bytes may take, bytes.
pub fn most_memory(length: usize) -> usize {
    MEMORY_FACTOR
        .saturating_mul(length)
        .saturating_add(MEMORY_BASE)
}

/// Bytes of memory for a byte of a recording, and those that are there for any.
const MEMORY_FACTOR: usize = 32;
const MEMORY_BASE: usize = 1 << 20;

/// What to begin from: examples of what `target` reads, from this machine where it can.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "decode" => {
            let examples = checks::examples();
            let all = examples.concat();
            let mut told_twice = all.clone();
            told_twice.extend_from_slice(&all);
            examples.into_iter().chain([all, told_twice]).collect()
        }
        "btf" => checks::kernel_types()
            .and_then(checks::carved)
            .into_iter()
            .collect(),
        "procfs" => {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let processes = entries.filter(|entry| {
                let name = entry.file_name();
                name.to_str()
                    .is_some_and(|name| name.parse::<u32>().is_ok())
            });
            processes
                .take(100)
                .flat_map(|entry| ["stat", "cmdline", "status"].map(|file| entry.path().join(file)))
                .filter_map(|file| fs::read(file).ok())
                .filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_ARGS_BYTES)
                .collect()
        }
        "names" => enrich::names::checks::examples(),
        "labels" => enrich::runtimes::checks::examples(CONTAINER),
        "replay" | "memory" => replay::checks::examples(),
        "rules" => ask::checks::examples(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod longest;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod truth;
