//! What a process dials, and what is dialled for it: `security_socket_connect(struct socket
//! *sock, struct sockaddr *address, int addrlen)`, before programs of control groups replace the
//! address, and `tcp_connect(struct sock *sk)` after.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{kernel::Sock, redirect};

#[fentry(function = "security_socket_connect")]
fn intended_fentry(ctx: FEntryContext) {
    redirect::intended(ctx.arg(0), ctx.arg(1), ctx.arg::<u64>(2) as i32);
}

#[fentry(function = "tcp_connect")]
fn dialling_fentry(ctx: FEntryContext) {
    if let Some(sock) = Sock::typed(ctx.arg(0)) {
        redirect::dialling(sock);
    }
}

#[kprobe]
fn intended_kprobe(ctx: ProbeContext) {
    if let (Some(socket), Some(address), Some(length)) = (ctx.arg(0), ctx.arg(1), ctx.arg::<u64>(2))
    {
        redirect::intended(socket, address, length as i32);
    }
}

#[kprobe]
fn dialling_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        redirect::dialling(Sock::at(sock));
    }
}
