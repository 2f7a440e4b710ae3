//! A typed view of `struct msghdr`: what a process sends or waits for.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::MESSAGE_LEN;

use super::{offset, opaque, read};

/// Port in a `struct sockaddr_in` or `sockaddr_in6` in kernel memory, host byte order.
#[inline(always)]
pub(crate) fn port_of(address: u64) -> u16 {
    const PORT: u32 = 2;
    u16::from_be(read(address, PORT))
}

/// The address of a `struct msghdr` in kernel memory.
#[derive(Clone, Copy)]
pub(crate) struct Message(pub(crate) u64);

impl Message {
    /// Address of the `struct sockaddr` that it goes to, or that is filled with where it came
    /// from; 0 if there is none.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        read(self.0, offset!(msghdr_name))
    }

    /// Where its bytes are, or will be.
    #[inline(always)]
    pub(crate) fn pieces(self) -> Pieces {
        Pieces {
            held: read(self.0, offset!(msghdr_buffer)),
            count: read(self.0, offset!(msghdr_pieces)),
            done: read(self.0, offset!(msghdr_offset)),
        }
    }
}

/// Room for a message while it is put together: the verifier follows neither of two lengths
/// that together are at most [`MESSAGE_LEN`].
pub(crate) type Room = [u8; 2 * MESSAGE_LEN];

/// How many pieces of a message are looked at.
const MAX_PIECES: u64 = 4;

/// Memory of a process that a message is in, in pieces.
///
/// `struct iov_iter` holds the address of the bytes themselves, or that of a list of `struct
/// iovec`; which of the two has another number in about every kernel, but a list is in kernel
/// memory, as are the bytes that the kernel itself sends. The kernel goes through the list and
/// does not change it, so it is the same when all was copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pieces {
    held: u64,
    /// How many pieces a list has.
    count: u64,
    /// How many bytes of the first one are done with.
    done: u64,
}

impl Pieces {
    /// Writes `length` bytes to the beginning of `room`, those after the first `skip`: as many
    /// as there is room for in a record, of the first [`MAX_PIECES`] pieces. Gives how many; a
    /// page that is gone reads as zeros.
    #[inline(always)]
    pub(crate) fn gather(&self, mut skip: u64, length: u32, room: *mut Room) -> u32 {
        let wanted = u64::from(length).min(MESSAGE_LEN as u64);
        let mut at = 0;
        for number in 0..MAX_PIECES {
            let Some((base, length)) = self.piece(number) else {
                break;
            };
            if skip >= length {
                skip -= length;
                continue;
            }
            let take = opaque((length - skip).min(wanted - at));
            if at > MESSAGE_LEN as u64 || take > MESSAGE_LEN as u64 {
                break;
            }
            // SAFETY: both are at most `MESSAGE_LEN`, half of the room. The helper checks the
            // address.
            unsafe {
                let to = room.cast::<u8>().add(at as usize);
                bpf_probe_read_user(to.cast(), take as u32, base.wrapping_add(skip) as *const _);
            }
            skip = 0;
            at = opaque(at + take);
            if at >= wanted {
                break;
            }
        }
        at as u32
    }

    /// Where the piece with this number is, and how many bytes it has. None if there is no such
    /// piece, or it is not in the memory of the process.
    #[inline(always)]
    fn piece(&self, number: u64) -> Option<(u64, u64)> {
        const PIECE_BYTES: u64 = 16;
        let (base, length) = if is_of_process(self.held) {
            (self.held, u64::MAX)
        } else {
            let piece = self.held + number * PIECE_BYTES;
            (read(piece, 0), read(piece, 8))
        };
        let is_there = number == 0 || (!is_of_process(self.held) && number < self.count);
        if !is_there || !is_of_process(base) {
            return None;
        }
        let done = if number == 0 { self.done } else { 0 };
        Some((base.wrapping_add(done), length.saturating_sub(done)))
    }
}

/// The lower half of all addresses is the processes'.
#[inline(always)]
fn is_of_process(address: u64) -> bool {
    address != 0 && address >> 63 == 0
}
