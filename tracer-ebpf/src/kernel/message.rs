//! A typed view of `struct msghdr`: what a process sends or waits for.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::MESSAGE_LEN;

use super::{offset, read};

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

    /// Where its bytes are, or will be, and how many: the piece with this number. None if there
    /// is no such piece, or it is not in the memory of the process.
    ///
    /// `struct iov_iter` holds their address itself, or that of a list of `struct iovec`; which
    /// of the two has another number in about every kernel, but a list is in kernel memory, as
    /// are the bytes that the kernel itself sends.
    #[inline(always)]
    pub(crate) fn piece(self, number: u64) -> Option<(Buffer, u64)> {
        const PIECE_BYTES: u64 = 16;
        let held: u64 = read(self.0, offset!(msghdr_buffer));
        let (base, length) = if is_of_process(held) {
            if number > 0 {
                return None;
            }
            (held, u64::MAX)
        } else {
            if number >= read::<u64>(self.0, offset!(msghdr_pieces)) {
                return None;
            }
            let piece = held + number * PIECE_BYTES;
            (read(piece, 0), read(piece, 8))
        };
        if !is_of_process(base) {
            return None;
        }
        let done: u64 = if number == 0 {
            read(self.0, offset!(msghdr_offset))
        } else {
            0
        };
        Some((Buffer(base.wrapping_add(done)), length.wrapping_sub(done)))
    }
}

/// The lower half of all addresses is the processes'.
#[inline(always)]
fn is_of_process(address: u64) -> bool {
    address != 0 && address >> 63 == 0
}

/// An address in the memory of the current process.
#[derive(Clone, Copy)]
pub(crate) struct Buffer(pub(crate) u64);

impl Buffer {
    /// Writes `length` bytes, at most as many as there is room for, to `to`, which must be zero.
    #[inline(always)]
    pub(crate) fn read(self, length: u32, to: *mut [u8; MESSAGE_LEN]) {
        let kept = if length < MESSAGE_LEN as u32 {
            length
        } else {
            MESSAGE_LEN as u32
        };
        // SAFETY: room for `MESSAGE_LEN` bytes, which `kept` is at most. The helper checks the
        // address; should the page be gone, it leaves zeros.
        unsafe { bpf_probe_read_user(to.cast(), kept, self.0 as *const _) };
    }
}
