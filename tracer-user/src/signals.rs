//! What ends a run: SIGINT, SIGTERM, SIGHUP.
//!
//! In order, mostly: whoever runs waits for them ([`Signals::stop`]), and does what is left to do. Should
//! that not go on, as what it waits for does not come, a thread that waits for nothing else ends the
//! process: nothing may keep a tracer that somebody wants to end.

use std::{
    future::poll_fn,
    io::Write as _,
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::exit::Exit;

/// How long a run that was asked to stop may do nothing that shows. Its steps take milliseconds; the
/// longest ones, on a slow machine with full tables, a second or two.
const STALL: Duration = Duration::from_secs(10);
/// How long it may take after another signal, or after one that came when the watch was over and only the
/// answer was to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// What comes sooner after the first is the same wish: a terminal that is closed has a hang-up sent by the
/// kernel and by the shell.
pub const SAME: Duration = Duration::from_millis(500);
/// How often it is looked whether the run goes on.
const LOOK: Duration = Duration::from_millis(100);

/// How often runs have shown that they go on.
static BEATS: AtomicU64 = AtomicU64::new(0);
/// How many wait for signals.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// The signals that ask to stop.
pub struct Signals {
    all: All,
}

struct All {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Catches them from now on, except those that whoever started us ignores: `nohup`
    /// does so with SIGHUP, a shell with SIGINT for its background jobs.
    ///
    /// # Errors
    /// If they cannot be caught.
    pub fn new() -> Result<Self> {
        static WATCHDOG: OnceLock<()> = OnceLock::new();
        let all = All::catch()?;
        WAITING.fetch_add(1, Ordering::Relaxed);
        WATCHDOG.get_or_init(|| {
            let started = thread::Builder::new()
                .name("signals".to_owned())
                .spawn(|| watch().inspect_err(unwatched));
            // Not joined: it ends with the process.
            let _ = started.inspect_err(|error| unwatched(&error));
        });
        Ok(Self { all })
    }

    /// Waits for any of them. Whoever waits goes on.
    pub async fn stop(&mut self) {
        let mut stop = pin!(self.all.any());
        poll_fn(|context| {
            beat();
            stop.as_mut().poll(context)
        })
        .await;
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl All {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            () = received(&mut self.interrupt) => {}
            () = received(&mut self.terminate) => {}
            () = received(&mut self.hang_up) => {}
        }
    }
}

/// Shows that a run goes on that does not wait for signals: to be called in every loop of its stop.
pub fn beat() {
    BEATS.fetch_add(1, Ordering::Relaxed);
}

/// Waits for signals, and sees to it that the process ends then.
fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("waiting for signals")?;
    runtime.block_on(async {
        let mut all = All::catch()?;
        all.any().await;
        let why = end(&mut all).await;
        complain(why);
        // SAFETY: ends the process; nothing of it runs afterwards.
        unsafe { libc::_exit(Exit::Failed.code().into()) }
    })
}

/// Returns when a run that was asked to stop has to be ended, and why. A run that ends by itself takes
/// this with it.
async fn end(all: &mut All) -> &'static str {
    let asked = Instant::now();
    if WAITING.load(Ordering::Relaxed) == 0 {
        sleep(LAST_WORDS).await;
        return "stopped before the answer was told";
    }
    let mut last = (BEATS.load(Ordering::Relaxed), asked);
    let mut again = None;
    loop {
        tokio::select! {
            () = all.any(), if again.is_none() => {
                again = (asked.elapsed() >= SAME).then(Instant::now);
            }
            () = sleep(LOOK) => {}
        }
        let beats = BEATS.load(Ordering::Relaxed);
        if beats != last.0 || WAITING.load(Ordering::Relaxed) == 0 {
            last = (beats, Instant::now());
        }
        if again.is_some_and(|at| at.elapsed() >= LAST_WORDS) {
            return "stopped at once by a second signal: what was left to tell was thrown away";
        }
        if last.1.elapsed() >= STALL {
            return "the stop does not go on: what was left to tell was thrown away";
        }
    }
}

/// Says why on standard error, which may be the very pipe that nobody reads.
fn complain(why: &'static str) {
    let (done, written) = mpsc::channel();
    thread::spawn(move || {
        // There is nowhere else to complain.
        let _ = writeln!(std::io::stderr(), "tracer: {why}");
        let _ = done.send(());
    });
    let _ = written.recv_timeout(Duration::from_secs(1));
}

fn unwatched(error: &impl std::fmt::Display) {
    tracing::warn!(%error, "a stop that does not go on will not be cut short");
}

fn catch(kind: SignalKind) -> Result<Option<Signal>> {
    if is_ignored(kind) {
        return Ok(None);
    }
    signal(kind).context("catching signals").map(Some)
}

fn is_ignored(kind: SignalKind) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks, with room for the answer.
    let asked =
        unsafe { libc::sigaction(kind.as_raw_value(), std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: filled in if the call succeeded.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
