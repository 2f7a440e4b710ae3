//! What is exchanged with name servers, in the context of the process:
//! - `udp_sendmsg(struct sock *sk, struct msghdr *msg, size_t len)`, its twin for IPv6, and
//!   `tcp_sendmsg`,
//! - `udp_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags, int *addr_len)`
//!   (with `int nonblock` before `flags` until Linux 5.18), its twin, and the entry of
//!   `tcp_recvmsg`,
//! - tracepoint `tcp:tcp_rcv_space_adjust`, which tells that `tcp_recvmsg` has copied something:
//!   cheaper than to watch the return of so frequent a function.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe, raw_tracepoint},
    programs::{FEntryContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext},
};

use crate::{
    kernel::{Message, Sock},
    names,
};

macro_rules! sent {
    ($($entry:ident, $function:literal, $is_stream:literal;)*) => {
        $(#[fentry(function = $function)]
        fn $entry(ctx: FEntryContext) {
            names::sent(Sock::at(ctx.arg(0)), Message(ctx.arg(1)), ctx.arg(2), $is_stream);
        })*
    };
}

sent! {
    udp4_sent_fentry, "udp_sendmsg", false;
    udp6_sent_fentry, "udpv6_sendmsg", false;
    tcp_sent_fentry, "tcp_sendmsg", true;
}

macro_rules! receiving {
    ($($entry:ident, $function:literal, $is_stream:literal;)*) => {
        $(#[fentry(function = $function)]
        fn $entry(ctx: FEntryContext) {
            names::receiving(Sock::at(ctx.arg(0)), Message(ctx.arg(1)), $is_stream);
        })*
    };
}

receiving! {
    udp4_receiving_fentry, "udp_recvmsg", false;
    udp6_receiving_fentry, "udpv6_recvmsg", false;
    tcp_receiving_fentry, "tcp_recvmsg", true;
}

macro_rules! received {
    ($($entry:ident, $function:literal, $parameters:literal;)*) => {
        $(#[fexit(function = $function)]
        fn $entry(ctx: FExitContext) {
            names::received(ctx.arg::<u64>($parameters) as i32);
        })*
    };
}

received! {
    udp4_received_fexit_5, "udp_recvmsg", 5;
    udp6_received_fexit_5, "udpv6_recvmsg", 5;
    udp4_received_fexit_6, "udp_recvmsg", 6;
    udp6_received_fexit_6, "udpv6_recvmsg", 6;
}

#[kprobe]
fn udp_sent_kprobe(ctx: ProbeContext) {
    sent(&ctx, false);
}

#[kprobe]
fn tcp_sent_kprobe(ctx: ProbeContext) {
    sent(&ctx, true);
}

#[inline(always)]
fn sent(ctx: &ProbeContext, is_stream: bool) {
    if let (Some(sock), Some(message), Some(length)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        names::sent(Sock::at(sock), Message(message), length, is_stream);
    }
}

#[kprobe]
fn udp_receiving_kprobe(ctx: ProbeContext) {
    receiving(&ctx, false);
}

#[kprobe]
fn tcp_receiving_kprobe(ctx: ProbeContext) {
    receiving(&ctx, true);
}

#[inline(always)]
fn receiving(ctx: &ProbeContext, is_stream: bool) {
    if let (Some(sock), Some(message)) = (ctx.arg(0), ctx.arg(1)) {
        names::receiving(Sock::at(sock), Message(message), is_stream);
    }
}

#[kretprobe]
fn udp_received_kretprobe(ctx: RetProbeContext) {
    names::received(ctx.ret::<u64>() as i32);
}

/// `(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
fn tcp_advanced(ctx: RawTracePointContext) {
    names::advanced(Sock::at(ctx.arg(0)));
}
