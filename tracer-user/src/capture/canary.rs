//! The start-up check: a connection of our own, of which everything is known. What the programs report of it must
//! be the truth. A hook set that gets it wrong is not used.
//!
//! **Nobody else can be taken for it, nor get in its way.** It is made in a network namespace of its own,
//! by a thread that is there for nothing else; the namespace goes with it. It is made ahead, as that waits for
//! whatever else the kernel does with network namespaces, and nobody waits until it is gone. Where that is not permitted,
//! it is known by the addresses and ports of both its ends, which are held meanwhile, and what is known
//! to be of another process does not count.
//!
//! It is over before the interval of the capture begins. Other tracers on this host know it by its address, and
//! do not report it either.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use rustix::{
    net::{
        AddressFamily, SocketType, bind, connect, listen, socket,
        sockopt::{Timeout, set_socket_timeout},
    },
    thread::{UnshareFlags, unshare_unsafe},
};
use tracer_common::{Connection, Direction, Flow, Kind, Process, Source};

use super::{
    decode::{self, Record},
    facts::Facts,
};
use crate::procfs::{Proc, Stat};

/// How long the loopback may take, and then the records.
const LIMIT: Duration = Duration::from_millis(250);
/// Something may get in the way once: a ring that others fill, a processor that stands still.
const TRIES: usize = 3;
/// What the client says.
const SONG: &[u8] = b"canary";

/// Where both ends of it are: a loopback address that the kernel gives to no connection by itself.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 84, 82, 67);
/// How many connections may wait for its listener. Nobody else asks for this many there.
const BACKLOG: u32 = 84;

/// The truth.
struct Song {
    netns: u32,
    /// Nobody else is in that namespace.
    is_alone: bool,
    client: SocketAddr,
    server: SocketAddr,
}

/// Whether `record` is about the start-up check of any tracer on this host: both ends have its address,
/// and this end is of a process that may be a tracer, or not known. A process that connects to itself
/// there hides nothing else by that: whoever dials it without choosing the same address for its own
/// end is told of, and so is an unprivileged process.
pub(super) fn is_of_any(record: &Record<'_>) -> bool {
    let has = |address: &[u8; 16]| address[..4] == ADDRESS.octets() && address[4..] == [0; 12];
    let (flow, process, is_as_ours) = match record {
        Record::Connect(it) | Record::Accept(it) | Record::Existing(it) => {
            let it = &it.connection;
            (&it.flow, &it.process, has(&it.flow.remote_address))
        }
        Record::Close(it) => {
            let it = &it.connection;
            (&it.flow, &it.process, has(&it.flow.remote_address))
        }
        Record::Listen(it) | Record::Unlisten(it) => (&it.flow, &it.process, it.backlog == BACKLOG),
        _ => return false,
    };
    is_as_ours && has(&flow.local_address) && may_be_tracer(process)
}

/// To load the programs takes rights that root has, or whoever the administrator gave them to: of
/// those, we know one.
fn may_be_tracer(process: &Process) -> bool {
    process.source == Source::UNKNOWN
        || process.uid == 0
        || process.uid == rustix::process::getuid().as_raw()
}

/// Makes a connection over the loopback and compares. `stage` is where the first one is made, if it is there
/// already.
///
/// # Errors
/// What was told wrong, or not at all. Where no connection can be made there is nothing to
/// compare, and that is no error.
pub(super) fn sing(
    ebpf: &mut Ebpf,
    facts: &Facts,
    stage: &mut Option<Stage>,
) -> Result<(), String> {
    let Some(truth) = Truth::of_this_process(facts) else {
        return Ok(());
    };
    let mut last = Ok(String::new());
    let mut ring = ring(ebpf)?;
    for _ in 0..TRIES {
        // What others did while the programs were attached may have filled it.
        empty(&mut ring);
        // In a new namespace each time: what is late of one try is not of the next.
        let stage = stage.take().map_or_else(Stage::prepare, Ok);
        let song = match stage.and_then(Stage::sing).or_else(|error| {
            tracing::debug!(%error, "no network namespace for the start-up check");
            among_others()
        }) {
            Ok(song) => song,
            Err(error) => {
                last = Err(error);
                continue;
            }
        };
        match truth.compare(&mut ring, &song)? {
            None => return Ok(()),
            Some(missing) => last = Ok(missing),
        }
    }
    match last {
        Ok(missing) => Err(missing),
        Err(error) => {
            tracing::warn!(%error, "no connection over the loopback: the hooks are not checked");
            Ok(())
        }
    }
}

type Ring<'a> = RingBuf<&'a mut MapData>;

fn ring(ebpf: &mut Ebpf) -> Result<Ring<'_>, String> {
    let map = ebpf
        .map_mut("EVENTS")
        .ok_or("the embedded eBPF object has no ring buffer")?;
    RingBuf::try_from(map).map_err(|error| error.to_string())
}

fn empty(ring: &mut Ring<'_>) {
    let begun = Instant::now();
    while ring.next().is_some() && begun.elapsed() < LIMIT {}
}

/// A network namespace that is made for one connection, and in which nobody else is.
pub(super) struct Stage {
    /// Its thread goes on once it may, and ends if this is dropped.
    may_begin: SyncSender<()>,
    song: Receiver<io::Result<Song>>,
}

impl Stage {
    /// Begins to make it, on the thread that will sing there. Whether it could be made, [`Self::sing`] tells.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn prepare() -> io::Result<Self> {
        let (may_begin, begins) = sync_channel(1);
        let (sung, song) = sync_channel(1);
        let work = move || {
            // SAFETY: changes nothing that memory safety rests on, and only for this thread, which ends.
            let made = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
            let made = made
                .map_err(io::Error::from)
                .and_then(|()| raise_loopback());
            if begins.recv().is_ok() {
                // There is nobody to tell if this fails.
                let _ = sung.send(made.and_then(|()| converse(true)));
            }
        };
        // Without a name: it goes by that of the process, as everything that is told of it does. Not joined: it
        // ends when it is through, and its namespace after that.
        thread::Builder::new().spawn(work)?;
        Ok(Self { may_begin, song })
    }

    /// Makes the connection.
    ///
    /// # Errors
    /// If there can be no such namespace (it takes CAP_SYS_ADMIN and CAP_NET_ADMIN), or no connection in it.
    fn sing(self) -> io::Result<Song> {
        let broke = || io::Error::other("the thread of the start-up check broke down");
        self.may_begin.send(()).map_err(|_| broke())?;
        self.song.recv().map_err(|_| broke())?
    }
}

/// In the namespace of this process.
fn among_others() -> io::Result<Song> {
    converse(false)
}

/// Sets `lo` of the calling thread's namespace up, with its addresses: it is down in a new one.
fn raise_loopback() -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: integers and bytes only, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is for an `ifreq`, which outlives the call.
    match unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Listens, connects, sends something, closes.
fn converse(is_alone: bool) -> io::Result<Song> {
    let netns = netns_of_this_thread().ok_or(io::ErrorKind::Unsupported)?;
    let at = SocketAddr::from((ADDRESS, 0));
    let socket = || socket(AddressFamily::INET, SocketType::STREAM, None);
    let listener = socket()?;
    bind(&listener, &at)?;
    listen(&listener, BACKLOG as i32)?;
    let listener = TcpListener::from(listener);
    let server = listener.local_addr()?;
    let client = socket()?;
    bind(&client, &at)?;
    // How long connect() waits, too.
    set_socket_timeout(&client, Timeout::Send, Some(LIMIT))?;
    connect(&client, &server)?;
    let mut client = TcpStream::from(client);
    let from = client.local_addr()?;
    listener.set_nonblocking(true)?;
    let begun = Instant::now();
    let mut accepted = loop {
        match listener.accept() {
            Ok((accepted, peer)) if peer == from => break accepted,
            // Anybody may knock. This is no place where they are answered.
            Ok(_) if begun.elapsed() > LIMIT => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if begun.elapsed() > LIMIT => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    };
    accepted.set_nonblocking(false)?;
    accepted.set_read_timeout(Some(LIMIT))?;
    let song = Song {
        netns,
        is_alone,
        client: from,
        server,
    };
    client.write_all(SONG)?;
    accepted.read_exact(&mut [0; SONG.len()])?;
    drop(client);
    Ok(song)
}

fn netns_of_this_thread() -> Option<u32> {
    let netns = std::fs::read_link("/proc/thread-self/ns/net").ok()?;
    let netns = netns.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    netns.parse().ok()
}

/// What the programs must find out about this process.
struct Truth {
    /// None where /proc shows other ids than the kernel's.
    pid: Option<u32>,
    stat: Stat,
}

impl Truth {
    fn of_this_process(facts: &Facts) -> Option<Self> {
        let stat = Proc::new("/proc").stat(std::process::id())?;
        Some(Self {
            pid: facts.host_pids.then(std::process::id),
            stat,
        })
    }

    /// Reads the ring buffer until the song was told as a whole; `Some` is what was not.
    ///
    /// # Errors
    /// What was told wrong.
    fn compare(&self, ring: &mut Ring<'_>, song: &Song) -> Result<Option<String>, String> {
        let mut told = [0_u64; Kind::COUNT];
        let whole = [
            (Kind::LISTEN, 1),
            (Kind::CONNECT, 1),
            (Kind::ACCEPT, 1),
            (Kind::CLOSE, 2),
            (Kind::UNLISTEN, 1),
        ];
        let begun = Instant::now();
        loop {
            while let Some(bytes) = ring.next() {
                let record = decode::decode(&bytes).ok();
                let Some(record) = record.filter(|record| self.is_of(record, song)) else {
                    continue;
                };
                told[record.kind().0 as usize] += 1;
                self.check(&record, song)
                    .map_err(|wrong| format!("start-up check: {wrong} in {record:?}"))?;
            }
            let count = |kind: Kind| told[kind.0 as usize];
            let missing = whole.iter().find(|(kind, times)| count(*kind) < *times);
            let Some((kind, times)) = missing else {
                return Ok(None);
            };
            if begun.elapsed() > LIMIT {
                return Ok(Some(format!(
                    "start-up check: of a connection over the loopback, {} of {times} records of kind {} came",
                    count(*kind),
                    kind.0
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a record is about our own connection or listener. Where others are, too, only what has our
    /// ends is, and not what they are known to have done there a moment before.
    fn is_of(&self, record: &Record<'_>, song: &Song) -> bool {
        let (flow, process, is_listener) = match record {
            Record::Connect(opened) | Record::Accept(opened) | Record::Existing(opened) => {
                let it = &opened.connection;
                (&it.flow, &it.process, false)
            }
            Record::Close(ended) | Record::Fail(ended) => {
                let it = &ended.connection;
                (&it.flow, &it.process, false)
            }
            Record::Listen(it) | Record::Unlisten(it) => (&it.flow, &it.process, true),
            Record::Exec(_)
            | Record::Exit(_)
            | Record::Fork(_)
            | Record::Cgroup(_)
            | Record::Message(_)
            | Record::Redirect(_)
            | Record::Totals(_) => return false,
        };
        if flow.netns != song.netns || song.is_alone {
            return flow.netns == song.netns;
        }
        let (client, server) = (song.client, song.server);
        let has_our_ends = match is_listener {
            true => is_end(flow, server, None),
            false => is_end(flow, client, Some(server)) || is_end(flow, server, Some(client)),
        };
        let is_of_another =
            process.source != Source::UNKNOWN && self.pid.is_some_and(|pid| pid != process.tgid);
        has_our_ends && !is_of_another
    }

    fn check(&self, record: &Record<'_>, song: &Song) -> Result<(), &'static str> {
        match record {
            Record::Connect(opened) => {
                let connection = &opened.connection;
                require(connection.direction == Direction::OUTBOUND, "direction")?;
                self.check_life(connection, song)
            }
            Record::Accept(opened) => {
                let connection = &opened.connection;
                require(connection.direction == Direction::INBOUND, "direction")?;
                self.check_life(connection, song)
            }
            Record::Close(ended) => {
                let said = SONG.len() as u64;
                let (sent, received) = match ended.connection.direction {
                    Direction::OUTBOUND => (said, 0),
                    _ => (0, said),
                };
                require(ended.totals.sent_bytes == sent, "bytes sent")?;
                require(ended.totals.received_bytes == received, "bytes received")?;
                self.check_life(&ended.connection, song)
            }
            Record::Listen(listening) | Record::Unlisten(listening) => {
                require(is_end(&listening.flow, song.server, None), "address")?;
                self.check_process(&listening.process)
            }
            Record::Fail(_) | Record::Existing(_) => Err("kind"),
            Record::Exec(_)
            | Record::Exit(_)
            | Record::Fork(_)
            | Record::Cgroup(_)
            | Record::Message(_)
            | Record::Redirect(_)
            | Record::Totals(_) => Ok(()),
        }
    }

    fn check_life(&self, connection: &Connection, song: &Song) -> Result<(), &'static str> {
        let (local, remote) = match connection.direction {
            Direction::OUTBOUND => (song.client, song.server),
            _ => (song.server, song.client),
        };
        require(is_end(&connection.flow, local, Some(remote)), "addresses")?;
        require(
            connection.begun_ns != 0 && connection.established_ns >= connection.begun_ns,
            "times",
        )?;
        self.check_process(&connection.process)
    }

    fn check_process(&self, process: &Process) -> Result<(), &'static str> {
        require(process.source != Source::UNKNOWN, "process")?;
        require(self.pid.is_none_or(|pid| process.tgid == pid), "process id")?;
        let comm = process.comm.split(|byte| *byte == 0).next();
        let comm = String::from_utf8_lossy(comm.unwrap_or_default());
        require(comm == self.stat.comm, "name of the process")?;
        require(
            self.stat.started_at(process.start_ns),
            "start of the process",
        )
    }
}

fn require(right: bool, what: &'static str) -> Result<(), &'static str> {
    if right { Ok(()) } else { Err(what) }
}

/// Whether a flow is between these ends; a listener has but one.
fn is_end(flow: &Flow, local: SocketAddr, remote: Option<SocketAddr>) -> bool {
    let is = |address: [u8; 16], port, end: SocketAddr| {
        port == end.port()
            && match end.ip() {
                IpAddr::V4(v4) => address[..4] == v4.octets() && address[4..] == [0; 12],
                IpAddr::V6(v6) => address == v6.octets(),
            }
    };
    is(flow.local_address, flow.local_port, local)
        && remote.is_none_or(|remote| is(flow.remote_address, flow.remote_port, remote))
}
