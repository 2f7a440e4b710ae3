//! Parts of lines → model: what comes again on many lines, or is in several kinds of them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{
    fault::{Fault, bad},
    memo::Memo,
    seconds::Seconds,
    wire::{self, Counts, Text},
};
use crate::model::{
    Container, Counter, DirectionEvidence, EndEvidence, Evidence, Ledger, Lost, Process,
    ProcessEvidence, ProcessKey, Timestamp, Workload, bounds,
};

pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(Fault::Json)
}

fn shared(text: Option<Text<'_>>) -> Option<Arc<str>> {
    text.map(|text| Arc::from(&*text))
}

pub(super) fn read_process(
    text: &str,
    workload: Option<&str>,
    workloads: &mut Memo<Arc<Workload>>,
    seconds: &mut Seconds,
) -> Result<Arc<Process>, Fault> {
    let wire: wire::Process<'_> = read(text)?;
    let started = match &wire.started {
        None => None,
        Some(text) => Some(seconds.read(text, "process.started")?),
    };
    let workload = match workload {
        None => None,
        Some(text) => Some(workloads.get(text, || read_workload(text).map(Arc::new))?),
    };
    Ok(Arc::new(Process {
        key: ProcessKey {
            pid: wire.pid,
            // Of another clock, and as good a name for it.
            start_ns: started.map_or(0, Timestamp::as_ns),
        },
        exec_id: 0,
        cgroup: 0,
        netns_owner: None,
        workload,
        pid: wire.pid,
        ppid: wire.ppid,
        uid: wire.uid,
        comm: Arc::from(&*wire.comm),
        exe: shared(wire.exe),
        // An earlier tracer wrote more, and whoever wrote this may have been another.
        args: wire.args.map(|it| bounds::args(it.into_iter(), false)),
        cwd: shared(wire.cwd),
        started,
    }))
}

pub(super) fn read_workload(text: &str) -> Result<Workload, Fault> {
    let wire: wire::Workload<'_> = read(text)?;
    Ok(Workload {
        kind: wire.kind,
        name: Arc::from(&*wire.name),
        uid: wire.uid,
        unit: shared(wire.unit),
        slice: shared(wire.slice),
        container: wire.container.map(|it| {
            let all = it.labels.iter().map(|(key, value)| (&**key, &**value));
            let (labels, cut) = bounds::labels(all);
            Container {
                labels,
                labels_cut: it.labels_cut.saturating_add(cut),
                ..it
            }
        }),
        k8s: wire.k8s,
        role: shared(wire.role),
    })
}

pub(super) fn read_evidence(wire: &wire::Evidence<'_>) -> Result<Evidence, Fault> {
    Ok(Evidence {
        process: match wire.process.as_deref() {
            Some("hook") => ProcessEvidence::Hook,
            Some("listener") => ProcessEvidence::Listener,
            Some("read") => ProcessEvidence::Read,
            Some("close") => ProcessEvidence::Close,
            Some("scan") => ProcessEvidence::Scan,
            Some("unknown") => ProcessEvidence::Unknown,
            Some(other) => return Err(bad("evidence.process", other)),
            None => return Err(Fault::Missing("evidence.process")),
        },
        direction: match wire.direction.as_deref() {
            None => None,
            Some("handshake") => Some(DirectionEvidence::Handshake),
            Some("listener") => Some(DirectionEvidence::Listener),
            Some("unknown") => Some(DirectionEvidence::Unknown),
            Some(other) => return Err(bad("evidence.direction", other)),
        },
        end: match wire.end.as_deref() {
            None => None,
            Some("scan") => Some(EndEvidence::Scan),
            Some(other) => return Err(bad("evidence.end", other)),
        },
    })
}

pub(super) fn lost(counts: &Counts) -> Lost {
    Lost {
        ring_full: counts.ring_full,
        table_full: counts.table_full,
        undecodable: counts.undecodable,
    }
}

/// Kinds that are not known are left out, as their events are.
pub(super) fn ledger<T: Default>(
    counts: BTreeMap<String, Counts>,
    meaning: impl Fn(Counts) -> T,
) -> Ledger<T> {
    let mut ledger = Ledger::default();
    for (kind, counts) in counts {
        if let Some(counter) = Counter::from_name(&kind) {
            *ledger.get_mut(counter) = meaning(counts);
        }
    }
    ledger
}
