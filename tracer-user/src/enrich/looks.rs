//! Looks at `/proc/PID` of other processes, on threads of their own.
//!
//! Who reads `/proc/PID/cmdline` takes the lock of that process's memory, and waits while the process
//! has it: which may be for as long as it wants to, for the kernel can be made to hold it while it waits
//! for a file system that the process answers for. So the thread that drains the ring buffer reads
//! nothing of other processes. It has others look, and waits for them: for what is quick whatever a
//! process does (where it is in the tree, what it runs, where), and for the arguments a few milliseconds.
//! After that it goes on without them, and they are taken when they come ([`Looks::late`]). Of the time
//! that a wait takes beyond what a read needs, it spends a tenth in all ([`Budget`]).
//!
//! A read that does not return keeps its thread until the process lets go of its memory or ends: the
//! kernel ends such a wait for nothing else. So there are [`THREADS`] threads at most, one of them never
//! reads arguments, and no user's processes may keep more than [`OF_USER`]. What finds no thread waits, and
//! if too much does, it is not read. Whatever was not read is counted ([`Looks::unread`]).

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    model::{Payer, Process, ProgramKey},
    procfs::{Entry, Proc, Stat},
};

/// How many threads look at most. They are started as they are needed.
const THREADS: usize = 8;
/// How many of them the processes of one user may keep with their arguments.
const OF_USER: usize = 2;
/// How long to wait for what no process can delay. It takes some microseconds, unless the host is so
/// busy that nobody gets a turn.
const TURN: Duration = Duration::from_millis(50);
/// How long to wait for arguments besides.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long one wait may take and costs nothing: more than a read takes where nothing delays it.
const QUICK: Duration = Duration::from_micros(250);
/// Of all time, one part in so many may be spent on what waits take beyond that.
const PART: u32 = 10;
/// As much may be spent of that at once: the ring buffer holds far more.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How many processes may wait for a thread.
const WAITING: usize = 256;
/// And of one user.
const WAITING_OF_USER: usize = 32;
/// When a read that has not returned is given up.
const DEADLINE: Duration = Duration::from_secs(1);

/// What there is to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Want {
    /// What it runs: [`Look::exe`].
    pub(super) exe: bool,
    /// [`Look::args`]; only with what it runs, which tells whose they are.
    pub(super) args: bool,
    /// [`Look::cwd`].
    pub(super) cwd: bool,
    /// [`Look::cgroups`].
    pub(super) cgroups: bool,
}

/// Whose a process is: a user may have a block of user ids.
fn block(process: &Process) -> Option<u32> {
    process.uid.map(Payer::of_block)
}

impl Want {
    fn is_anything(self) -> bool {
        self != Self::default()
    }
}

/// What `/proc` says of a process that is the one that was meant: it started when that did.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Its name and its parent. Read last, so that it vouches for the rest.
    pub(super) stat: Stat,
    /// Path of its executable.
    pub(super) exe: Option<Arc<str>>,
    /// Its arguments, as it says now.
    pub(super) args: Option<Arc<[String]>>,
    /// The directory that it works in.
    pub(super) cwd: Option<Arc<str>>,
    /// Its control groups.
    pub(super) cgroups: Option<Vec<u8>>,
}

/// What a look told at once.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// None if the process is gone or cannot be looked at, or was not seen in time: `rest` tells.
    pub(super) look: Option<Look>,
    /// What is missing of it.
    pub(super) rest: Rest,
}

/// What became of that which was not read in time. In the order of how much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
    /// There is none.
    Nothing,
    /// It may come: [`Looks::late`] has it, or that it is not to be had.
    Later,
    /// It does not come: too much waits.
    Never,
}

/// How long the thread that drains may wait: whoever makes many processes that are slow to read
/// delays all others by one part in [`PART`].
#[derive(Debug)]
struct Budget {
    /// When what was spent is made up for.
    even: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { even: now }
    }

    /// How much of `time` a wait that begins now may take.
    fn allowed(&self, now: Instant, time: Duration) -> Duration {
        let spent = self.even.saturating_duration_since(now) / PART;
        time.min(QUICK + AT_ONCE.saturating_sub(spent))
    }

    /// A wait took so long.
    fn spend(&mut self, begun: Instant, took: Duration) {
        let beyond = took.saturating_sub(QUICK);
        if !beyond.is_zero() {
            self.even = self.even.max(begun) + beyond * PART;
        }
    }
}

/// Reads the arguments of a process, which may take as long as that wants; in tests, as long as those want.
pub(super) type ReadArgs = fn(&Entry) -> Option<Arc<[String]>>;

/// What a thread is to do.
struct Job {
    number: u64,
    pid: u32,
    start_ns: u64,
    want: Want,
    read_args: ReadArgs,
}

/// What a thread tells. Of a job whose arguments are wanted it tells twice if the process is there.
enum Word {
    /// All that no process can delay.
    Seen(Option<Look>),
    /// What was seen, again, and the arguments.
    Read(Option<Look>),
}

/// A job that a thread has.
struct Doing {
    number: u64,
    process: Process,
    /// Since when; the arguments' turn begins anew.
    since: Instant,
    /// Whether its arguments are read.
    reads: bool,
    /// It was counted as one that does not return.
    given_up: bool,
}

/// Has threads look.
pub(super) struct Looks {
    proc: Proc,
    jobs: Sender<Job>,
    /// For those that are started later.
    shared: Arc<Mutex<Receiver<Job>>>,
    tell: Sender<(u64, Word)>,
    words: Receiver<(u64, Word)>,
    threads: usize,
    next: u64,
    /// At most one a thread.
    doing: Vec<Doing>,
    /// Those that found no thread.
    waiting: VecDeque<(Process, Want)>,
    late: VecDeque<(Process, Option<Look>)>,
    budget: Budget,
    /// How many found no place among those that wait.
    refused: u64,
    read_args: ReadArgs,
}

impl std::fmt::Debug for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looks")
            .field("threads", &self.threads)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl Looks {
    /// At the /proc mounted at `proc_root`.
    pub(super) fn new(proc_root: PathBuf) -> Self {
        let (jobs, asked) = channel();
        let (tell, words) = channel();
        Self {
            proc: Proc::new(proc_root),
            jobs,
            shared: Arc::new(Mutex::new(asked)),
            tell,
            words,
            threads: 0,
            next: 0,
            doing: Vec::new(),
            waiting: VecDeque::new(),
            late: VecDeque::new(),
            budget: Budget::new(Instant::now()),
            refused: 0,
            read_args: Entry::args,
        }
    }

    /// Reads arguments so.
    #[cfg(test)]
    pub(super) fn read_by(&mut self, read_args: ReadArgs) {
        self.read_args = read_args;
    }

    /// How many looks were given up: what comes late all the same is not among them.
    pub(super) fn unread(&self) -> u64 {
        let given_up = self.doing.iter().filter(|it| it.given_up).count();
        self.refused.saturating_add(given_up as u64)
    }

    /// How many would be if no more came.
    pub(super) fn unread_at_the_end(&self) -> u64 {
        let open = self.doing.len() + self.waiting.len();
        self.refused.saturating_add(open as u64)
    }

    /// Whether more may come that is worth waiting for: of what was not given up.
    pub(super) fn goes_on(&self) -> bool {
        self.doing.iter().any(|it| !it.given_up)
    }

    /// Whether more may come of the program that this process ran when it was looked at.
    pub(super) fn awaits(&self, program: ProgramKey) -> bool {
        let doing = self.doing.iter().map(|it| &it.process);
        let waiting = self.waiting.iter().map(|(process, _)| process);
        doing.chain(waiting).any(|it| it.program() == program)
    }

    /// Looks at `process`, and tells what could be seen in time and what became of the rest.
    pub(super) fn look(&mut self, process: &Process, mut want: Want) -> Seen {
        let mut rest = Rest::Nothing;
        if !want.is_anything() {
            return Seen { look: None, rest };
        }
        self.listen();
        if want.args && !self.may_read(process) {
            rest = self.put_off(process, want);
            want.args = false;
        }
        let Some(number) = self.start(process, want) else {
            if rest == Rest::Nothing {
                rest = self.put_off(process, want);
            }
            return Seen { look: None, rest };
        };
        let mut look = match self.wait(number, TURN) {
            None => {
                let rest = rest.max(Rest::Later);
                return Seen { look: None, rest };
            }
            Some(Word::Seen(Some(seen))) if want.args => Some(seen),
            Some(Word::Seen(look) | Word::Read(look)) => return Seen { look, rest },
        };
        match self.wait(number, PATIENCE) {
            Some(Word::Read(read)) => look = read,
            Some(Word::Seen(_)) | None => rest = Rest::Later,
        }
        Seen { look, rest }
    }

    /// What came since, of processes that were looked at and not waited for; none of one that is gone, or runs
    /// another program by now. To be called now and then.
    pub(super) fn late(&mut self) -> Vec<(Process, Option<Look>)> {
        self.listen();
        for _ in 0..self.waiting.len() {
            let Some((process, want)) = self.waiting.pop_front() else {
                break;
            };
            let may_start = !want.args || self.may_read(&process);
            if !may_start || self.start(&process, want).is_none() {
                self.waiting.push_back((process, want));
            }
        }
        self.late.drain(..).collect()
    }

    /// Has it looked at later, if not too much is.
    fn put_off(&mut self, process: &Process, want: Want) -> Rest {
        let of_user = self
            .waiting
            .iter()
            .filter(|it| block(&it.0) == block(process));
        if self.waiting.len() < WAITING && of_user.count() < WAITING_OF_USER {
            self.waiting.push_back((process.clone(), want));
            return Rest::Later;
        }
        self.refused += 1;
        Rest::Never
    }

    /// Whether the arguments of `process` may keep a thread.
    fn may_read(&self, process: &Process) -> bool {
        let reading = self.doing.iter().filter(|it| it.reads);
        let of_user = reading
            .clone()
            .filter(|it| block(&it.process) == block(process));
        reading.count() < THREADS - 1 && of_user.count() < OF_USER
    }

    /// Gives it to a thread, if one is free or can be started. Tells the number of the job.
    fn start(&mut self, process: &Process, want: Want) -> Option<u64> {
        if self.doing.len() >= self.threads && !self.add_thread() {
            return None;
        }
        self.next += 1;
        let job = Job {
            number: self.next,
            pid: process.pid,
            start_ns: process.key.start_ns,
            want,
            read_args: self.read_args,
        };
        self.jobs.send(job).ok()?;
        self.doing.push(Doing {
            number: self.next,
            process: process.clone(),
            since: Instant::now(),
            reads: want.args,
            given_up: false,
        });
        Some(self.next)
    }

    fn add_thread(&mut self) -> bool {
        if self.threads >= THREADS {
            return false;
        }
        let (proc, tell) = (self.proc.clone(), self.tell.clone());
        let jobs = Arc::clone(&self.shared);
        let work = move || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                if !perform(&proc, &job, &tell) {
                    return;
                }
            }
        };
        // Not joined: it may never return.
        let started = thread::Builder::new().name("looks".to_owned()).spawn(work);
        let is_started = started
            .inspect_err(|error| tracing::warn!(%error, "cannot look at processes"))
            .is_ok();
        self.threads += usize::from(is_started);
        is_started
    }

    /// What is told of this job next, if it comes in time. What is told of others is kept.
    fn wait(&mut self, number: u64, time: Duration) -> Option<Word> {
        let begun = Instant::now();
        let time = self.budget.allowed(begun, time);
        let word = loop {
            let left = time.saturating_sub(begun.elapsed());
            match self.words.recv_timeout(left) {
                Ok((of, word)) if of == number => {
                    self.forget_if_done(of, &word);
                    break Some(word);
                }
                Ok((of, word)) => self.keep(of, word),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break None,
            }
        };
        self.budget.spend(begun, begun.elapsed());
        word
    }

    /// Takes what has been told, and gives up what takes too long.
    fn listen(&mut self) {
        if self.doing.is_empty() {
            return;
        }
        while let Ok((of, word)) = self.words.try_recv() {
            self.keep(of, word);
        }
        for doing in &mut self.doing {
            if !doing.given_up && doing.since.elapsed() >= DEADLINE {
                doing.given_up = true;
                tracing::debug!(pid = doing.process.pid, "a read of /proc does not return");
            }
        }
    }

    fn keep(&mut self, of: u64, word: Word) {
        if let Some(process) = self.forget_if_done(of, &word) {
            let (Word::Seen(look) | Word::Read(look)) = word;
            self.late.push_back((process, look));
        }
    }

    /// Whose job this is, which its thread has no longer if it was its last word.
    fn forget_if_done(&mut self, of: u64, word: &Word) -> Option<Process> {
        let at = self.doing.iter().position(|it| it.number == of)?;
        let doing = &mut self.doing[at];
        if matches!(word, Word::Seen(Some(_))) && doing.reads {
            doing.since = Instant::now();
            return Some(doing.process.clone());
        }
        Some(self.doing.swap_remove(at).process)
    }
}

/// Looks at one process; tells whether anybody wants to know more.
fn perform(proc: &Proc, job: &Job, tell: &Sender<(u64, Word)>) -> bool {
    let want = job.want;
    let entry = proc.open(job.pid);
    let vouched = |entry: &Entry| {
        let stat = entry.stat();
        stat.filter(|stat| stat.started_at(job.start_ns))
    };
    let seen = entry.as_ref().and_then(|entry| {
        let exe = want.exe.then(|| entry.exe()).flatten();
        let cwd = want.cwd.then(|| entry.cwd()).flatten();
        let cgroups = want.cgroups.then(|| entry.cgroups()).flatten();
        // Last: had the process been another one, or executed another program before or between the
        // reads above, it would show here.
        let stat = vouched(entry)?;
        Some(Look {
            stat,
            exe,
            args: None,
            cwd,
            cgroups,
        })
    });
    let goes_on = seen.clone().filter(|_| want.args).zip(entry);
    if tell.send((job.number, Word::Seen(seen))).is_err() {
        return false;
    }
    let Some((seen, entry)) = goes_on else {
        return true;
    };
    let args = (job.read_args)(&entry);
    let exe = entry.exe();
    // Another program, or another process: what was seen is not of the same as these are.
    let stat = vouched(&entry).filter(|stat| stat.comm == seen.stat.comm && exe == seen.exe);
    let read = stat.map(|stat| Look { stat, args, ..seen });
    tell.send((job.number, Word::Read(read))).is_ok()
}

#[cfg(test)]
mod tests;
