//! What /proc adds to a process: parent, executable, arguments. Read once for each
//! process and name (an exec changes the name), and kept in a bounded table.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use foldhash::HashMap;
use lru::LruCache;

use super::workloads::Workloads;
use crate::{
    model::{Cgroup, Process, ProcessKey},
    procfs::{Entry, Proc},
};

/// How many processes are remembered; those that were not seen for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// And how many of them can be found without comparing names; a table that is full starts anew.
const LATELY: usize = 4096;
/// How many programs that were run lately are remembered.
const EXECUTED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A process that runs a program of this name, in this control group: it may change both.
type Key = (ProcessKey, u64, Arc<str>);

fn key(process: &Process) -> Key {
    (process.key, process.cgroup, Arc::clone(&process.comm))
}

/// Knows the processes of this host.
#[derive(Debug)]
pub(super) struct Processes {
    proc: Proc,
    workloads: Workloads,
    /// By address of what was to be completed, which is kept so that no other takes the
    /// address: the capture tells of a process by the same value as long as it is the same.
    completed: HashMap<usize, (Arc<Process>, Arc<Process>)>,
    known: LruCache<Key, Arc<Process>>,
    /// What processes were told to run, for those that are gone before they are looked at.
    executed: LruCache<Key, Arc<Process>>,
}

impl Processes {
    /// Asks the /proc mounted at `proc_root`.
    pub(super) fn new(proc_root: PathBuf, workloads: Workloads) -> Self {
        Self {
            proc: Proc::new(proc_root),
            workloads,
            completed: HashMap::default(),
            known: LruCache::new(CAPACITY),
            executed: LruCache::new(EXECUTED),
        }
    }

    /// Remembers a control group that was made.
    pub(super) fn learn_cgroup(&mut self, made: &Cgroup) {
        self.workloads.learn(made);
    }

    /// Remembers what a process runs from here on.
    pub(super) fn learn_executed(&mut self, process: &Arc<Process>) {
        let key = key(process);
        // It may have run another program of that name before.
        self.known.pop(&key);
        self.executed.put(key, Arc::clone(process));
    }

    /// Remembers that a process listens on a port.
    pub(super) fn learn_listening(&mut self, process: &Arc<Process>, port: u16) {
        if self.workloads.listens(process.key, port) {
            // It may say what the process is for.
            self.known.pop(&key(process));
            self.completed.remove(&Arc::as_ptr(process).addr());
        }
    }

    /// Takes in what became known of containers since the last call. Gives the processes that
    /// changed by it: as they were, and as they are.
    pub(super) fn refresh(&mut self) -> Vec<(Arc<Process>, Arc<Process>)> {
        let named = self.workloads.named();
        if named.is_empty() {
            return Vec::new();
        }
        let is_of_them = |process: &Process| {
            let workload = process.workload.as_ref();
            let container = workload.and_then(|it| it.container.as_ref());
            // One without a name may be within one that now has one.
            container.is_some_and(|it| it.name.is_none() || named.contains(&it.id))
        };
        let old: Vec<(Key, Arc<Process>)> = self
            .known
            .iter()
            .filter(|(_, process)| is_of_them(process))
            .map(|(key, process)| (key.clone(), Arc::clone(process)))
            .collect();
        let mut changed = Vec::new();
        for (key, old) in old {
            let entry = self.proc.open(old.pid);
            let (mut new, is_same) = read(entry.as_ref(), &old);
            let workload = self.workloads.of(&new, entry.filter(|_| is_same).as_ref());
            // Of a process that is gone, a control group of v1 can no longer be read.
            if workload.container.is_none() || old.workload.as_ref() == Some(&workload) {
                continue;
            }
            new.workload = Some(workload);
            let new = Arc::new(new);
            self.known.put(key, Arc::clone(&new));
            changed.push((old, new));
        }
        self.completed.clear();
        changed
    }

    /// Completes the process of an event, if it has one.
    pub(super) fn complete_if_known(&mut self, process: &mut Option<Arc<Process>>) {
        if let Some(process) = process {
            *process = self.complete(process);
        }
    }

    /// `process` with what is known of it. What turned out to be gone stays as it is and
    /// is not looked for again.
    pub(super) fn complete(&mut self, process: &Arc<Process>) -> Arc<Process> {
        let address = Arc::as_ptr(process).addr();
        if let Some((_, complete)) = self.completed.get(&address) {
            return Arc::clone(complete);
        }
        let complete = self.find(process);
        if self.completed.len() >= LATELY {
            self.completed.clear();
        }
        let pair = (Arc::clone(process), Arc::clone(&complete));
        self.completed.insert(address, pair);
        complete
    }

    fn find(&mut self, process: &Arc<Process>) -> Arc<Process> {
        let key = key(process);
        let complete = match self.known.get(&key) {
            Some(known) if known.uid == process.uid => return Arc::clone(known),
            // It changed its user: the rest holds.
            Some(known) => Arc::new(Process {
                uid: process.uid,
                ..Process::clone(known)
            }),
            None => {
                let entry = self.proc.open(process.pid);
                let (mut found, is_same) = read(entry.as_ref(), process);
                if let Some(executed) = self.executed.get(&key) {
                    found.ppid = found.ppid.or(executed.ppid);
                    found.exe = found.exe.or_else(|| executed.exe.clone());
                    found.args = found.args.or_else(|| executed.args.clone());
                }
                let entry = entry.filter(|_| is_same);
                found.workload = Some(self.workloads.of(&found, entry.as_ref()));
                Arc::new(found)
            }
        };
        self.known.put(key, Arc::clone(&complete));
        complete
    }
}

/// `process` with what /proc says about it, as far as it is about the same process; and whether
/// that is still there.
fn read(entry: Option<&Entry>, process: &Process) -> (Process, bool) {
    let mut out = process.clone();
    let Some(entry) = entry else {
        return (out, false);
    };
    let (exe, args) = (entry.exe(), entry.args());
    // Last, for it vouches for the rest: had the process been another one, or executed
    // another program before or between the reads above, it would show here.
    let Some(stat) = entry
        .stat()
        .filter(|stat| stat.started_at(process.key.start_ns))
    else {
        return (out, false);
    };
    out.ppid = out.ppid.or(stat.ppid);
    if stat.comm == *process.comm {
        out.exe = out.exe.or(exe);
        out.args = out.args.or(args);
    }
    (out, true)
}

#[cfg(test)]
mod tests;
