//! What is exchanged with name servers, in the context of the process:
//! - `udp_sendmsg(struct sock *sk, struct msghdr *msg, size_t len)`, its twin for IPv6, and
//!   `tcp_sendmsg`,
//! - the entries of `udp_recvmsg(struct sock *sk, struct msghdr *msg, ...)`, its twin, and
//!   `tcp_recvmsg`,
//! - `skb_consume_udp(struct sock *sk, struct sk_buff *skb, int len)`, which both of the former call
//!   once they have copied a datagram: an entry, so no call that waits takes a place that others
//!   need, as with a kretprobe,
//! - tracepoint `tcp:tcp_rcv_space_adjust`, which tells that `tcp_recvmsg` has copied something:
//!   cheaper than to watch the return of so frequent a function.

use aya_ebpf::{
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};

use crate::{
    kernel::{Message, Packet, Sock},
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

#[fentry(function = "skb_consume_udp")]
fn udp_received_fentry(ctx: FEntryContext) {
    names::received(
        Sock::at(ctx.arg(0)),
        Packet(ctx.arg(1)),
        ctx.arg::<u64>(2) as i32,
    );
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

#[kprobe]
fn udp_received_kprobe(ctx: ProbeContext) {
    if let (Some(sock), Some(packet), Some(length)) = (ctx.arg(0), ctx.arg(1), ctx.arg::<u64>(2)) {
        names::received(Sock::at(sock), Packet(packet), length as i32);
    }
}

/// `(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
fn tcp_advanced(ctx: RawTracePointContext) {
    names::advanced(Sock::at(ctx.arg(0)));
}
