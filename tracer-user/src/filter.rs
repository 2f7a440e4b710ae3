//! Which events the user asked for: the filter options and what they admit.
//!
//! Filters only choose what is shown. Accounting counts events before them.

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
    value_parser,
};
use globset::{Glob, GlobMatcher};

use crate::model::{Address, Body, Connection, Direction, Event, Kind, Network};

/// The filter options, the same for every command that reads events.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters (all must match; of several values of one, any)")]
pub struct Options {
    /// Only processes with this id, as the initial pid namespace numbers them
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,

    /// Only processes whose name (as in /proc/PID/comm) matches this pattern, such as 'nginx*'
    #[arg(long, value_name = "GLOB", value_parser = parse_glob)]
    pub comm: Vec<Glob>,

    /// Only processes of workloads whose name matches this pattern, such as 'postgresql.service'
    #[arg(long, value_name = "GLOB", value_parser = parse_glob)]
    pub workload: Vec<Glob>,

    /// Only connections to this port of a server, and listeners on it; where it is not known which end is the server's, with this port at either end
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    pub port: Vec<u16>,

    /// Only connections known to be to this port of a server, and listeners on it
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    pub server_port: Vec<u16>,

    /// Only connections known to come from this port of a client
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    pub client_port: Vec<u16>,

    /// Only connections with either end in this network, and listeners on an address of it; fe80::1%2 is the address on the link of interface 2 alone
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub net: Vec<Network>,

    /// Only connections opened by this host (out) or by the other end (in)
    #[arg(long, value_name = "in|out", value_parser = direction_parser(), hide_possible_values = true)]
    pub direction: Option<Direction>,

    /// Only these kinds of event; start, loss and stop always show, exec and exit of what is watched only
    /// if asked for
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind_parser())]
    pub event: Vec<Kind>,

    /// What to do with connections and listeners that stay within this host
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Loopback {
    /// Show it beside the rest
    #[default]
    Show,
    /// Leave it out
    Hide,
    /// Leave out the rest
    Only,
}

fn direction_parser() -> ValueParser {
    PossibleValuesParser::new(["in", "out"])
        .map(|word| match word.as_str() {
            "in" => Direction::Inbound,
            _ => Direction::Outbound,
        })
        .into()
}

fn kind_parser() -> ValueParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .try_map(|word| Kind::from_name(&word).ok_or("no such kind of event"))
        .into()
}

fn parse_glob(text: &str) -> Result<Glob, String> {
    Glob::new(text).map_err(|error| {
        let why = error.kind();
        format!("{why}; write text with * ? [a-z] {{a,b}}, and \\ before one of these that is meant as it is")
    })
}

/// Tells the events that the user asked for from the rest.
#[derive(Clone, Debug)]
pub struct Filter {
    options: Options,
    comm: Vec<GlobMatcher>,
    workload: Vec<GlobMatcher>,
}

impl Filter {
    /// The filter that `options` describe.
    pub fn new(options: &Options) -> Self {
        Self {
            comm: options.comm.iter().map(Glob::compile_matcher).collect(),
            workload: options.workload.iter().map(Glob::compile_matcher).collect(),
            options: options.clone(),
        }
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
