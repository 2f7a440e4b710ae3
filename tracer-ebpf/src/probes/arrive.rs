//! Attempts from outside that this host turns away. A softirq, as a rule.
//!
//! `tcp_conn_request(rsk_ops, af_ops, struct sock *sk, struct sk_buff *skb)` sees every
//! SYN that arrives at a listener; `tcp_v4_syn_recv_sock(const struct sock *sk, struct sk_buff
//! *skb, struct request_sock *req, ..)` and its twin, which leaves IPv4 to it, the last segment of
//! each handshake, whose connection the queue may have no room for any more; `tcp_v4_send_reset(const struct sock *sk, struct
//! sk_buff *skb, ..)` and its twin answer those that arrive at none, with a null `sk`.
//! Linux 6.10 and later announce the same by the tracepoint `tcp:tcp_send_reset`
//! (earlier ones left out those without a socket, which are what we want).

use aya_ebpf::{
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};

use crate::{
    kernel::{Packet, Sock},
    life,
};

#[fentry(function = "tcp_conn_request")]
fn request_fentry(ctx: FEntryContext) {
    life::requested(Sock::at(ctx.arg(2)), Packet(ctx.arg(3)));
}

#[kprobe(function = "tcp_conn_request")]
fn request_kprobe(ctx: ProbeContext) {
    if let (Some(sock), Some(packet)) = (ctx.arg(2), ctx.arg(3)) {
        life::requested(Sock::at(sock), Packet(packet));
    }
}

#[fentry(function = "tcp_v4_syn_recv_sock")]
fn completed_v4_fentry(ctx: FEntryContext) {
    if let Some(listener) = Sock::typed(ctx.arg(0)) {
        life::completed(listener, Packet(ctx.arg(1)), ctx.arg(2));
    }
}

#[fentry(function = "tcp_v6_syn_recv_sock")]
fn completed_v6_fentry(ctx: FEntryContext) {
    if let Some(listener) = Sock::typed(ctx.arg(0)) {
        life::completed(listener, Packet(ctx.arg(1)), ctx.arg(2));
    }
}

/// For both functions.
#[kprobe]
fn completed_kprobe(ctx: ProbeContext) {
    if let (Some(sock), Some(packet), Some(request)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        life::completed(Sock::at(sock), Packet(packet), request);
    }
}

/// `(const struct sock *sk, const struct sk_buff *skb, const enum sk_rst_reason reason)`
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
fn reset_sent(ctx: RawTracePointContext) {
    if ctx.arg::<u64>(0) == 0 {
        life::turned_away(Packet(ctx.arg(1)));
    }
}

#[fentry(function = "tcp_v4_send_reset")]
fn reset_v4_fentry(ctx: FEntryContext) {
    if ctx.arg::<u64>(0) == 0 {
        life::turned_away(Packet(ctx.arg(1)));
    }
}

#[fentry(function = "tcp_v6_send_reset")]
fn reset_v6_fentry(ctx: FEntryContext) {
    if ctx.arg::<u64>(0) == 0 {
        life::turned_away(Packet(ctx.arg(1)));
    }
}

/// For both functions.
#[kprobe]
fn reset_kprobe(ctx: ProbeContext) {
    if let (Some(0u64), Some(packet)) = (ctx.arg(0), ctx.arg(1)) {
        life::turned_away(Packet(packet));
    }
}
