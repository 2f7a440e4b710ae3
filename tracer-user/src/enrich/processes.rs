//! What is known of a process beyond what an event tells: parent, executable, arguments.
//!
//! These are its program's. The kernel numbers the programs that a process runs, and tells of each
//! as it begins and of each process that inherits one; so what a process *is* does not depend on
//! when it is looked at, nor on what it calls itself. /proc is read only for programs that are older
//! than we are or of which nobody told, once for each, and the answer is kept in a bounded table.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use foldhash::HashMap;
use lru::LruCache;

use super::{secrets::Arguments, workloads::Workloads};
use crate::{
    model::{Cgroup, Fork, Process, ProgramKey, program},
    procfs::{Entry, Proc},
};

/// How many processes are remembered; those that were not seen for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// And how many of them can be found without comparing; a table that is full starts anew.
const LATELY: usize = 4096;
/// How many programs are remembered.
const PROGRAMS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A program in a process, in this control group: a process may change both.
type Key = (ProgramKey, u64);

fn key(process: &Process) -> Key {
    (process.program(), process.cgroup)
}

/// What a process runs.
#[derive(Clone, Debug)]
struct Program {
    /// The parent of the process.
    ppid: Option<u32>,
    /// By the name that it was started by, or that it had when it was first looked at; of a process
    /// that inherited it, the ancestor that executed it.
    run: Arc<Process>,
}

impl Program {
    /// `process`, which runs it, with what is known of it.
    fn complete(&self, process: &Process) -> Process {
        Process {
            ppid: process.ppid.or(self.ppid),
            exe: process.exe.clone().or_else(|| self.run.exe.clone()),
            args: process.args.clone().or_else(|| self.run.args.clone()),
            ..process.clone()
        }
    }

    /// What `process` is called by: what it calls itself says nothing of the program.
    fn named(&self, process: &Process) -> Process {
        Process {
            comm: Arc::clone(&self.run.comm),
            ..process.clone()
        }
    }
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
    /// What processes run.
    programs: LruCache<ProgramKey, Program>,
    arguments: Arguments,
}

impl Processes {
    /// Asks the /proc mounted at `proc_root`.
    pub(super) fn new(proc_root: PathBuf, workloads: Workloads) -> Self {
        Self {
            proc: Proc::new(proc_root),
            workloads,
            completed: HashMap::default(),
            known: LruCache::new(CAPACITY),
            programs: LruCache::new(PROGRAMS),
            arguments: Arguments::default(),
        }
    }

    /// Keeps and tells this of the arguments of programs.
    pub(super) fn tell_arguments(&mut self, arguments: Arguments) {
        self.arguments = arguments;
    }

    /// Remembers a control group that was made.
    pub(super) fn learn_cgroup(&mut self, made: &Cgroup) {
        self.workloads.learn(made);
    }

    /// Remembers what a process runs from here on.
    pub(super) fn learn_executed(&mut self, process: &Arc<Process>) {
        // The numbers of programs begin anew after many.
        self.known.pop(&key(process));
        if process.exe.is_none() {
            // It did not fit: /proc may tell.
            self.programs.pop(&process.program());
            return;
        }
        let program = Program {
            ppid: process.ppid,
            run: Arc::clone(process),
        };
        self.programs.put(process.program(), program);
    }

    /// Remembers that a process runs what the one that made it runs.
    pub(super) fn learn_forked(&mut self, fork: &Fork) {
        let parent = fork.process.program();
        if !self.programs.contains(&parent) {
            let entry = self.proc.open(fork.process.pid);
            self.read(entry.as_ref(), &fork.process);
        }
        let Some(program) = self.programs.get(&parent) else {
            return;
        };
        let program = Program {
            ppid: fork.ppid,
            run: Arc::clone(&program.run),
        };
        let child = ProgramKey {
            process: fork.child,
            ..parent
        };
        self.programs.put(child, program);
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
            .map(|(key, process)| (*key, Arc::clone(process)))
            .collect();
        let mut changed = Vec::new();
        for (key, old) in old {
            let entry = self.proc.open(old.pid);
            let (mut new, named, is_same) = self.looked_up(entry.as_ref(), &old);
            let workload = self
                .workloads
                .of(&named, entry.filter(|_| is_same).as_ref());
            // Of a process that is gone, a control group of v1 can no longer be read.
            if workload.container.is_none() || old.workload.as_ref() == Some(&workload) {
                continue;
            }
            new.workload = Some(workload);
            self.arguments.tell_of(&mut new);
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
            Some(known) if known.uid == process.uid && known.comm == process.comm => {
                return Arc::clone(known);
            }
            // It changed its user or its name: the rest holds.
            Some(known) => Arc::new(Process {
                uid: process.uid,
                comm: Arc::clone(&process.comm),
                ..Process::clone(known)
            }),
            None => {
                let entry = self.proc.open(process.pid);
                let (mut found, named, is_same) = self.looked_up(entry.as_ref(), process);
                let entry = entry.filter(|_| is_same);
                found.workload = Some(self.workloads.of(&named, entry.as_ref()));
                // Here at last: they name it.
                self.arguments.tell_of(&mut found);
                let found = Arc::new(found);
                if is_same && found.exe.is_none() {
                    // It has just got another name, or runs another program by now: when it is told
                    // of by that, there is more to be had.
                    return found;
                }
                found
            }
        };
        self.known.put(key, Arc::clone(&complete));
        complete
    }

    /// `process` with what is known of it; the same by the name that its program was started by;
    /// and whether it is still there, as `entry`.
    fn looked_up(&mut self, entry: Option<&Entry>, process: &Process) -> (Process, Process, bool) {
        let (ppid, is_same) = self.read(entry, process);
        let mut found = process.clone();
        found.ppid = found.ppid.or(ppid);
        let Some(program) = self.programs.get(&process.program()) else {
            let named = found.clone();
            return (found, named, is_same);
        };
        let mut found = program.complete(&found);
        if found.cwd.is_none() && program::needs_cwd(&program.named(&found)) {
            found.cwd = entry.filter(|_| is_same).and_then(Entry::cwd);
        }
        let named = program.named(&found);
        (found, named, is_same)
    }

    /// Learns what `process` runs from /proc, if nobody told, as far as that is about the same
    /// process and program. Gives its parent, and whether it is still there.
    fn read(&mut self, entry: Option<&Entry>, process: &Process) -> (Option<u32>, bool) {
        let Some(entry) = entry else {
            return (None, false);
        };
        let is_known = self.programs.contains(&process.program());
        let (exe, args) = if is_known {
            (None, None)
        } else {
            let exe = entry.exe();
            let args = entry.args();
            let args = args.map(|it| self.arguments.keep(exe.as_deref(), it));
            (exe, args)
        };
        // Last, for it vouches for the rest: had the process been another one, or executed
        // another program before or between the reads above, it would show here.
        let Some(stat) = entry
            .stat()
            .filter(|stat| stat.started_at(process.key.start_ns))
        else {
            return (None, false);
        };
        if exe.is_some() && stat.comm == *process.comm {
            let run = Arc::new(Process {
                exe,
                args,
                ..process.clone()
            });
            let ppid = stat.ppid;
            self.programs.put(process.program(), Program { ppid, run });
        }
        (stat.ppid, true)
    }
}

#[cfg(test)]
mod tests;
