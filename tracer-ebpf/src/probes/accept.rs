//! A connection comes into the hands of a process, in that process's context.
//!
//! `inet_csk_accept()` returns it. Linux 6.10 changed its parameters from `(sk, flags, err,
//! kern)` to `(sk, arg)` (commit 92ef0fd55ac8), and an fexit program finds the return value
//! behind them: hence two entries. User space picks by the function's BTF signature.
//!
//! `security_sock_graft(struct sock *sk, struct socket *parent)` comes right after it, and
//! tells what its return did not: the kernel watches the return of a limited number of
//! calls by kretprobe, and of none that was entered before the hook was there. Subflows of
//! MPTCP do not come here.
//!
//! Where no function can be hooked, tracepoint `tcp:tcp_rcv_space_adjust` tells who reads from it.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe, raw_tracepoint},
    programs::{FEntryContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext},
};

use crate::{kernel::Sock, life};

#[fexit(function = "inet_csk_accept")]
fn accept_fexit_4(ctx: FExitContext) {
    if let Some(sock) = Sock::typed(ctx.arg(4)) {
        life::accepted(sock);
    }
}

#[fexit(function = "inet_csk_accept")]
fn accept_fexit_2(ctx: FExitContext) {
    if let Some(sock) = Sock::typed(ctx.arg(2)) {
        life::accepted(sock);
    }
}

#[kretprobe(function = "inet_csk_accept")]
fn accept_kretprobe(ctx: RetProbeContext) {
    life::accepted(Sock::at(ctx.ret()));
}

#[fentry(function = "security_sock_graft")]
fn graft_fentry(ctx: FEntryContext) {
    if let Some(sock) = Sock::typed(ctx.arg(0)) {
        life::grafted(sock);
    }
}

#[kprobe(function = "security_sock_graft")]
fn graft_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        life::grafted(Sock::at(sock));
    }
}

/// `(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
fn read_from(ctx: RawTracePointContext) {
    life::read_from(Sock::at(ctx.arg(0)));
}
