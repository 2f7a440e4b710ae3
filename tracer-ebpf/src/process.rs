//! The life of a process: what it runs, whom it makes, and its end. Told for those that are gone
//! before user space can look at them.

use core::mem::MaybeUninit;

use tracer_common::{ARGS_LEN, EXE_LEN, Executed, Exited, Forked, Kind, Process, Source};

use crate::{
    emit, kernel, life,
    room::{clear, zeroed},
};

/// The current process runs another program.
#[inline(always)]
pub(crate) fn executed() {
    let header = emit::header(Kind::EXEC, kernel::now());
    emit::record(header, |record: *mut Executed| {
        // SAFETY: room for an `Executed`, aligned to 8; every byte of it but the header is written, the
        // texts word by word as the ring hands out what was there before.
        unsafe {
            write_process(&raw mut (*record).process);
            (&raw mut (*record).parent).write(kernel::parent());
            (&raw mut (*record).reserved).write(0);
            clear((&raw mut (*record).exe).cast(), EXE_LEN / 8);
            clear((&raw mut (*record).args).cast(), ARGS_LEN / 8);
            let bytes = &raw mut (*record).exe_bytes;
            kernel::read_executable(&raw mut (*record).exe, bytes);
            let length = kernel::read_arguments(&raw mut (*record).args);
            (&raw mut (*record).args_bytes).write(length);
        }
    });
}

/// The current process makes another one: `child` is the address of its `struct task_struct`.
#[inline(always)]
pub(crate) fn forked(child: u64) {
    let mut room = MaybeUninit::uninit();
    let forked: &mut Forked = zeroed(&mut room);
    if !kernel::read_child(child, forked) {
        return;
    }
    kernel::read_current(Source::HOOK, &mut forked.process);
    kernel::read_netns_owner(&mut forked.process);
    let forked: &Forked = forked;
    let header = emit::header(Kind::FORK, kernel::now());
    emit::record(header, |record: *mut Forked| {
        // SAFETY: room for a `Forked`, aligned to 8; the copy writes every byte of it.
        unsafe { record.copy_from_nonoverlapping(forked, 1) };
    });
}

/// The current task ends.
#[inline(always)]
pub(crate) fn exited() {
    if kernel::is_kernel_thread() || !kernel::is_last_thread() {
        return;
    }
    let header = emit::header(Kind::EXIT, kernel::now());
    let mut room = MaybeUninit::uninit();
    let process: &mut Process = zeroed(&mut room);
    kernel::read_current(Source::HOOK, process);
    kernel::read_netns_owner(process);
    let process: &Process = process;
    life::disown(process);
    emit::record(header, |record: *mut Exited| {
        // SAFETY: room for an `Exited`, aligned to 8; all its fields but the header are written, it has
        // no other byte.
        unsafe {
            (&raw mut (*record).process).copy_from_nonoverlapping(process, 1);
            (&raw mut (*record).status).write(kernel::exit_status());
            (&raw mut (*record).reserved).write(0);
        }
    });
}

/// # Safety
///
/// `to` must have room for a `Process`.
#[inline(always)]
unsafe fn write_process(to: *mut Process) {
    let mut room = MaybeUninit::uninit();
    let process: &mut Process = zeroed(&mut room);
    kernel::read_current(Source::HOOK, process);
    kernel::read_netns_owner(process);
    // SAFETY: the caller's promise.
    unsafe { to.copy_from_nonoverlapping(process, 1) };
}
