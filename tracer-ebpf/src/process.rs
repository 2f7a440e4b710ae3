//! The life of a process: what it runs, and its end. Told for those that are gone before
//! user space can look at them.

use core::mem::MaybeUninit;

use tracer_common::{ARGS_LEN, Executed, Exited, Kind, PATH_LEN, Process, Source};

use crate::{
    emit, kernel,
    room::{clear, zeroed},
};

/// The current process runs another program; `binprm` is the address of its `struct
/// linux_binprm`.
#[inline(always)]
pub(crate) fn executed(binprm: u64) {
    let header = emit::header(Kind::EXEC, kernel::now());
    emit::record(header, |record: *mut Executed| {
        // SAFETY: room for an `Executed`, aligned to 8; every byte of it but the header is written, the
        // texts word by word as the ring hands out what was there before.
        unsafe {
            write_process(&raw mut (*record).process);
            (&raw mut (*record).parent).write(kernel::parent());
            clear((&raw mut (*record).path).cast(), PATH_LEN / 8);
            clear((&raw mut (*record).args).cast(), ARGS_LEN / 8);
            kernel::read_path(binprm, &raw mut (*record).path);
            let length = kernel::read_arguments(&raw mut (*record).args);
            (&raw mut (*record).args_bytes).write(length);
        }
    });
}

/// The current task ends.
#[inline(always)]
pub(crate) fn exited() {
    if kernel::is_kernel_thread() || !kernel::is_last_thread() {
        return;
    }
    let header = emit::header(Kind::EXIT, kernel::now());
    emit::record(header, |record: *mut Exited| {
        // SAFETY: room for an `Exited`, aligned to 8; all its fields but the header are written, it has
        // no other byte.
        unsafe {
            write_process(&raw mut (*record).process);
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
    // SAFETY: the caller's promise.
    unsafe { to.copy_from_nonoverlapping(process, 1) };
}
