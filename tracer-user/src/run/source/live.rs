//! This host, watched: captured events, completed and chosen.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use tokio::time::{Instant, sleep};

use super::{Account, Costs, State, lost};
use crate::{
    capture::{self, Capture, Drained, Options},
    cli::request::Watch,
    enrich::{
        self, Enricher,
        names::{Networks, Reverse},
        workload::Roles,
    },
    files,
    filter::{self, Filter},
    model::{Body, Cost, Event, Kind, Told},
    run::{
        consumer::{Figures, Needs, Take},
        pace::Pace,
    },
    sandbox::Attaches,
};

/// How long to wait between two steps of the stop.
const STEP: Duration = Duration::from_millis(1);

/// How often whoever looks on has what open connections have carried.
const TOTALS: Duration = Duration::from_secs(2);
/// Of the time between two such looks one part in so many may be spent on one.
const TOTALS_PART: u32 = 100;
/// How long the start may wait for what is translated already.
const TRANSLATED: Duration = Duration::from_millis(100);

/// Names the name servers of this host.
const RESOLVERS: &str = "/etc/resolv.conf";

/// What completes events, as the user wants it: to be made before anything is attached, as it may
/// be refused.
fn enricher(watch: &Watch, needs: Needs) -> Result<Enricher> {
    let networks = match &watch.names {
        Some(path) => {
            let text = files::read(path, Networks::MAX_BYTES).context("--names: cannot use")?;
            Networks::parse(&text)
                .with_context(|| format!("--names: cannot use {}", path.display()))?
        }
        None => Networks::default(),
    };
    let roles = match &watch.roles {
        Some(path) => {
            let text = files::read_text(path, Roles::MAX_BYTES).context("--roles: cannot use")?;
            Roles::with(&text).with_context(|| format!("--roles: cannot use {}", path.display()))?
        }
        None => Roles::builtin(),
    };
    let reverse = match watch.reverse_dns {
        true => Some(
            Reverse::new(RESOLVERS.as_ref())
                .with_context(|| format!("--reverse-dns: cannot use {RESOLVERS}"))?,
        ),
        false => None,
    };
    // A pod's variable whose source has nothing is set, and empty.
    let node = watch.k8s_node.as_deref().filter(|name| !name.is_empty());
    Ok(Enricher::new(enrich::Options {
        networks,
        roles,
        reverse,
        node: node.map(Arc::from),
        arguments: watch.arguments,
        peers: needs.peers,
        ..enrich::Options::default()
    }))
}

/// How far the stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It has not begun.
    No,
    /// Programs still tell of what happens.
    Begun,
    /// They are silent.
    Silent,
}

/// A capture and what its events go through.
pub(in crate::run) struct Live {
    capture: Capture,
    enricher: Enricher,
    filter: Filter,
    deadline: Option<Instant>,
    /// Somebody wants to know what open connections have carried so far.
    reads_totals: bool,
    /// Processor time until the look began that is under way.
    looking: Option<u64>,
    /// When the next look may begin.
    looks: Pace,
    /// It was said that processes were left unread.
    told_unread: bool,
    ending: Ending,
    costs: Option<Counting>,
}

/// What things cost when the watch began, and what makes the kernel count them.
struct Counting {
    begun: Instant,
    before: Cost,
    _runs: Box<dyn std::any::Any + Send>,
    after: Option<Costs>,
}

impl Live {
    /// Attaches, as the user wants it.
    ///
    /// # Errors
    /// If the capture cannot start.
    pub(super) fn start(watch: &Watch, filter: &filter::Options, needs: Needs) -> Result<Self> {
        let filter = match needs.processes {
            true => Filter::new(filter).with_processes(),
            false => Filter::new(filter),
        };
        let mut enricher = enricher(watch, needs)?;
        let mut capture = Capture::start(&Options {
            // An end stands for its opening only where both count.
            folds_openings: !needs.openings
                && [Kind::Connect, Kind::Accept, Kind::Close]
                    .into_iter()
                    .all(|kind| filter.wants(kind)),
            ..watch.capture.clone()
        })?;
        tracing::info!(hooks = capture.hooks(), "watching this host");
        let observers = capture.take_observers();
        enricher.listen(observers.map(|it| Box::new(move |socket| it.ask(socket)) as _));
        capture.gather(TRANSLATED, || enricher.is_settled());
        let costs =
            match watch.costs {
                true => Some(Counting {
                    _runs: Box::new(capture::count_runs().map_err(|why| {
                        anyhow!("the kernel does not count runs of programs: {why}")
                    })?),
                    begun: Instant::now(),
                    before: capture.cost(),
                    after: None,
                }),
                false => None,
            };
        let deadline = watch
            .duration
            .and_then(|duration| Instant::now().checked_add(duration));
        Ok(Self {
            capture,
            enricher,
            reads_totals: needs.totals && filter.wants(Kind::Totals),
            filter,
            deadline,
            looking: None,
            looks: Pace::later(TOTALS_PART, TOTALS),
            told_unread: false,
            ending: Ending::No,
            costs,
        })
    }

    /// The set of hooks that is used.
    pub(super) fn hooks(&self) -> &'static str {
        self.capture.hooks()
    }

    /// What is still to be attached.
    pub(super) fn attaches(&self) -> Attaches {
        Attaches::of(self.capture.attaches_later())
    }

    /// The first event.
    pub(super) fn first(&self) -> Event {
        let mut start = self.capture.start_event();
        if let Body::Start(start) = &mut start.body {
            start.blind.extend(self.enricher.blind());
        }
        start
    }

    /// When it is to stop.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Waits until there may be events.
    pub(super) async fn ready(&mut self) {
        match self.ending {
            Ending::No => self.capture.ready().await,
            Ending::Begun | Ending::Silent => sleep(STEP).await,
        }
    }

    /// Hands over events that the user wants until `take` is full or a bounded batch is done.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Event) -> Take) -> Result<State> {
        let Self {
            capture,
            enricher,
            filter,
            ..
        } = self;
        // What processes run is learnt from, whatever is shown.
        let wanted = |kind| kind == Kind::Exec || filter.wants(kind);
        // An event is large: it stays where it is.
        let drained = capture.drain(wanted, |mut told| match &mut told {
            Told::Event(event) => {
                // Before the filter: what is not shown tells who is at the other end of what is.
                enricher.complete(event);
                match filter.admits(event) {
                    true => take(event),
                    false => Take::More,
                }
            }
            Told::Fact(fact) => {
                enricher.learn(fact);
                Take::More
            }
        });
        Ok(match self.ending {
            _ if drained == Drained::More => State::More,
            Ending::Silent if self.capture.is_settled()? => State::Over,
            Ending::No | Ending::Begun | Ending::Silent => State::Empty,
        })
    }

    /// Looks around, and has a `loss` if there is one to tell and it `tells`.
    pub(super) fn check(&mut self, tells: bool) -> Result<Option<Event>> {
        if self.ending != Ending::No {
            return Ok(None);
        }
        self.capture.look_again();
        self.enricher.refresh();
        if self.enricher.unread() > 0 && !self.told_unread {
            self.told_unread = true;
            tracing::warn!(
                "processes were left unread in /proc, as that took too long: the `stop` line counts them"
            );
        }
        if self.reads_totals {
            self.read_totals_again();
        }
        if tells { self.loss() } else { Ok(None) }
    }

    /// Begins to read what open connections have carried so far, but seldom enough that it takes no more than one
    /// part in [`TOTALS_PART`] of a processor.
    fn read_totals_again(&mut self) {
        if self.capture.reads_totals() {
            return;
        }
        if let Some(before) = self.looking.take() {
            let spent = self.capture.cost().cpu_ns.saturating_sub(before);
            self.looks.took(Duration::from_nanos(spent));
        }
        if Instant::now() >= self.looks.next() {
            self.looking = Some(self.capture.cost().cpu_ns);
            self.capture.read_totals();
        }
    }

    /// Begins to stop.
    pub(super) fn end(&mut self) {
        if let Some(costs) = &mut self.costs {
            let process = self.capture.cost();
            costs.after = Some(Costs {
                watched: costs.begun.elapsed(),
                process: Cost {
                    cpu_ns: process.cpu_ns.saturating_sub(costs.before.cpu_ns),
                    ..process
                },
                programs: self.capture.program_costs(),
            });
        }
        if self.filter.wants(Kind::Totals) {
            self.capture.read_totals();
        }
        self.ending = Ending::Begun;
    }

    /// Goes on with that.
    pub(super) fn go_on(&mut self) -> Result<()> {
        if self.ending == Ending::Begun && self.capture.silence()? {
            self.ending = Ending::Silent;
        }
        Ok(())
    }

    /// What was lost since the last time, and the account of the whole run.
    pub(super) fn last(&mut self) -> Result<Vec<Event>> {
        let loss = self.loss()?;
        let mut stop = self.capture.stop_event()?;
        if let Body::Stop(stop) = &mut stop.body {
            (stop.unread, stop.unattributed) = self.enricher.finish();
        }
        Ok(loss.into_iter().chain([stop]).collect())
    }

    /// What was lost since the last time.
    fn loss(&mut self) -> Result<Option<Event>> {
        let loss = self.capture.loss()?;
        if let Some(Body::Loss(loss)) = loss.as_ref().map(|event| &event.body)
            && let Some(why) = lost::why(&loss.lost)
        {
            let events = loss.lost.total();
            match self.capture.greedy() {
                Some(user) => tracing::warn!(
                    events,
                    user,
                    "events were lost, {why}; one of those who had used up their share is named"
                ),
                None => tracing::warn!(events, "events were lost, {why}"),
            }
        }
        Ok(loss)
    }

    /// How far it is.
    pub(super) fn figures(&self, events: u64) -> Result<Figures> {
        Ok(Figures {
            events: events + self.capture.folded(),
            lost: self.lost()?,
            cost: Some(self.capture.cost()),
        })
    }

    fn lost(&self) -> Result<u64> {
        Ok(self.capture.tallies()?.lost().total())
    }

    /// What was read.
    pub(super) fn account(&mut self) -> Result<Account> {
        Ok(Account {
            lost: self.lost()?,
            is_filtered: !self.filter.is_whole(),
            costs: self.costs.take().and_then(|it| it.after),
            ..Account::default()
        })
    }
}
