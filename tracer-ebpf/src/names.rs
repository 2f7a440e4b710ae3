//! What processes ask name servers, and what these answer, as the process itself sees it: a
//! name is whose who asked for it.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_kernel};
use tracer_common::{Flow, Kind, MESSAGE_LEN, Message as Record, Process, Source};

use crate::{
    emit,
    kernel::{self, Message, Packet, Pieces, Sock, now, port_of},
    maps::{MESSAGE, RECEIVING},
    room::{clear, zeroed},
};

/// Port of name servers.
const DOMAIN: u16 = 53;

/// A call that may receive an answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Receiving {
    sock: u64,
    /// Where the bytes will be.
    pieces: Pieces,
    /// Address of the `struct sockaddr` that says where they came from, in kernel memory; 0 if
    /// the process does not ask.
    name: u64,
    /// Of a TCP socket: how many bytes were told of this call.
    told: u64,
    /// And the sequence number of the next one.
    copied: u64,
}

/// A message, or of a stream a part of one.
struct Told {
    /// Address of the `struct sock`.
    sock: u64,
    /// The other end: the address of a `struct sockaddr`; 0 if it is not there.
    name: u64,
    /// Likewise, where nothing else says so: the datagram's; 0 if it is not needed.
    packet: u64,
    is_sent: bool,
    is_stream: bool,
    length: u32,
    /// How many of its bytes lie in [`MESSAGE`].
    kept: u32,
}

/// A process sends `message`, in its context.
#[inline(always)]
pub(crate) fn sent(sock: Sock, message: Message, length: u64, is_stream: bool) {
    let name = match sock.remote_port() {
        DOMAIN => 0,
        0 if !is_stream => message.name(),
        _ => return,
    };
    if name != 0 && port_of(name) != DOMAIN {
        return;
    }
    if name == 0 && sock.remote_port() != DOMAIN {
        return; // the call will fail
    }
    if length == 0 || length > u64::from(u32::MAX) {
        return;
    }
    let mut told = Told {
        sock: sock.address,
        name,
        packet: 0,
        is_sent: true,
        is_stream,
        length: length as u32,
        kept: 0,
    };
    tell_pieces(&mut told, &message.pieces(), 0);
}

/// A process asks for what was received, in its context.
#[inline(always)]
pub(crate) fn receiving(sock: Sock, message: Message, is_stream: bool) {
    let name = match sock.remote_port() {
        DOMAIN => 0,
        0 if !is_stream => message.name(),
        _ => return,
    };
    let receiving = Receiving {
        sock: sock.address,
        pieces: message.pieces(),
        name,
        told: 0,
        copied: if is_stream { sock.copied().into() } else { 0 },
    };
    let thread = bpf_get_current_pid_tgid();
    match RECEIVING.get_ptr_mut(thread) {
        // SAFETY: only this thread, which is here, changes its entry.
        Some(place) => unsafe { place.write(receiving) },
        // Should it not be kept, an answer may not be seen, which is then counted.
        None => drop(RECEIVING.insert(thread, receiving, 0)),
    }
}

/// A datagram was handed to a process, in its context, which asked for it by [`receiving`];
/// `length` is negative if it stays where it is (`MSG_PEEK`).
#[inline(always)]
pub(crate) fn received(sock: Sock, packet: Packet, length: i32) {
    let is_connected = match sock.remote_port() {
        DOMAIN => true,
        0 => false,
        _ => return,
    };
    if length <= 0 {
        return;
    }
    // SAFETY: only this thread, which is here, changes its entry.
    let receiving = unsafe { RECEIVING.get(bpf_get_current_pid_tgid()) };
    let receiving = receiving.filter(|it| it.sock == sock.address);
    // The process may be told another address than the datagram's: what it is told, it asked.
    let name = match receiving {
        Some(receiving) if !is_connected => receiving.name,
        _ => 0,
    };
    let port = match (is_connected, name) {
        (true, _) => DOMAIN,
        (false, 0) => packet.source_port(),
        (false, name) => port_of(name),
    };
    if port != DOMAIN {
        return;
    }
    let mut told = Told {
        sock: sock.address,
        name,
        packet: if is_connected || name != 0 {
            0
        } else {
            packet.0
        },
        is_sent: false,
        is_stream: false,
        length: length as u32,
        kept: 0,
    };
    if packet.is_linear() {
        tell_datagram(&mut told, packet);
    } else if let Some(receiving) = receiving {
        tell_pieces(&mut told, &receiving.pieces, 0);
    } else {
        emit::untold(Kind::MESSAGE);
    }
}

/// Bytes of a stream were handed to the process, in its context.
#[inline(always)]
pub(crate) fn advanced(sock: Sock) {
    if sock.remote_port() != DOMAIN {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    let Some(receiving) = RECEIVING.get_ptr_mut(thread) else {
        return;
    };
    // SAFETY: only this thread, which is here, changes its entry.
    let receiving = unsafe { &mut *receiving };
    if receiving.sock != sock.address {
        return;
    }
    let copied = sock.copied();
    let length = copied.wrapping_sub(receiving.copied as u32);
    if length == 0 || length > 1 << 20 {
        return;
    }
    let skip = receiving.told;
    receiving.copied = copied.into();
    receiving.told += u64::from(length);
    let pieces = receiving.pieces;
    let mut told = Told {
        sock: sock.address,
        name: 0,
        packet: 0,
        is_sent: false,
        is_stream: true,
        length,
        kept: 0,
    };
    tell_pieces(&mut told, &pieces, skip);
}

/// Tells of bytes in the memory of the process, those after the first `skip`.
#[inline(never)]
fn tell_pieces(told: &mut Told, pieces: &Pieces, skip: u64) {
    if let Some(room) = MESSAGE.get_ptr_mut(0) {
        told.kept = pieces.gather(skip, told.length, room);
        report(told);
    }
}

/// Tells of the bytes of a datagram, which is linear.
#[inline(never)]
fn tell_datagram(told: &mut Told, packet: Packet) {
    if let Some(room) = MESSAGE.get_ptr_mut(0) {
        told.kept = packet.read_datagram(told.length, room);
        report(told);
    }
}

#[inline(never)]
fn report(told: &Told) {
    let Some(room) = MESSAGE.get_ptr_mut(0) else {
        return;
    };
    let mut place = MaybeUninit::uninit();
    let process: &mut Process = zeroed(&mut place);
    kernel::read_current(Source::HOOK, process);
    let mut place = MaybeUninit::uninit();
    let flow: &mut Flow = zeroed(&mut place);
    let sock = Sock::at(told.sock);
    if told.name != 0 {
        sock.read_dialled(told.name, flow);
    } else {
        sock.read_flow(flow);
        if told.packet != 0 {
            Packet(told.packet).read_source(flow);
        }
    }
    let header = emit::header(Kind::MESSAGE, now());
    emit::record(header, |record: *mut Record| {
        // SAFETY: room for a `Message`, aligned to 8; all its fields but the header are written, it has no
        // other byte. The stack is not in the ring. The room has more bytes than are kept.
        unsafe {
            (&raw mut (*record).process).copy_from_nonoverlapping(process, 1);
            (&raw mut (*record).flow).copy_from_nonoverlapping(flow, 1);
            (&raw mut (*record).sock).write(told.sock);
            (&raw mut (*record).sent).write(told.is_sent.into());
            (&raw mut (*record).stream).write(told.is_stream.into());
            (&raw mut (*record).kept).write(told.kept as u16);
            (&raw mut (*record).length).write(told.length);
            clear((&raw mut (*record).bytes).cast(), MESSAGE_LEN / 8);
            let kept = u32::from((&raw const (*record).kept).read_volatile());
            let kept = if kept < MESSAGE_LEN as u32 {
                kept
            } else {
                MESSAGE_LEN as u32
            };
            bpf_probe_read_kernel((&raw mut (*record).bytes).cast(), kept, room.cast());
        }
    });
}
