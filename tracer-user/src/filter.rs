//! Which events the user asked for: the options of a filter and what they admit.
//!
//! Filters only choose what is shown. Accounting counts events before them.

use globset::{Glob, GlobMatcher};

use crate::model::{Address, Body, Connection, Direction, Event, Kind, Network};

/// What a filter admits: all must match; of several values of one, any. What is empty matches anything.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ids of processes, as the initial pid namespace numbers them.
    pub pid: Vec<u32>,
    /// Patterns for the names of processes, as in `/proc/PID/comm`.
    pub comm: Vec<Glob>,
    /// Patterns for the names of workloads.
    pub workload: Vec<Glob>,
    /// Ports of a server; where it is not known which end is the server's, of either end.
    pub port: Vec<u16>,
    /// Ports known to be a server's.
    pub server_port: Vec<u16>,
    /// Ports known to be a client's.
    pub client_port: Vec<u16>,
    /// Networks that either end of a connection, or the address of a listener, is in.
    pub net: Vec<Network>,
    /// Who opened a connection.
    pub direction: Option<Direction>,
    /// Kinds of events, beside `start`, `loss` and `stop`.
    pub event: Vec<Kind>,
    /// What to do with what stays within this host.
    pub loopback: Loopback,
}

impl Options {
    /// Whether all events are admitted that are not asked for by name only.
    pub fn admits_all(&self) -> bool {
        let Self {
            pid,
            comm,
            workload,
            port,
            server_port,
            client_port,
            net,
            direction,
            event,
            loopback,
        } = self;
        pid.is_empty()
            && comm.is_empty()
            && workload.is_empty()
            && port.is_empty()
            && server_port.is_empty()
            && client_port.is_empty()
            && net.is_empty()
            && direction.is_none()
            && event.is_empty()
            && *loopback == Loopback::Show
    }
}

/// What to do with what stays within this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// Show it beside the rest.
    #[default]
    Show,
    /// Leave it out.
    Hide,
    /// Leave out the rest.
    Only,
}

impl Loopback {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 3] = [Self::Show, Self::Hide, Self::Only];

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Hide => "hide",
            Self::Only => "only",
        }
    }
}

/// Tells the events that the user asked for from the rest.
#[derive(Clone, Debug)]
pub struct Filter {
    options: Options,
    is_whole: bool,
    comm: Vec<GlobMatcher>,
    workload: Vec<GlobMatcher>,
}

impl Filter {
    /// The filter that `options` describe.
    pub fn new(options: &Options) -> Self {
        Self {
            comm: options.comm.iter().map(Glob::compile_matcher).collect(),
            workload: options.workload.iter().map(Glob::compile_matcher).collect(),
            is_whole: options.admits_all(),
            options: options.clone(),
        }
    }

    /// Whether all events are admitted that are not asked for by name only.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The same, and beginnings and ends of processes unless other kinds were asked for: they may be
    /// why connections come and go.
    #[must_use]
    pub fn with_processes(mut self) -> Self {
        if self.options.event.is_empty() {
            self.options.event = Kind::ALL.to_vec();
        }
        self
    }

    /// Whether any event of this kind may be admitted.
    pub fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Start | Kind::Loss | Kind::Stop => true,
            // Asked for by name only: a busy host has more of them than connections.
            Kind::Exec | Kind::Exit => self.options.event.contains(&kind),
            _ => any(&self.options.event, |wanted| *wanted == kind),
        }
    }

    /// Whether `event` was asked for. `start`, `loss` and `stop` always are: without
    /// them the rest cannot be judged.
    pub fn admits(&self, event: &Event) -> bool {
        let body = &event.body;
        match body {
            Body::Start(_) | Body::Loss(_) | Body::Stop(_) => true,
            Body::Exec(_) | Body::Exit(_) => {
                self.wants(body.kind())
                    && self.admits_process(body)
                    && self.options.port.is_empty()
                    && self.options.server_port.is_empty()
                    && self.options.client_port.is_empty()
                    && self.options.net.is_empty()
                    && self.options.direction.is_none()
                    && self.options.loopback != Loopback::Only
            }
            Body::Existing(it)
            | Body::Connect(it)
            | Body::Accept(it)
            | Body::Totals(it)
            | Body::Close(it)
            | Body::Fail(it) => {
                let connection = &it.connection;
                let (ends, translation) = (connection.ends, connection.translation.as_deref());
                let ends = [ends.local, ends.remote]
                    .into_iter()
                    .chain(translation.map(|it| it.server))
                    .chain(translation.map(|it| it.dialled));
                self.wants(body.kind())
                    && self.admits_process(body)
                    && self.admits_ports(connection)
                    && any(&self.options.net, |net| {
                        ends.clone().any(|end| net.contains(Address::from(end)))
                    })
                    && self
                        .options
                        .direction
                        .is_none_or(|only| connection.direction == Some(only))
                    && self.admits_loopback(connection.is_loopback())
            }
            Body::Listen(it) | Body::Unlisten(it) => {
                let local = it.listener.local;
                self.wants(body.kind())
                    && self.admits_process(body)
                    && any(&self.options.port, |port| local.port() == *port)
                    && any(&self.options.server_port, |port| local.port() == *port)
                    && self.options.client_port.is_empty()
                    && any(&self.options.net, |net| net.contains(Address::from(local)))
                    && self.options.direction.is_none()
                    && self.admits_loopback(local.ip().is_loopback())
            }
        }
    }

    fn admits_process(&self, body: &Body) -> bool {
        let process = body.process();
        any(&self.options.pid, |pid| {
            process.is_some_and(|it| it.pid == *pid)
        }) && any(&self.comm, |glob| {
            process.is_some_and(|it| glob.is_match(&*it.comm))
        }) && any(&self.workload, |glob| {
            process
                .and_then(|it| it.workload.as_ref())
                .is_some_and(|it| glob.is_match(&*it.name))
        })
    }

    fn admits_ports(&self, connection: &Connection) -> bool {
        let ends = connection.ends;
        let (local, remote) = (ends.local.port(), ends.remote.port());
        let (client, server) = match connection.direction {
            Some(Direction::Outbound) => (Some(local), Some(remote)),
            Some(Direction::Inbound) => (Some(remote), Some(local)),
            None => (None, None),
        };
        // What was dialled, and where that led, are ports of the server too.
        let translation = connection.translation.as_deref();
        let translated = translation.map(|it| [it.dialled.port(), it.server.port()]);
        let is_server = |port: &u16| {
            server == Some(*port) || translated.is_some_and(|ports| ports.contains(port))
        };
        let is_either = |port: &u16| server.is_none() && [local, remote].contains(port);
        any(&self.options.port, |port| {
            is_server(port) || is_either(port)
        }) && any(&self.options.server_port, is_server)
            && any(&self.options.client_port, |port| client == Some(*port))
    }

    fn admits_loopback(&self, is_loopback: bool) -> bool {
        match self.options.loopback {
            Loopback::Show => true,
            Loopback::Hide => !is_loopback,
            Loopback::Only => is_loopback,
        }
    }
}

/// Whether one of the `wanted` values fits. An option that was not given fits anything.
fn any<T>(wanted: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

#[cfg(test)]
mod tests;
