//! `tcp_close(struct sock *sk, long timeout)`: the last holder lets go, in its context.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{kernel::Sock, life};

#[fentry(function = "tcp_close")]
fn close_fentry(ctx: FEntryContext) {
    if let Some(sock) = Sock::typed(ctx.arg(0)) {
        life::let_go(sock);
    }
}

#[kprobe(function = "tcp_close")]
fn close_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        life::let_go(Sock::at(sock));
    }
}
