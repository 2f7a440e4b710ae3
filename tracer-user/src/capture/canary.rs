//! A connection of our own at the start, of which everything is known: what the programs
//! tell of it must be the truth. A hook set that gets it wrong is not used.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use aya::{Ebpf, maps::RingBuf};
use tracer_common::{Connection, Direction, Flow, Kind, Process, Source};

use super::{
    Facts, decode,
    decode::{Record, RecordBytes},
};
use crate::procfs::{Proc, Stat};

/// How long the loopback may take, and then the records.
const LIMIT: Duration = Duration::from_millis(250);
/// Something may get in the way once: a ring that others fill, a processor that stands still.
const TRIES: usize = 3;
/// What the client says.
const SONG: &[u8] = b"canary";

/// What was in the ring buffer when the song was over.
#[derive(Default)]
pub(super) struct Heard {
    /// Records of others.
    pub(super) others: Vec<RecordBytes>,
    /// How many records of each kind were of the song itself.
    pub(super) own: [u64; Kind::COUNT],
}

/// What really happened.
struct Song {
    client: SocketAddr,
    server: SocketAddr,
}

/// Makes a connection over the loopback and compares.
///
/// # Errors
/// What was told wrong, or not at all. Where no connection can be made there is nothing to
/// compare, and that is no error.
pub(super) fn sing(ebpf: &mut Ebpf, facts: &Facts) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let Some(truth) = Truth::of_this_process(facts) else {
        return Ok(heard);
    };
    let mut wrong = String::new();
    for _ in 0..TRIES {
        let song = match converse(Ipv4Addr::LOCALHOST.into())
            .or_else(|_| converse(Ipv6Addr::LOCALHOST.into()))
        {
            Ok(song) => song,
            Err(error) => {
                tracing::warn!(%error, "no connection over the loopback: the hooks are not checked");
                return Ok(heard);
            }
        };
        match truth.compare(ebpf, &song, &mut heard)? {
            None => return Ok(heard),
            Some(missing) => wrong = missing,
        }
    }
    Err(wrong)
}

/// Listens, connects, says something, closes.
fn converse(on: IpAddr) -> io::Result<Song> {
    let listener = TcpListener::bind((on, 0))?;
    let server = listener.local_addr()?;
    let mut client = TcpStream::connect_timeout(&server, LIMIT)?;
    listener.set_nonblocking(true)?;
    let begun = Instant::now();
    let mut accepted = loop {
        match listener.accept() {
            Ok((accepted, _)) => break accepted,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if begun.elapsed() > LIMIT => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    accepted.set_nonblocking(false)?;
    accepted.set_read_timeout(Some(LIMIT))?;
    let song = Song {
        client: client.local_addr()?,
        server,
    };
    client.write_all(SONG)?;
    accepted.read_exact(&mut [0; SONG.len()])?;
    drop(client);
    Ok(song)
}

/// What the programs must find out about this process.
struct Truth {
    netns: u32,
    /// None where /proc shows other ids than the kernel's.
    pid: Option<u32>,
    stat: Stat,
}

impl Truth {
    fn of_this_process(facts: &Facts) -> Option<Self> {
        let netns = std::fs::read_link("/proc/self/ns/net").ok()?;
        let netns = netns.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
        let stat = Proc::new("/proc").stat(std::process::id())?;
        Some(Self {
            netns: netns.parse().ok()?,
            pid: facts.host_pids.then(std::process::id),
            stat,
        })
    }

    /// Reads the ring buffer until the song was told as a whole; `Some` is what was not.
    ///
    /// # Errors
    /// What was told wrong.
    fn compare(
        &self,
        ebpf: &mut Ebpf,
        song: &Song,
        heard: &mut Heard,
    ) -> Result<Option<String>, String> {
        let map = ebpf
            .map_mut("EVENTS")
            .ok_or("the embedded eBPF object has no ring buffer")?;
        let mut ring = RingBuf::try_from(map).map_err(|error| error.to_string())?;
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
                    heard.others.push(RecordBytes::from(&*bytes));
                    continue;
                };
                let kind = record.kind().0 as usize;
                told[kind] += 1;
                heard.own[kind] += 1;
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
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a record is about our own connection or listener.
    fn is_of(&self, record: &Record<'_>, song: &Song) -> bool {
        let flow = match record {
            Record::Connect(opened) | Record::Accept(opened) | Record::Existing(opened) => {
                &opened.connection.flow
            }
            Record::Close(ended) | Record::Fail(ended) => &ended.connection.flow,
            Record::Listen(listening) | Record::Unlisten(listening) => &listening.flow,
            Record::Exec(_)
            | Record::Exit(_)
            | Record::Cgroup(_)
            | Record::Message(_)
            | Record::Redirect(_) => return false,
        };
        let port = song.server.port();
        flow.netns == self.netns && (flow.local_port == port || flow.remote_port == port)
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
            | Record::Cgroup(_)
            | Record::Message(_)
            | Record::Redirect(_) => Ok(()),
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
