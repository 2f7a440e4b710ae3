//! Attempts that come to nothing: one `fail` each, with its reason, and nothing else.
//!
//! What some hook set cannot see, the run's own `start` line must say: see [`EXCUSES`]. Then
//! nothing may be told of it; otherwise it must be told, once and right.

mod abandoned;
mod afterwards;
mod inbound;
mod local;
mod network;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen, Slot},
    expect::{self, endpoint},
    init,
    netns::Netns,
    skip,
    suite::Test,
    tracer::Tracer,
    wait,
};

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [
        local::tests(),
        network::tests(),
        abandoned::tests(),
        inbound::tests(),
        afterwards::tests(),
    ]
    .concat()
}

// --- what fails, and how --------------------------------------------------------------------

/// How an attempt came to nothing, as `failure` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    phase: &'static str,
    reason: &'static str,
    errno: Option<Errno>,
}

const fn failure(phase: &'static str, reason: &'static str, errno: Errno) -> Failure {
    Failure {
        phase,
        reason,
        errno: Some(errno),
    }
}

const fn quiet(phase: &'static str, reason: &'static str) -> Failure {
    Failure {
        phase,
        reason,
        errno: None,
    }
}

const NO_ROUTE: Failure = failure("local", "no_route", Errno::NETUNREACH);
const UNREACHABLE_ROUTE: Failure = failure("local", "no_route", Errno::HOSTUNREACH);
const PROHIBITED_ROUTE: Failure = failure("local", "denied", Errno::ACCESS);
/// An error that says nothing of a route.
const BLACKHOLE: Failure = failure("local", "other", Errno::INVAL);
const DENIED_BY_CGROUP: Failure = failure("local", "denied", Errno::PERM);
const DENIED_BY_MODULE: Failure = failure("local", "denied", Errno::ACCESS);
const REFUSED: Failure = failure("remote", "refused", Errno::CONNREFUSED);
const TIMED_OUT: Failure = failure("network", "timed_out", Errno::TIMEDOUT);
const ABANDONED: Failure = quiet("abandoned", "abandoned");
const NOT_LISTENING: Failure = quiet("local", "not_listening");
const ACCEPT_QUEUE_FULL: Failure = quiet("local", "accept_queue_full");

/// The failures that not every hook set can see, and words of the line in `start.blind` that
/// must say so there. Everything else is always seen.
const EXCUSES: [(Failure, &str); 8] = [
    (NO_ROUTE, BEFORE_THE_SYN),
    (UNREACHABLE_ROUTE, BEFORE_THE_SYN),
    (PROHIBITED_ROUTE, BEFORE_THE_SYN),
    (BLACKHOLE, BEFORE_THE_SYN),
    (DENIED_BY_CGROUP, BEFORE_THE_SYN),
    (DENIED_BY_MODULE, BEFORE_THE_SYN),
    (NOT_LISTENING, "connections refused by this host"),
    (ACCEPT_QUEUE_FULL, "full accept queue"),
];

/// connect() fails, and no socket's state tells.
const BEFORE_THE_SYN: &str = "attempts that fail before a SYN is made";

impl Failure {
    fn json(self) -> Value {
        json!({"phase": self.phase, "reason": self.reason, "errno": self.errno.map(name)})
    }

    /// What `start.blind` says where this failure is not seen.
    fn excuse(self) -> Option<&'static str> {
        EXCUSES
            .iter()
            .find(|(failure, _)| *failure == self)
            .map(|(_, excuse)| *excuse)
    }
}

/// The kernel's name of an error, of those that occur here.
fn name(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => "EACCES",
        Errno::ADDRNOTAVAIL => "EADDRNOTAVAIL",
        Errno::CONNREFUSED => "ECONNREFUSED",
        Errno::CONNRESET => "ECONNRESET",
        Errno::HOSTUNREACH => "EHOSTUNREACH",
        Errno::INVAL => "EINVAL",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::NOPROTOOPT => "ENOPROTOOPT",
        Errno::PERM => "EPERM",
        Errno::TIMEDOUT => "ETIMEDOUT",
        _ => "an error that these tests do not know",
    }
}

// --- how attempts are made ------------------------------------------------------------------

/// Through which socket, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    /// IPv4 through an IPv6 socket.
    Mapped,
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug)]
struct Way {
    family: Family,
    nonblocking: bool,
}

const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::Mapped];

/// Every family, blocking and not.
const WAYS: [Way; 6] = {
    let mut ways = [Way {
        family: Family::V4,
        nonblocking: false,
    }; 6];
    let mut n = 0;
    while n < ways.len() {
        ways[n] = Way {
            family: FAMILIES[n / 2],
            nonblocking: n % 2 == 1,
        };
        n += 1;
    }
    ways
};

impl Family {
    /// Of what is there for IPv4 and for IPv6.
    fn of<T>(self, v4: T, v6: T) -> T {
        if self == Self::V6 { v6 } else { v4 }
    }

    /// Any port of the loopback address.
    fn loopback(self) -> SocketAddr {
        SocketAddr::new(self.of([127, 0, 0, 1].into(), IpAddr::from(LOOPBACK_V6)), 0)
    }

    fn dial(self, to: SocketAddr) -> Dial {
        Dial {
            mapped: self == Self::Mapped,
            ..Dial::to(to)
        }
    }
}

const LOOPBACK_V6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

impl Way {
    fn dial(self, to: SocketAddr) -> Dial {
        Dial {
            nonblocking: self.nonblocking,
            ..self.family.dial(to)
        }
    }
}

/// An attempt that was made, by the truth of those who made it.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    pid: u32,
    /// The client's end; port 0 if it never had one, no address if not even that.
    from: (Option<IpAddr>, u16),
    to: SocketAddr,
}

impl Attempt {
    fn new(pid: u32, port: u16, to: SocketAddr) -> Self {
        // The client's ends of `Netns::new()` and `Netns::pair()`.
        let from = match to.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => [10, 77, 0, 1].into(),
            IpAddr::V6(_) => [0xfd77, 0, 0, 0, 0, 0, 0, 1].into(),
        };
        Self {
            pid,
            from: (Some(from), port),
            to,
        }
    }

    /// Its ends, as every line about it must name them.
    fn ends(&self) -> Value {
        let (address, port) = self.from;
        let unknown = if self.to.is_ipv4() { "0.0.0.0" } else { "::" };
        let address = match address {
            Some(address) if port != 0 => json!(address.to_string()),
            // Without a port it had no end, but perhaps an address for a moment.
            Some(address) => json!({"$any": [null, unknown, address.to_string()]}),
            None => json!({"$any": [null, unknown]}),
        };
        let port = if port == 0 { Value::Null } else { json!(port) };
        json!({
            "family": if self.to.is_ipv4() { "ipv4" } else { "ipv6" },
            "client": {"address": address, "port": port},
            "server": endpoint(self.to),
        })
    }
}

/// Dials and waits for the outcome, which must be `expected`. Closes the socket.
fn attempt(agent: &mut Agent, dial: Dial, expected: Errno) -> Result<Attempt> {
    let dial = Dial {
        // What has to wait for the kernel to give up need not wait for long.
        retries: (expected == Errno::TIMEDOUT).then_some(1),
        ..dial
    };
    let mut answer = agent.dial(dial)?;
    let slot = answer.slot.context("a socket")?;
    // A socket that failed keeps its port until it is used again.
    let port = answer.local.map_or(0, |local| local.port());
    if answer.errno == Some(Errno::INPROGRESS.raw_os_error()) {
        answer = agent.outcome(slot)?;
    }
    ensure!(
        answer.errno == Some(expected.raw_os_error()),
        "{dial:?}: {answer:?}, not {expected:?}"
    );
    agent.close(slot)?;
    let mut made = Attempt::new(agent.pid(), port, dial.to);
    if let Some(from) = dial.from {
        made.from.0 = Some(from.ip());
    }
    Ok(made)
}

/// Begins an attempt and leaves it undecided.
fn begin(agent: &mut Agent, dial: Dial) -> Result<(Slot, Attempt)> {
    let answer = agent.dial(Dial {
        nonblocking: true,
        ..dial
    })?;
    ensure!(
        answer.errno == Some(Errno::INPROGRESS.raw_os_error()),
        "{dial:?}: {answer:?}, not in progress"
    );
    let attempt = Attempt::new(agent.pid(), answer.local()?.port(), dial.to);
    Ok((answer.slot.context("a socket")?, attempt))
}

/// Does each of `works` on a thread of its own, and gives back what they give, in their order.
/// For what waits for the kernel's timers.
fn at_once<T: Send>(works: Vec<impl FnOnce() -> Result<T> + Send>) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread panicked"))?
            })
            .collect()
    })
}

// --- where ----------------------------------------------------------------------------------

/// A tracer, and namespaces to fail in.
struct World {
    tracer: Tracer,
    netns: Netns,
    /// At the other end of a cable.
    far: Option<Netns>,
}

impl World {
    fn new() -> Result<Self> {
        Ok(Self {
            netns: Netns::new()?,
            far: None,
            tracer: Tracer::stream(&[])?,
        })
    }

    /// Two namespaces joined by a cable.
    fn pair() -> Result<(Self, Netns)> {
        skip::need("ip")?;
        let (netns, far) = match Netns::pair() {
            Ok(pair) => pair,
            Err(error) => return skip::skip("veth", format!("{error:#}")),
        };
        let world = Self {
            netns,
            far: Some(far.clone()),
            tracer: Tracer::stream(&[])?,
        };
        Ok((world, far))
    }

    fn agent(&self) -> Result<Agent> {
        Agent::new(&self.netns)
    }

    /// Ends the run; what it said of these namespaces' connections.
    fn finish(self) -> Result<Seen> {
        let run = self.tracer.stop()?;
        run.expect_code(0)?;
        let lines = run.events()?;
        expect::well_formed(&lines)?;
        let here = self.netns.inode();
        let far = self.far.map(|far| far.inode());
        let mut events = expect::within(here, &lines);
        if let Some(far) = far {
            events.extend(expect::within(far, &lines));
        }
        events.retain(|event| event["connection"].is_object());
        Ok(Seen {
            start: lines.into_iter().next().context("a start line")?,
            here,
            far: far.unwrap_or(here),
            events,
        })
    }
}

/// An address that nobody listens at.
fn dead(agent: &mut Agent, at: SocketAddr) -> Result<SocketAddr> {
    let (slot, address) = agent.listen(Listen::at(at))?;
    agent.close(slot)?;
    Ok(address)
}

/// An address that never answers.
fn deaf(agent: &mut Agent, at: SocketAddr) -> Result<SocketAddr> {
    let how = Listen {
        deaf: true,
        ..Listen::at(at)
    };
    Ok(agent.listen(how)?.1)
}

/// Of addresses that nobody has (RFC 5737, RFC 3849).
fn nowhere(family: Family, n: u8, port: u16) -> SocketAddr {
    let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()];
    family.of(
        SocketAddr::new([192, 0, 2, n].into(), port),
        SocketAddr::new(v6.into(), port),
    )
}

// States of the kernel's `tcp_states.h`.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;

/// Waits until the socket between these ends is in `state`.
fn wait_for_state(
    netns: &Netns,
    (local, remote): (SocketAddr, SocketAddr),
    state: u8,
) -> Result<()> {
    wait::until(
        &format!("{local} -> {remote} to be in state {state}"),
        || {
            let rows = netns.sockets()?;
            let there = rows
                .iter()
                .any(|row| (row.local, row.remote, row.state) == (local, remote, state));
            Ok(there.then_some(()))
        },
    )
}

/// Adds firewall rules, or skips.
fn nft(netns: &Netns, rules: &str) -> Result<()> {
    skip::need("nft")?;
    match netns.command("nft", &[rules]) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("nft", format!("{error:#}")),
    }
}

// --- what was seen --------------------------------------------------------------------------

/// What a run told of a world. Each test takes out what must be there; nothing may be left.
struct Seen {
    start: Value,
    here: u64,
    far: u64,
    events: Vec<Value>,
}

impl Seen {
    /// Whether the run said at its start that it does not see what `words` tell.
    fn is_blind_to(&self, words: &str) -> Result<bool> {
        let lines = self.start["blind"].as_array().context("start.blind")?;
        let line = lines.iter().find(|line| {
            line["what"]
                .as_str()
                .is_some_and(|what| what.contains(words))
        });
        if let Some(line) = line {
            let why = line["why"].as_str().unwrap_or_default();
            ensure!(!why.is_empty(), "blind without a reason: {line}");
        }
        Ok(line.is_some())
    }

    /// Takes out the one line that is like `pattern`.
    fn take(&mut self, what: &str, pattern: &Value) -> Result<Value> {
        let taken = expect::one(what, pattern, &self.events)?.clone();
        self.events.retain(|event| *event != taken);
        Ok(taken)
    }

    /// Takes out the `fail` of a process here that dialled, unless this run cannot have it.
    fn failed(&mut self, attempt: &Attempt, failure: Failure) -> Result<Option<Value>> {
        let of_it = json!({
            "direction": "outbound",
            "netns": self.here,
            "existing": false,
            "opened": null,
            "sent_bytes": null,
        });
        let by_it = json!({"process": {"pid": attempt.pid}, "evidence": {"process": "hook"}});
        if !init::is_test_machine() && self.was_hidden(attempt)? {
            return Ok(None);
        }
        self.one_or_excused(attempt, failure, [of_it, by_it])
    }

    /// Takes out the `fail` of an attempt whose own one no program was run for: on some hosts a
    /// timer's interrupt is hidden from them all (see `Netns::acknowledge_at_once`). tracer then
    /// tells that it is over when the socket goes, says so, and does not guess why.
    fn was_hidden(&mut self, attempt: &Attempt) -> Result<bool> {
        let pattern = json!({
            "event": "fail",
            "connection": {"direction": "outbound", "server": endpoint(attempt.to)},
            "process": {"pid": attempt.pid},
            "failure": {"reason": "other", "errno": null},
            "evidence": {"end": "scan"},
        });
        let hidden = self
            .events
            .iter()
            .any(|event| expect::differences(&pattern, event).is_empty());
        if hidden {
            println!("failures: an end was hidden by the machine: {attempt:?}");
            self.take("a hidden end", &pattern)?;
        }
        Ok(hidden)
    }

    /// Takes out the `fail` of an attempt that this host turned away, unless this run cannot
    /// have it. A process only has to do with it if it listens.
    fn turned_away(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        listener: Option<u32>,
    ) -> Result<Option<Value>> {
        let of_it = json!({"direction": "inbound", "netns": self.far, "opened": null});
        let by_it = match listener {
            Some(pid) => json!({"process": {"pid": pid}, "evidence": {"process": "listener"}}),
            None => json!({"process": null, "evidence": {"process": "unknown"}}),
        };
        self.one_or_excused(attempt, failure, [of_it, by_it])
    }

    fn one_or_excused(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        [of_it, by_it]: [Value; 2],
    ) -> Result<Option<Value>> {
        if let Some(words) = failure.excuse()
            && self.is_blind_to(words)?
        {
            // If it is told all the same, it is left over in the end.
            return Ok(None);
        }
        let mut pattern = json!({
            "event": "fail",
            "connection": attempt.ends(),
            "failure": failure.json(),
        });
        add(&mut pattern["connection"], of_it);
        add(&mut pattern, by_it);
        let what = format!("{failure:?} of {attempt:?}");
        self.take(&what, &pattern).map(Some)
    }

    /// Both ends of attempts that a host of this world refused.
    fn refused(&mut self, attempts: &[Attempt]) -> Result<()> {
        for attempt in attempts {
            self.failed(attempt, REFUSED)?;
            self.turned_away(attempt, NOT_LISTENING, None)?;
        }
        Ok(())
    }

    /// Everything was taken out.
    fn nothing_more(self) -> Result<()> {
        ensure!(self.events.is_empty(), "not expected:\n{self}");
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        write!(f, "start: {}", self.start)
    }
}

/// Adds the members of one object to another.
fn add(to: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(more)) = (to, more) {
        to.extend(more);
    }
}
