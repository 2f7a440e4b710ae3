//! What processes ask name servers, and what these answer, as the process itself sees it: a
//! name is whose who asked for it.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_common::{Flow, Kind, MESSAGE_LEN, Message as Record, Process, Source};

use crate::{
    emit,
    kernel::{self, Buffer, Message, Sock, now, port_of},
    maps::RECEIVING,
    room::{clear, zeroed},
};

/// Port of name servers.
const DOMAIN: u16 = 53;

/// How many pieces of a stream are told of that are sent at once.
const PIECES: u64 = 4;

/// A call that may receive an answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Receiving {
    sock: u64,
    /// Where the bytes will be, in the memory of the process.
    buffer: u64,
    /// Address of the `struct sockaddr` that says where they came from, in kernel memory; 0 if
    /// the socket is connected.
    name: u64,
    /// Of a TCP socket: sequence number of the byte that will be at `buffer`.
    copied: u64,
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
    // A stream may be given in pieces: its length, then the message. A datagram is one.
    let pieces = if is_stream { PIECES } else { 1 };
    let mut left = length;
    for number in 0..pieces {
        let Some((buffer, length)) = message.piece(number) else {
            return;
        };
        let length = if length < left { length } else { left };
        if length == 0 || length > u64::from(u32::MAX) {
            return;
        }
        left -= length;
        report(sock, name, buffer, length as u32, Way::of(true, is_stream));
    }
}

/// A process asks for what was received, in its context.
#[inline(always)]
pub(crate) fn receiving(sock: Sock, message: Message, is_stream: bool) {
    let name = match sock.remote_port() {
        DOMAIN => 0,
        0 if !is_stream => message.name(),
        _ => return,
    };
    if name == 0 && sock.remote_port() != DOMAIN {
        return; // who sent it will not be known
    }
    if let Some((buffer, _)) = message.piece(0) {
        let receiving = Receiving {
            sock: sock.address,
            buffer: buffer.0,
            name,
            copied: if is_stream { sock.copied().into() } else { 0 },
        };
        // Should it not be kept, an answer is not seen.
        let _ = RECEIVING.insert(bpf_get_current_pid_tgid(), receiving, 0);
    }
}

/// A datagram was received, or an error, by the call that began with [`receiving`].
#[inline(always)]
pub(crate) fn received(result: i32) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread, which is here, changes its entry.
    let Some(&receiving) = (unsafe { RECEIVING.get(thread) }) else {
        return;
    };
    let _ = RECEIVING.remove(thread);
    if result > 0 && (receiving.name == 0 || port_of(receiving.name) == DOMAIN) {
        let sock = Sock::at(receiving.sock);
        let buffer = Buffer(receiving.buffer);
        report(
            sock,
            receiving.name,
            buffer,
            result as u32,
            Way::of(false, false),
        );
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
    let (copied, buffer) = (sock.copied(), receiving.buffer);
    let length = copied.wrapping_sub(receiving.copied as u32);
    if length == 0 || length > 1 << 20 {
        return;
    }
    receiving.copied = copied.into();
    receiving.buffer = buffer.wrapping_add(length.into());
    report(sock, 0, Buffer(buffer), length, Way::of(false, true));
}

/// Sent or received, and over what: one number, as a function has five arguments at most.
#[derive(Clone, Copy)]
struct Way(u32);

impl Way {
    #[inline(always)]
    fn of(is_sent: bool, is_stream: bool) -> Self {
        Self(u32::from(is_sent) | u32::from(is_stream) << 1)
    }
}

#[inline(never)]
fn report(sock: Sock, name: u64, buffer: Buffer, length: u32, way: Way) {
    let mut room = MaybeUninit::uninit();
    let process: &mut Process = zeroed(&mut room);
    kernel::read_current(Source::HOOK, process);
    let mut room = MaybeUninit::uninit();
    let flow: &mut Flow = zeroed(&mut room);
    if name == 0 {
        sock.read_flow(flow);
    } else {
        sock.read_dialled(name, flow);
    }
    let header = emit::header(Kind::MESSAGE, now());
    emit::record(header, |record: *mut Record| {
        // SAFETY: room for a `Message`, aligned to 8; all its fields but the header are written, it has no
        // other byte. The stack is not in the ring.
        unsafe {
            (&raw mut (*record).process).copy_from_nonoverlapping(process, 1);
            (&raw mut (*record).flow).copy_from_nonoverlapping(flow, 1);
            (&raw mut (*record).sock).write(sock.address);
            (&raw mut (*record).sent).write(way.0 as u8 & 1);
            (&raw mut (*record).stream).write(way.0 as u8 >> 1);
            (&raw mut (*record).reserved).write(0);
            (&raw mut (*record).length).write(length);
            clear((&raw mut (*record).bytes).cast(), MESSAGE_LEN / 8);
            // Read again, so that the verifier cannot tell one length from another: it would
            // look at all of this once for each.
            let length = (&raw const (*record).length).read_volatile();
            buffer.read(length, &raw mut (*record).bytes);
        }
    });
}
