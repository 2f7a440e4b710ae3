//! Kernel → model: the only place that knows aya and the eBPF side.
//!
//! A capture starts in this order: [`facts`] (what is this kernel) → [`preflight`]
//! (what stands in the way) → [`plan`] (which hooks to try) → `attach` → `ring` →
//! `decode` → (`openings`) → `interpret`. Pre-existing connections, and those that the hooks missed, come from
//! `scan` through the same ring.

mod account;
mod attach;
#[cfg(feature = "bench")]
mod bench;
mod btf;
mod canary;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod clock;
mod decode;
mod early;
mod error;
pub mod facts;
mod home;
mod interpret;
mod kernel_log;
mod observers;
mod openings;
mod options;
pub mod plan;
pub mod preflight;
mod programs;
mod redirects;
mod rescan;
mod ring;
mod scan;
mod share;
mod span;
mod start;
mod totals;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
};

use self::{
    account::Account,
    decode::Record,
    early::Early,
    interpret::Interpreter,
    kernel_log::KernelLog,
    openings::{Hold, Openings},
    plan::{Part, Plan},
    redirects::Redirects,
    rescan::{Due, Rescan},
    ring::Ring,
    span::Switch,
    start::{Ahead, take_map, try_hooks},
    totals::Totals,
};
pub use self::{
    attach::Failed,
    error::CaptureError,
    facts::Facts,
    observers::Observers,
    options::Options,
    plan::{HookSet, Plans},
    preflight::Obstacle,
    programs::count_runs,
    ring::Drained,
    start::rehearse,
};
#[cfg(feature = "bench")]
pub(crate) use self::{bench::Replay, decode::RecordBytes};
use crate::{
    host::{self, memory, own_cost, this_host},
    model::{
        Body, Cost, Coverage, Event, Kind, Ledger, Loss, ProgramCost, Start, Stop, Take, Tally,
        Timestamp, Told, Tracer,
    },
};

/// The most records of one drain.
const BATCH: usize = 4096;

/// How long to wait for a record that was reserved but not submitted when the programs fell silent. It takes
/// microseconds; the limit is for a kernel that lost one.
const SETTLE: Duration = Duration::from_millis(100);

/// How far the stop is.
enum Stopping {
    /// It has not begun.
    No,
    /// The youngest connections get old enough to be examined: at this time, nanoseconds on the kernel's
    /// clock.
    Settling(u64),
    /// The programs are silent, since then.
    Silent(Instant),
}

/// A running capture. Dropping it detaches everything, which takes up to seconds.
pub struct Capture {
    ebpf: Ebpf,
    switch: Switch,
    stopping: Stopping,
    plan: Plan,
    facts: Facts,
    ring: Ring,
    account: Account,
    interpreter: Interpreter,
    from: Timestamp,
    /// Set once the programs are silent.
    to: Option<Timestamp>,
    early: Early,
    /// If they may be left out.
    openings: Option<Openings>,
    redirects: Redirects,
    rescan: Rescan,
    totals: Totals,
    /// Runs that the kernel had skipped when that was last asked.
    missed: u64,
    kernel_log: Option<KernelLog>,
}

impl Capture {
    /// Attaches the programs and begins the first scan, which may still go on when this returns. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`CaptureError`]; nothing stays attached then.
    pub fn start(options: &Options) -> Result<Self, CaptureError> {
        let ahead = Ahead::begin();
        let mut facts = Facts::gather();
        let attached = try_hooks(&facts, options, ahead)?;
        if let Ok(types) = &mut facts.types {
            types.functions = [].into(); // a megabyte that only attaching needs
        }
        memory::give_back();
        let mut ebpf = attached.ebpf;
        let ring: RingBuf<MapData> = take_map(&mut ebpf, "EVENTS")?;
        let counts: PerCpuArray<MapData, account::PodCounts> = take_map(&mut ebpf, "COUNTS")?;
        let kernel_log = options
            .kernel_log
            .then(|| KernelLog::open(&mut ebpf))
            .flatten();
        let mut account = Account::new(counts);
        let map = ebpf.take_map("SPAN").ok_or(CaptureError::NoMap("SPAN"))?;
        let mut switch = Switch::new(map).map_err(error::span)?;
        let plan = attached.plan;
        let mut redirects = Redirects::default();
        redirects.attach(&mut ebpf, &plan);
        let interpreter = Interpreter::new(this_host());
        let from_ns = switch.begin(|| account.begin()).map_err(error::span)?;
        let from = interpreter.clock.wall(from_ns);
        account.begin_at(from);
        let mut capture = Self {
            ebpf,
            switch,
            stopping: Stopping::No,
            rescan: Rescan::new(plan.has(Part::Scan), options.rescan),
            totals: Totals::new(plan.has(Part::Totals), options.ring_bytes),
            plan,
            facts,
            ring: Ring::new(ring).map_err(CaptureError::Poll)?,
            account,
            early: Early::default(),
            openings: options.folds_openings.then(Openings::default),
            interpreter,
            from,
            to: None,
            redirects,
            missed: 0,
            kernel_log,
        };
        capture.rescan.begin(&mut capture.ebpf, &capture.account);
        let rescan = &capture.rescan;
        let knows_listeners = || rescan.knows_listeners();
        capture
            .early
            .meet_listeners(&mut capture.ring, knows_listeners);
        Ok(capture)
    }

    /// Buffers records until `is_ready`, for `limit` at most: a busy host would fill the ring buffer.
    pub fn gather(&mut self, limit: Duration, is_ready: impl FnMut() -> bool) {
        self.early.gather(&mut self.ring, limit, is_ready);
    }

    /// Takes the program that tells who keeps network namespaces, once; none where the kernel cannot.
    pub fn take_observers(&mut self) -> Option<Observers> {
        let observers = Observers::take(&mut self.ebpf).inspect_err(
            |error| tracing::warn!(%error, "cannot ask who observes network namespaces"),
        );
        observers.ok().flatten()
    }

    /// The id of the user who was last refused room in the table of connections, having used up their share.
    pub fn greedy(&self) -> Option<u32> {
        share::refused(&self.ebpf)
    }

    /// Rescans when it is time to. To be called several times a second.
    pub fn look_again(&mut self) {
        match self.rescan.due(&mut self.ebpf, &self.account) {
            Due::Nothing => {}
            Due::Everything => {
                self.interpreter.settle();
                self.redirects.attach(&mut self.ebpf, &self.plan);
                self.rescan.examine(&self.ebpf);
                self.rescan.begin(&mut self.ebpf, &self.account);
                // What a burst needed, or lines that waited for a slow reader.
                memory::give_back();
            }
            Due::Heirs => {
                if self.interpreter.has_heirs() {
                    self.rescan.begin_heirs(&mut self.ebpf);
                }
            }
        }
    }

    /// Begins to read the totals of open connections, anew if that is under way. [`Self::drain`] goes on with
    /// it, and hands them over as `totals`.
    pub fn read_totals(&mut self) {
        self.totals.begin(&self.ebpf);
    }

    /// Whether totals are being read.
    pub fn reads_totals(&self) -> bool {
        self.totals.is_under_way()
    }

    /// How often the kernel skipped a program until now.
    fn count_missed(&mut self) -> u64 {
        if self.to.is_none() {
            self.missed = programs::skipped(&self.ebpf);
        }
        self.missed
    }

    /// Openings that were folded into their close so far.
    pub fn folded(&self) -> u64 {
        self.openings.as_ref().map_or(0, |openings| openings.folded)
    }

    /// The hook set in use.
    pub fn hooks(&self) -> &'static str {
        self.plan.set.name()
    }

    /// CPU time and peak memory of this process until now.
    pub fn cost(&self) -> Cost {
        own_cost()
    }

    /// What each program has cost until now.
    pub fn program_costs(&self) -> Vec<ProgramCost> {
        programs::costs(&self.ebpf)
    }

    /// The first event.
    pub fn start_event(&self) -> Event {
        self.event(
            self.from,
            Body::Start(Start {
                tracer: Tracer {
                    version: env!("CARGO_PKG_VERSION").into(),
                    hooks: self.hooks().to_owned(),
                    kernel: self.facts.release.clone(),
                    arch: self.facts.arch.clone(),
                },
                blind: self.plan.blind(),
            }),
        )
    }

    /// The hook set whose redirect probes may have to be attached later.
    pub fn attaches_later(&self) -> Option<HookSet> {
        self.redirects.waits(&self.plan)
    }

    /// Waits until a drain is worth it.
    pub async fn ready(&mut self) {
        self.ring.ready().await;
        if let Some(log) = &mut self.kernel_log {
            log.flush();
        }
    }

    /// Hands events and facts to `each`, in the kernel's order, until that is full or a bounded batch is done.
    /// Most events of kinds that are not `wanted` are left out, though counted. Where openings are folded, the
    /// others are flushed last, also when `each` is full.
    pub fn drain(
        &mut self,
        wanted: impl Fn(Kind) -> bool,
        mut each: impl FnMut(Told<'_>) -> Take,
    ) -> Drained {
        self.interpreter.clock.follow();
        let Self {
            interpreter,
            account,
            early,
            openings,
            ring,
            switch,
            ..
        } = self;
        let met = interpreter.met();
        let mut tell = |record: &Record<'_>| match interpreter.told(record, &wanted) {
            Some(told) => each(told),
            None => Take::More,
        };
        let mut room = BATCH;
        let mut take = |bytes: &[u8]| {
            room -= 1;
            let mut take = Take::More;
            match decode::decode(bytes) {
                // What came before the start was not counted; what came after the stop was, if the
                // moment was set late. In a batch of a busy start there may be many.
                Ok(record) if !switch.covers(record.time_ns()) => {
                    if switch.is_over(record.time_ns()) {
                        account.leave_out(record.kind());
                    }
                }
                Ok(record) if canary::is_of_any(&record) => account.leave_out(record.kind()),
                Ok(record) => {
                    account.delivered(record.kind());
                    let hold = match openings {
                        Some(openings) => openings.hold(&record, &mut tell),
                        None => Hold::Passed,
                    };
                    if hold == Hold::Passed {
                        take = tell(&record);
                    }
                }
                Err(undecodable) => account.undecodable(undecodable),
            }
            match room {
                0 => Take::Full,
                _ => take,
            }
        };
        while let Some(bytes) = early.pop() {
            if take(&bytes) == Take::Full {
                return Drained::More;
            }
        }
        let drained = ring.drain(take);
        if let Some(openings) = openings
            && drained == Drained::Empty
        {
            openings.release(&mut tell);
        }
        if interpreter.met() != met {
            ring.hurry();
        }
        match drained {
            Drained::More => Drained::More,
            Drained::Empty => self.totals.step(&self.ebpf),
        }
    }

    /// The loss since the last call that returned one.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn loss(&mut self) -> Result<Option<Event>, CaptureError> {
        let missed = self.count_missed();
        let now = self.to.unwrap_or_else(host::now);
        let loss = self.account.loss(missed, now).map_err(error::counts)?;
        Ok(loss.map(|loss: Loss| self.event(loss.interval.to, Body::Loss(Box::new(loss)))))
    }

    /// Goes on with the stop; to be called between calls of [`Self::drain`] until it returns true. A last scan
    /// looks for closes that were missed, then all programs fall silent at one moment, and the rest is in the
    /// ring buffer. Takes up to 0.2 s once the totals of open connections are read.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn silence(&mut self) -> Result<bool, CaptureError> {
        match self.stopping {
            Stopping::No => {
                self.totals.give_up_if_stuck();
                if self.rescan.is_idle() && !self.totals.is_under_way() {
                    self.rescan.end();
                    self.stopping = Stopping::Settling(self.rescan.settled_at(&self.ebpf));
                }
            }
            Stopping::Settling(until_ns) if clock::now_ns() < until_ns => {}
            Stopping::Settling(_) => {
                self.rescan.examine(&self.ebpf);
                self.totals.catch_up(&self.ebpf);
                let until_ns = self.switch.end().map_err(error::span)?;
                self.count_missed();
                self.to = Some(self.interpreter.clock.wall(until_ns));
                self.stopping = Stopping::Silent(Instant::now());
            }
            Stopping::Silent(_) => {}
        }
        Ok(matches!(self.stopping, Stopping::Silent(_)))
    }

    /// Whether all that was seen has been delivered or is known to be lost, or was waited for long enough since
    /// the programs fell silent.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn is_settled(&self) -> Result<bool, CaptureError> {
        let is_given_up =
            matches!(self.stopping, Stopping::Silent(since) if since.elapsed() > SETTLE);
        Ok(is_given_up || self.account.is_settled().map_err(error::counts)?)
    }

    /// The last event, with the account of the whole run.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn stop_event(&self) -> Result<Event, CaptureError> {
        let to = self.to.unwrap_or_else(host::now);
        let stop = Stop {
            totals: self.tallies()?,
            missed: self.missed,
            repaired: self.interpreter.repaired(),
            unread: 0,
            unattributed: 0,
            cost: self.cost(),
            lines: None,
            coverage: Coverage {
                from: self.from,
                to,
            },
        };
        Ok(self.event(to, Body::Stop(Box::new(stop))))
    }

    /// The account as it stands.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn tallies(&self) -> Result<Ledger<Tally>, CaptureError> {
        self.account.tallies().map_err(error::counts)
    }

    fn event(&self, time: Timestamp, body: Body) -> Event {
        Event {
            time,
            host: Arc::clone(&self.interpreter.host),
            body,
        }
    }

    /// Hands raw records to `each`.
    #[cfg(feature = "bench")]
    pub(crate) fn record(&mut self, mut each: impl FnMut(&[u8])) {
        self.ring.drain(|bytes| {
            each(bytes);
            Take::More
        });
    }
}
