//! What ctnetlink says: bytes → entries, and the request for a dump. Pure, and total on any
//! bytes.
//!
//! Layouts and numbers are those of the kernel's `linux/netlink.h`,
//! `linux/netfilter/nfnetlink.h`, `nfnetlink_conntrack.h` and `nf_conntrack_common.h`.
//! Headers are in the machine's byte order, what is in attributes is big-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tracked::Tracked;

/// `IPS_SRC_NAT`: the source is translated. The kernel sets it only where the addresses or
/// ports really differ (`nf_nat_setup_info()`).
pub(super) const SRC_NAT: u32 = 1 << 4;
/// `IPS_DST_NAT`: likewise for the destination.
pub(super) const DST_NAT: u32 = 1 << 5;

/// Length of `struct nlmsghdr`, bytes.
const HEADER: usize = 16;
/// Length of that and of the `struct nfgenmsg` behind it.
pub(super) const HEADERS: usize = HEADER + 4;
/// Length of `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// `NLA_TYPE_MASK`: the rest of the type are flags.
const TYPE_MASK: u16 = 0x3fff;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const NLM_F_DUMP: u16 = 0x300;
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
/// `IPCTNL_MSG_CT_NEW` of that subsystem: an event, and each entry of a dump.
const CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK << 8;
/// `IPCTNL_MSG_CT_GET`, likewise.
const CT_GET: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 1;

pub(super) const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
pub(super) const CTA_STATUS: u16 = 3;
const CTA_ZONE: u16 = 18;
const CTA_STATUS_MASK: u16 = 26;
const CTA_TUPLE_IP: u16 = 1;
pub(super) const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
pub(super) const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
pub(super) const IPPROTO_TCP: u8 = 6;

/// A translated TCP connection of a conntrack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Conntrack zone, 0 if none is set. One tuple may be there once in each zone.
    pub(super) zone: u16,
    /// What became of it.
    pub(super) translation: Tracked,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A translated connection.
    Entry(Entry),
    /// One that is not translated, or not TCP, or cannot be read.
    Other,
    /// The last one of a dump.
    Done,
    /// The request failed with this errno; 0 is a success.
    Failed(i32),
}

/// The messages of one datagram. What is cut off or senseless ends the sequence.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(array(rest, 0)?)).ok()?;
        let message = rest.get(..length)?;
        let kind = u16::from_ne_bytes(array(message, 4)?);
        let body = message.get(HEADER..)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some(match kind {
            NLMSG_DONE => Message::Done,
            NLMSG_ERROR => {
                let negative = array(body, 0).map_or(0, i32::from_ne_bytes);
                Message::Failed(negative.saturating_neg())
            }
            CT_NEW => {
                entry(body.get(4..).unwrap_or_default()).map_or(Message::Other, Message::Entry)
            }
            _ => Message::Other,
        })
    })
}

/// Asks for the TCP and other connections of both families whose status, under `mask`, is
/// `status`.
///
/// Kernels before 5.15 do not know the last attribute, nor that the one before it may choose
/// in a dump: they send all.
pub(super) fn dump_request(status: u32, mask: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADERS + 16);
    out.extend_from_slice(&36_u32.to_ne_bytes());
    out.extend_from_slice(&CT_GET.to_ne_bytes());
    out.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // The sequence number: not 0, which is that of events.
    out.extend_from_slice(&1_u32.to_ne_bytes());
    out.extend_from_slice(&0_u32.to_ne_bytes());
    // `AF_UNSPEC`, version 0, resource 0.
    out.extend_from_slice(&[0; 4]);
    for (kind, value) in [(CTA_STATUS, status), (CTA_STATUS_MASK, mask)] {
        out.extend_from_slice(&8_u16.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let (mut original, mut reply, mut zone) = (None, None, 0);
    for (kind, value) in attributes(bytes) {
        match kind {
            CTA_TUPLE_ORIG => original = tuple(value),
            CTA_TUPLE_REPLY => reply = tuple(value),
            CTA_ZONE => zone = u16::from_be_bytes(array(value, 0)?),
            _ => {}
        }
    }
    let ((client, dialled), (server, server_sees)) = (original?, reply?);
    let translation = Tracked {
        client,
        dialled,
        server,
        server_sees,
    };
    // Not by CTA_STATUS: the addresses are what counts.
    translation.is_any().then_some(Entry { zone, translation })
}

/// Source and destination of a tuple, if it is one of TCP.
fn tuple(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (mut from, mut to): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut protocol, mut from_port, mut to_port) = (None, None, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            CTA_TUPLE_IP => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_IP_V4_SRC => from = v4(value),
                        CTA_IP_V4_DST => to = v4(value),
                        CTA_IP_V6_SRC => from = v6(value),
                        CTA_IP_V6_DST => to = v6(value),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_PROTO_NUM => protocol = value.first().copied(),
                        CTA_PROTO_SRC_PORT => from_port = array(value, 0).map(u16::from_be_bytes),
                        CTA_PROTO_DST_PORT => to_port = array(value, 0).map(u16::from_be_bytes),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if protocol? != IPPROTO_TCP {
        return None;
    }
    Some((
        SocketAddr::new(from?, from_port?),
        SocketAddr::new(to?, to_port?),
    ))
}

fn v4(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(array::<4>(bytes, 0)?).into())
}

fn v6(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(array::<16>(bytes, 0)?).to_canonical())
}

/// Type and value of each attribute, up to the first one that is cut off or senseless.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(array(rest, 0)?));
        let kind = u16::from_ne_bytes(array(rest, 2)?) & TYPE_MASK;
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// To the next multiple of 4, as netlink aligns messages and attributes.
fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
pub(super) mod tests;
