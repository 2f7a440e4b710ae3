//! This host, watched: captured events, completed and chosen.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};

use super::{lost, pace::Pace, screen};
use crate::{
    capture::{Capture, Options},
    cli::LiveOptions,
    enrich::{
        Enricher,
        names::{Networks, Reverse},
        workload::Roles,
    },
    files,
    filter::Filter,
    model::{Body, Event, Kind, Told},
    sandbox::{Attaches, Needs},
};

/// How often losses are reported and a reader that went away is noticed.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// How long to wait between two steps of the stop.
pub(super) const STEP: Duration = Duration::from_millis(1);

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
pub(super) fn enricher(options: &LiveOptions) -> Result<Enricher> {
    let networks = match &options.names {
        Some(path) => {
            let text = files::read(path, Networks::MAX_BYTES).context("--names: cannot use")?;
            Networks::parse(&text)
                .with_context(|| format!("--names: cannot use {}", path.display()))?
        }
        None => Networks::default(),
    };
    let roles = match &options.roles {
        Some(path) => {
            let text = files::read_text(path, Roles::MAX_BYTES).context("--roles: cannot use")?;
            Roles::with(&text).with_context(|| format!("--roles: cannot use {}", path.display()))?
        }
        None => Roles::builtin(),
    };
    // A pod's variable whose source has nothing is set, and empty.
    let node = options.k8s_node.as_deref().filter(|name| !name.is_empty());
    let mut enricher = Enricher::new(Path::new("/proc"), networks, roles, node.map(Arc::from));
    enricher.tell_arguments(options.args);
    if options.reverse_dns {
        let reverse = Reverse::new(RESOLVERS.as_ref())
            .with_context(|| format!("--reverse-dns: cannot use {RESOLVERS}"))?;
        enricher.ask(reverse);
    }
    Ok(enricher)
}

/// A capture and what its events go through.
pub(super) struct Live {
    pub(super) capture: Capture,
    enricher: Enricher,
    filter: Arc<Filter>,
    deadline: Option<Instant>,
    /// Processor time until the look began that is under way.
    looking: Option<u64>,
    /// When the next look may begin.
    looks: Pace,
    /// It was said that processes were left unread.
    told_unread: bool,
}

impl Live {
    /// Attaches. Signals are to be caught before, so that none finds the default action.
    /// `shows_openings` if each counts as an event of its own.
    pub(super) fn start(
        options: &LiveOptions,
        mut enricher: Enricher,
        filter: Filter,
        shows_openings: bool,
    ) -> Result<Self> {
        let mut capture = Capture::start(&Options {
            hooks: options.hooks.set(),
            ring_bytes: options.ring_bytes,
            connections: options.connections,
            rescan: options.rescan,
            dns: !options.no_dns,
            // An end stands for its opening only where both count.
            folds_openings: !shows_openings
                && [Kind::Connect, Kind::Accept, Kind::Close]
                    .into_iter()
                    .all(|kind| filter.wants(kind)),
            kernel_log: options.kernel_log,
        })?;
        tracing::info!(hooks = capture.hooks(), "watching this host");
        let observers = capture.take_observers();
        enricher.listen(observers.map(|it| Box::new(move |socket| it.ask(socket)) as _));
        capture.gather(TRANSLATED, || enricher.is_settled());
        let deadline = options
            .duration
            .and_then(|duration| Instant::now().checked_add(duration));
        Ok(Self {
            capture,
            enricher,
            filter: Arc::new(filter),
            deadline,
            looking: None,
            looks: Pace::later(TOTALS_PART, TOTALS),
            told_unread: false,
        })
    }

    /// What is left to do after the start; `on_screen` if the terminal was taken over.
    pub(super) fn needs(&self, options: &LiveOptions, on_screen: bool) -> Needs {
        Needs {
            watches: true,
            attaches: Attaches::of(self.capture.attaches_later()),
            asks_names: options.reverse_dns,
            opens_terminal: screen::opens_terminal(on_screen),
        }
    }

    /// The first event.
    pub(super) fn start_event(&mut self) -> Event {
        let mut start = self.capture.start_event();
        if let Body::Start(start) = &mut start.body {
            start.blind.extend(self.enricher.blind());
        }
        start
    }

    /// The time to stop has come.
    pub(super) fn over(&self) -> impl Future<Output = ()> + use<> {
        let deadline = self.deadline;
        async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Hands over events that the user wants until `take` has enough; tells whether there may be
    /// more.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Event) -> bool) -> bool {
        let Self {
            capture,
            enricher,
            filter,
            ..
        } = self;
        // What processes run is learnt from, whatever is shown.
        let wanted = |kind| kind == Kind::Exec || filter.wants(kind);
        // An event is large: it stays where it is.
        capture.drain(wanted, |mut told| match &mut told {
            Told::Event(event) => {
                // Before the filter: what is not shown tells who is at the other end of what is.
                enricher.complete(event);
                !filter.admits(event) || take(event)
            }
            Told::Fact(fact) => {
                enricher.learn(fact);
                true
            }
        })
    }

    /// To be called every [`CHECK`]: looks around, and has a `loss` if there is one to tell and
    /// `tells`.
    pub(super) fn check(&mut self, tells: bool) -> Result<Option<Event>> {
        self.capture.look_again();
        self.enricher.refresh();
        if self.enricher.unread() > 0 && !self.told_unread {
            self.told_unread = true;
            tracing::warn!(
                "processes were left unread in /proc, as that took too long: the `stop` line counts them"
            );
        }
        if tells { self.loss() } else { Ok(None) }
    }

    /// Begins to read what open connections have carried so far, if anybody wants to know.
    pub(super) fn read_totals(&mut self) {
        if self.filter.wants(Kind::Totals) {
            self.capture.read_totals();
        }
    }

    /// Likewise, but seldom enough that it takes no more than one part in [`TOTALS_PART`] of a
    /// processor. To be called now and then.
    pub(super) fn read_totals_again(&mut self) {
        if self.capture.reads_totals() {
            return;
        }
        if let Some(before) = self.looking.take() {
            let spent = self.capture.cost().cpu_ns.saturating_sub(before);
            self.looks.took(Duration::from_nanos(spent));
        }
        if Instant::now() >= self.looks.next() {
            self.looking = Some(self.capture.cost().cpu_ns);
            self.read_totals();
        }
    }

    /// The last event, without how many lines there were.
    pub(super) fn stop_event(&mut self) -> Result<Event> {
        let mut stop = self.capture.stop_event()?;
        if let Body::Stop(stop) = &mut stop.body {
            (stop.unread, stop.unattributed) = self.enricher.finish();
        }
        Ok(stop)
    }

    /// What was lost since the last time.
    pub(super) fn loss(&mut self) -> Result<Option<Event>> {
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

    /// How many events were lost so far.
    pub(super) fn lost(&self) -> Result<u64> {
        Ok(self.capture.tallies()?.lost().total())
    }
}
