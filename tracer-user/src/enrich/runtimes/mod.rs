//! What container runtimes know: name, image and labels of a container, and its pod.
//!
//! A thread of its own looks and asks, so that no event waits for a disk or a runtime: [`Runtimes`]
//! takes questions, and gives answers when they are there. Each container is asked for once, and
//! again only where nothing, or not all, was found.
//!
//! The sources, in this order:
//!
//! 1. Files of the runtimes (`places`), first of all the OCI bundle's `config.json` (`bundle`),
//!    which is there before the first process of the container. containerd and CRI-O write there
//!    what Kubernetes knows of a container; Docker (`docker`) and Podman (`storage`) have names
//!    and images in files of their own.
//! 2. The API of Docker and Podman (`engine`), for what the files lack.
//!
//! `owner` infers from a pod's name what made it.
//!
//! All of this is chosen by whoever starts containers: sizes are bounded (`facts`), no link is
//! followed below the folders of a runtime (`files`), and what is in the hands of a user is only
//! looked at for containers in that user's slice.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::model::{Container, Kubernetes};

mod bundle;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod docker;
mod engine;
mod facts;
mod files;
mod owner;
mod places;
mod storage;

use engine::{Engines, Reply};
pub use owner::{ANY_CONTROLLER, STATIC_POD, of as owner_of};

/// How many containers are remembered; those that were not asked for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Questions that may wait for the thread. What does not fit is asked later.
const QUEUE: usize = 256;
/// After how long a container is looked for again that was not found, or not whole; twice as long
/// each time.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// And at most.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How often it is looked for in all: for half an hour.
const MAX_TRIES: u32 = 15;
/// How long an event waits for the first answer about its container.
const PATIENCE: Duration = Duration::from_millis(5);
/// Nobody waits again for so many times as long as the last one did, so that a host that starts
/// many containers is not held up.
const REST: u32 = 10;

/// What was found out about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id, as it was asked for.
    pub id: Arc<str>,
    /// What its runtime calls it.
    pub container: Container,
    /// Its pod, if it is of one. The quality of service is never in it: a control group tells it.
    pub k8s: Option<Kubernetes>,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Host {
    /// The root of the host's files: `/`, or where it is mounted in a container.
    pub root: PathBuf,
    /// The host's /proc.
    pub proc_root: PathBuf,
    /// Name of the Kubernetes node, where it is known.
    pub node: Option<Arc<str>>,
}

struct Question {
    id: Arc<str>,
    runtime: Option<Arc<str>>,
    pid: Option<u32>,
}

struct Answer {
    id: Arc<str>,
    found: Option<Found>,
    /// Whether there is nothing more to find out.
    is_whole: bool,
}

#[derive(Debug)]
struct Known {
    /// What runs it, and a process in it, as far as that was said.
    runtime: Option<Arc<str>>,
    pid: Option<u32>,
    found: Option<Arc<Found>>,
    /// When to ask again; none while an answer is awaited, or if there is no need.
    retry: Option<Instant>,
    /// How often it was asked.
    tries: u32,
}

/// Knows the containers of this host, as far as their runtimes tell.
#[derive(Debug)]
pub struct Runtimes {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    known: LruCache<Arc<str>, Known>,
    /// What was found out while waiting, and not told yet.
    heard: Vec<Found>,
    /// When the next question is due.
    again: Option<Instant>,
    /// When an event may wait for an answer again.
    patient: Instant,
}

impl Runtimes {
    /// Starts the thread that looks and asks. It ends after this value, within seconds.
    ///
    /// # Errors
    /// If there can be no more threads or files.
    pub fn new(host: Host) -> io::Result<Self> {
        let engines = Engines::new(host.root.clone())?;
        let (questions, asked) = sync_channel::<Question>(QUEUE);
        let (answer, answers) = sync_channel(QUEUE);
        let mut worker = Worker { host, engines };
        thread::Builder::new()
            .name("runtimes".to_owned())
            .spawn(move || {
                while let Ok(question) = asked.recv() {
                    // Waits while nobody takes answers, and ends when nobody ever will.
                    if answer.send(worker.answer(&question)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            questions,
            answers,
            known: LruCache::new(CAPACITY),
            heard: Vec::new(),
            again: None,
            patient: Instant::now(),
        })
    }

    /// What is known of the container `id`; if it is nothing yet, or not all, it is looked for, and
    /// again later. Never waits, and mostly only reads a table.
    ///
    /// `runtime` is what runs it, where its control group tells that: then no other one is asked.
    /// `pid` is a process in it: without one, a container of a user's own is not found.
    pub fn ask(&mut self, id: &str, runtime: Option<&str>, pid: Option<u32>) -> Option<Arc<Found>> {
        self.ask_at(Instant::now(), id, runtime, pid)
    }

    fn ask_at(
        &mut self,
        now: Instant,
        id: &str,
        runtime: Option<&str>,
        pid: Option<u32>,
    ) -> Option<Arc<Found>> {
        if let Some(known) = self.known.get_mut(id) {
            if known.pid.is_none() && pid.is_some() {
                known.pid = pid;
                // Now there is more to go by.
                if known.retry.is_some() {
                    known.retry = Some(now);
                    self.again = Some(now);
                }
            }
            return known.found.clone();
        }
        if files::is_id(id) {
            let known = Known {
                runtime: runtime.map(Into::into),
                pid,
                found: None,
                retry: Some(now),
                tries: 0,
            };
            self.known.put(id.into(), known);
            self.again = Some(now);
            self.send(now);
        }
        None
    }

    /// Likewise, but waits a little for the first answer about a container: what runs in it may be
    /// gone at once, and then there is no later line to put its name in.
    pub fn ask_patiently(
        &mut self,
        id: &str,
        runtime: Option<&str>,
        pid: Option<u32>,
    ) -> Option<Arc<Found>> {
        let found = self.ask(id, runtime, pid);
        if found.is_some() || self.is_answered(id) || Instant::now() < self.patient {
            return found;
        }
        let begun = Instant::now();
        while !self.is_answered(id) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(answer) = self.answers.recv_timeout(left) else {
                break;
            };
            let found = self.take(Instant::now(), answer);
            self.heard.extend(found);
        }
        self.patient = begun + begun.elapsed() * REST;
        self.known.peek(id)?.found.clone()
    }

    /// Whether there was an answer about this container, or there will be none.
    fn is_answered(&self, id: &str) -> bool {
        self.known.peek(id).is_none_or(|known| known.tries > 0)
    }

    /// What was found out since the last call, never waiting for more. A container may come
    /// again, with more in it. To be called now and then: it also has those looked for again whose
    /// time has come.
    pub fn poll(&mut self) -> Vec<Found> {
        self.poll_at(Instant::now())
    }

    fn poll_at(&mut self, now: Instant) -> Vec<Found> {
        let mut out = std::mem::take(&mut self.heard);
        while let Ok(answer) = self.answers.try_recv() {
            out.extend(self.take(now, answer));
        }
        self.send(now);
        out
    }

    /// Remembers an answer; returns what is new in it.
    fn take(&mut self, now: Instant, answer: Answer) -> Option<Found> {
        // It may have been forgotten meanwhile.
        let known = self.known.get_mut(&answer.id)?;
        known.tries += 1;
        let wait = FIRST_RETRY.saturating_mul(1 << (known.tries - 1).min(16));
        let is_due = !answer.is_whole && known.tries < MAX_TRIES;
        known.retry = is_due.then(|| now + wait.min(LAST_RETRY));
        self.again = earlier(self.again, known.retry);
        // What is known stays when it cannot be found any more: it has ended.
        let found = answer.found?;
        let is_new = known.found.as_deref() != Some(&found);
        is_new.then(|| {
            known.found = Some(Arc::new(found.clone()));
            found
        })
    }

    /// Hands over the questions whose time has come, as many as there is room for.
    fn send(&mut self, now: Instant) {
        if self.again.is_none_or(|again| now < again) {
            return;
        }
        self.again = None;
        for (id, known) in &mut self.known {
            if known.retry.is_some_and(|retry| retry <= now) {
                let question = Question {
                    id: Arc::clone(id),
                    runtime: known.runtime.clone(),
                    pid: known.pid,
                };
                if self.questions.try_send(question).is_ok() {
                    known.retry = None;
                }
            }
            self.again = earlier(self.again, known.retry);
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// What the thread does.
struct Worker {
    host: Host,
    engines: Engines,
}

impl Worker {
    fn answer(&mut self, question: &Question) -> Answer {
        let Question { id, runtime, pid } = question;
        let uid = pid.and_then(|pid| owner_of_slice(&self.host.proc_root, pid));
        let mut facts = places::find(&self.host.root, id, uid).unwrap_or_default();
        let mut is_whole = facts.are_complete();
        if !is_whole {
            let runtime = facts.runtime.as_deref().or(runtime.as_deref());
            let hint = runtime.filter(|name| !matches!(*name, "crun" | "runc"));
            match self.engines.ask(id, hint, uid) {
                Reply::Facts(more) => {
                    facts.or(more);
                    is_whole = true;
                }
                // If a file was found, that is all that there is.
                Reply::Unknown => is_whole = facts.are_known(),
                Reply::Silence => {}
            }
        }
        let found = facts.are_known().then(|| {
            let node = self.host.node.as_ref();
            let (container, k8s) = facts.into_model(id, runtime.as_ref(), node);
            Found {
                id: Arc::clone(id),
                container,
                k8s,
            }
        });
        Answer {
            id: Arc::clone(id),
            found,
            is_whole,
        }
    }
}

/// Whose slice the process is in: the user that started it or has it run, as systemd keeps
/// account. Users cannot leave their slice.
fn owner_of_slice(proc_root: &Path, pid: u32) -> Option<u32> {
    let bytes = files::read(
        proc_root,
        &Path::new(&pid.to_string()).join("cgroup"),
        64 << 10,
        files::Whose::System,
    )?;
    parse_owner(&String::from_utf8_lossy(&bytes))
}

fn parse_owner(cgroups: &str) -> Option<u32> {
    cgroups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let uid = path.strip_prefix("/user.slice/user-")?;
        uid.split_once(".slice")?.0.parse().ok()
    })
}

#[cfg(test)]
mod tests;
