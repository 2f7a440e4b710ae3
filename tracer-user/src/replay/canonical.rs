//! Lines exactly as tracer writes them, read several times as fast as any JSON: fields in their
//! order, no space, no escape. Whatever is not so is none of them, and left to `line`, which has
//! the last word on what a line means; a test holds the two against each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::seconds::Seconds;
use crate::model::{
    Address, AddressEvidence, Closer, Connection, ConnectionId, Direction, DirectionEvidence,
    EndEvidence, Ends, Evidence, Failure, NameSource, Phase, ProcessEvidence, Reason, Timestamp,
    Totals, Translation, errno,
};

/// What is left of a line.
pub(super) struct Rest<'a>(&'a str);

/// What a server is called, as it is in the line.
pub(super) enum Called<'a> {
    One {
        name: &'a str,
        canonical: Option<&'a str>,
    },
    OneOf {
        names: Vec<&'a str>,
        is_cut: bool,
    },
}

impl<'a> Rest<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self(line)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Steps over `text`, if it is next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// The text up to the quote that ends it; none if it has an escape.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at(digits);
        // A number in JSON does not begin with a zero, but for zero.
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        self.0 = rest;
        digits.parse().ok()
    }

    /// `known`, if it is next and what follows is not more of the same object.
    pub(super) fn object_like(&mut self, known: &str, more: &str) -> bool {
        match self.0.strip_prefix(known) {
            Some(rest) if more.is_empty() || !rest.starts_with(more) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// The object that is next, and the one behind it that `more` announces.
    pub(super) fn object(&mut self, more: &str) -> Option<&'a str> {
        let mut end = object_end(self.0.as_bytes())?;
        if !more.is_empty() && self.0[end..].starts_with(more) {
            let second = end + more.len();
            end = second + object_end(&self.0.as_bytes()[second..])?;
        }
        let (object, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(object)
    }

    /// One end, with its name; what was not assigned is left out.
    fn end(&mut self, nowhere: &mut Option<IpAddr>) -> Option<(End, Option<Called<'a>>)> {
        let mut end = End::default();
        let mut comma = "{";
        if self.eat("{\"address\":\"") {
            let address: Address = self.text()?.parse().ok()?;
            nowhere.get_or_insert(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            });
            end.address = Some(address);
            comma = ",";
        }
        if self.eat(comma) {
            if !self.eat("\"port\":") {
                return None;
            }
            end.port = self.number()?.try_into().ok()?;
        }
        let mut called = None;
        if self.eat(",\"name\":\"") {
            let name = self.text()?;
            let canonical = match self.eat(",\"canonical\":\"") {
                true => Some(self.text()?),
                false => None,
            };
            called = Some(Called::One { name, canonical });
        } else if self.eat(",\"names\":[\"") {
            let mut names = vec![self.text()?];
            while self.eat(",\"") {
                names.push(self.text()?);
            }
            if !self.eat("]") {
                return None;
            }
            let is_cut = self.eat(",\"names_cut\":true");
            called = Some(Called::OneOf { names, is_cut });
        }
        self.eat("}").then_some((end, called))
    }

    /// The connection, but for its name and for how its translation is known.
    pub(super) fn connection(
        &mut self,
        seconds: &mut Seconds,
    ) -> Option<(Connection, Option<Called<'a>>)> {
        if !self.eat("{\"id\":\"") {
            return None;
        }
        let id = id(self.text()?)?;
        let handshake = match self.eat(",\"handshake\":\"") {
            true => Some(hex(self.text()?)?),
            false => None,
        };
        let direction = match self.eat(",\"direction\":\"") {
            true => Some(match self.text()? {
                "outbound" => Direction::Outbound,
                "inbound" => Direction::Inbound,
                _ => return None,
            }),
            false => None,
        };
        let mut nowhere = match (self.eat(",\"family\":\""), self.text()?) {
            (true, "ipv4") => Some(Ipv4Addr::UNSPECIFIED.into()),
            (true, "ipv6") => Some(Ipv6Addr::UNSPECIFIED.into()),
            _ => return None,
        };
        if !self.eat(",\"netns\":") {
            return None;
        }
        let netns = self.number()?.try_into().ok()?;
        let words = match direction {
            Some(_) => [",\"client\":", ",\"server\":"],
            None => [",\"local\":", ",\"remote\":"],
        };
        let mut both = [(End::default(), None), (End::default(), None)];
        for (word, end) in words.into_iter().zip(&mut both) {
            if !self.eat(word) {
                return None;
            }
            *end = self.end(&mut nowhere)?;
        }
        let nowhere = nowhere?;
        let [first, second] = both;
        let ((local, local_name), (remote, called)) = match direction {
            Some(Direction::Inbound) => (second, first),
            _ => (first, second),
        };
        if local_name.is_some() {
            return None;
        }
        if self.eat(",\"remote_class\":\"") {
            self.text()?;
        }
        let mut ends = Ends {
            local: local.at(nowhere),
            remote: remote.at(nowhere),
        };
        let mut translation = None;
        if self.eat(",\"dialled\":") {
            let (dialled, _) = self.end(&mut Some(nowhere))?;
            translation = Some(Box::new(Translation {
                dialled: dialled.at(nowhere),
                server: ends.remote,
                evidence: AddressEvidence::Rewrite,
            }));
        }
        let opened = match self.eat(",\"opened\":\"") {
            true => Some(self.time(seconds)?),
            false => None,
        };
        let existing = self.eat(",\"existing\":true");
        if !existing && !self.eat(",\"existing\":false") {
            return None;
        }
        let mut field = |name: &str| match self.eat(name) {
            true => self.number().map(Some),
            false => Some(None),
        };
        let connect_ns = field(",\"connect_ns\":")?;
        let duration_ns = field(",\"duration_ns\":")?;
        let sent_bytes = field(",\"sent_bytes\":")?;
        let received_bytes = field(",\"received_bytes\":")?;
        let rtt_ns = field(",\"rtt_ns\":")?;
        let retransmits = field(",\"retransmits\":")?;
        let totals = match (sent_bytes, received_bytes) {
            (Some(sent_bytes), Some(received_bytes)) => Some(Totals {
                sent_bytes,
                received_bytes,
                rtt_ns,
                retransmits: retransmits.unwrap_or(0).try_into().ok()?,
            }),
            _ => None,
        };
        let closed_by = match self.eat(",\"closed_by\":\"") {
            true => Some(match self.text()? {
                "local" => Closer::Local,
                "remote" => Closer::Remote,
                _ => return None,
            }),
            false => None,
        };
        let errno = match self.eat(",\"errno\":\"") {
            true => errno::known(self.text()?),
            false => None,
        };
        // Where the socket itself is connected to: `complete` puts it right.
        ends.remote = translation.as_ref().map_or(ends.remote, |it| it.server);
        let connection = Connection {
            id,
            handshake,
            direction,
            netns,
            ends,
            translation,
            name: None,
            opened,
            existing,
            connect_ns,
            duration_ns,
            totals,
            closed_by,
            errno,
        };
        self.eat("}").then_some((connection, called))
    }

    pub(super) fn time(&mut self, seconds: &mut Seconds) -> Option<Timestamp> {
        seconds.read(self.text()?, "").ok()
    }

    pub(super) fn failure(&mut self) -> Option<Failure> {
        if !self.eat("{\"phase\":\"") {
            return None;
        }
        let phase = match self.text()? {
            "local" => Phase::Local,
            "network" => Phase::Network,
            "remote" => Phase::Remote,
            "abandoned" => Phase::Abandoned,
            _ => return None,
        };
        if !self.eat(",\"reason\":\"") {
            return None;
        }
        let word = self.text()?;
        let reason = Reason::ALL.into_iter().find(|it| it.name() == word)?;
        let errno = match self.eat(",\"errno\":\"") {
            true => errno::known(self.text()?),
            false => None,
        };
        let unanswered_syns = match self.eat(",\"unanswered_syns\":") {
            true => Some(self.number()?.try_into().ok()?),
            false => None,
        };
        self.eat("}").then_some(Failure {
            phase,
            reason,
            errno,
            unanswered_syns,
        })
    }

    /// How an event about a connection is known; also its translation and its name.
    pub(super) fn evidence(
        &mut self,
    ) -> Option<(Evidence, Option<AddressEvidence>, Option<NameSource>)> {
        if !self.eat("{\"process\":\"") {
            return None;
        }
        let process = match self.text()? {
            "hook" => ProcessEvidence::Hook,
            "listener" => ProcessEvidence::Listener,
            "read" => ProcessEvidence::Read,
            "close" => ProcessEvidence::Close,
            "scan" => ProcessEvidence::Scan,
            "unknown" => ProcessEvidence::Unknown,
            _ => return None,
        };
        let direction = match self.eat(",\"direction\":\"") {
            true => Some(match self.text()? {
                "handshake" => DirectionEvidence::Handshake,
                "listener" => DirectionEvidence::Listener,
                "unknown" => DirectionEvidence::Unknown,
                _ => return None,
            }),
            false => None,
        };
        let address = match self.eat(",\"address\":\"") {
            true => Some(match self.text()? {
                "rewrite" => AddressEvidence::Rewrite,
                "conntrack" => AddressEvidence::Conntrack,
                _ => return None,
            }),
            false => None,
        };
        let name = match self.eat(",\"name\":\"") {
            true => Some(NameSource::from_name(self.text()?)?),
            false => None,
        };
        let end = match self.eat(",\"end\":\"") {
            true => Some(match self.text()? {
                "scan" => EndEvidence::Scan,
                _ => return None,
            }),
            false => None,
        };
        let evidence = Evidence {
            process,
            direction,
            end,
        };
        self.eat("}").then_some((evidence, address, name))
    }
}

/// An address and a port, as far as they were assigned.
#[derive(Default)]
struct End {
    address: Option<Address>,
    port: u16,
}

impl End {
    fn at(&self, nowhere: IpAddr) -> SocketAddr {
        self.address.unwrap_or(nowhere.into()).with_port(self.port)
    }
}

/// Where the object ends that `text` begins with, whatever is in it.
pub(super) fn object_end(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match text.get(at)? {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => loop {
                at += 1;
                at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
                match text.get(at)? {
                    b'"' => break,
                    // Whatever is escaped is passed over with it.
                    _ => at += 1,
                }
            },
            _ => {}
        }
        at += 1;
    }
}

/// What `Display` of an id gave: the salt is the last eight digits.
pub(super) fn id(text: &str) -> Option<ConnectionId> {
    let (begun, salt) = text.split_at_checked(text.len().checked_sub(8)?)?;
    Some(ConnectionId {
        begun_ns: hex(begun)?,
        salt: u32::try_from(hex(salt)?).ok()?,
    })
}

/// One to sixteen hexadecimal digits, nothing else.
pub(super) fn hex(text: &str) -> Option<u64> {
    if !(1..=16).contains(&text.len()) {
        return None;
    }
    text.bytes().try_fold(0, |sum, digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(sum << 4 | u64::from(digit))
    })
}
