//! The user's own names for networks: a file of lines `CIDR NAME`.
//!
//! ```text
//! # the office
//! 192.0.2.0/24   office
//! 192.0.2.7      office-printer   # an address alone is a network of one
//! 2001:db8::/32  lab
//! ```

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use super::message::MAX_NAME;

/// How many networks may be named.
const MAX_NETWORKS: usize = 65_536;

/// Networks and their names.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    names: HashMap<IpNet, Arc<str>>,
    /// The prefix lengths there are, longest first; of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
}

/// What is wrong with such a file.
#[derive(Debug, Error)]
pub enum NetworksError {
    /// It names too many networks.
    #[error("line {line}: more than {MAX_NETWORKS} networks")]
    Many {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: LineError,
    },
}

/// What is wrong with a line. What is quoted of it is escaped.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// It is not text.
    #[error("not UTF-8")]
    Encoding,
    /// It does not begin with a network.
    #[error("{0:?} is no network: expected one like 10.0.0.0/8 or 2001:db8::/32, or an address")]
    Network(String),
    /// The address has bits that are not of the network.
    #[error("{0} is an address within a network: write {1} for all of it")]
    Host(IpNet, IpNet),
    /// There is nothing after the network.
    #[error("{0} has no name: expected `CIDR NAME`")]
    NoName(IpNet),
    /// There is something after the name.
    #[error("{0:?} after the name: expected `CIDR NAME`")]
    Trailing(String),
    /// The name has too many bytes.
    #[error("the name has more than {MAX_NAME} bytes")]
    Long,
    /// The name has control characters.
    #[error("the name {0:?} has control characters")]
    Control(String),
    /// The network has another name in an earlier line.
    #[error("{0} has the name {1:?} already")]
    Again(IpNet, String),
}

impl Networks {
    /// How many bytes such a file may have.
    pub const MAX_BYTES: u64 = 8 << 20;

    /// Reads such lines. Empty ones, and what follows a `#`, are left out.
    ///
    /// # Errors
    /// If a line is wrong, or there are too many: none is skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, NetworksError> {
        let mut out = Self::default();
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            out.add(bytes)
                .map_err(|why| NetworksError::Line { line, why })?;
            if out.names.len() > MAX_NETWORKS {
                return Err(NetworksError::Many { line });
            }
        }
        for network in out.names.keys() {
            out.lengths[family(network.addr())].push(network.prefix_len());
        }
        for lengths in &mut out.lengths {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        Ok(out)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), LineError> {
        let line = str::from_utf8(line).map_err(|_| LineError::Encoding)?;
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(word) = words.next() else {
            return Ok(());
        };
        let network = network(word)?;
        let name = words.next().ok_or(LineError::NoName(network))?;
        if let Some(word) = words.next() {
            return Err(LineError::Trailing(shortened(word)));
        }
        if name.len() > MAX_NAME {
            return Err(LineError::Long);
        }
        if name.chars().any(char::is_control) {
            return Err(LineError::Control(name.to_owned()));
        }
        let known = self.names.entry(network).or_insert_with(|| name.into());
        if **known != *name {
            return Err(LineError::Again(network, known.to_string()));
        }
        Ok(())
    }

    /// The name of the smallest network that has `address` in it. Takes one step for each
    /// length of prefix in the file.
    pub fn name(&self, address: IpAddr) -> Option<&Arc<str>> {
        let address = address.to_canonical();
        let lengths = self.lengths[family(address)].iter();
        let mut networks = lengths.filter_map(|length| IpNet::new(address, *length).ok());
        networks.find_map(|network| self.names.get(&network.trunc()))
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// The network that `word` means; never one of mapped IPv4 addresses, which no connection has.
fn network(word: &str) -> Result<IpNet, LineError> {
    let parsed = word
        .parse()
        .or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
    let mut network = parsed.map_err(|_| LineError::Network(shortened(word)))?;
    if let (IpAddr::V4(address), Some(length)) = (
        network.addr().to_canonical(),
        network.prefix_len().checked_sub(96),
    ) && let Ok(plain) = Ipv4Net::new(address, length)
    {
        network = plain.into();
    }
    if network.trunc() != network {
        return Err(LineError::Host(network, network.trunc()));
    }
    Ok(network)
}

/// The beginning of `word`, to be quoted.
fn shortened(word: &str) -> String {
    word.chars().take(60).collect()
}

#[cfg(test)]
mod tests;
