//! What connect() returns, in the caller's context:
//! - `security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`,
//!   where security modules refuse, before all else,
//! - `__inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int
//!   flags, int is_sendmsg)`, all the rest.
//!
//! A kretprobe has few places for calls under way, and the second waits for the answer: a
//! few threads that dial a dead host would hide the failures of all others. There the
//! returns of its steps are watched instead, none of which waits:
//! - `tcp_v4_pre_connect()` and its twin, where control groups refuse,
//! - `tcp_v4_connect()` and its twin, which choose a route and a port, and send the SYN.
//!   `tcp_v6_connect()` leaves IPv4-mapped addresses to `tcp_v4_connect()`: two returns with
//!   the same result, of which the first counts.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{life, maps::DIALS};

#[fexit(function = "__inet_stream_connect")]
fn dial_fexit(ctx: FExitContext) {
    let (length, result) = (ctx.arg::<u64>(2) as i32, ctx.arg::<u64>(5) as i32);
    life::dialled(ctx.arg(0), ctx.arg(1), length, result);
}

#[fexit(function = "security_socket_connect")]
fn permit_fexit(ctx: FExitContext) {
    let (length, result) = (ctx.arg::<u64>(2) as i32, ctx.arg::<u64>(3) as i32);
    life::dialled(ctx.arg(0), ctx.arg(1), length, result);
}

/// At the entry of both: keeps the arguments for the return, or those of the steps.
#[kprobe]
fn dial_kprobe(ctx: ProbeContext) {
    if let (Some(socket), Some(address), Some(length)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        // Should it not be kept, a failure of this call is not told. That is rare: an entry
        // waits for no answer, and what is left over makes room.
        let _ = DIALS.insert(bpf_get_current_pid_tgid(), [socket, address, length], 0);
    }
}

/// A step that comes to the end of it all only if it fails.
#[kretprobe]
fn step_kretprobe(ctx: RetProbeContext) {
    let result = ctx.ret::<u64>() as i32;
    if result < 0 {
        returned(result);
    }
}

/// The last step, or one that is remembered apart.
#[kretprobe]
fn dial_kretprobe(ctx: RetProbeContext) {
    returned(ctx.ret::<u64>() as i32);
}

#[inline(always)]
fn returned(result: i32) {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread, which is here, changes its entry.
    if let Some([socket, address, length]) = unsafe { DIALS.get(thread) } {
        life::dialled(*socket, *address, *length as i32, result);
        let _ = DIALS.remove(thread);
    }
}
