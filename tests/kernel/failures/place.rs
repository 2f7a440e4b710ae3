//! Where attempts fail: namespaces, firewalls, addresses of nobody.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tracer_tests::{
    agent::{Agent, Listen},
    expect,
    netns::Netns,
    skip,
    tracer::Tracer,
    wait,
};

use super::{Family, Seen};

/// A tracer, and namespaces to fail in.
pub(crate) struct World {
    pub(crate) tracer: Tracer,
    pub(crate) netns: Netns,
    /// At the other end of a cable.
    pub(crate) far: Option<Netns>,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            netns: Netns::new()?,
            far: None,
            tracer: Tracer::stream(&[])?,
        })
    }

    /// Two namespaces joined by a cable.
    pub(crate) fn pair() -> Result<(Self, Netns)> {
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

    pub(crate) fn agent(&self) -> Result<Agent> {
        Agent::new(&self.netns)
    }

    /// Ends the run; what it said of these namespaces' connections.
    pub(crate) fn finish(self) -> Result<Seen> {
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
            missed: run.missed()?,
        })
    }
}

/// An address that nobody listens at.
pub(crate) fn dead(agent: &mut Agent, at: SocketAddr) -> Result<SocketAddr> {
    let (slot, address) = agent.listen(Listen::at(at))?;
    agent.close(slot)?;
    Ok(address)
}

/// An address that never answers.
pub(crate) fn deaf(agent: &mut Agent, at: SocketAddr) -> Result<SocketAddr> {
    let how = Listen {
        deaf: true,
        ..Listen::at(at)
    };
    Ok(agent.listen(how)?.1)
}

/// Of addresses that nobody has (RFC 5737, RFC 3849).
pub(crate) fn nowhere(family: Family, n: u8, port: u16) -> SocketAddr {
    let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()];
    family.of(
        SocketAddr::new([192, 0, 2, n].into(), port),
        SocketAddr::new(v6.into(), port),
    )
}

// States of the kernel's `tcp_states.h`.
pub(crate) const ESTABLISHED: u8 = 1;
pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const SYN_RECV: u8 = 3;

/// Waits until the socket between these ends is in `state`.
pub(crate) fn wait_for_state(
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
pub(crate) fn nft(netns: &Netns, rules: &str) -> Result<()> {
    skip::need("nft")?;
    match netns.command("nft", &[rules]) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("nft", format!("{error:#}")),
    }
}
