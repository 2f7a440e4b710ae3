//! `inet_csk_accept()`: its return value is the connection, in the acceptor's context.
//!
//! Linux 6.10 changed the parameters from `(sk, flags, err, kern)` to `(sk, arg)`
//! (commit 92ef0fd55ac8), and an fexit program finds the return value behind them:
//! hence two entries. User space picks by the function's BTF signature.

use aya_ebpf::{
    macros::{fexit, kretprobe},
    programs::{FExitContext, RetProbeContext},
};

use crate::{kernel::Sock, life};

#[fexit(function = "inet_csk_accept")]
fn accept_fexit_4(ctx: FExitContext) {
    life::accepted(Sock(ctx.arg(4)));
}

#[fexit(function = "inet_csk_accept")]
fn accept_fexit_2(ctx: FExitContext) {
    life::accepted(Sock(ctx.arg(2)));
}

#[kretprobe(function = "inet_csk_accept")]
fn accept_kretprobe(ctx: RetProbeContext) {
    life::accepted(Sock(ctx.ret()));
}
