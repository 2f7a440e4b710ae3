//! Tracepoints: `sock:inet_sock_set_state` and `tcp:tcp_destroy_sock`. Raw, so they
//! need no BTF ids and cost least. Used in every hook set, as they also tell what
//! happens outside any process.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{kernel::Sock, life};

/// `(const struct sock *sk, const int oldstate, const int newstate)`
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn state_changed(ctx: RawTracePointContext) {
    life::changed(
        Sock(ctx.arg(0)),
        ctx.arg::<u32>(1) as u8,
        ctx.arg::<u32>(2) as u8,
    );
}

/// `(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
fn sock_destroyed(ctx: RawTracePointContext) {
    life::destroyed(Sock(ctx.arg(0)));
}
