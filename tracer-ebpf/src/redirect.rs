//! Addresses that are replaced between connect() and the SYN, by programs of control groups.
//! Watched only where there are any.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_common::{Flow, Kind, Redirect};

use crate::{
    emit,
    kernel::{self, Sock, now},
    maps::INTENDED,
    room::zeroed,
};

/// A process dials `address`, a `struct sockaddr` of `length` bytes in kernel memory, on `socket`, a `struct
/// socket`, in its context: nothing has replaced it yet.
#[inline(always)]
pub(crate) fn intended(socket: u64, address: u64, length: i32) {
    if !kernel::is_internet(address, length) {
        return;
    }
    let sock = kernel::of_socket(socket);
    if sock.address == 0 || !sock.is_internet() || !sock.is_tcp() {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let flow: &mut Flow = zeroed(&mut room);
    sock.read_dialled(address, flow);
    // Should it not be kept, what it is replaced by is taken for what was dialled.
    let _ = INTENDED.insert(bpf_get_current_pid_tgid(), *flow, 0);
}

/// The SYN of `sock` is about to be sent, in the context of the process.
#[inline(always)]
pub(crate) fn dialling(sock: Sock) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread, which is here, changes its entry.
    let Some(intended) = (unsafe { INTENDED.get(thread) }) else {
        return;
    };
    let mut room = MaybeUninit::uninit();
    let flow: &mut Flow = zeroed(&mut room);
    sock.read_flow(flow);
    if !is_replaced(intended, flow) {
        let _ = INTENDED.remove(thread);
        return;
    }
    let header = emit::header(Kind::REDIRECT, now());
    emit::record(header, |record: *mut Redirect| {
        // SAFETY: room for a `Redirect`, aligned to 8; all its fields but the header are written, it has no
        // other byte. The entry is this thread's.
        unsafe {
            (&raw mut (*record).flow).copy_from_nonoverlapping(flow, 1);
            (&raw mut (*record).dialled_address)
                .copy_from_nonoverlapping(&raw const intended.remote_address, 1);
            (&raw mut (*record).dialled_port).write(intended.remote_port);
            (&raw mut (*record).dialled_family).write(intended.family);
            (&raw mut (*record).dialled_scope).write(intended.scope);
        }
    });
    let _ = INTENDED.remove(thread);
}

/// Who dials no address in particular is given one of this host by the kernel: nothing is
/// replaced then.
#[inline(always)]
fn is_replaced(intended: &Flow, flow: &Flow) -> bool {
    let (first, second) = words(intended);
    (first, second) != words(flow) && (first, second) != (0, 0)
        || intended.remote_port != flow.remote_port
}

#[inline(always)]
fn words(flow: &Flow) -> (u64, u64) {
    let words = (&raw const flow.remote_address).cast::<u64>();
    // SAFETY: sixteen bytes at an offset of sixteen in a value aligned to 4; on this target any
    // alignment will do.
    unsafe { (words.read_unaligned(), words.add(1).read_unaligned()) }
}
