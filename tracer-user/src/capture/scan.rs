//! Scans for pre-existing and missed sockets: at the start, and at every rescan.
//!
//! Programs in the kernel do the work. They see every descriptor of every process, in all namespaces, and
//! report sockets that no hook reported through the ring buffer, in order with everything else. Here they are
//! only started.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, MapError},
    programs::{Iter, ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _},
    sys::SyscallError,
};

/// Newtype for the right to be copied from the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodConnection(tracer_common::Connection);

// SAFETY: `Connection` is `repr(C)` of integers only, without padding.
unsafe impl aya::Pod for PodConnection {}

/// A scan that is under way, on a thread of its own: a host may have millions of descriptors.
pub(super) struct Scan {
    thread: JoinHandle<()>,
    listeners: Arc<AtomicBool>,
    is_for_all: bool,
}

impl Scan {
    /// Starts a scan for listeners and connections.
    ///
    /// # Errors
    /// If the kernel refuses, or no thread can be started.
    pub(super) fn start(ebpf: &mut Ebpf) -> Result<Self, String> {
        let connections = open(ebpf, "scan_connections")?;
        Self::look(ebpf, Some(connections))
    }

    /// Starts a scan for listeners alone: who holds the sockets whose owners have ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) fn start_listeners(ebpf: &mut Ebpf) -> Result<Self, String> {
        Self::look(ebpf, None)
    }

    fn look(ebpf: &mut Ebpf, connections: Option<File>) -> Result<Self, String> {
        // Listeners first: they prove the direction of connections.
        let listeners = open(ebpf, "scan_listeners")?;
        let is_for_all = connections.is_some();
        let known = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&known);
        let thread = std::thread::Builder::new()
            .name("scan".to_owned())
            .spawn(move || {
                run(listeners);
                tell.store(true, Ordering::Release);
                if let Some(connections) = connections {
                    run(connections);
                }
            })
            .map_err(|error| error.to_string())?;
        Ok(Self {
            thread,
            listeners: known,
            is_for_all,
        })
    }

    /// Whether it scans for connections, too.
    pub(super) fn is_for_all(&self) -> bool {
        self.is_for_all
    }

    /// Whether all listeners have been found: accepted connections are attributed to their owners.
    pub(super) fn knows_listeners(&self) -> bool {
        self.listeners.load(Ordering::Acquire) || self.is_over()
    }

    /// Whether it is over. What it reported may still be in the ring buffer.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Reading to the end runs the program on every task, on one with many descriptors several times. It
/// prints nothing.
fn run(mut iterator: File) {
    loop {
        match iterator.read(&mut [0; 64]) {
            Ok(0) => break,
            Ok(_) => {}
            // There is more of the same task.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "the look at what is there was cut short");
                break;
            }
        }
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

/// The table of connections and attempts that the kernel side follows.
pub(super) struct Table {
    map: HashMap<MapData, u64, PodConnection>,
    /// Entries that it has room for.
    room: usize,
}

impl Table {
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn open(ebpf: &Ebpf) -> Result<Self, MapError> {
        const NAME: &str = "CONNECTIONS";
        let Some(Map::HashMap(map)) = ebpf.map(NAME) else {
            let name = NAME.to_owned();
            return Err(MapError::InvalidName { name });
        };
        let call = "dup";
        let fd = map.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|io_error| SyscallError { call, io_error })?;
        let map = MapData::from_fd(fd)?;
        let room = map.info()?.max_entries() as usize;
        let map = HashMap::try_from(Map::HashMap(map))?;
        Ok(Self { map, room })
    }

    /// When the youngest of them began, nanoseconds on the kernel's clock; none if there are none.
    pub(super) fn youngest(&self) -> Option<u64> {
        let begun = self.map.iter().map_while(Result::ok);
        begun.map(|(_, connection)| connection.0.begun_ns).max()
    }

    /// The kernel addresses of their sockets. Entries come and go meanwhile: one that is skipped has its turn
    /// next time, and some may be there twice.
    pub(super) fn sockets(&self) -> Vec<u64> {
        // If the last key was removed meanwhile, the kernel starts over: the limit ends that.
        let keys = self.map.keys().map_while(Result::ok);
        keys.take(2 * self.room).collect()
    }
}

/// Has the kernel side examine every connection in its table, and report those that are over.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn examine(ebpf: &Ebpf) -> Result<(), ProgramError> {
    let sockets = Table::open(ebpf)?.sockets();
    for some in sockets.chunks(tracer_common::SOCKETS) {
        let mut options = RawTracePointRunOptions::new();
        options.args[..some.len()].copy_from_slice(some);
        run_program(ebpf, "examine", options)?;
    }
    Ok(())
}

/// Runs a program that is attached nowhere (`BPF_PROG_TEST_RUN`).
///
/// # Errors
/// If the kernel refuses.
pub(super) fn run_program(
    ebpf: &Ebpf,
    program: &str,
    options: RawTracePointRunOptions,
) -> Result<(), ProgramError> {
    if let Some(program) = ebpf.program(program) {
        <&RawTracePoint>::try_from(program)?.test_run(options)?;
    }
    Ok(())
}
