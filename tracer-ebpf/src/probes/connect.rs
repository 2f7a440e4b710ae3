//! `tcp_connect(struct sock *sk)`: a SYN is about to leave, in the caller's context.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{kernel::Sock, life};

#[fentry(function = "tcp_connect")]
fn connect_fentry(ctx: FEntryContext) {
    if let Some(sock) = Sock::typed(ctx.arg(0)) {
        life::connecting(sock);
    }
}

#[kprobe(function = "tcp_connect")]
fn connect_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        life::connecting(Sock::at(sock));
    }
}
