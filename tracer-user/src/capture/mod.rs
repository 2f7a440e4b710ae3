//! Kernel → model: the only place that knows aya and the eBPF side.
//!
//! A capture starts in this order: [`facts`] (what is this kernel) → [`preflight`]
//! (what stands in the way) → [`plan`] (which hooks to try) → `attach` → `ring` →
//! `decode` → (`openings`) → `interpret`. What was there before, and what was missed since, comes from
//! `scan`, by the same ring.

mod account;
mod attach;
mod btf;
mod canary;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod clock;
mod cost;
mod decode;
pub mod facts;
mod home;
mod host;
mod interpret;
mod listeners;
mod observers;
mod openings;
pub mod plan;
pub mod preflight;
mod programs;
mod ring;
mod scan;
mod share;
mod span;
mod totals;

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray, RingBuf},
};
use tracer_common::Source;

use self::decode::Record;
pub(crate) use self::decode::RecordBytes;
use self::{
    account::Account,
    attach::{AttachError, Attached},
    interpret::Interpreter,
    openings::Openings,
    plan::Part,
    ring::Ring,
    scan::Scan,
    span::Switch,
    totals::{Pass, Step},
};
pub use self::{
    attach::Failed,
    facts::Facts,
    host::this_host,
    observers::Observers,
    plan::{HookSet, Plans},
    preflight::Obstacle,
    programs::count_runs,
};
use crate::model::{
    Blind, Body, Cost, Coverage, Event, Kind, Ledger, Loss, ProgramCost, Start, Stop, Tally,
    Timestamp, Told, Tracer,
};

/// Records read before the reader looks at something else.
const BATCH: usize = 4096;

/// How often it is asked at most who holds the listeners whose owners have ended: every descriptor
/// of the host is looked at.
const HEIRS: Duration = Duration::from_secs(1);

/// How a capture is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one hook set to use; none for the best that loads.
    pub hooks: Option<HookSet>,
    /// Size of the ring buffer, bytes: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// How many connections can be followed at once.
    pub connections: u32,
    /// How long after a look around for what was missed the next one begins.
    pub rescan: Duration,
    /// Whether to look at what processes ask name servers.
    pub dns: bool,
    /// Whether the opening of a connection may be left out if its end is told of at once, which says
    /// all that it did.
    pub folds_openings: bool,
    /// Whether diagnostics of the eBPF side go to the log.
    pub kernel_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hooks: None,
            ring_bytes: 16 << 20,
            connections: 160 << 10,
            rescan: Duration::from_secs(60),
            dns: true,
            folds_openings: false,
            kernel_log: false,
        }
    }
}

/// Why a capture did not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Something stands in the way.
    #[error("{}", list(.0))]
    Obstacles(Vec<Obstacle>),
    /// No hook set works on this kernel.
    #[error("{}", no_hooks(.ruled_out, .failed))]
    NoHooks {
        /// Not tried.
        ruled_out: Vec<plan::RuledOut>,
        /// Tried.
        failed: Vec<Failed>,
    },
    /// The kernel does not make the tables that the programs share with us.
    #[error("making tables in the kernel: {why}\n  fix: {}", maps_fix(*.denied))]
    Maps {
        /// Whether it is a matter of rights.
        denied: bool,
        /// The kernel's words.
        why: String,
    },
    /// The object lacks a map: it is not the one this binary was built for.
    #[error("the embedded eBPF object has no map `{0}`; rebuild it with `cargo xtask build-ebpf`")]
    NoMap(&'static str),
    /// A map does not answer.
    #[error("reading the map `{map}`")]
    Map {
        /// Which.
        map: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The ring buffer cannot be polled.
    #[error("polling the ring buffer")]
    Poll(#[source] io::Error),
}

impl CaptureError {
    /// Whether more rights would help.
    pub fn is_privilege(&self) -> bool {
        match self {
            Self::Obstacles(obstacles) => obstacles.iter().any(Obstacle::is_privilege),
            Self::Maps { denied, .. } => *denied,
            _ => false,
        }
    }

    /// Whether this kernel cannot do it, whatever the rights.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Obstacles(_) | Self::NoHooks { .. }) && !self.is_privilege()
    }
}

fn maps_fix(denied: bool) -> &'static str {
    if denied {
        "capabilities count in the initial user namespace only: run it outside of a user namespace (a rootless \
         container is one), without a seccomp filter that forbids bpf(), or on Linux before 5.11 raise the limit of \
         locked memory (`ulimit -l unlimited`)"
    } else {
        "ask for less with --connections and --ring, or give the memory control group more"
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    let lines: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn no_hooks(ruled_out: &[plan::RuledOut], failed: &[Failed]) -> String {
    let mut text = "none of the hook sets asked for loads on this kernel".to_owned();
    let ruled_out = ruled_out.iter().map(|set| (set.set, &set.why));
    for (set, why) in ruled_out.chain(failed.iter().map(|set| (set.set, &set.why))) {
        text.push_str(&format!("\n  {set}: {why}"));
    }
    text.push_str("\n  fix: leave out --hooks to use the best that loads, and see `tracer doctor`");
    text
}

/// How long to wait for a record that a program still has in its hands when all are silent. It takes
/// microseconds; the limit is for a kernel that lost one.
const SETTLE: Duration = Duration::from_millis(100);

/// How far the stop is.
enum Stopping {
    /// It has not begun.
    No,
    /// What is followed is about to be old enough to be examined: at this time, nanoseconds on the
    /// kernel's clock.
    Settling(u64),
    /// The programs are silent, since then.
    Silent(Instant),
}

/// A running capture. Dropping it detaches everything, which takes up to seconds.
pub struct Capture {
    ebpf: Ebpf,
    switch: Switch,
    stopping: Stopping,
    plan: plan::Plan,
    facts: Facts,
    ring: Ring,
    account: Account,
    interpreter: Interpreter,
    from: Timestamp,
    /// Set once the programs are silent.
    to: Option<Timestamp>,
    /// Records that arrived before the start was over.
    early: VecDeque<RecordBytes>,
    /// If they may be left out.
    openings: Option<Openings>,
    rescan: Duration,
    /// Whether it is watched for addresses that are replaced.
    redirects: bool,
    /// A look around that is under way.
    scan: Option<Scan>,
    /// When the last one ended that was for everything.
    scanned: Instant,
    /// A pass over what open connections have carried, under way.
    pass: Option<Pass>,
    /// When the last one began, nanoseconds since boot; 0 if there was none.
    passed_ns: u64,
    /// What there was no room for when the look around began.
    without_room: share::WithoutRoom,
    /// Size of the ring buffer, bytes.
    ring_bytes: u32,
    /// When it was last asked who holds the listeners whose owners have ended.
    heirs_asked: Instant,
    /// Runs that the kernel had skipped when that was last asked.
    missed: u64,
    logger: Option<KernelLogger>,
}

impl Capture {
    /// Attaches the programs and looks for what is there already, which may still go on
    /// when this returns. Needs a tokio runtime.
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
        give_memory_back();
        let mut ebpf = attached.ebpf;
        let ring: RingBuf<MapData> = take(&mut ebpf, "EVENTS")?;
        let counts: PerCpuArray<MapData, account::PodCounts> = take(&mut ebpf, "COUNTS")?;
        let logger = options
            .kernel_log
            .then(|| kernel_logger(&mut ebpf))
            .flatten();
        let mut account = Account::new(counts);
        let map = ebpf.take_map("SPAN").ok_or(CaptureError::NoMap("SPAN"))?;
        let mut switch = Switch::new(map).map_err(span_error)?;
        let redirects = watch_redirects(&mut ebpf, &attached.plan);
        let interpreter = Interpreter::new(this_host());
        let from_ns = switch.begin(|| account.begin()).map_err(span_error)?;
        let from = interpreter.clock.wall(from_ns);
        account.begin_at(from);
        let mut capture = Self {
            ebpf,
            switch,
            stopping: Stopping::No,
            plan: attached.plan,
            facts,
            ring: Ring::new(ring).map_err(CaptureError::Poll)?,
            account,
            early: VecDeque::new(),
            openings: options.folds_openings.then(Openings::default),
            interpreter,
            from,
            to: None,
            rescan: options.rescan,
            redirects,
            scan: None,
            scanned: Instant::now(),
            pass: None,
            passed_ns: 0,
            without_room: share::WithoutRoom::default(),
            ring_bytes: options.ring_bytes,
            heirs_asked: Instant::now(),
            missed: 0,
            logger,
        };
        capture.scan();
        capture.meet_listeners();
        Ok(capture)
    }

    /// Waits until those who listen are known: what is accepted after the start is theirs.
    /// Keeps what happens meanwhile, as a busy host would fill the ring buffer. Who was found to listen
    /// comes before all of it.
    fn meet_listeners(&mut self) {
        let mut found = VecDeque::new();
        loop {
            let is_last = self.scan.as_ref().is_none_or(Scan::knows_listeners);
            self.ring.drain(|bytes| {
                let to = match decode::decode(bytes) {
                    Ok(Record::Listen(listening)) if listening.process.source == Source::SCAN => {
                        &mut found
                    }
                    _ => &mut self.early,
                };
                to.push_back(RecordBytes::from(bytes));
                true
            });
            if is_last {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        found.append(&mut self.early);
        self.early = found;
    }

    /// Keeps what happens until `is_ready`, at most for `limit`: a busy host would fill the ring
    /// buffer.
    pub fn gather(&mut self, limit: Duration, mut is_ready: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_ready() && begun.elapsed() < limit {
            self.ring.drain(|bytes| {
                self.early.push_back(RecordBytes::from(bytes));
                true
            });
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Who knows who observes network namespaces, to be taken once; none where that cannot be told.
    pub fn take_observers(&mut self) -> Option<Observers> {
        let observers = Observers::take(&mut self.ebpf).inspect_err(
            |error| tracing::warn!(%error, "cannot ask who observes network namespaces"),
        );
        observers.ok().flatten()
    }

    /// Begins to look for what is there that no hook told of.
    fn scan(&mut self) {
        if !self.plan.has(Part::Scan) {
            return;
        }
        // Before it begins: what it finds no room for counts.
        self.without_room = self.count_without_room();
        match Scan::start(&mut self.ebpf) {
            Ok(scan) => self.scan = Some(scan),
            Err(error) => tracing::warn!(%error, "cannot look at what is there already"),
        }
    }

    /// What there was no room for in the table of connections until now.
    fn count_without_room(&self) -> share::WithoutRoom {
        // An error shows again when the account is asked for.
        let tallies = self.account.tallies().ok();
        share::WithoutRoom::of(share::overflows(&self.ebpf).ok(), tallies.as_ref())
    }

    /// The look around has found all that is there, and all had room: what has no entry is older than the
    /// programs again, and no longer one of those that did not fit.
    fn recover(&mut self) {
        let now = self.count_without_room();
        let Some(overflows) = self.without_room.is_all(now) else {
            return;
        };
        if let Err(error) = share::recover(&mut self.ebpf, overflows) {
            tracing::warn!(%error, "cannot forget that the table of connections was full");
        }
    }

    /// The user, by number, who was refused room in the table of connections last: one of those who had used up
    /// their share of it.
    pub fn greedy(&self) -> Option<u32> {
        share::refused(&self.ebpf)
    }

    /// Looks again for what was missed, when it is time to. To be called now and then.
    pub fn look_again(&mut self) {
        if let Some(scan) = &self.scan {
            if !scan.is_over() {
                return;
            }
            let is_for_all = scan.is_for_all();
            self.scan = None;
            if is_for_all {
                self.scanned = Instant::now();
                self.recover();
            }
        } else if self.scanned.elapsed() >= self.rescan {
            self.interpreter.settled = true;
            self.redirects = self.redirects || watch_redirects(&mut self.ebpf, &self.plan);
            self.examine();
            self.scan();
            // What a burst needed, or lines that waited for a slow reader.
            give_memory_back();
        } else if self.plan.has(Part::Scan)
            && self.heirs_asked.elapsed() >= HEIRS
            && self.interpreter.listeners.has_heirs()
        {
            self.heirs_asked = Instant::now();
            match Scan::start_listeners(&mut self.ebpf) {
                Ok(scan) => self.scan = Some(scan),
                Err(error) => tracing::warn!(%error, "cannot look who holds a listener"),
            }
        }
    }

    /// When what is followed now is old enough to be examined, nanoseconds on the kernel's clock: in a
    /// tenth of a second at most. The clock is that of the table's times, as finding the youngest of
    /// many takes a while.
    fn settled_at(&self) -> u64 {
        if !self.plan.has(Part::Scan) {
            return 0;
        }
        // An error shows again when it is examined.
        let table = scan::Table::open(&self.ebpf);
        let youngest = table.ok().and_then(|table| table.youngest());
        youngest.map_or(0, |begun_ns| {
            begun_ns.min(clock::now_ns()) + tracer_common::SETTLED_NS
        })
    }

    fn examine(&mut self) {
        if !self.plan.has(Part::Scan) {
            return;
        }
        if let Err(error) = scan::examine(&self.ebpf) {
            tracing::warn!(%error, "cannot look for connections whose end was missed");
        }
    }

    /// Begins to read what open connections have carried so far, anew if that is under way, if it can
    /// be seen. [`Self::drain`] goes on with it, and hands it over as `totals`.
    pub fn read_totals(&mut self) {
        self.pass = None;
        if !self.plan.has(Part::Totals) {
            return;
        }
        match Pass::begin(&self.ebpf, self.ring_bytes) {
            Ok(pass) => {
                self.passed_ns = pass.begun_ns;
                self.pass = Some(pass);
            }
            Err(error) => unread(&error),
        }
    }

    /// Whether that is under way.
    pub fn reads_totals(&self) -> bool {
        self.pass.is_some()
    }

    /// Goes on with it, when nothing is left in the ring buffer. Tells whether there may be more to
    /// drain.
    fn step(&mut self) -> bool {
        let Some(pass) = &mut self.pass else {
            return false;
        };
        let step = pass.step(&self.ebpf);
        if !matches!(step, Ok(Step::Waits | Step::Told)) {
            self.pass = None;
        }
        match step {
            Ok(step) => !matches!(step, Step::Waits),
            Err(error) => {
                unread(&error);
                false
            }
        }
    }

    /// Asks those that have begun since open connections were asked what they have carried, if they
    /// were.
    fn catch_up(&mut self) {
        if self.passed_ns == 0 {
            return;
        }
        if let Err(error) = totals::of_those_since(&self.ebpf, self.passed_ns) {
            unread(&error);
        }
    }

    /// How often the kernel skipped a program until now.
    fn count_missed(&mut self) -> u64 {
        if self.to.is_none() {
            self.missed = programs::skipped(&self.ebpf);
        }
        self.missed
    }

    /// Openings that were left out so far.
    pub fn folded(&self) -> u64 {
        self.openings.as_ref().map_or(0, |openings| openings.folded)
    }

    /// The set of hooks that is used.
    pub fn hooks(&self) -> &'static str {
        self.plan.set.name()
    }

    /// What this process has cost until now.
    pub fn cost(&self) -> Cost {
        cost::read()
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

    /// Of which set hooks may have to be attached yet, when something on the host first asks for them.
    pub fn attaches_later(&self) -> Option<HookSet> {
        let waits = !self.redirects && self.plan.has(Part::Redirect);
        waits.then_some(self.plan.set)
    }

    /// Waits until there may be something to drain.
    pub async fn ready(&mut self) {
        self.ring.ready().await;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Hands what is told to `each`, in the kernel's order, until it wants no more
    /// or a bounded batch is done. Tells whether there may be more. Of kinds that are not
    /// `wanted` most is left out, though counted. Where openings are folded, those that are not
    /// come last, however much `each` wants.
    pub fn drain(
        &mut self,
        wanted: impl Fn(Kind) -> bool,
        mut each: impl FnMut(Told<'_>) -> bool,
    ) -> bool {
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
        let met = interpreter.met;
        let mut tell =
            |record: &Record<'_>| interpreter.told(record, &wanted).is_none_or(&mut each);
        let mut room = BATCH;
        let mut take = |bytes: &[u8]| {
            room -= 1;
            match decode::decode(bytes) {
                // What came before the start was not counted; what came after the stop was, if the
                // moment was set late. In a batch of a busy start there may be many.
                Ok(record) if !switch.covers(record.time_ns()) => {
                    if switch.is_over(record.time_ns()) {
                        account.leave_out(record.kind());
                    }
                    room > 0
                }
                Ok(record) if canary::is_of_any(&record) => {
                    account.leave_out(record.kind());
                    room > 0
                }
                Ok(record) => {
                    account.delivered(record.kind());
                    let is_held = openings
                        .as_mut()
                        .is_some_and(|it| it.hold(&record, &mut tell));
                    (is_held || tell(&record)) && room > 0
                }
                Err(undecodable) => {
                    account.undecodable(undecodable);
                    room > 0
                }
            }
        };
        while let Some(bytes) = early.pop_front() {
            if !take(&bytes) {
                return true;
            }
        }
        let is_more = ring.drain(take);
        if let Some(openings) = openings
            && !is_more
        {
            openings.release(&mut tell);
        }
        if interpreter.met != met {
            ring.hurry();
        }
        is_more || self.step()
    }

    /// What was lost since the last call that told of some.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn loss(&mut self) -> Result<Option<Event>, CaptureError> {
        let missed = self.count_missed();
        let now = self.to.unwrap_or_else(Timestamp::now);
        let loss = self.account.loss(missed, now).map_err(counts_error)?;
        Ok(loss.map(|loss: Loss| self.event(loss.interval.to, Body::Loss(Box::new(loss)))))
    }

    /// Goes on with the stop, which takes up to two tenths of a second once what open connections have
    /// carried is read, and is to be called until it is done, between calls of [`Self::drain`]: a last
    /// look for ends that were missed, and then all programs fall silent at one moment. Tells whether
    /// they are: what is left then is in the ring buffer.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn silence(&mut self) -> Result<bool, CaptureError> {
        match self.stopping {
            Stopping::No => {
                if self.pass.as_mut().is_some_and(Pass::is_stuck) {
                    unread(&"what else happens leaves no time for it");
                    self.pass = None;
                }
                if self.scan.as_ref().is_none_or(Scan::is_over) && self.pass.is_none() {
                    self.scan = None;
                    self.stopping = Stopping::Settling(self.settled_at());
                }
            }
            Stopping::Settling(until_ns) if clock::now_ns() < until_ns => {}
            Stopping::Settling(_) => {
                self.examine();
                self.catch_up();
                let until_ns = self.switch.end().map_err(span_error)?;
                self.count_missed();
                self.to = Some(self.interpreter.clock.wall(until_ns));
                self.stopping = Stopping::Silent(Instant::now());
            }
            Stopping::Silent(_) => {}
        }
        Ok(matches!(self.stopping, Stopping::Silent(_)))
    }

    /// Whether all that was seen has been delivered or is known to be lost, once the programs are
    /// silent; or whatever is not will not come any more.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn is_settled(&self) -> Result<bool, CaptureError> {
        let is_given_up =
            matches!(self.stopping, Stopping::Silent(since) if since.elapsed() > SETTLE);
        Ok(is_given_up || self.account.is_settled().map_err(counts_error)?)
    }

    /// The last event, with the account of the whole run.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn stop_event(&self) -> Result<Event, CaptureError> {
        let to = self.to.unwrap_or_else(Timestamp::now);
        let stop = Stop {
            totals: self.tallies()?,
            missed: self.missed,
            repaired: self.interpreter.repaired,
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
        self.account.tallies().map_err(counts_error)
    }

    fn event(&self, time: Timestamp, body: Body) -> Event {
        Event {
            time,
            host: Arc::clone(&self.interpreter.host),
            body,
        }
    }
}

#[cfg(feature = "bench")]
impl Capture {
    /// Hands what the kernel side sends to `each`, as it is.
    pub(crate) fn record(&mut self, mut each: impl FnMut(&[u8])) {
        self.ring.drain(|bytes| {
            each(bytes);
            true
        });
    }
}

/// Records of another capture, taken through the stages of this one.
#[cfg(feature = "bench")]
pub(crate) struct Replay(Interpreter);

#[cfg(feature = "bench")]
impl Replay {
    pub(crate) fn new() -> Self {
        Self(Interpreter::new(this_host()))
    }

    /// What a record tells.
    pub(crate) fn told<T>(&mut self, bytes: &[u8], each: impl FnOnce(Told<'_>) -> T) -> Option<T> {
        let record = decode::decode(bytes).ok()?;
        self.0.told(&record, |_| true).map(each)
    }
}

/// Finds out whether a capture with these options would start, and what it would not
/// see: attaches, and lets go again.
///
/// # Errors
/// As [`Capture::start`].
pub fn rehearse(facts: &Facts, options: &Options) -> Result<Vec<Blind>, CaptureError> {
    Ok(try_hooks(facts, options, Ahead::begin())?.plan.blind())
}

/// What takes its time and needs nothing else of a start, each on a thread of its own.
struct Ahead {
    loader: attach::MakesLoader,
    stage: Option<canary::Stage>,
}

impl Ahead {
    fn begin() -> Self {
        Self {
            loader: attach::MakesLoader::begin(),
            stage: canary::Stage::prepare().ok(),
        }
    }
}

fn try_hooks(facts: &Facts, options: &Options, ahead: Ahead) -> Result<Attached, CaptureError> {
    let mut plans = plan::plan(facts, options.hooks).map_err(CaptureError::Obstacles)?;
    if !options.dns {
        plans.leave_out(Part::Names, "--no-dns");
    }
    let Ahead { loader, mut stage } = ahead;
    let check = |ebpf: &mut Ebpf| canary::sing(ebpf, facts, &mut stage);
    let Ok(types) = &facts.types else {
        // Without them there is no plan either.
        return Err(CaptureError::Obstacles(preflight::obstacles(facts)));
    };
    attach::attach(&plans, types, options, loader, check).map_err(|error| match error {
        AttachError::Maps { denied, why } => CaptureError::Maps { denied, why },
        AttachError::Hooks(failed) => CaptureError::NoHooks {
            ruled_out: plans.ruled_out.clone(),
            failed,
        },
    })
}

/// Watches for addresses that are replaced within connect(), if there is anything that may do
/// that: it costs every connection. Tells whether it does now, or never can.
fn watch_redirects(ebpf: &mut Ebpf, plan: &plan::Plan) -> bool {
    if !plan.has(Part::Redirect) || !programs::may_redirect() {
        return false;
    }
    if let Err(why) = attach::attach_redirect(ebpf, plan) {
        tracing::warn!(%why, "addresses that are replaced within connect() stay unseen");
    }
    true
}

/// Returns memory that is no longer used, such as the tens of megabytes that the kernel's type
/// information takes while attaching: the allocator would keep it for as long as this process
/// lives.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn unread(why: &dyn std::fmt::Display) {
    tracing::warn!(%why, "cannot read what all open connections have carried so far");
}

fn span_error(source: MapError) -> CaptureError {
    CaptureError::Map {
        map: "SPAN",
        source,
    }
}

fn counts_error(source: MapError) -> CaptureError {
    CaptureError::Map {
        map: "COUNTS",
        source,
    }
}

fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<T, CaptureError> {
    let found = ebpf.take_map(map).ok_or(CaptureError::NoMap(map))?;
    T::try_from(found).map_err(|source| CaptureError::Map { map, source })
}

/// Carries the eBPF side's diagnostics into the log.
type KernelLogger = aya_log::EbpfLogger<&'static dyn log::Log>;

fn kernel_logger(ebpf: &mut Ebpf) -> Option<KernelLogger> {
    KernelLogger::init(ebpf)
        .inspect_err(|error| tracing::warn!(%error, "the eBPF side's diagnostics cannot be read"))
        .ok()
}
