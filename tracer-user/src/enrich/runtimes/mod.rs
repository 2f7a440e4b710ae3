//! What container runtimes know: name, image and labels of a container, and its pod.
//!
//! Threads of their own look and ask, so that no event waits for a disk or a runtime: [`Runtimes`]
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
//! followed below the folders of a runtime (`files`). What a user's runtime says is of that user's
//! containers: a container is known by its id *and* whose it is, and only the owner's files and sockets
//! are asked for it. The administrator's and the users' have a thread, a queue and a table each
//! (`worker`, `known`), so that what users do delays and displaces no name of the administrator's.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Sender;

use crate::model::{Container, Kubernetes};

mod bundle;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod docker;
mod engine;
mod facts;
mod files;
mod known;
mod owner;
mod places;
mod storage;
mod worker;

use known::{Known, Tables};
pub use owner::{ANY_CONTROLLER, STATIC_POD, of as owner_of};
use worker::Worker;

/// Questions that may wait for a thread. What does not fit is asked later.
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
    /// Name of the Kubernetes node, where it is known.
    pub node: Option<Arc<str>>,
}

/// A container: its id, and the user whose it is; none if it is the administrator's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    id: Arc<str>,
    owner: Option<u32>,
}

struct Question {
    key: Key,
    runtime: Option<Arc<str>>,
}

struct Answer {
    key: Key,
    found: Option<Found>,
    /// Whether there is nothing more to find out.
    is_whole: bool,
}

/// Knows the containers of this host, as far as their runtimes tell.
#[derive(Debug)]
pub struct Runtimes {
    /// The administrator's containers.
    system: Desk,
    /// Those of all users.
    users: Desk,
    answers: Receiver<Answer>,
    known: Tables,
    /// What was found out while waiting, and not told yet.
    heard: Vec<Found>,
    /// When the next question is due.
    again: Option<Instant>,
}

/// Where questions are handed in.
#[derive(Debug)]
struct Desk {
    questions: Sender<Question>,
    /// When an event may wait for an answer again.
    patient: Instant,
}

impl Desk {
    fn open(host: &Host, name: &str, answers: SyncSender<Answer>) -> io::Result<Self> {
        let questions = Worker::new(host.clone()).start(name, answers)?;
        let patient = Instant::now();
        Ok(Self { questions, patient })
    }
}

impl Runtimes {
    /// Starts the threads that look and ask. They end after this value, within seconds.
    ///
    /// # Errors
    /// If there can be no more threads or files.
    pub fn new(host: &Host) -> io::Result<Self> {
        let (answer, answers) = sync_channel(QUEUE);
        Ok(Self {
            system: Desk::open(host, "runtimes", answer.clone())?,
            users: Desk::open(host, "users' runtimes", answer)?,
            answers,
            known: Tables::default(),
            heard: Vec::new(),
            again: None,
        })
    }

    /// What is known of the container `id` of `owner`; if it is nothing yet, or not all, it is looked
    /// for, and again later. Never waits, and mostly only reads a table.
    ///
    /// `runtime` is what runs it, where its control group tells that: then no other one is asked.
    /// `owner` is the user, not root, whose control group it is in.
    pub fn ask(
        &mut self,
        id: &str,
        runtime: Option<&str>,
        owner: Option<u32>,
    ) -> Option<Arc<Found>> {
        self.ask_at(Instant::now(), id, runtime, owner)
    }

    fn ask_at(
        &mut self,
        now: Instant,
        id: &str,
        runtime: Option<&str>,
        owner: Option<u32>,
    ) -> Option<Arc<Found>> {
        if let Some(known) = self.known.get_mut(id, owner) {
            return known.found.clone();
        }
        if files::is_id(id) {
            let known = Known {
                runtime: runtime.map(Into::into),
                found: None,
                retry: Some(now),
                tries: 0,
            };
            self.known.put(id, owner, known);
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
        owner: Option<u32>,
    ) -> Option<Arc<Found>> {
        let found = self.ask(id, runtime, owner);
        let patient = self.desk(owner).patient;
        if found.is_some() || self.is_answered(id, owner) || Instant::now() < patient {
            return found;
        }
        let begun = Instant::now();
        while !self.is_answered(id, owner) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(answer) = self.answers.recv_timeout(left) else {
                break;
            };
            let found = self.take(Instant::now(), answer);
            self.heard.extend(found);
        }
        self.desk(owner).patient = begun + begun.elapsed() * REST;
        self.known.peek(id, owner)?.found.clone()
    }

    fn desk(&mut self, owner: Option<u32>) -> &mut Desk {
        match owner {
            None => &mut self.system,
            Some(_) => &mut self.users,
        }
    }

    /// Whether there was an answer about this container, or there will be none.
    fn is_answered(&self, id: &str, owner: Option<u32>) -> bool {
        let known = self.known.peek(id, owner);
        known.is_none_or(|known| known.tries > 0)
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
        let Key { id, owner } = &answer.key;
        let known = self.known.get_mut(id, *owner)?;
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
        let mut next = None;
        let (system, users) = (&self.system.questions, &self.users.questions);
        self.known.each(|owner, id, known| {
            if known.retry.is_some_and(|retry| retry <= now) {
                let question = Question {
                    key: Key {
                        id: Arc::clone(id),
                        owner,
                    },
                    runtime: known.runtime.clone(),
                };
                let desk = if owner.is_none() { system } else { users };
                if desk.try_send(question).is_ok() {
                    known.retry = None;
                }
            }
            next = earlier(next, known.retry);
        });
        self.again = next;
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
