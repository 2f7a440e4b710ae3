//! A run on a thread of its own, from the thread that started it.

use std::{
    future::pending,
    ops::ControlFlow,
    pin::pin,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{
    sync::{oneshot, watch},
    time::sleep_until,
};

use super::{
    consumer::{Consumer, Snapshot},
    drive::{self, drive},
    pace::{Pace, spent},
    source::{Account, Source},
    stop::{Stop, Stopped},
};
use crate::{
    cli::request::Origin,
    filter,
    sandbox::{self, Attaches, Needs as Rights},
    signals::{SAME, Signals},
};

/// How often a snapshot is looked at, at most.
pub(super) const LOOKS: Duration = Duration::from_millis(250);
/// Of the time between two looks one part in so many may be spent on one.
pub(super) const LOOKS_PART: u32 = 20;

/// A run that has all it reads from, and has not begun.
pub(super) struct Run {
    signals: Signals,
    stop: Stop,
    /// What the source is called.
    name: String,
    /// What it is still to attach.
    attaches: Attaches,
    go: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<Account>>,
    thread: JoinHandle<()>,
}

/// What came first.
pub(super) enum First<T> {
    /// The run is over.
    Ended(Account),
    /// A signal asked it to stop, and it will.
    Asked,
    /// And another one did, a while later.
    AskedAgain,
    /// What else was waited for.
    Other(T),
}

impl Run {
    /// Opens what is to be read. Signals are caught before, so that none finds the default action.
    ///
    /// # Errors
    /// If that cannot be had.
    pub(super) async fn open(
        origin: Origin,
        filter: filter::Options,
        consumers: Vec<Box<dyn Consumer>>,
        (stop, stopped): (Stop, Stopped),
    ) -> Result<Self> {
        let signals = Signals::new()?;
        let (go, begin) = oneshot::channel();
        let (tell_opened, opened) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let body = move |go: oneshot::Receiver<()>| -> Result<(Result<Account>, Source)> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting the runtime")?;
            let _entered = runtime.enter();
            let needs = drive::needs(&consumers);
            let mut source = Source::open(origin, &filter, needs, stopped.clone())?;
            // Whoever waits for this may have given up.
            let _ = tell_opened.send((source.name(), source.attaches()));
            if runtime.block_on(go).is_err() {
                bail!("the run was given up before it began");
            }
            let account = runtime.block_on(drive(&mut source, consumers, stopped));
            Ok((account, source))
        };
        let thread = thread::Builder::new()
            .name("run".to_owned())
            .spawn(move || {
                let (account, source) = match body(begin) {
                    Ok((account, source)) => (account, Some(source)),
                    Err(error) => (Err(error), None),
                };
                // Nobody waits for what is detached, which takes up to seconds.
                let _ = tell_ended.send(account);
                drop(source);
            })
            .context("starting a thread")?;
        match opened.await {
            Ok((name, attaches)) => Ok(Self {
                signals,
                stop,
                name,
                attaches,
                go,
                ended,
                thread,
            }),
            Err(_) => match ended.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(broken(thread)),
            },
        }
    }

    /// What the source is called: a set of hooks, or that it is recorded.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Lets it begin. All that is to be attached, opened or created is: of the process only these rights are left,
    /// unless more is to be attached later.
    pub(super) fn begin(self, rights: Option<Rights>) -> Running {
        if let Some(rights) = rights {
            sandbox::close(Rights {
                attaches: self.attaches,
                ..rights
            });
        }
        let Self {
            signals,
            stop,
            go,
            ended,
            thread,
            ..
        } = self;
        // If it broke down, that shows at the end.
        let _ = go.send(());
        Running {
            signals,
            stop,
            ended,
            thread: Some(thread),
            asked: None,
        }
    }
}

/// A run that has begun.
pub(super) struct Running {
    signals: Signals,
    stop: Stop,
    ended: oneshot::Receiver<Result<Account>>,
    thread: Option<JoinHandle<()>>,
    /// When a signal first asked it to stop.
    asked: Option<Instant>,
}

impl Running {
    /// Waits for the end of the run, or a signal, which asks it to stop, or `other`.
    ///
    /// # Errors
    /// If the run broke down.
    pub(super) async fn or<T>(&mut self, other: impl Future<Output = T>) -> Result<First<T>> {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                account = &mut self.ended => return match account {
                    Ok(account) => account.map(First::Ended),
                    Err(_) => Err(self.thread.take().map_or_else(lost, broken)),
                },
                () = self.signals.stop() => match self.asked {
                    None => {
                        self.asked = Some(Instant::now());
                        self.stop.ask();
                        return Ok(First::Asked);
                    }
                    // A terminal that is closed has a hang-up sent twice.
                    Some(asked) if asked.elapsed() < SAME => {}
                    Some(_) => {
                        self.stop.ask();
                        return Ok(First::AskedAgain);
                    }
                },
                other = &mut other => return Ok(First::Other(other)),
            }
        }
    }

    /// Asks it to stop.
    pub(super) fn stop(&self) {
        self.stop.ask();
    }

    /// Waits for its end. What follows takes as long as it takes: signals end the process then.
    ///
    /// # Errors
    /// If the run broke down.
    pub(super) async fn end(mut self) -> Result<Account> {
        loop {
            if let First::Ended(account) = self.or(pending::<()>()).await? {
                return Ok(account);
            }
        }
    }

    /// The same, while `look` sees each snapshot until it has seen enough.
    ///
    /// # Errors
    /// If the run broke down, or `look` fails.
    pub(super) async fn watched(
        mut self,
        mut snapshots: watch::Receiver<Option<Snapshot>>,
        mut look: impl FnMut(&Snapshot) -> Result<ControlFlow<()>>,
    ) -> Result<Account> {
        let mut pace = Pace::new(LOOKS_PART, LOOKS);
        loop {
            let next = async {
                sleep_until(pace.next()).await;
                snapshots.changed().await
            };
            match self.or(next).await? {
                First::Ended(account) => return Ok(account),
                // What comes now is seen at the end.
                First::Asked | First::AskedAgain | First::Other(Err(_)) => break,
                First::Other(Ok(())) => {
                    let before = spent();
                    let snapshot = snapshots.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot
                        && look(&snapshot)?.is_break()
                    {
                        self.stop();
                        break;
                    }
                    pace.took(spent().saturating_sub(before));
                }
            }
        }
        drop(snapshots);
        self.end().await
    }
}

/// The thread of the run ended, and did not say how.
fn broken(thread: JoinHandle<()>) -> anyhow::Error {
    let Err(panic) = thread.join() else {
        return lost();
    };
    let why = panic.downcast_ref::<String>().map(String::as_str);
    match why.or_else(|| panic.downcast_ref::<&str>().copied()) {
        Some(why) => anyhow!("the thread of the run broke down: {why}"),
        None => lost(),
    }
}

fn lost() -> anyhow::Error {
    anyhow!("the thread of the run broke down")
}
