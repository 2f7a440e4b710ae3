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
//!
//! Lines that were told before /proc could be read may be of another workload than the process is: such
//! processes are counted ([`Processes::unattributed`]). Where its control group names it, or its executable does
//! whatever its arguments are, nothing is in doubt.

mod known;

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use foldhash::HashMap;
use lru::LruCache;

use self::known::{Key, Known, Table, key};
use super::{
    looks::{Look, Looks, Rest, Want},
    secrets::Arguments,
    workloads::Workloads,
};
use crate::model::{Blind, ByIdentity, Cgroup, Fork, Process, ProgramKey, WorkloadKind, program};

/// How many processes are remembered; those that were not seen for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// And how many of them can be found without comparing; a table that is full starts anew.
const LATELY: usize = 4096;
/// How many programs are remembered.
const PROGRAMS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How long the end of a run waits for reads that are under way, at most: as long as one may take.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// And how long between two looks at them.
const STEP: Duration = Duration::from_millis(1);

/// Processes that changed: as they were, and as they are.
type Changed = Vec<(Arc<Process>, Arc<Process>)>;

/// What a process runs.
#[derive(Clone, Debug)]
struct Program {
    /// The parent of the process.
    ppid: Option<u32>,
    /// Shared by those that inherited it.
    run: Rc<RefCell<Run>>,
}

/// A program as it was executed or first looked at.
#[derive(Clone, Debug)]
struct Run {
    /// By the name that it was started by, or that it had when it was first looked at; of a process
    /// that inherited it, the ancestor that executed it.
    process: Arc<Process>,
    /// The program in that ancestor.
    origin: ProgramKey,
    /// What became of arguments that could not be read in time.
    rest: Rest,
}

impl Program {
    fn new(ppid: Option<u32>, process: Arc<Process>, origin: ProgramKey, rest: Rest) -> Self {
        let run = Run {
            process,
            origin,
            rest,
        };
        Self {
            ppid,
            run: Rc::new(RefCell::new(run)),
        }
    }

    /// The process that executed it, or was first looked at.
    fn run(&self) -> Arc<Process> {
        Arc::clone(&self.run.borrow().process)
    }

    /// `process`, which runs it, with what is known of it.
    fn complete(&self, process: &Process) -> Process {
        let run = &self.run.borrow().process;
        Process {
            ppid: process.ppid.or(self.ppid),
            exe: process.exe.clone().or_else(|| run.exe.clone()),
            args: process.args.clone().or_else(|| run.args.clone()),
            ..process.clone()
        }
    }

    /// What `process` is called by: what it calls itself says nothing of the program.
    fn named(&self, process: &Process) -> Process {
        Process {
            comm: Arc::clone(&self.run.borrow().process.comm),
            ..process.clone()
        }
    }
}

/// Whether something that could not be read of `process` may give it another workload. `has_list` if all is known
/// of where it is.
fn is_in_doubt(process: &Process, has_list: bool) -> bool {
    let workload = process.workload.as_ref();
    let is_program = workload.is_none_or(|it| it.kind == WorkloadKind::Executable);
    !has_list || (is_program && program::is_in_doubt(process))
}

/// Whether what was told of `old` was told of another workload than `new` is.
fn is_told_otherwise((old, new): &(Arc<Process>, Arc<Process>)) -> bool {
    old.workload != new.workload || program::place(old) != program::place(new)
}

/// Knows the processes of this host.
#[derive(Debug)]
pub(super) struct Processes {
    looks: Looks,
    workloads: Workloads,
    /// The process of an event, and the same with what is known of it.
    completed: ByIdentity<Process, Arc<Process>>,
    known: Table,
    /// What processes run.
    programs: LruCache<ProgramKey, Program>,
    /// Programs that were told of before all was read that tells whose they are, and whether some of it turned out
    /// to be told of another workload. As many as there are reads to come.
    in_doubt: HashMap<ProgramKey, bool>,
    unattributed: u64,
    arguments: Arguments,
}

impl Processes {
    /// Asks the /proc mounted at `proc_root`.
    pub(super) fn new(proc_root: PathBuf, workloads: Workloads) -> Self {
        Self {
            looks: Looks::new(proc_root),
            workloads,
            completed: ByIdentity::default(),
            known: Table::new(CAPACITY),
            programs: LruCache::new(PROGRAMS),
            in_doubt: HashMap::default(),
            unattributed: 0,
            arguments: Arguments::default(),
        }
    }

    /// How many processes were left unread, in all or in part.
    pub(super) fn unread(&self) -> u64 {
        self.looks.unread()
    }

    /// The end of the run: waits a little for what is still read. Tells how many processes were left unread, and
    /// of how many that were told of it is not known which workload they are.
    pub(super) fn finish(&mut self) -> (u64, u64) {
        let begun = Instant::now();
        self.refresh();
        while self.looks.goes_on() && begun.elapsed() < LAST_WAIT {
            thread::sleep(STEP);
            self.refresh();
        }
        let open = self.in_doubt.len() as u64;
        let unattributed = self.unattributed.saturating_add(open);
        (self.looks.unread_at_the_end(), unattributed)
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
        let own = process.program();
        let program = Program::new(process.ppid, Arc::clone(process), own, Rest::Nothing);
        self.programs.put(own, program);
    }

    /// Remembers that a process runs what the one that made it runs.
    pub(super) fn learn_forked(&mut self, fork: &Fork) {
        let parent = fork.process.program();
        if !self.programs.contains(&parent) {
            let want = self.of_program(&fork.process);
            let seen = self.looks.look(&fork.process, want);
            match &seen.look {
                Some(look) => {
                    self.learn_program(&fork.process, look, seen.rest);
                }
                // Its children are what it is, whatever that is.
                None if seen.rest != Rest::Nothing => {
                    let run = Arc::clone(&fork.process);
                    let program = Program::new(None, run, parent, seen.rest);
                    self.programs.put(parent, program);
                }
                None => {}
            }
        }
        let Some(program) = self.programs.get(&parent) else {
            return;
        };
        let program = Program {
            ppid: fork.ppid,
            run: Rc::clone(&program.run),
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
            self.completed.remove(process);
        }
    }

    /// Takes in what became known of containers and of processes since the last call. Gives the processes
    /// that changed by it: as they were, and as they are.
    pub(super) fn refresh(&mut self) -> Changed {
        let mut changed = self.refresh_containers();
        for (process, look) in self.looks.late() {
            let of_it = self.take_late(&process, look.as_ref());
            changed.extend(of_it);
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

    /// What /proc says of `process` came late, or that it is not to be had any more.
    fn take_late(&mut self, process: &Process, look: Option<&Look>) -> Changed {
        let program = process.program();
        let awaits = self.looks.awaits(program);
        let rest = match look {
            _ if awaits => Rest::Later,
            Some(_) => Rest::Nothing,
            None => Rest::Never,
        };
        let mut changed = Vec::new();
        if let Some(look) = look {
            let is_news = self.learn_program(process, look, rest);
            changed = self.find_out_again(process, look, is_news);
        }
        // Of what it inherited, its own look decides nothing.
        let run = self.programs.peek(&program).map(|it| &it.run);
        if let Some(mut run) = run.map(|it| it.borrow_mut())
            && run.origin == program
        {
            run.rest = rest;
        }
        if let Some(otherwise) = self.in_doubt.get_mut(&program) {
            *otherwise |= look.is_none() || changed.iter().any(is_told_otherwise);
            if !awaits {
                let otherwise = self.in_doubt.remove(&program) == Some(true);
                self.unattributed = self.unattributed.saturating_add(u64::from(otherwise));
            }
        }
        changed
    }

    /// What was said of `process` without `look` is not what is said from here on; also of those that run the
    /// same, if there are news of what that is.
    fn find_out_again(&mut self, process: &Process, look: &Look, is_news: bool) -> Changed {
        let own = process.program();
        let origin = self.origin(own).filter(|_| is_news);
        let mut old = self.known.of_program(own);
        let inherited = origin.map(|origin| self.known.of_origin(origin));
        let inherited = inherited.into_iter().flatten();
        old.extend(inherited.filter(|(key, _)| key.0 != own));
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

    /// The program whose look told what `program` runs; none if that is not known.
    fn origin(&self, program: ProgramKey) -> Option<ProgramKey> {
        let program = self.programs.peek(&program)?;
        Some(program.run.borrow().origin)
    }

    /// `known` is `new` from here on.
    fn change(&mut self, key: Key, known: Known, new: Process) -> (Arc<Process>, Arc<Process>) {
        let new = Arc::new(new);
        let changed = Known {
            process: Arc::clone(&new),
            cgroups: known.cgroups,
            origin: self.origin(key.0).unwrap_or(key.0),
        };
        self.known.put(key, changed);
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
        if let Some(complete) = self.completed.get(process) {
            return Arc::clone(complete);
        }
        let complete = self.find(process);
        if self.completed.len() >= LATELY {
            self.completed.clear();
        }
        self.completed
            .insert(Arc::clone(process), Arc::clone(&complete));
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
                origin: known.origin,
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
        let seen = self.looks.look(process, want);
        let mut found = process.clone();
        let mut cgroups: Option<Arc<[u8]>> = None;
        let is_there = seen.look.is_some();
        if let Some(look) = seen.look {
            self.learn_program(process, &look, seen.rest);
            found.ppid = found.ppid.or(look.stat.ppid);
            found.cwd = found.cwd.or(look.cwd);
            cgroups = look.cgroups.map(Into::into);
        }
        let has_list = !want.cgroups || is_there;
        let process = Arc::new(self.found(&found, cgroups.as_deref()));
        let own = process.program();
        let program = self.programs.peek(&own);
        let inherited = program.map(|it| (it.run.borrow().origin, it.run.borrow().rest));
        let (origin, rest) = inherited.unwrap_or((own, Rest::Nothing));
        if seen.rest.max(rest) != Rest::Nothing && is_in_doubt(&self.named(&process), has_list) {
            // Its own look comes first: what it tells may be all.
            match seen.rest {
                Rest::Nothing => self.doubt(origin, rest),
                of_its_own => self.doubt(own, of_its_own),
            }
        }
        let known = Known {
            process,
            cgroups,
            origin,
        };
        (known, is_there)
    }

    /// Something was told of `program` before all was read that tells whose it is.
    fn doubt(&mut self, program: ProgramKey, rest: Rest) {
        if rest == Rest::Later && self.looks.awaits(program) {
            self.in_doubt.entry(program).or_default();
        } else {
            self.unattributed = self.unattributed.saturating_add(1);
        }
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
            Some(program) => {
                let run = program.run();
                let is_unknown = run.exe.is_none() && run.args.is_none();
                let named = program.named(&program.complete(process));
                Want {
                    exe: run.exe.is_none(),
                    args: is_unknown,
                    cwd: is_unknown || program::needs_cwd(&named),
                    ..Want::default()
                }
            }
        }
    }

    /// Learns what `process` runs, as far as that was not told and `look` is about the same program, of which
    /// `rest` is not read. Tells whether that was news.
    fn learn_program(&mut self, process: &Process, look: &Look, rest: Rest) -> bool {
        let program = process.program();
        let known = self.programs.get(&program);
        let before = known.map(Program::run);
        let is_known = before.as_ref().is_some_and(|run| {
            // What was told of its execution comes before what it says now.
            (run.exe.is_some() || look.exe.is_none()) && (run.args.is_some() || look.args.is_none())
        });
        if is_known || look.exe.is_none() || look.stat.comm != *process.comm {
            return false;
        }
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
        // Also for those that have inherited it since.
        if let Some(known) = self.programs.get(&program) {
            let mut known = known.run.borrow_mut();
            (known.process, known.rest) = (run, rest);
            return true;
        }
        let ppid = look.stat.ppid;
        let learnt = Program::new(ppid, run, program, rest);
        self.programs.put(program, learnt);
        true
    }

    /// `process` by the name that its program was started by.
    fn named(&mut self, process: &Process) -> Process {
        let program = self.programs.get(&process.program());
        program.map_or_else(|| process.clone(), |program| program.named(process))
    }
}

#[cfg(test)]
mod tests;
