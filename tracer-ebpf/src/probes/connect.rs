//! `tcp_connect(struct sock *sk)`: a SYN is about to leave, in the caller's context.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{kernel::Sock, life};

#[fentry(function = "tcp_connect")]
fn connect_fentry(ctx: FEntryContext) {
    life::connecting(Sock(ctx.arg(0)));
}

#[kprobe(function = "tcp_connect")]
fn connect_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        life::connecting(Sock(sock));
    }
}
