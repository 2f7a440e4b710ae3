//! A user without rights who fills tables: with attempts that nobody answers, or with sockets that listen.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{hold::many_descriptors, netns::Netns, tracer::Helper, traffic};

/// Ports of each address that sockets of a flood listen at.
const PORTS: u16 = 200;
/// The first of these.
const FIRST_PORT: u16 = 20_000;

/// What the hidden arguments carry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    user: u32,
    what: What,
    count: usize,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum What {
    /// Sockets that listen, at many addresses of 127.N.0.0/16.
    Listeners(u8),
    /// Attempts to connect there, which do not wait for an answer.
    Attempts(SocketAddr),
}

/// A flood that is there until it is let go of.
#[derive(Debug)]
pub struct Flood(Helper);

impl Flood {
    /// Makes `count` of `what` as the user with that number, in `netns`.
    pub fn of(what: What, count: usize, user: u32, netns: &Netns) -> Result<Self> {
        let plan = Plan { user, what, count };
        let mut helper = Helper::new(traffic::spawn(netns, "flood", &plan)?);
        let mut said = BufReader::new(helper.take_stdout().context("the flood's output")?);
        traffic::line(&mut said).context("wait until all is there")?;
        Ok(Self(helper))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Closes all sockets, and waits until that is done.
    pub fn end(self) -> Result<()> {
        self.0.finish()
    }
}

/// The process that does it.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    many_descriptors(plan.count)?;
    become_user(plan.user)?;
    let mut held = Vec::with_capacity(plan.count);
    for number in 0..plan.count {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
        match plan.what {
            What::Listeners(net) => {
                let address = number / usize::from(PORTS) + 1;
                let [.., third, fourth] = u32::try_from(address)?.to_be_bytes();
                let port = FIRST_PORT + u16::try_from(number % usize::from(PORTS))?;
                let at = SocketAddr::from((Ipv4Addr::new(127, net, third, fourth), port));
                socket
                    .bind(&at.into())
                    .with_context(|| format!("bind to {at}"))?;
                socket.listen(1).context("listen")?;
            }
            What::Attempts(to) => {
                socket.set_nonblocking(true)?;
                let begun = socket.connect(&to.into());
                let errno = begun.err().and_then(|error| error.raw_os_error());
                ensure!(
                    errno == Some(libc::EINPROGRESS),
                    "an attempt: errno {errno:?}"
                );
            }
        }
        held.push(socket);
    }
    println!("there");
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .context("wait for the end")?;
    Ok(())
}

fn become_user(user: u32) -> Result<()> {
    // SAFETY: these take numbers, and change this process alone, which has one thread.
    let is_user = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(user, user, user) == 0
            && libc::setresuid(user, user, user) == 0
    };
    ensure!(is_user, "become another user");
    Ok(())
}
