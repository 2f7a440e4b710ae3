//! As many connections as a machine can make, and what they were.

use anyhow::{Context as _, Result};

use crate::{
    ledger::{self, End},
    netns::Netns,
    traffic::{self, Dial, Serve, Server, Share, Talk, Target},
};

/// One listening process, and clients that reset as soon as they are connected.
#[derive(Debug)]
pub struct Storm {
    /// Where it blows.
    pub netns: Netns,
    folder: tempfile::TempDir,
    server: Server,
}

impl Storm {
    /// Makes a namespace for it, with the server.
    pub fn new() -> Result<Self> {
        let netns = Netns::new()?;
        // A reset that crosses a FIN may be taken for an old one; the end that sent the FIN
        // would then wait for the other's as long as this, 60 seconds by default.
        netns.set("ipv4/tcp_fin_timeout", "1")?;
        let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
        let plan = Serve {
            listen: vec!["0.0.0.0:0".parse()?],
            share: Share::Alone,
            talk: Talk::Storm,
            ledger: folder.path().to_owned(),
        };
        let server = traffic::serve(&netns, &plan)?;
        Ok(Self {
            netns,
            folder,
            server,
        })
    }

    /// Where its server listens.
    pub fn port(&self) -> u16 {
        self.server.addresses[0].port()
    }

    /// So many connections by so many clients, as fast as they can; returns when the last is made.
    pub fn blow(&self, clients: u32, count: u32) -> Result<()> {
        let target = Target {
            to: ([127, 0, 0, 1], self.port()).into(),
            mapped: false,
            spread: true,
        };
        let clients = (0..clients).map(|seed| {
            let plan = Dial {
                targets: vec![target],
                count: count / clients,
                talk: Talk::Storm,
                first_port: 0,
                bound: 0,
                seed,
                ledger: self.folder.path().to_owned(),
            };
            traffic::dial(&self.netns, &plan)
        });
        traffic::go(clients.collect::<Result<_>>()?)
    }

    /// What really happened.
    pub fn finish(self) -> Result<Vec<End>> {
        self.netns.wait_settled()?;
        self.server.helper.finish()?;
        ledger::read(self.folder.path())
    }
}
