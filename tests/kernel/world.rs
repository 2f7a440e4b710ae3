//! A server and a client, socket call by socket call, and what is to be told of them.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use tracer_tests::{
    agent::{Agent, Answer, Dial, Listen, Slot},
    init,
    ledger::{Closer, End},
    netns::Netns,
};

/// A namespace where the other end is never waited for, see [`Netns::acknowledge_at_once`].
pub(crate) fn namespace() -> Result<Netns> {
    let netns = Netns::new()?;
    if !init::is_test_machine() {
        netns.acknowledge_at_once();
    }
    Ok(netns)
}

/// A server and a client in one namespace, and the server's listener.
pub(crate) struct World {
    pub(crate) netns: Netns,
    pub(crate) server: Agent,
    pub(crate) client: Agent,
    pub(crate) listener: Slot,
    pub(crate) at: SocketAddr,
}

/// A connection, with its socket at either end.
pub(crate) struct Pair {
    pub(crate) from: SocketAddr,
    pub(crate) dialled: Slot,
    pub(crate) accepted: Slot,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Self::at("127.0.0.1:0".parse()?)
    }

    pub(crate) fn at(at: SocketAddr) -> Result<Self> {
        let netns = namespace()?;
        let (mut server, client) = (Agent::new(&netns)?, Agent::new(&netns)?);
        let (listener, at) = server.listen(Listen::at(at))?;
        Ok(Self {
            netns,
            server,
            client,
            listener,
            at,
        })
    }

    pub(crate) fn connect(&mut self) -> Result<Pair> {
        self.dial(Dial::to(self.at))
    }

    pub(crate) fn dial(&mut self, how: Dial) -> Result<Pair> {
        let answer = self.client.dial(how)?;
        Ok(Pair {
            dialled: answer.socket()?,
            from: answer.local()?,
            accepted: self.server.accept(self.listener)?.socket()?,
        })
    }

    /// Payload from the client to the server, and a byte back.
    pub(crate) fn talk(&mut self, pair: &Pair, bytes: usize) -> Result<()> {
        self.client.send(pair.dialled, bytes)?;
        self.server.receive(pair.accepted, bytes)?;
        self.server.send(pair.accepted, 1)?;
        self.client.receive(pair.dialled, 1)
    }

    /// The client closes, then the server.
    pub(crate) fn finish(&mut self, pair: &Pair) -> Result<()> {
        self.client.close(pair.dialled)?;
        self.server.receive_end(pair.accepted)?;
        self.server.close(pair.accepted)
    }

    pub(crate) fn client_end(&self, pair: &Pair) -> End {
        End::client(self.netns.inode(), pair.from, self.at, self.client.pid())
    }

    pub(crate) fn server_end(&self, pair: &Pair) -> End {
        End::server(self.netns.inode(), pair.from, self.at, self.server.pid())
    }

    /// What is to be told of a connection after `talk` and `finish`.
    pub(crate) fn ends(&self, pair: &Pair, bytes: u64) -> [End; 2] {
        exchanged(self.client_end(pair), self.server_end(pair), bytes, 1)
    }

    /// A port that is free, as somebody just gave it back.
    pub(crate) fn free(&mut self) -> Result<SocketAddr> {
        let (slot, address) = self.server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        self.server.close(slot)?;
        Ok(address)
    }
}

/// Both ends of a connection that the client closed first, after so many bytes each way.
pub(crate) fn exchanged(client: End, server: End, there: u64, back: u64) -> [End; 2] {
    [
        End {
            sent: there,
            received: back,
            closed_by: Some(Closer::Local),
            ..client
        },
        End {
            sent: back,
            received: there,
            closed_by: Some(Closer::Remote),
            ..server
        },
    ]
}

/// Whether a call ended with this error.
pub(crate) fn failed_with(answer: &Answer, errno: Errno) -> Result<()> {
    ensure!(
        answer.errno == Some(errno.raw_os_error()),
        "not {errno:?}: {answer:?}"
    );
    Ok(())
}

/// A counter of a file in `/proc/net`, whose tables have a row of names and one of values each.
pub(crate) fn counter(netns: &Netns, file: &str, table: &str, name: &str) -> Result<u64> {
    let text = netns.run(|| {
        let path = format!("/proc/thread-self/net/{file}");
        std::fs::read_to_string(path).context("read the counters")
    })?;
    let mut rows = text.lines().filter(|line| line.starts_with(table));
    let (names, values) = (rows.next(), rows.next());
    let (names, values) = names
        .zip(values)
        .with_context(|| format!("no table {table}"))?;
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both
        .find(|(one, _)| *one == name)
        .with_context(|| format!("no counter {name}"))?;
    Ok(value.parse()?)
}
