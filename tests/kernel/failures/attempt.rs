//! How attempts are made, and what those who made them know of them.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Slot},
    expect::endpoint,
};

/// Through which socket, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    /// IPv4 through an IPv6 socket.
    Mapped,
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) family: Family,
    pub(crate) nonblocking: bool,
}

pub(crate) const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::Mapped];

/// Every family, blocking and not.
pub(crate) const WAYS: [Way; 6] = {
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
    pub(crate) fn of<T>(self, v4: T, v6: T) -> T {
        if self == Self::V6 { v6 } else { v4 }
    }

    /// Any port of the loopback address.
    pub(crate) fn loopback(self) -> SocketAddr {
        SocketAddr::new(self.of([127, 0, 0, 1].into(), IpAddr::from(LOOPBACK_V6)), 0)
    }

    pub(crate) fn dial(self, to: SocketAddr) -> Dial {
        Dial {
            mapped: self == Self::Mapped,
            ..Dial::to(to)
        }
    }
}

pub(crate) const LOOPBACK_V6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

impl Way {
    pub(crate) fn dial(self, to: SocketAddr) -> Dial {
        Dial {
            nonblocking: self.nonblocking,
            ..self.family.dial(to)
        }
    }
}

/// An attempt that was made, by the truth of those who made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) pid: u32,
    /// The client's end; port 0 if it never had one, no address if not even that.
    pub(crate) from: (Option<IpAddr>, u16),
    pub(crate) to: SocketAddr,
}

impl Attempt {
    pub(crate) fn new(pid: u32, port: u16, to: SocketAddr) -> Self {
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

    /// One that ended before it had an end of its own.
    pub(crate) fn without_an_end(self) -> Self {
        Self {
            from: (None, 0),
            ..self
        }
    }

    /// Its ends, as every line about it must name them.
    pub(crate) fn ends(&self) -> Value {
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
pub(crate) fn attempt(agent: &mut Agent, dial: Dial, expected: Errno) -> Result<Attempt> {
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
pub(crate) fn begin(agent: &mut Agent, dial: Dial) -> Result<(Slot, Attempt)> {
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
pub(crate) fn at_once<T: Send>(works: Vec<impl FnOnce() -> Result<T> + Send>) -> Result<Vec<T>> {
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
