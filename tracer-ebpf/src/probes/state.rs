//! Tracepoints: `sock:inet_sock_set_state` and `tcp:tcp_destroy_sock`. Used in every hook
//! set, as they also tell what happens outside any process; and `sock:inet_sk_error_report`
//! (Linux 5.14), which also runs where another of them is under way already.
//!
//! Raw where a program there cannot be interrupted by another task: that costs least and
//! needs no tracefs. From Linux 7.0 on it can be, and as long as it stands still the kernel
//! runs it for nobody else on that processor; there the classic kind still holds the
//! processor. User space picks.

use aya_ebpf::{
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};

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

/// `(const struct sock *sk)`
#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
fn error_reported(ctx: RawTracePointContext) {
    life::error_reported(Sock(ctx.arg(0)));
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
        life::changed(Sock(sock), old as u8, new as u8);
    }
    0
}

#[tracepoint(category = "tcp", name = "tcp_destroy_sock")]
fn sock_destroyed_classic(ctx: TracePointContext) -> u32 {
    // SAFETY: a field of plain numbers within the record.
    if let Ok(sock) = unsafe { ctx.read_at::<u64>(SOCK) } {
        life::destroyed(Sock(sock));
    }
    0
}
