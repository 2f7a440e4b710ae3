//! The thread that looks and asks. What it reads from disks does not keep it waiting (`files`), and
//! while one runtime is waited for it goes on with others.

use std::{
    io,
    sync::{Arc, mpsc::SyncSender},
    thread,
};

use tokio::sync::{
    Semaphore,
    mpsc::{Sender, channel},
};

use super::{
    Answer, Found, Host, Key, QUEUE, Question,
    engine::{Engines, Reply},
    facts::Facts,
    places,
};

/// How many questions wait for runtimes at once, before the next one is looked at.
const IN_FLIGHT: usize = 64;

/// Answers questions.
pub(super) struct Worker {
    host: Host,
    engines: Engines,
}

impl Worker {
    pub(super) fn new(host: Host) -> Self {
        let engines = Engines::new(host.root.clone());
        Self { host, engines }
    }

    /// Begins to answer what it is asked, on a thread with this name, until nobody asks or wants to know
    /// any more.
    ///
    /// # Errors
    /// If there can be no more threads, or the kernel gives no `epoll` instance.
    pub(super) fn start(
        self,
        name: &str,
        answers: SyncSender<Answer>,
    ) -> io::Result<Sender<Question>> {
        let (questions, mut asked) = channel::<Question>(QUEUE);
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = async move {
            let worker = Arc::new(self);
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
            while let Some(question) = asked.recv().await {
                let facts = worker.on_disk(&question);
                if facts.are_complete() {
                    let answer = worker.answer_of(&question, facts, true);
                    // Waits while nobody takes answers, and ends when nobody ever will.
                    if answers.send(answer).is_err() {
                        return;
                    }
                    continue;
                }
                let Ok(place) = Arc::clone(&in_flight).acquire_owned().await else {
                    return;
                };
                let (worker, answers) = (Arc::clone(&worker), answers.clone());
                tokio::spawn(async move {
                    let answer = worker.asked(&question, facts).await;
                    // Whoever is gone needs none.
                    let _ = answers.send(answer);
                    drop(place);
                });
            }
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || tokio.block_on(work))?;
        Ok(questions)
    }

    /// What files say.
    fn on_disk(&self, question: &Question) -> Facts {
        let Key { id, owner } = &question.key;
        places::find(&self.host.root, id, *owner).unwrap_or_default()
    }

    /// What runtimes add to that.
    async fn asked(&self, question: &Question, mut facts: Facts) -> Answer {
        let Question { key, runtime } = question;
        let runtime = facts.runtime.as_deref().or(runtime.as_deref());
        let hint = runtime.filter(|name| !matches!(*name, "crun" | "runc"));
        let is_whole = match self.engines.ask(&key.id, hint, key.owner).await {
            Reply::Facts(more) => {
                facts.or(more);
                true
            }
            // If a file was found, that is all that there is.
            Reply::Unknown => facts.are_known(),
            Reply::Silence => false,
        };
        self.answer_of(question, facts, is_whole)
    }

    fn answer_of(&self, question: &Question, facts: Facts, is_whole: bool) -> Answer {
        let Question { key, runtime } = question;
        let found = facts.are_known().then(|| {
            let node = self.host.node.as_ref();
            let (container, k8s) = facts.into_model(&key.id, runtime.as_ref(), node);
            Found {
                id: Arc::clone(&key.id),
                container,
                k8s,
            }
        });
        Answer {
            key: key.clone(),
            found,
            is_whole,
        }
    }

    /// The whole answer to a question, and which runtimes were asked.
    #[cfg(test)]
    pub(super) async fn answer(&self, question: &Question) -> Answer {
        let facts = self.on_disk(question);
        match facts.are_complete() {
            true => self.answer_of(question, facts, true),
            false => self.asked(question, facts).await,
        }
    }

    #[cfg(test)]
    pub(super) fn engines(&self) -> &Engines {
        &self.engines
    }
}
