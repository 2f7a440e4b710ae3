//! A run on a thread of its own, from the thread that started it.

use std::{future::pending, ops::ControlFlow, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::{oneshot, watch};

use super::{
    consumer::{Consumer, Needs, Snapshot},
    drive::{self, drive},
    source::{Account, Origin, Source},
    stop::{Stop, Stopped},
};
use crate::{
    filter,
    sandbox::{self, Attaches, Needs as Rights},
    signals::Signals,
};

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
}

/// What came first.
pub(super) enum First<T> {
    /// The run is over.
    Ended(Account),
    /// A signal asked it to stop, and it will.
    Asked,
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
        filter: &filter::Options,
        consumers: Vec<Box<dyn Consumer>>,
        (stop, stopped): (Stop, Stopped),
    ) -> Result<Self> {
        let filter = filter.clone();
        let opened = stopped.clone();
        let open = move |needs| origin.open(&filter, needs, opened);
        Self::of(open, consumers, (stop, stopped)).await
    }

    /// The same, of whatever `open` opens.
    ///
    /// # Errors
    /// If that fails.
    pub(super) async fn of(
        open: impl FnOnce(Needs) -> Result<Source> + Send + 'static,
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
            let mut source = open(drive::needs(&consumers))?;
            // Whoever waits for this may have given up.
            let _ = tell_opened.send((source.name(), source.attaches()));
            if runtime.block_on(go).is_err() {
                bail!("the run was given up before it began");
            }
            let account = runtime.block_on(drive(&mut source, consumers, stopped));
            Ok((account, source))
        };
        thread::Builder::new()
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
            }),
            Err(_) => match ended.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(broken()),
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
            ..
        } = self;
        // If it broke down, that shows at the end.
        let _ = go.send(());
        Running {
            signals,
            stop,
            ended,
        }
    }
}

/// A run that has begun.
pub(super) struct Running {
    signals: Signals,
    stop: Stop,
    ended: oneshot::Receiver<Result<Account>>,
}

impl Running {
    /// Waits for the end of the run, or a signal, which asks it to stop, or `other`.
    ///
    /// # Errors
    /// If the run broke down.
    pub(super) async fn or<T>(&mut self, other: impl Future<Output = T>) -> Result<First<T>> {
        tokio::select! {
            biased;
            account = &mut self.ended => Ok(First::Ended(account.map_err(|_| broken())??)),
            () = self.signals.stop() => {
                self.stop.ask();
                Ok(First::Asked)
            }
            other = other => Ok(First::Other(other)),
        }
    }

    /// Whether it was asked to stop more than once.
    pub(super) fn is_asked_again(&self) -> bool {
        self.stop.times() > 1
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
        loop {
            match self.or(snapshots.changed()).await? {
                First::Ended(account) => return Ok(account),
                // What comes now is seen at the end.
                First::Asked | First::Other(Err(_)) => break,
                First::Other(Ok(())) => {
                    let snapshot = snapshots.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot
                        && look(&snapshot)?.is_break()
                    {
                        self.stop();
                        break;
                    }
                }
            }
        }
        drop(snapshots);
        self.end().await
    }
}

fn broken() -> anyhow::Error {
    anyhow!("the thread of the run broke down")
}
