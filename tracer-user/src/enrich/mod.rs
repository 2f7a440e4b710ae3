//! Model → model: who is behind each end.
//!
//! The identity of a process comes from the kernel, at the time of the event. This only
//! adds to it, and only what is certain to be of the same process.

mod cgroups;
mod peers;
mod processes;

use std::path::Path;

use self::{cgroups::Cgroups, peers::Peers, processes::Processes};
use crate::model::{Body, Event, Fact, Kind};

/// Knows who is who on this host.
pub struct Enricher {
    processes: Processes,
    peers: Peers,
}

impl Enricher {
    /// Asks the /proc mounted at `proc_root`.
    pub fn new(proc_root: &Path) -> Self {
        Self {
            processes: Processes::new(proc_root.to_owned(), Cgroups::read(proc_root)),
            peers: Peers::default(),
        }
    }

    /// Remembers what later events are completed with.
    pub fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::Cgroup(made) => self.processes.learn_cgroup(made),
            Fact::Opened(opened) => {
                let process = self.processes.complete(&opened.process);
                self.peers
                    .open(opened.handshake, opened.is_client, &process);
            }
            Fact::Message(_) | Fact::Redirect(_) => {}
        }
    }

    /// Adds to `event` all that is known of who is behind it, and learns from it: to be called
    /// with every event, in their order.
    pub fn complete(&mut self, event: &mut Event) {
        let kind = event.body.kind();
        match &mut event.body {
            Body::Existing(it)
            | Body::Connect(it)
            | Body::Accept(it)
            | Body::Close(it)
            | Body::Fail(it) => {
                self.processes.complete_if_known(&mut it.process);
                if kind != Kind::Fail {
                    it.peer = self.peers.meet(kind, &it.connection, it.process.as_ref());
                }
            }
            Body::Listen(it) | Body::Unlisten(it) => {
                self.processes.complete_if_known(&mut it.process);
            }
            Body::Exec(it) => {
                self.processes.learn_executed(&it.process);
                it.process = self.processes.complete(&it.process);
            }
            Body::Exit(it) => it.process = self.processes.complete(&it.process),
            Body::Start(_) | Body::Loss(_) | Body::Stop(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::specimens;

    #[test]
    fn every_event_passes_and_stays_what_it_is() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut enricher = Enricher::new(root.path());
        for mut event in specimens::all() {
            let kind = event.body.kind();
            enricher.complete(&mut event);
            assert_eq!(event.body.kind(), kind);
        }
    }
}
