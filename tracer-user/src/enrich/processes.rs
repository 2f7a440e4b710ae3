//! What is known of a process beyond what an event tells: parent, executable, arguments.
//!
//! These are its program's. The kernel numbers the programs that a process runs, and tells of each
//! as it begins and of each process that inherits one; so what a process *is* does not depend on
//! when it is looked at, nor on what it calls itself. /proc is read only for programs that are older
//! than we are or of which nobody told, once for each, and the answer is kept in a bounded table. Others
//! read it (`looks`), as that may take as long as the process wants.
//!
//! A process may write other arguments over those that it was executed with. So what was told of its
//! execution is what counts, and /proc is asked only where that is not known, or not remembered any more.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use foldhash::HashMap;
use lru::LruCache;

use super::{
    looks::{Look, Looks, Want},
    secrets::Arguments,
    workloads::Workloads,
};
use crate::model::{Blind, Cgroup, Fork, Process, ProgramKey, program};

/// How many processes are remembered; those that were not seen for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// And how many of them can be found without comparing; a table that is full starts anew.
const LATELY: usize = 4096;
/// How many programs are remembered.
const PROGRAMS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A program in a process, in this control group: a process may change both. And whose the network
/// namespace of its socket is: a process may have sockets in several.
type Key = (ProgramKey, u64, Option<u32>);

fn key(process: &Process) -> Key {
    (process.program(), process.cgroup, process.netns_owner)
}

/// A process as it is known, and as it is to be found out about again.
#[derive(Clone, Debug)]
struct Known {
    process: Arc<Process>,
    /// Its `/proc/PID/cgroup`, where the kernel does not tell all of it.
    cgroups: Option<Arc<[u8]>>,
}

/// Processes that changed: as they were, and as they are.
type Changed = Vec<(Arc<Process>, Arc<Process>)>;

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
    looks: Looks,
    workloads: Workloads,
    /// By address of what was to be completed, which is kept so that no other takes the
    /// address: the capture tells of a process by the same value as long as it is the same.
    completed: HashMap<usize, (Arc<Process>, Arc<Process>)>,
    known: LruCache<Key, Known>,
    /// What processes run.
    programs: LruCache<ProgramKey, Program>,
    arguments: Arguments,
}

impl Processes {
    /// Asks the /proc mounted at `proc_root`.
    pub(super) fn new(proc_root: PathBuf, workloads: Workloads) -> Self {
        Self {
            looks: Looks::new(proc_root),
            workloads,
            completed: HashMap::default(),
            known: LruCache::new(CAPACITY),
            programs: LruCache::new(PROGRAMS),
            arguments: Arguments::default(),
        }
    }

    /// How many processes were left unread, in all or in part.
    pub(super) fn unread(&self) -> u64 {
        self.looks.unread()
    }

    /// What cannot be seen of whose the control groups are.
    pub(super) fn blind(&self) -> Option<Blind> {
        self.workloads.blind()
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
            let want = self.of_program(&fork.process);
            let look = self.looks.look(&fork.process, want);
            if let Some(look) = look {
                self.learn_program(&fork.process, &look);
            }
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

    /// Takes in what became known of containers and of processes since the last call. Gives the processes
    /// that changed by it: as they were, and as they are.
    pub(super) fn refresh(&mut self) -> Changed {
        let mut changed = self.refresh_containers();
        for (process, look) in self.looks.late() {
            self.learn_program(&process, &look);
            changed.extend(self.find_out_again(&process, &look));
        }
        if !changed.is_empty() {
            self.completed.clear();
        }
        changed
    }

    fn refresh_containers(&mut self) -> Changed {
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
        let known = self.known.iter();
        let old: Vec<(Key, Known)> = known
            .filter(|(_, known)| is_of_them(&known.process))
            .map(|(key, known)| (*key, known.clone()))
            .collect();
        let mut changed = Vec::new();
        for (key, old) in old {
            let new = self.found(&old.process, old.cgroups.as_deref());
            let workload = new.workload.as_ref();
            let is_in_one = workload.is_some_and(|it| it.container.is_some());
            if is_in_one && workload != old.process.workload.as_ref() {
                changed.push(self.change(key, old, new));
            }
        }
        changed
    }

    /// What /proc says of `process` came late: what was said without it is not what is said from here on.
    fn find_out_again(&mut self, process: &Process, look: &Look) -> Changed {
        let own = process.program();
        let run_of = |key: &ProgramKey| self.programs.peek(key).map(|it| Arc::as_ptr(&it.run));
        let run = run_of(&own);
        let known = self.known.iter();
        let old: Vec<(Key, Known)> = known
            .filter(|(key, _)| key.0 == own || (run.is_some() && run_of(&key.0) == run))
            .map(|(key, known)| (*key, known.clone()))
            .collect();
        let mut changed = Vec::new();
        for (key, mut old) in old {
            let mut new = Process::clone(&old.process);
            if key.0 == own {
                if old.cgroups.is_none() {
                    old.cgroups = look.cgroups.as_deref().map(Arc::from);
                }
                new.ppid = new.ppid.or(look.stat.ppid);
                new.cwd = new.cwd.or_else(|| look.cwd.clone());
            }
            let new = self.found(&new, old.cgroups.as_deref());
            if new != *old.process {
                changed.push(self.change(key, old, new));
            }
        }
        changed
    }

    /// `known` is `new` from here on.
    fn change(&mut self, key: Key, known: Known, new: Process) -> (Arc<Process>, Arc<Process>) {
        let new = Arc::new(new);
        let cgroups = known.cgroups;
        let process = Arc::clone(&new);
        self.known.put(key, Known { process, cgroups });
        (known.process, new)
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
            Some(known)
                if known.process.uid == process.uid && known.process.comm == process.comm =>
            {
                return Arc::clone(&known.process);
            }
            // It changed its user or its name: the rest holds.
            Some(known) => Known {
                process: Arc::new(Process {
                    uid: process.uid,
                    comm: Arc::clone(&process.comm),
                    ..Process::clone(&known.process)
                }),
                cgroups: known.cgroups.clone(),
            },
            None => {
                let (found, is_there) = self.looked_up(process);
                if is_there && found.process.exe.is_none() {
                    // It has just got another name, or runs another program by now: when it is told
                    // of by that, there is more to be had.
                    return found.process;
                }
                found
            }
        };
        let process = Arc::clone(&complete.process);
        self.known.put(key, complete);
        process
    }

    /// `process` with what is known of it and what there is to be found out; and whether it is known to
    /// be there still.
    fn looked_up(&mut self, process: &Process) -> (Known, bool) {
        let want = Want {
            cgroups: self.workloads.needs_list(process),
            ..self.of_program(process)
        };
        let look = self.looks.look(process, want);
        let mut found = process.clone();
        let mut cgroups: Option<Arc<[u8]>> = None;
        let is_there = look.is_some();
        if let Some(look) = look {
            self.learn_program(process, &look);
            found.ppid = found.ppid.or(look.stat.ppid);
            found.cwd = found.cwd.or(look.cwd);
            cgroups = look.cgroups.map(Into::into);
        }
        let process = Arc::new(self.found(&found, cgroups.as_deref()));
        (Known { process, cgroups }, is_there)
    }

    /// `process` with what is known of its program and of where it is.
    fn found(&mut self, process: &Process, cgroups: Option<&[u8]>) -> Process {
        let program = self.programs.get(&process.program());
        let mut found = program.map_or_else(|| process.clone(), |it| it.complete(process));
        let mut named = self.named(&found);
        if !program::needs_cwd(&named) {
            (found.cwd, named.cwd) = (None, None);
        }
        found.workload = Some(self.workloads.of(&named, cgroups));
        // Here at last: they name it.
        self.arguments.tell_of(&mut found);
        found
    }

    /// What of its program is not known and /proc may tell.
    fn of_program(&mut self, process: &Process) -> Want {
        match self.programs.get(&process.program()) {
            None => Want {
                exe: true,
                args: true,
                cwd: true,
                ..Want::default()
            },
            Some(program) => Want {
                exe: program.run.exe.is_none(),
                cwd: program::needs_cwd(&program.named(&program.complete(process))),
                ..Want::default()
            },
        }
    }

    /// Learns what `process` runs, as far as that was not told and `look` is about the same program.
    fn learn_program(&mut self, process: &Process, look: &Look) {
        let program = process.program();
        let known = self.programs.get(&program);
        let is_known = known.is_some_and(|it| {
            // What was told of its execution comes before what it says now.
            (it.run.exe.is_some() || look.exe.is_none())
                && (it.run.args.is_some() || look.args.is_none())
        });
        if is_known || look.exe.is_none() || look.stat.comm != *process.comm {
            return;
        }
        let before = known.map(|it| Arc::clone(&it.run));
        let run = before.as_deref().unwrap_or(process);
        let exe = run.exe.clone().or_else(|| look.exe.clone());
        let args = run.args.clone().or_else(|| {
            let args = look.args.clone()?;
            Some(self.arguments.keep(exe.as_deref(), args))
        });
        let run = Arc::new(Process {
            exe,
            args,
            ..run.clone()
        });
        let Some(before) = before else {
            let ppid = look.stat.ppid;
            self.programs.put(program, Program { ppid, run });
            return;
        };
        // Also for those that have inherited it since.
        let programs = self.programs.iter_mut().map(|(_, it)| it);
        for it in programs.filter(|it| Arc::ptr_eq(&it.run, &before)) {
            it.run = Arc::clone(&run);
        }
    }

    /// `process` by the name that its program was started by.
    fn named(&mut self, process: &Process) -> Process {
        let program = self.programs.get(&process.program());
        program.map_or_else(|| process.clone(), |program| program.named(process))
    }
}

#[cfg(test)]
mod tests;
