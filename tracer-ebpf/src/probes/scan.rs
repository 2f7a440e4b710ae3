//! Looking at what is there, when user space asks.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel, macros::raw_tracepoint,
    programs::RawTracePointContext,
};

use crate::{kernel::Sock, life};

/// `struct bpf_iter__task`, a part of the kernel's user-space interface: a task; null at the end.
#[repr(C)]
struct Task {
    meta: u64,
    task: u64,
}

/// Reads the context as plain numbers: as typed pointers they would have to be followed
/// at offsets that the verifier knows.
#[inline(always)]
fn task(ctx: *const c_void) -> u64 {
    let mut it = MaybeUninit::<Task>::uninit();
    // SAFETY: `it` has the room, every byte of which the helper writes; any bits are a `Task`.
    let it = unsafe {
        bpf_probe_read_kernel(it.as_mut_ptr().cast(), size_of::<Task>() as u32, ctx);
        it.assume_init()
    };
    it.task
}

/// Has the kernel come back with the same task, once the reader has had a word: `EAGAIN`.
const AGAIN: i32 = 1;

/// Every task: the sockets that listen among its open files.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn scan_listeners(ctx: *const c_void) -> i32 {
    if life::visit_listeners(task(ctx)) {
        AGAIN
    } else {
        0
    }
}

/// Every task: the connections among its open files.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn scan_connections(ctx: *const c_void) -> i32 {
    if life::visit_connections(task(ctx)) {
        AGAIN
    } else {
        0
    }
}

/// Never attached: user space runs it with [`tracer_common::SOCKETS`] addresses from the table of
/// connections, to have those looked at whose end may have been missed. Some may be 0.
#[raw_tracepoint]
fn examine(ctx: RawTracePointContext) {
    life::examined(Sock::at(ctx.arg(0)));
    life::examined(Sock::at(ctx.arg(1)));
    life::examined(Sock::at(ctx.arg(2)));
    life::examined(Sock::at(ctx.arg(3)));
}

/// Likewise, to have it told what those have carried so far that are open. Before the addresses comes
/// the time at which they began or later, nanoseconds of `CLOCK_BOOTTIME`.
#[raw_tracepoint]
fn read_totals(ctx: RawTracePointContext) {
    let since_ns = ctx.arg(0);
    life::carried(Sock::at(ctx.arg(1)), since_ns);
    life::carried(Sock::at(ctx.arg(2)), since_ns);
    life::carried(Sock::at(ctx.arg(3)), since_ns);
    life::carried(Sock::at(ctx.arg(4)), since_ns);
}

/// Never attached: user space runs it with a descriptor of its own, of a socket that hears of what
/// netfilter tracks, and zeros; then with that, and `next` and `forth` of the run before. Finds all
/// such sockets of the host, some in each run.
#[raw_tracepoint]
fn observers(ctx: RawTracePointContext) {
    life::observers(ctx.arg::<u64>(0) as u32, ctx.arg(1), ctx.arg::<u64>(2) != 0);
}
