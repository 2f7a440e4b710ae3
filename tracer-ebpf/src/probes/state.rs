//! Tracepoints: `sock:inet_sock_set_state` and `tcp:tcp_destroy_sock`. Used in every hook
//! set, as they also tell what happens outside any process; and `sock:inet_sk_error_report`
//! (Linux 5.14; before that, a function), which also runs where another of them is under way
//! already.
//!
//! Typed, else raw, where a program there cannot be interrupted by another task: that costs
//! least and needs no tracefs. From Linux 7.0 on it can be, and as long as it stands still the kernel
//! runs it for nobody else on that processor; there the classic kind still holds the
//! processor. User space picks.

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe, raw_tracepoint, tracepoint},
    programs::{
        BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, TracePointContext,
    },
};

use crate::{kernel::Sock, life};

/// `(const struct sock *sk, const int oldstate, const int newstate)`
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn state_changed(ctx: RawTracePointContext) {
    let (old, new) = (ctx.arg::<u32>(1) as u8, ctx.arg::<u32>(2) as u8);
    life::changed(old, new, || Some(Sock::at(ctx.arg(0))));
}

/// `(struct sock *sk)`
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
fn sock_destroyed(ctx: RawTracePointContext) {
    life::destroyed(Sock::at(ctx.arg(0)));
}

/// The same, where the verifier knows the types of the arguments.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn state_changed_typed(ctx: BtfTracePointContext) {
    let (old, new) = (ctx.arg::<u32>(1) as u8, ctx.arg::<u32>(2) as u8);
    life::changed(old, new, || Sock::typed(ctx.arg(0)));
}

/// Likewise.
#[btf_tracepoint(function = "tcp_destroy_sock")]
fn sock_destroyed_typed(ctx: BtfTracePointContext) {
    if let Some(sock) = Sock::typed(ctx.arg(0)) {
        life::destroyed(sock);
    }
}

/// `(const struct sock *sk)`
#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
fn error_reported(ctx: RawTracePointContext) {
    life::error_reported(Sock::at(ctx.arg(0)));
}

/// `sock_def_error_report(struct sock *sk)`, which is where that tracepoint is later.
#[fentry(function = "sock_def_error_report")]
fn error_fentry(ctx: FEntryContext) {
    life::error_reported(Sock::at(ctx.arg(0)));
}

#[kprobe(function = "sock_def_error_report")]
fn error_kprobe(ctx: ProbeContext) {
    if let Some(sock) = ctx.arg(0) {
        life::error_reported(Sock::at(sock));
    }
}

/// Offsets in `struct trace_event_raw_inet_sock_set_state` and `trace_event_raw_tcp_event_sk`,
/// which user space holds against the kernel's own description.
const SOCK: usize = 8;
const OLD_STATE: usize = 16;
const NEW_STATE: usize = 20;

#[tracepoint(category = "sock", name = "inet_sock_set_state")]
fn state_changed_classic(ctx: TracePointContext) -> u32 {
    // SAFETY: fields of plain numbers within the record.
    let fields = unsafe {
        (
            ctx.read_at::<u64>(SOCK),
            ctx.read_at::<u32>(OLD_STATE),
            ctx.read_at::<u32>(NEW_STATE),
        )
    };
    if let (Ok(sock), Ok(old), Ok(new)) = fields {
        life::changed(old as u8, new as u8, || Some(Sock::at(sock)));
    }
    0
}

#[tracepoint(category = "tcp", name = "tcp_destroy_sock")]
fn sock_destroyed_classic(ctx: TracePointContext) -> u32 {
    // SAFETY: a field of plain numbers within the record.
    if let Ok(sock) = unsafe { ctx.read_at::<u64>(SOCK) } {
        life::destroyed(Sock::at(sock));
    }
    0
}
