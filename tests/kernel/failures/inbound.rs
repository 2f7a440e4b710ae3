//! Attempts from outside that this host turns away. Across a cable, so that each end has a
//! namespace of its own, and what is told of one is not mistaken for the other.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use rustix::io::Errno;
use tracer_tests::{
    agent::{Agent, Listen, Slot},
    netns::Netns,
    tests, wait,
};

use super::{
    ACCEPT_QUEUE_FULL, Attempt, ESTABLISHED, FAMILIES, Family, TIMED_OUT, Way, World, at_once,
    attempt, dead, nft, wait_for_state,
};
use crate::world::counter;

tests!("failures::inbound":
    not_listening,
    accept_queue_full,
    accept_queue_full_at_the_end_of_the_handshake,
    a_reset_is_no_refusal,
);

impl Family {
    /// Any port at the far end of the cable.
    pub(crate) fn far(self) -> SocketAddr {
        let v6 = [0xfd77, 0, 0, 0, 0, 0, 0, 2];
        SocketAddr::new(self.of([10, 77, 0, 2].into(), IpAddr::from(v6)), 0)
    }
}

fn cable() -> Result<(World, Netns, Agent)> {
    let (world, far) = World::pair()?;
    let server = Agent::new(&far)?;
    Ok((world, far, server))
}

fn not_listening() -> Result<()> {
    let (world, _far, mut server) = cable()?;
    let mut client = world.agent()?;
    let mut attempts = Vec::new();
    for way in super::WAYS {
        let to = dead(&mut server, way.family.far())?;
        attempts.push(attempt(&mut client, way.dial(to), Errno::CONNREFUSED)?);
    }
    let mut seen = world.finish()?;
    seen.refused(&attempts)?;
    seen.nothing_more()
}

/// A queue that is full, as the kernel takes one more than it is told, and an attempt to get in.
pub(crate) struct Overflow {
    pub(crate) listener: Slot,
    pub(crate) at: SocketAddr,
    /// Those in the queue: their sockets, and their ends.
    pub(crate) queue: Vec<(Slot, SocketAddr)>,
    pub(crate) attempt: Attempt,
}

/// Fills the queue of a server across the cable through one client, and has another dial.
pub(crate) fn overflow(
    far: &Netns,
    server: &mut Agent,
    [filler, client]: [&mut Agent; 2],
    way: Way,
) -> Result<Overflow> {
    let how = Listen {
        backlog: 1,
        ..Listen::at(way.family.far())
    };
    let (listener, at) = server.listen(how)?;
    let mut queue = Vec::new();
    for _ in 0..2 {
        let dialled = filler.dial(way.family.dial(at))?;
        let from = dialled.local()?;
        wait_for_state(far, (at, from), ESTABLISHED)?;
        queue.push((dialled.socket()?, from));
    }
    Ok(Overflow {
        listener,
        at,
        queue,
        attempt: attempt(client, way.dial(at), Errno::TIMEDOUT)?,
    })
}

/// The SYN comes twice, and is one attempt.
fn accept_queue_full() -> Result<()> {
    let (world, far, server) = cable()?;
    let mut works = Vec::new();
    let mut servers = vec![server];
    while servers.len() < FAMILIES.len() {
        servers.push(Agent::new(&far)?);
    }
    for (family, mut server) in FAMILIES.into_iter().zip(servers) {
        let (mut filler, mut client) = (world.agent()?, world.agent()?);
        let way = Way {
            family,
            nonblocking: family == Family::Mapped,
        };
        let far = &far;
        works.push(move || {
            let both = [&mut filler, &mut client];
            let overflow = overflow(far, &mut server, both, way)?;
            Ok((overflow.attempt, server.pid()))
        });
    }
    let attempts = at_once(works)?;
    let mut seen = world.finish()?;
    // What fills the queues succeeded.
    seen.events.retain(|event| event["event"] == "fail");
    for (attempt, server) in &attempts {
        seen.failed(attempt, TIMED_OUT)?;
        seen.turned_away(attempt, ACCEPT_QUEUE_FULL, Some(*server))?;
    }
    seen.nothing_more()
}

/// There was room when the SYN came, and none when its answer was acknowledged. The kernel answers
/// again and again, and it is one attempt.
fn accept_queue_full_at_the_end_of_the_handshake() -> Result<()> {
    // So many that the one handshake under way is not too many: the kernel would keep nothing of it,
    // and not answer again.
    const BACKLOG: i32 = 2;
    let (world, far, mut server) = cable()?;
    let (mut filler, mut client) = (world.agent()?, world.agent()?);
    let mut attempts = Vec::new();
    nft(
        &far,
        "add table inet t; add chain inet t input { type filter hook input priority 0; }",
    )?;
    let mut late = Vec::new();
    for family in [Family::V4, Family::V6] {
        let how = Listen {
            backlog: BACKLOG,
            ..Listen::at(family.far())
        };
        let (_, at) = server.listen(how)?;
        let rule = format!(
            "add rule inet t input tcp dport {} tcp flags & (syn | ack) == ack drop",
            at.port()
        );
        nft(&far, &rule)?;
        let dialled = client.connect(at)?;
        let (slot, from) = (dialled.socket()?, dialled.local()?);
        nft(
            &far,
            &format!(
                "insert rule inet t input tcp sport != {} tcp dport {} accept",
                from.port(),
                at.port()
            ),
        )?;
        // The kernel takes one more than it is told.
        for _ in 0..=BACKLOG {
            let filled = filler.connect(at)?;
            wait_for_state(&far, (at, filled.local()?), ESTABLISHED)?;
        }
        attempts.push(Attempt::new(client.pid(), from.port(), at));
        late.push(slot);
    }
    nft(&far, "flush ruleset")?;
    let overflows = || counter(&far, "netstat", "TcpExt:", "ListenOverflows");
    // Two of each, and more of one.
    wait::until("the queues to overflow", || {
        Ok((overflows()? >= 4).then_some(()))
    })?;
    for slot in late {
        client.close(slot)?;
    }
    let mut seen = world.finish()?;
    seen.events.retain(|event| event["event"] == "fail");
    for attempt in &attempts {
        seen.turned_away(attempt, ACCEPT_QUEUE_FULL, Some(server.pid()))?;
    }
    seen.nothing_more()
}

/// This host also resets what comes to a connection that it has ended.
fn a_reset_is_no_refusal() -> Result<()> {
    let (world, far, mut server) = cable()?;
    let mut client = world.agent()?;
    for family in [Family::V4, Family::V6] {
        let (listener, to) = server.listen(Listen::at(family.far()))?;
        let slot = client.connect(to)?.socket()?;
        let accepted = server.accept(listener)?.socket()?;
        // Nobody is there any more to read what comes now.
        server.close(accepted)?;
        client.receive_end(slot)?;
        client.send(slot, 1)?;
        far.wait_settled()?;
        client.close(slot)?;
    }
    world.netns.wait_settled()?;
    let mut seen = world.finish()?;
    let ends = seen.events.len();
    // Two families, two ends, each opened and closed.
    anyhow::ensure!(ends == 8, "{ends} lines:\n{seen}");
    seen.events.retain(|event| event["event"] == "fail");
    seen.nothing_more()
}
