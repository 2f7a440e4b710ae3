//! Totals of open connections: a pass over the table of connections.
//!
//! The kernel side answers through the ring buffer, one record for each connection. So a pass goes on in
//! steps of at most an eighth of the ring, and the ring is drained in between. The addresses are
//! collected on a thread of their own.

use std::{
    mem,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    programs::{ProgramError, RawTracePointRunOptions},
};
use tracer_common::Carried;

use super::{clock, ring::Drained, scan};

/// Connections of one step, at most.
const STEP: usize = 1024;

/// How long the stop waits for a pass that makes no step.
const PATIENCE: Duration = Duration::from_secs(2);

/// The passes of a run.
pub(super) struct Totals {
    /// Whether the plan can read them.
    is_possible: bool,
    /// Size of the ring buffer, bytes.
    ring_bytes: u32,
    /// The pass under way.
    pass: Option<Pass>,
    /// When the last one began, nanoseconds since boot; 0 if there was none.
    begun_ns: u64,
}

impl Totals {
    pub(super) fn new(is_possible: bool, ring_bytes: u32) -> Self {
        Self {
            is_possible,
            ring_bytes,
            pass: None,
            begun_ns: 0,
        }
    }

    /// Begins a pass, anew if one is under way.
    pub(super) fn begin(&mut self, ebpf: &Ebpf) {
        self.pass = None;
        if !self.is_possible {
            return;
        }
        match Pass::begin(ebpf, self.ring_bytes) {
            Ok(pass) => {
                self.begun_ns = pass.begun_ns;
                self.pass = Some(pass);
            }
            Err(error) => unread(&error),
        }
    }

    /// Whether a pass is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.pass.is_some()
    }

    /// Goes on with the pass; to be called when the ring buffer was found empty.
    pub(super) fn step(&mut self, ebpf: &Ebpf) -> Drained {
        let Some(pass) = &mut self.pass else {
            return Drained::Empty;
        };
        let step = pass.step(ebpf);
        if !matches!(step, Ok(Step::Waits | Step::Told)) {
            self.pass = None;
        }
        match step {
            Ok(Step::Waits) => Drained::Empty,
            Ok(Step::Told | Step::Last) => Drained::More,
            Err(error) => {
                unread(&error);
                Drained::Empty
            }
        }
    }

    /// Gives up a pass that made no step for long.
    pub(super) fn give_up_if_stuck(&mut self) {
        if self.pass.as_mut().is_some_and(Pass::is_stuck) {
            unread(&"what else happens leaves no time for it");
            self.pass = None;
        }
    }

    /// Reads the connections that began since the last pass, if there was one.
    pub(super) fn catch_up(&self, ebpf: &Ebpf) {
        if self.begun_ns != 0
            && let Err(error) = of_those_since(ebpf, self.begun_ns)
        {
            unread(&error);
        }
    }
}

fn unread(why: &dyn std::fmt::Display) {
    tracing::warn!(%why, "cannot read what all open connections have carried so far");
}

/// A pass that is under way.
struct Pass {
    /// When it began, nanoseconds on the kernel's clock.
    begun_ns: u64,
    sockets: Sockets,
    /// Connections of one step.
    step: usize,
    /// When the last step was, or the beginning.
    stepped: Instant,
}

/// Addresses in the table.
enum Sockets {
    /// They are being collected.
    Coming(JoinHandle<Vec<u64>>),
    /// Those that are left.
    Left(Vec<u64>),
}

impl Pass {
    /// Begins to collect addresses. `ring_bytes` is the size of the ring buffer.
    ///
    /// # Errors
    /// If the kernel refuses, or no thread can be started.
    fn begin(ebpf: &Ebpf, ring_bytes: u32) -> Result<Self, String> {
        let begun_ns = clock::now_ns();
        let table = scan::Table::open(ebpf).map_err(|error| error.to_string())?;
        let collector = std::thread::Builder::new()
            .name("totals".to_owned())
            .spawn(move || table.sockets())
            .map_err(|error| error.to_string())?;
        let record = size_of::<Carried>() + RING_HEADER;
        Ok(Self {
            begun_ns,
            sockets: Sockets::Coming(collector),
            stepped: Instant::now(),
            step: (ring_bytes as usize / 8 / record).clamp(1, STEP),
        })
    }

    /// Whether it made no step for long, though it could.
    fn is_stuck(&mut self) -> bool {
        if matches!(&self.sockets, Sockets::Coming(collector) if !collector.is_finished()) {
            self.stepped = Instant::now();
        }
        self.stepped.elapsed() > PATIENCE
    }

    /// Reads the next connections, if their addresses are collected.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn step(&mut self, ebpf: &Ebpf) -> Result<Step, ProgramError> {
        if let Sockets::Coming(collector) = &self.sockets {
            if !collector.is_finished() {
                return Ok(Step::Waits);
            }
            let none = Sockets::Left(Vec::new());
            if let Sockets::Coming(collector) = mem::replace(&mut self.sockets, none) {
                // It does not panic; should it, there is nothing to be read.
                self.sockets = Sockets::Left(collector.join().unwrap_or_default());
            }
        }
        let Sockets::Left(left) = &mut self.sockets else {
            return Ok(Step::Waits);
        };
        self.stepped = Instant::now();
        let some = left.split_off(left.len().saturating_sub(self.step));
        tell(ebpf, 0, &some)?;
        Ok(match left.is_empty() {
            true => Step::Last,
            false => Step::Told,
        })
    }
}

/// What came of a step.
enum Step {
    /// Addresses are still being collected.
    Waits,
    /// Some were read, and more are left.
    Told,
    /// All were read.
    Last,
}

/// Bytes that the kernel puts before each record in the ring (`BPF_RINGBUF_HDR_SZ`).
const RING_HEADER: usize = 8;

/// Reads all connections at once that began at `since_ns` or later, nanoseconds on the kernel's clock.
///
/// # Errors
/// If the kernel refuses.
fn of_those_since(ebpf: &Ebpf, since_ns: u64) -> Result<(), ProgramError> {
    tell(ebpf, since_ns, &scan::Table::open(ebpf)?.sockets())
}

fn tell(ebpf: &Ebpf, since_ns: u64, sockets: &[u64]) -> Result<(), ProgramError> {
    for some in sockets.chunks(tracer_common::SOCKETS) {
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = since_ns;
        options.args[1..=some.len()].copy_from_slice(some);
        scan::run_program(ebpf, "read_totals", options)?;
    }
    Ok(())
}
