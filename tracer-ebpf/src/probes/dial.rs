//! What a call of connect() comes to before it waits for an answer, in the caller's context:
//! - `security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`,
//!   where security modules refuse,
//! - `tcp_v4_pre_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)` and its twin,
//!   where control groups refuse,
//! - `tcp_v4_connect(struct sock *sk, struct sockaddr *uaddr, int addr_len)` and its twin,
//!   which choose a route and a port, and send the SYN.
//!
//! None of them waits. A kretprobe has few places for calls under way, so at connect() itself
//! a few threads that wait for a dead host would hide the failures of all others.
//!
//! `tcp_v6_connect()` leaves IPv4-mapped addresses to `tcp_v4_connect()`: one attempt, two
//! returns, with the same error. It is told once, with the address of the outer call.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    kernel::{self, Sock},
    life,
    maps::DIALS,
};

#[fexit(function = "security_socket_connect")]
fn permit_fexit(ctx: FExitContext) {
    dialled_fexit(&ctx, kernel::of_socket(ctx.arg(0)));
}

#[fexit(function = "tcp_v4_pre_connect")]
fn permit_v4_fexit(ctx: FExitContext) {
    dialled_fexit(&ctx, Sock(ctx.arg(0)));
}

#[fexit(function = "tcp_v6_pre_connect")]
fn permit_v6_fexit(ctx: FExitContext) {
    dialled_fexit(&ctx, Sock(ctx.arg(0)));
}

#[fexit(function = "tcp_v4_connect")]
fn dial_v4_fexit(ctx: FExitContext) {
    let sock = Sock(ctx.arg(0));
    if !sock.is_v6() {
        dialled_fexit(&ctx, sock);
    }
}

#[fexit(function = "tcp_v6_connect")]
fn dial_v6_fexit(ctx: FExitContext) {
    dialled_fexit(&ctx, Sock(ctx.arg(0)));
}

#[inline(always)]
fn dialled_fexit(ctx: &FExitContext, sock: Sock) {
    life::dialled(sock, ctx.arg(1), ctx.arg::<u64>(3) as i32);
}

/// Keeps the arguments for the return.
#[kprobe(function = "security_socket_connect")]
fn permit_kprobe(ctx: ProbeContext) {
    if let Some(socket) = ctx.arg(0) {
        remember(&ctx, kernel::of_socket(socket));
    }
}

/// Likewise, for the four others.
#[kprobe]
fn dial_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        remember(&ctx, Sock(sock));
    }
}

#[inline(always)]
fn remember(ctx: &ProbeContext, sock: Sock) {
    let Some(address) = ctx.arg::<u64>(1) else {
        return;
    };
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread, which is here, changes its entry.
    if let Some([outer, _]) = unsafe { DIALS.get(thread) }
        && *outer == sock.0
        && !kernel::is_v6(address)
        && sock.is_v6()
    {
        return; // within the call that is remembered
    }
    // Should there be no room, a failure of this call is not told. So many calls cannot be
    // under way, as none waits.
    let _ = DIALS.insert(thread, [sock.0, address], 0);
}

/// For all of them.
#[kretprobe]
fn dial_kretprobe(ctx: RetProbeContext) {
    let thread = bpf_get_current_pid_tgid();
    let result = ctx.ret::<u64>() as i32;
    // SAFETY: only this thread, which is here, changes its entry.
    if let Some([sock, address]) = unsafe { DIALS.get(thread) } {
        life::dialled(Sock(*sock), *address, result);
        // Also after a success: a thread that ends would leave its entry for good.
        let _ = DIALS.remove(thread);
    }
}
