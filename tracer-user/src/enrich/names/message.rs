//! One DNS message: what was asked, and which addresses answer it.
//!
//! Messages come from the network and from any program, so reading is total and bounded: of
//! one that was cut, or that is damaged from some point on, what is whole before it counts.
//! The library follows no pointer forwards, and a limited number of them.

use std::{fmt::Write as _, net::IpAddr, sync::Arc};

use domain::{
    base::{
        Message as Octets, MessageBuilder, Name, ParsedName, ParsedRecord, Rtype,
        iana::{Class, Opcode, Rcode},
    },
    rdata::{A, Aaaa, Cname, Ptr},
};

/// How many characters a name may have, as it is written with dots. No host name has more.
pub(super) const MAX_NAME: usize = 253;
/// How many records of an answer are looked at.
const MAX_RECORDS: usize = 128;
/// How many addresses are taken from one answer.
pub(super) const MAX_ADDRESSES: usize = 64;
/// How many aliases are followed. Resolvers give up earlier.
const MAX_ALIASES: usize = 16;

/// Addresses of which family are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// A.
    Ipv4,
    /// AAAA.
    Ipv6,
}

/// What is asked, and what an answer repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// Chosen by who asks.
    pub(super) id: u16,
    /// The name, as [`text`] writes it: case says nothing in DNS, and some resolvers choose it
    /// by chance to make forging harder.
    pub(super) name: Arc<str>,
    /// What is asked about it.
    pub(super) wanted: Wanted,
}

/// A message that asks for addresses of a name, or answers that.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// It answers; else it asks.
    pub(super) is_answer: bool,
    /// What is asked.
    pub(super) question: Question,
    octets: &'a Octets<[u8]>,
    owner: ParsedName<&'a [u8]>,
}

/// What an answer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Addresses of the name that was asked for, each with how long it may be used, seconds. At
    /// most [`MAX_ADDRESSES`], IPv4 ones never mapped.
    pub(super) addresses: Vec<(IpAddr, u32)>,
    /// The name that has these addresses, if the one that was asked for is an alias.
    pub(super) canonical: Option<Arc<str>>,
    /// The name has no other addresses: nothing was cut, and the server could say.
    pub(super) is_whole: bool,
}

/// It cannot be read up to the end of its question, or the name in it is none of a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl<'a> Message<'a> {
    /// Reads the beginning of `bytes`; none if it is about something else than addresses of one
    /// name in the Internet.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Unreadable> {
        let octets = Octets::from_slice(bytes).map_err(|_| Unreadable)?;
        let header = octets.header();
        if header.opcode() != Opcode::QUERY || octets.header_counts().qdcount() != 1 {
            return Ok(None);
        }
        let question = octets.question().next();
        let Some(Ok(question)) = question else {
            return Err(Unreadable);
        };
        let wanted = match (question.qclass(), question.qtype()) {
            (Class::IN, Rtype::A) => Wanted::Ipv4,
            (Class::IN, Rtype::AAAA) => Wanted::Ipv6,
            _ => return Ok(None),
        };
        let owner = question.into_qname();
        // It is the first name: there is none before it to point at, only the header.
        if owner.is_compressed() {
            return Err(Unreadable);
        }
        let name = text(&owner).ok_or(Unreadable)?;
        Ok(Some(Self {
            is_answer: header.qr(),
            question: Question {
                id: header.id(),
                name: name.into(),
                wanted,
            },
            octets,
            owner,
        }))
    }

    /// What it answers. Empty if it answers nothing. Only addresses that the name leads to by
    /// aliases count: whatever else is in there, nobody asked for.
    pub(super) fn answer(&self) -> Answer {
        let mut out = Answer::default();
        let header = self.octets.header();
        let is_whole = !header.tc();
        match header.rcode() {
            _ if !self.is_answer => return out,
            Rcode::NOERROR => {}
            Rcode::NXDOMAIN => {
                out.is_whole = is_whole;
                return out;
            }
            _ => return out,
        }
        let Ok(section) = self.octets.answer() else {
            return out;
        };
        let mut records: Vec<_> = section.map_while(Result::ok).take(MAX_RECORDS).collect();
        let is_whole =
            is_whole && records.len() == usize::from(self.octets.header_counts().ancount());
        records.retain(|record| record.class() == Class::IN);
        let mut owner = self.owner;
        let mut is_at_end = false;
        for _ in 0..=MAX_ALIASES {
            let of_owner = || records.iter().filter(|record| record.owner() == owner);
            out.addresses.extend(
                of_owner()
                    .filter_map(|record| address(record, self.question.wanted))
                    .take(MAX_ADDRESSES),
            );
            let alias = of_owner().find_map(alias);
            is_at_end = !out.addresses.is_empty() || alias.is_none();
            match alias {
                Some(target) if !is_at_end => owner = target,
                _ => break,
            }
        }
        if !out.addresses.is_empty() && owner != self.owner {
            out.canonical = text(&owner).map(Arc::from);
        }
        out.is_whole = is_whole && is_at_end && out.addresses.len() < MAX_ADDRESSES;
        out
    }
}

/// What the answer to [`ask_for_name`] says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    /// The address has this name.
    Name(Arc<str>),
    /// It has none.
    None,
    /// The server cannot or will not say.
    Refused,
}

/// A question for the name of `address`; none if there can be none.
pub(super) fn ask_for_name(id: u16, address: IpAddr) -> Option<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut questions = message.question();
    questions.push((reverse(address)?, Rtype::PTR)).ok()?;
    Some(questions.finish())
}

/// What `bytes` answer to the question `id` for the name of `address`; none if they do not.
pub(super) fn pointer(bytes: &[u8], id: u16, address: IpAddr) -> Option<Pointer> {
    let octets = Octets::from_slice(bytes).ok()?;
    let header = octets.header();
    if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY {
        return None;
    }
    let question = octets.sole_question().ok()?;
    let is_asked = (question.qclass(), question.qtype()) == (Class::IN, Rtype::PTR);
    if !is_asked || *question.qname() != reverse(address)? {
        return None;
    }
    match header.rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Pointer::None),
        _ => return Some(Pointer::Refused),
    }
    let records: Vec<_> = octets
        .answer()
        .ok()?
        .map_while(Result::ok)
        .take(MAX_RECORDS)
        .filter(|record| record.class() == Class::IN)
        .collect();
    let mut owner = question.into_qname();
    // Small networks have aliases in place of names (RFC 2317).
    for _ in 0..=MAX_ALIASES {
        let of_owner = || records.iter().filter(|record| record.owner() == owner);
        let name = of_owner().find_map(|record| {
            let record = record.to_record::<Ptr<ParsedName<&[u8]>>>().ok()??;
            text(record.data().ptrdname())
        });
        if let Some(name) = name {
            return Some(Pointer::Name(name.into()));
        }
        let Some(target) = of_owner().find_map(alias) else {
            break;
        };
        owner = target;
    }
    Some(Pointer::None)
}

/// The name under which names of addresses are kept.
fn reverse(address: IpAddr) -> Option<Name<Vec<u8>>> {
    Name::reverse_from_addr(address).ok()
}

fn address(record: &ParsedRecord<'_, [u8]>, wanted: Wanted) -> Option<(IpAddr, u32)> {
    let address: IpAddr = match wanted {
        Wanted::Ipv4 => record.to_record::<A>().ok()??.data().addr().into(),
        Wanted::Ipv6 => record.to_record::<Aaaa>().ok()??.data().addr().into(),
    };
    Some((address.to_canonical(), record.ttl().as_secs()))
}

fn alias<'a>(record: &ParsedRecord<'a, [u8]>) -> Option<ParsedName<&'a [u8]>> {
    let record = record.to_record::<Cname<ParsedName<&[u8]>>>().ok()??;
    Some(*record.data().cname())
}

/// `name` with dots between its labels, in lower case. What is no visible ASCII character, and
/// dots and backslashes within a label, become `\` and three decimal digits. None for the root,
/// and for what then has more than [`MAX_NAME`] characters.
fn text(name: &ParsedName<&[u8]>) -> Option<String> {
    let mut out = String::new();
    for label in name.iter().filter(|label| !label.is_root()) {
        if !out.is_empty() {
            out.push('.');
        }
        for &byte in label.as_slice() {
            match byte {
                b'.' | b'\\' => write!(out, "\\{byte:03}").ok()?,
                0x21..=0x7e => out.push(byte.to_ascii_lowercase().into()),
                _ => write!(out, "\\{byte:03}").ok()?,
            }
        }
    }
    (1..=MAX_NAME).contains(&out.len()).then_some(out)
}

#[cfg(test)]
mod tests;
