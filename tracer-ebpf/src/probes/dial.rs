//! `__inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int
//! flags, int is_sendmsg)` and `security_socket_connect(struct socket *sock, struct
//! sockaddr *address, int addrlen)`: what connect() returns, in the caller's context. The
//! second is where security modules refuse, before the first is called.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};

use crate::{life, maps::DIALS};

#[fexit(function = "__inet_stream_connect")]
fn dial_fexit(ctx: FExitContext) {
    life::dialled(ctx.arg(0), ctx.arg(1), ctx.arg::<u64>(5) as i32);
}

#[fexit(function = "security_socket_connect")]
fn permit_fexit(ctx: FExitContext) {
    life::dialled(ctx.arg(0), ctx.arg(1), ctx.arg::<u64>(3) as i32);
}

/// For both functions: keeps the arguments for the return.
#[kprobe]
fn dial_kprobe(ctx: ProbeContext) {
    if let (Some(socket), Some(address)) = (ctx.arg(0), ctx.arg(1)) {
        // Should there be no room, a failure of this call is not told; `blind` says so.
        let _ = DIALS.insert(bpf_get_current_pid_tgid(), [socket, address], 0);
    }
}

/// For both functions.
#[kretprobe]
fn dial_kretprobe(ctx: RetProbeContext) {
    let thread = bpf_get_current_pid_tgid();
    let result = ctx.ret::<u64>() as i32;
    // SAFETY: only this thread, which is here, changes its entry.
    if let Some([socket, address]) = unsafe { DIALS.get(thread) } {
        life::dialled(*socket, *address, result);
        // Also after a success: a thread that ends would leave its entry for good.
        let _ = DIALS.remove(thread);
    }
}
