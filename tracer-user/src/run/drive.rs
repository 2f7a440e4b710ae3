//! Takes events from a source to consumers, from the first to the last one.

use std::{future::poll_fn, task::Poll, time::Duration};

use anyhow::Result;
use tokio::{
    task::yield_now,
    time::{Instant, interval, sleep, sleep_until},
};

use super::{
    consumer::{Consumer, Needs, Take, Wait},
    source::{Account, Source, State},
    stop::Stopped,
};
use crate::{
    model::{Body, Event, Kind},
    signals,
};

/// How often losses are told, and a reader that went away is noticed.
const CHECK: Duration = Duration::from_millis(250);

/// How long to wait between two steps of a stop for which nobody has room.
const STEP: Duration = Duration::from_millis(1);

/// Takes all events of `source` to `consumers`, until it is over, or nobody wants more. `stopped` asks for the end
/// before. Whatever happens, consumers hand on what they took.
///
/// # Errors
/// If the source breaks down, or a consumer cannot hand on what it took.
pub(super) async fn drive(
    source: &mut Source,
    consumers: Vec<Box<dyn Consumer>>,
    stopped: Stopped,
) -> Result<Account> {
    let mut taking = Taking::new(consumers);
    let account = take_all(source, &mut taking, stopped).await;
    let finished = taking.finish().await;
    let account = account?;
    finished.map(|()| account)
}

async fn take_all(
    source: &mut Source,
    taking: &mut Taking,
    mut stopped: Stopped,
) -> Result<Account> {
    if let Some(first) = source.first() {
        taking.event(&first);
    }
    let mut check = interval(CHECK);
    let mut more = false;
    let mut is_ending = false;
    let deadline = source.deadline();
    loop {
        let is_full = taking.take() == Take::Full;
        let due = taking.due();
        tokio::select! {
            biased;
            () = stopped.asked(1), if !is_ending => is_ending = true,
            () = until(deadline), if !is_ending => is_ending = true,
            _ = check.tick() => {
                if let Some(loss) = source.check(!is_full)? {
                    taking.event(&loss);
                }
                // Whoever reads meanwhile is not kept waiting.
                taking.flush()?;
                if taking.is_over() {
                    break;
                }
                continue;
            }
            () = hand_on(&mut taking.consumers) => {
                if taking.is_over() {
                    break;
                }
                continue;
            }
            () = until(due) => {
                let figures = source.figures(taking.told)?;
                taking.consumers.iter_mut().filter(|it| it.due() <= due).for_each(|it| it.tick(&figures));
                continue;
            }
            // A yield, so that a source that never runs dry starves nothing above. What cannot be handed on yet keeps
            // the rest in the kernel, which counts what finds no room there: memory stays bounded, loss is known.
            () = yield_now(), if more && !is_full => {}
            () = source.ready(), if !more && !is_full => {}
            // A reader that takes its time does not put the stop off, but for what is read for it.
            () = sleep(STEP), if is_full && is_ending => {}
        }
        if is_ending {
            // The stop goes on.
            signals::beat();
            if !taking.is_ending {
                taking.ending();
                source.end();
            }
            source.go_on()?;
        }
        if taking.take() == Take::More {
            let state = source.drain(|event| taking.event(event))?;
            taking.flush_if_full()?;
            if state == State::Over {
                break;
            }
            more = state == State::More;
        }
    }
    for mut event in source.last()? {
        if let Body::Stop(stop) = &mut event.body {
            stop.lines = taking.needs.lines.then_some(taking.told);
        }
        taking.event(&event);
    }
    Ok(Account {
        events: taking.told,
        ..source.account()?
    })
}

/// The consumers of a run.
struct Taking {
    consumers: Vec<Box<dyn Consumer>>,
    needs: Needs,
    /// Events so far.
    told: u64,
    is_ending: bool,
}

impl Taking {
    fn new(consumers: Vec<Box<dyn Consumer>>) -> Self {
        Self {
            needs: needs(&consumers),
            consumers,
            told: 0,
            is_ending: false,
        }
    }

    fn event(&mut self, event: &Event) -> Take {
        if event.body.kind() == Kind::Totals && !self.is_ending && self.needs.totals {
            // What is told last says it all: only who wants to know meanwhile has this.
            for consumer in self.consumers.iter_mut().filter(|it| it.needs().totals) {
                consumer.event(event);
            }
            return self.take();
        }
        self.told += 1;
        let mut take = Take::More;
        for consumer in &mut self.consumers {
            if consumer.event(event) == Take::Full {
                take = Take::Full;
            }
        }
        take
    }

    /// Whether all have room.
    fn take(&self) -> Take {
        match self.consumers.iter().any(|it| it.take() == Take::Full) {
            true => Take::Full,
            false => Take::More,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.consumers.iter().filter_map(|it| it.due()).min()
    }

    fn flush(&mut self) -> Result<()> {
        self.consumers.iter_mut().try_for_each(|it| it.flush())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        let full = self.consumers.iter_mut();
        full.filter(|it| it.take() == Take::Full)
            .try_for_each(|it| it.flush())
    }

    fn ending(&mut self) {
        self.is_ending = true;
        self.consumers.iter_mut().for_each(|it| it.ending());
    }

    fn is_over(&self) -> bool {
        self.consumers.iter().all(|it| it.is_over())
    }

    /// All hand on what is left, whatever becomes of one of them.
    async fn finish(self) -> Result<()> {
        let mut result = Ok(());
        for consumer in self.consumers {
            result = result.and(consumer.finish().await);
        }
        result
    }
}

/// What all of these have to be told.
pub(super) fn needs(consumers: &[Box<dyn Consumer>]) -> Needs {
    let all = consumers.iter().map(|it| it.needs());
    all.fold(Needs::default(), |one, other| one | other)
}

/// Waits for that moment, if there is one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until one of them has handed something on by itself.
async fn hand_on(consumers: &mut [Box<dyn Consumer>]) {
    let mut waits: Vec<Wait<'_>> = consumers.iter_mut().map(|it| it.hand_on()).collect();
    poll_fn(|context| {
        match waits
            .iter_mut()
            .any(|it| it.as_mut().poll(context).is_ready())
        {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}
