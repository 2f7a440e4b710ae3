//! Which events are asked for.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
    value_parser,
};
use globset::Glob;

use super::value;
use crate::{
    filter::{Loopback, Options},
    model::{Direction, Kind, Network},
};

/// The filter options, the same for every command that reads events.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Filters (all must match; of several values of one, any)")]
pub(super) struct FilterArgs {
    /// Only processes with this id, as the initial pid namespace numbers them
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Only processes whose name (as in /proc/PID/comm) matches this pattern, such as 'nginx*'
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    comm: Vec<Glob>,

    /// Only processes of workloads whose name matches this pattern, such as 'postgresql.service'
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    workload: Vec<Glob>,

    /// Only connections to this port of a server, and listeners on it; where it is not known which end is the server's, with this port at either end
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    port: Vec<u16>,

    /// Only connections known to be to this port of a server, and listeners on it
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    server_port: Vec<u16>,

    /// Only connections known to come from this port of a client
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    client_port: Vec<u16>,

    /// Only connections with either end in this network, and listeners on an address of it; fe80::1%2 is the address on the link of interface 2 alone
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    net: Vec<Network>,

    /// Only connections opened by this host (out) or by the other end (in)
    #[arg(long, value_name = "in|out", value_parser = direction(), hide_possible_values = true)]
    direction: Option<Direction>,

    /// Only these kinds of event; start, loss and stop always show, exec and exit of what is watched only
    /// if asked for
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind())]
    event: Vec<Kind>,

    /// What to do with connections and listeners that stay within this host
    #[arg(
        long,
        value_name = "HOW",
        value_parser = value::word(&Loopback::ALL, Loopback::name, loopback_help),
        default_value = Loopback::default().name(),
    )]
    loopback: Loopback,
}

impl FilterArgs {
    /// The filter that they describe.
    pub(super) fn options(self) -> Options {
        Options {
            pid: self.pid,
            comm: self.comm,
            workload: self.workload,
            port: self.port,
            server_port: self.server_port,
            client_port: self.client_port,
            net: self.net,
            direction: self.direction,
            event: self.event,
            loopback: self.loopback,
        }
    }
}

fn loopback_help(loopback: Loopback) -> &'static str {
    match loopback {
        Loopback::Show => "Show it beside the rest",
        Loopback::Hide => "Leave it out",
        Loopback::Only => "Leave out the rest",
    }
}

fn direction() -> ValueParser {
    PossibleValuesParser::new(["in", "out"])
        .map(|word| match word.as_str() {
            "in" => Direction::Inbound,
            _ => Direction::Outbound,
        })
        .into()
}

fn kind() -> ValueParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .try_map(|word| Kind::from_name(&word).ok_or("no such kind of event"))
        .into()
}

fn glob(text: &str) -> Result<Glob, String> {
    Glob::new(text).map_err(|error| {
        let why = error.kind();
        format!("{why}; write text with * ? [a-z] {{a,b}}, and \\ before one of these that is meant as it is")
    })
}

/// The filter that these options describe.
#[cfg(test)]
pub(crate) fn parsed(line: &str) -> Options {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        filter: FilterArgs,
    }
    let words = ["filter"].into_iter().chain(line.split_ascii_whitespace());
    let line = <Line as clap::Parser>::try_parse_from(words).expect(line);
    line.filter.options()
}
