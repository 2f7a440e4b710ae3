//! Traffic of which it is known when each step of it was: what a recording that begins and ends in the midst of it
//! must tell, may tell, and must not.
//!
//! - [`truth`]: what was done, with the clock read before and after each step
//! - `dialling`, `serving` (what they say to each other is in `talk`), `running`: the processes that do it
//! - [`judge`], [`judge_map`]: a recording against the truth, and a map
//!
//! Every connection, attempt and listener has a server's address of its own, which names it in truth and recording.
//! All times of the truth are of `CLOCK_BOOTTIME`, as the kernel's are in tracer.

mod dialling;
mod judge;
mod line;
mod map;
mod running;
mod serving;
mod talk;
mod truth;

use std::{io::BufReader, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::{dialling::run_client, running::run_parent, serving::run_server};
pub use self::{
    judge::{Judged, Recording, judge},
    map::judge_map,
    truth::{Between, Truth},
};
use crate::{netns::Netns, tracer::Helper, traffic};

/// What the client process is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where short connections go, and those that are held.
    at: [SocketAddr; 2],
    /// Short connections in a second, at most.
    rate: u32,
}

/// The traffic, while it goes on.
#[derive(Debug)]
pub struct Traffic {
    netns: Netns,
    folder: tempfile::TempDir,
    server: Helper,
    client: Helper,
    parent: Helper,
    ports: Ports,
}

/// Who is dialled where.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// Short connections.
    pub short: u16,
    /// Connections that are held for a while.
    pub held: u16,
    /// Nobody listens.
    pub refused: u16,
    /// Nobody answers.
    pub deaf: u16,
}

impl Traffic {
    /// Starts it in a namespace of its own, with so many short connections in a second, and waits until it goes.
    pub fn start(rate: u32) -> Result<Self> {
        let netns = Netns::new()?;
        // The accept queue may be as long as the server is behind.
        netns.set("core/somaxconn", "65535")?;
        let folder = tempfile::tempdir().context("make a folder for the truth")?;
        let at = folder.path();
        let mut server = Helper::new(traffic::spawn(&netns, "moments-serve", &at)?);
        let mut said = BufReader::new(server.take_stdout().context("the server's output")?);
        let at: [SocketAddr; 2] =
            serde_json::from_str(&traffic::line(&mut said)?).context("read where it listens")?;
        let plan = Plan { at, rate };
        let mut client = Helper::new(traffic::spawn(
            &netns,
            "moments-dial",
            &(plan, folder.path()),
        )?);
        let mut said = BufReader::new(client.take_stdout().context("the client's output")?);
        let ports = serde_json::from_str(&traffic::line(&mut said)?).context("read the ports")?;
        let parent = Helper::new(traffic::spawn(&netns, "moments-run", &folder.path())?);
        Ok(Self {
            netns,
            folder,
            server,
            client,
            parent,
            ports,
        })
    }

    /// Where it is.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Who is dialled where.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Ends it; what was done.
    pub fn finish(self) -> Result<Truth> {
        self.parent.finish()?;
        self.client.finish()?;
        self.server.finish()?;
        Truth::read(self.folder.path(), self.netns.inode())
    }
}
