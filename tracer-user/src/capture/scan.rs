//! Looks at what is there: at the start, and again now and then for what was missed.
//!
//! The looking is done by programs in the kernel, which see every descriptor of every
//! process, in all namespaces, and report what no hook told of through the ring buffer,
//! in order with everything else. Here they are only set going.

use std::{
    fs::File,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
    programs::{Iter, ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _},
};

/// Newtype for the right to be copied from the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodConnection(tracer_common::Connection);

// SAFETY: `Connection` is `repr(C)` of integers only, without padding.
unsafe impl aya::Pod for PodConnection {}

/// A look around that is under way, in a thread of its own: a host may have millions of
/// descriptors.
pub(super) struct Scan {
    thread: JoinHandle<()>,
    listeners: Arc<AtomicBool>,
}

impl Scan {
    /// Sets it going.
    ///
    /// # Errors
    /// If the kernel refuses, or no thread can be started.
    pub(super) fn start(ebpf: &mut Ebpf) -> Result<Self, String> {
        // Who listens first: it proves the direction of connections.
        let listeners = open(ebpf, "scan_listeners")?;
        let connections = open(ebpf, "scan_connections")?;
        let known = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&known);
        let thread = std::thread::Builder::new()
            .name("scan".to_owned())
            .spawn(move || {
                run(listeners);
                tell.store(true, Ordering::Release);
                run(connections);
            })
            .map_err(|error| error.to_string())?;
        Ok(Self {
            thread,
            listeners: known,
        })
    }

    /// Whether all who listen have been found, which is what accepted connections are
    /// attributed by.
    pub(super) fn knows_listeners(&self) -> bool {
        self.listeners.load(Ordering::Acquire) || self.is_over()
    }

    /// Whether it is over. What it reported may still be in the ring buffer.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Reading to the end runs the program on every descriptor. It prints nothing.
fn run(mut iterator: File) {
    if let Err(error) = iterator.read_to_end(&mut Vec::new()) {
        tracing::warn!(%error, "the look at what is there was cut short");
    }
}

fn open(ebpf: &mut Ebpf, name: &str) -> Result<File, String> {
    let refused = |error: &dyn std::error::Error| format!("{name}: {error}");
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the embedded eBPF object has no {name}"))?;
    let program = <&mut Iter>::try_from(program).map_err(|error| refused(&error))?;
    let link = program.attach().map_err(|error| refused(&error))?;
    let link = program.take_link(link).map_err(|error| refused(&error))?;
    link.into_file().map_err(|error| refused(&error))
}

/// When the youngest of the connections and attempts began that the kernel side follows,
/// nanoseconds on the kernel's clock; none if it follows none.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn youngest(ebpf: &Ebpf) -> Result<Option<u64>, ProgramError> {
    let Some(map) = ebpf.map("CONNECTIONS") else {
        return Ok(None);
    };
    let connections: HashMap<&MapData, u64, PodConnection> = HashMap::try_from(map)?;
    let begun = connections.iter().map_while(Result::ok);
    Ok(begun.map(|(_, connection)| connection.0.begun_ns).max())
}

/// Has the kernel side look at every connection in its table, and report those that are
/// over.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn examine(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let sockets: Vec<u64> = {
        let Some(map) = ebpf.map("CONNECTIONS") else {
            return Ok(());
        };
        let connections: HashMap<&MapData, u64, PodConnection> = HashMap::try_from(map)?;
        // Entries come and go meanwhile: what is passed over has its turn next time.
        connections.keys().map_while(Result::ok).collect()
    };
    let Some(program) = ebpf.program("examine") else {
        return Ok(());
    };
    let program = <&RawTracePoint>::try_from(program)?;
    for some in sockets.chunks(RawTracePointRunOptions::new().args.len()) {
        let mut options = RawTracePointRunOptions::new();
        for (arg, socket) in options.args.iter_mut().zip(some) {
            *arg = *socket;
        }
        program.test_run(options)?;
    }
    Ok(())
}
