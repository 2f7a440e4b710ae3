//! Events → who depends on whom. Pure: no clock, no I/O; the same events give the same map.
//!
//! An event is about one end of a connection. What one workload has with one remote address and
//! port is a *half* of an edge; `connections` finds the two ends of one connection, and with them
//! the halves that belong together. Only [`Map::view`] makes nodes and edges of that, so whatever
//! is learnt late counts for what came before.

mod age;
mod attempts;
mod connections;
mod counters;
mod coverage;
mod end;
mod facts;
mod half;
mod halves;
mod histogram;
mod hosts;
mod kept;
mod listeners;
mod meeting;
mod namespaces;
mod nodes;
mod numbers;
mod outages;
mod presence;
mod realms;
mod remotes;
mod room;
mod sightings;
mod snapshot;

use std::{sync::Arc, time::Duration};

use self::{
    attempts::Attempts,
    connections::Connections,
    coverage::Watched,
    end::Told,
    half::{Half, HalfId},
    halves::Halves,
    kept::Standing,
    listeners::{Place, Word},
    nodes::Nodes,
    numbers::HostId,
    outages::Outages,
    realms::Realms,
};
use crate::model::{
    Body, Change, Direction, Event, Happened, ListenerEvent, Payer, Process, ProcessEvidence,
    Timestamp, View,
};

/// What nodes are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// Each process by itself.
    Process,
    /// What an operator calls it: a unit, a container, the owner of a pod, a program.
    #[default]
    Workload,
    /// All that runs on a host.
    Host,
    /// All that runs in a namespace of Kubernetes; what is in none, by host.
    Namespace,
}

impl GroupBy {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 4] = [Self::Process, Self::Workload, Self::Host, Self::Namespace];

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Workload => "workload",
            Self::Host => "host",
            Self::Namespace => "namespace",
        }
    }
}

/// How a map is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What nodes are made of.
    pub group_by: GroupBy,
    /// Nothing before this counts; what is open then is there at the start.
    pub since: Option<Timestamp>,
    /// Nothing from this on counts.
    pub until: Option<Timestamp>,
    /// How long, by the times of events, an end that is over waits for the other one to be told.
    pub patience: Duration,
    /// How many ends that are over may wait.
    pub waiting: usize,
    /// How many connections that are over are kept: the same may be told again.
    pub over: usize,
    /// How many connections can be followed at once.
    pub connections: usize,
    /// Whether every line of what was recorded is pushed, so that those that a recording lacks are
    /// told of in the coverage.
    pub counts_lines: bool,
}

impl Options {
    /// For events of one host, whose two ends are told nearly at once.
    pub const ONE_HOST: Self = Self {
        group_by: GroupBy::Workload,
        since: None,
        until: None,
        patience: Duration::from_secs(2),
        waiting: 65_536,
        over: 128,
        connections: 1 << 20,
        counts_lines: false,
    };

    /// For recordings of several hosts, whose clocks differ by seconds.
    pub const SEVERAL_HOSTS: Self = Self {
        patience: Duration::from_secs(30),
        waiting: 1 << 20,
        over: 65_536,
        connections: 1 << 22,
        ..Self::ONE_HOST
    };
}

/// The state of a map: what was told so far.
#[derive(Debug)]
pub struct Map {
    options: Options,
    nodes: Nodes,
    halves: Halves,
    connections: Connections,
    attempts: Attempts,
    outages: Outages,
    realms: Realms,
    /// By number of the host.
    watched: Vec<Watched>,
    /// The time of the newest event.
    now: Option<Timestamp>,
}

impl Map {
    /// An empty map.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            nodes: Nodes::new(options.group_by),
            halves: Halves::default(),
            connections: Connections::new(&options),
            attempts: Attempts::new(&options),
            outages: Outages::default(),
            realms: Realms::default(),
            watched: Vec::new(),
            now: None,
        }
    }

    /// Takes `event` into account.
    pub fn push(&mut self, event: &Event) {
        // What counts is a half-open interval, so that parts of a time add up to it.
        if self.options.until.is_some_and(|until| event.time >= until) {
            // It says that a run went on, and what was lost meanwhile.
            let host = self.nodes.host(&event.host);
            self.watched(host).see(event);
            return;
        }
        let is_before = self.options.since.is_some_and(|since| event.time < since);
        let time = self
            .options
            .since
            .map_or(event.time, |since| since.max(event.time));
        let host = self.nodes.host(&event.host);
        self.watch(host, event);
        let now = self.now.map_or(time, |now| now.max(time));
        self.now = Some(now);
        match &event.body {
            // A port of one's own that was dialled before anybody listened there: nobody serves.
            Body::Connect(it) | Body::Accept(it) | Body::Existing(it) | Body::Close(it)
                if it.connection.is_with_itself() => {}
            Body::Connect(it) | Body::Accept(it) | Body::Existing(it) | Body::Close(it) => {
                let is_end = matches!(event.body, Body::Close(_));
                let kept = self.connections.find(host, it);
                let end = kept.and_then(|kept| self.connections.end(kept));
                // Whoever opened a connection that another process closes keeps it.
                let is_closer = it.evidence.process == ProcessEvidence::Close;
                let opener = end.filter(|end| is_end && is_closer && end.is_of_opener());
                let (half, asked) = match opener {
                    Some(end) => (end.half, end.asked),
                    None => {
                        let last = end.map(|end| end.asked);
                        self.halves.of(host, it, time, last, &mut self.nodes)
                    }
                };
                // accept() comes after the handshake, and of a connection that was over at once the end
                // alone may be told.
                let opened = it.connection.opened.unwrap_or(time).min(time);
                let opened = self.options.since.map_or(opened, |since| since.max(opened));
                self.see(half, [opened, time]);
                let told = Told {
                    host,
                    half,
                    asked,
                    event: it,
                    time,
                    opened,
                    is_end,
                    is_before,
                };
                let around = connections::Around {
                    halves: &mut self.halves,
                    nodes: &self.nodes,
                    realms: &mut self.realms,
                    watched: &mut self.watched[host.index()],
                };
                let (server, is_new) = self.connections.tell(told, kept, around);
                // Of one that was not told to be open, its end changes nothing.
                if is_end != is_new {
                    self.nodes.hold(it.process.as_ref(), is_end);
                }
                let is_attempt = match event.body {
                    Body::Connect(_) | Body::Accept(_) => true,
                    Body::Close(_) => is_new,
                    _ => false,
                };
                if is_attempt && !is_before && !it.connection.existing {
                    self.outages.succeeded(half, opened);
                }
                let is_client = it.connection.direction == Some(Direction::Outbound);
                if matches!(event.body, Body::Connect(_)) || (is_client && is_end && is_new) {
                    // Where the opening is told, who serves is not known yet.
                    let server = server.filter(|_| !is_end);
                    self.attempts
                        .succeeded(host, it, half, server, &mut self.halves);
                }
            }
            Body::Totals(it) => {
                // It says nothing else. Of what was not told of before its end says all.
                if let Some(half) = self.connections.carry(host, it, event.time, is_before) {
                    self.see(half, [time; 2]);
                }
            }
            Body::Fail(it) if !is_before => {
                let (half, _) = self.halves.of(host, it, time, None, &mut self.nodes);
                self.see(half, [time; 2]);
                let is_client = it.connection.direction != Some(Direction::Inbound);
                self.nodes.stand(it.process.as_ref(), Standing::Failed);
                let halves = &mut self.halves;
                let is_new = self
                    .attempts
                    .failed(host, it, half, is_client, time, halves);
                if let Some(failure) = it.failure.as_ref().filter(|_| is_new) {
                    self.outages.failed(half, failure, time);
                }
            }
            Body::Listen(it) => self.listener(host, it, [event.time, time], true),
            Body::Unlisten(it) => self.listener(host, it, [event.time, time], false),
            Body::Fail(_) | Body::Start(_) | Body::Loss(_) | Body::Stop(_) => {}
            Body::Exec(it) if !is_before => {
                let process = &it.process;
                let exe = process.exe.as_ref().unwrap_or(&process.comm);
                let (pid, exe) = (process.pid, Arc::clone(exe));
                self.happened(host, process, time, Happened::Exec { pid, exe });
            }
            Body::Exit(it) if !is_before => {
                let (pid, status) = (it.process.pid, it.exit);
                self.happened(host, &it.process, time, Happened::Exit { pid, status });
            }
            Body::Exec(_) | Body::Exit(_) => {}
        }
        self.connections.expire(event.time, &mut self.halves);
        self.attempts.expire(event.time, &mut self.halves);
        self.halves.settle(&self.nodes, &self.realms);
    }

    /// What has to do with that half was there all that time.
    fn see(&mut self, half: HalfId, times: [Timestamp; 2]) {
        let Half { node, remote, .. } = *self.halves.get(half);
        self.nodes.see_from(node, times);
        self.nodes.see_from(remote, times);
    }

    fn watched(&mut self, host: HostId) -> &mut Watched {
        if self.watched.len() <= host.index() {
            self.watched.push(Watched::new(&self.options));
        }
        &mut self.watched[host.index()]
    }

    fn watch(&mut self, host: HostId, event: &Event) {
        let is_late = self.watched(host).is_late(event.time);
        if self.watched(host).see(event) {
            let (realms, nodes) = (&self.realms, &self.nodes);
            let halves = &mut self.halves;
            // Of what is told in no order nobody knows which run found it.
            let since = self.options.since.filter(|_| !is_late);
            let is_before = since.is_some_and(|since| event.time < since);
            let of_host = (host, is_before);
            self.connections.run_ends(of_host, halves, realms, nodes);
            self.nodes.forget_listeners(host);
        }
        if let Body::Start(_) = &event.body {
            self.halves.facts.listeners.begins(host, event.time);
        }
    }

    /// Of workloads that are in the map only: a host runs many programs that talk to nobody.
    fn happened(&mut self, host: HostId, process: &Process, time: Timestamp, what: Happened) {
        if let Some(node) = self.nodes.known(host, process) {
            let change = Change { time, what };
            self.nodes.change(node, Some(process), change);
        }
    }

    fn listener(
        &mut self,
        host: HostId,
        event: &ListenerEvent,
        [told, time]: [Timestamp; 2],
        listens: bool,
    ) {
        let is_before = told < time;
        let node = self.nodes.local(host, event.process.as_ref(), time);
        let process = event.process.as_deref();
        let listener = &event.listener;
        let place = Place {
            host,
            netns: listener.netns,
            address: listener.local.into(),
            port: listener.local.port(),
        };
        self.nodes.listen(node, process, listens);
        // What was found listening did not begin to just now.
        let is_found = event.evidence.process == ProcessEvidence::Scan;
        let word = Word {
            time: told,
            node,
            listens,
            is_found,
            payer: Payer::of_process(process, place.netns, 0),
        };
        let is_users = process.map(Process::is_in_users_place);
        let is_trusted = process.is_some_and(Process::is_trusted_with_addresses);
        self.halves
            .facts
            .listener(place, word, (is_users, is_trusted));
        let (address, port) = (place.address, place.port);
        let what = match listens {
            true => (!is_found).then_some(Happened::Listen { address, port }),
            // Whoever was found listening is known by that to the end, which is none the less one.
            false => {
                let listens_still = self.halves.facts.listeners.holds(place, node, told);
                (!listens_still).then_some(Happened::Unlisten { address, port })
            }
        };
        if let Some(what) = what.filter(|_| !is_before) {
            self.nodes.change(node, process, Change { time, what });
        }
    }

    /// Whether events count whenever they happened.
    pub fn counts_always(&self) -> bool {
        self.options.since.is_none() && self.options.until.is_none()
    }

    /// What the map looks like now, all of it.
    pub fn view(&self) -> View {
        snapshot::take(self, usize::MAX)
    }

    /// The same with at most `max_edges` edges, if that can be had by folding what is alike: the
    /// clients of one port that are nothing but addresses, then the servers, then ports. What
    /// fails stays as long as possible. A node that stands for others says for how many, and all
    /// counters stay exact.
    pub fn folded(&self, max_edges: usize) -> View {
        snapshot::take(self, max_edges)
    }
}

#[cfg(test)]
mod tests;
