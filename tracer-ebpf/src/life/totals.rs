//! What connections that are open have carried so far, when user space asks.

use core::ptr;

use tracer_common::{Carried, Kind};

use super::{find, is_set};
use crate::{
    emit,
    kernel::{Sock, now},
};

/// Tells what the connection at this address has carried so far, if it was told of, is open, and
/// began at `since_ns` or later. `sock` may be any address.
///
/// A socket is taken out of the kernel's tables before its end is announced. So of one that is
/// still in them when the place in the ring is taken, the end comes after this. One whose entry is
/// put anew at this very moment, as it is let go of, is passed over.
#[inline(never)]
pub(crate) fn carried(sock: Sock, since_ns: u64) {
    if sock.address == 0 {
        return;
    }
    let Some(entry) = find(sock) else { return };
    // SAFETY: a valid number; another CPU may write it.
    let begun_ns = unsafe { (&raw const entry.begun_ns).read_volatile() };
    let is_open = || sock.is_hashed() && !sock.is_over(entry);
    if begun_ns < since_ns || !is_set(&entry.reported) || !is_open() {
        return;
    }
    let header = emit::header(Kind::TOTALS, now());
    let fill = |record: *mut Carried| {
        // SAFETY: room for a `Carried`, aligned to 8; all its fields but the header are written, it
        // has no other byte. What another CPU makes of the entry meanwhile is noticed below.
        unsafe {
            (&raw mut (*record).connection).copy_from_nonoverlapping(entry, 1);
            (&raw mut (*record).totals).write(sock.totals());
        }
    };
    emit::record_if(header, fill, || {
        is_open()
            && find(sock).is_some_and(|it| {
                // SAFETY: as above.
                let begun = unsafe { (&raw const it.begun_ns).read_volatile() };
                ptr::eq(it, entry) && begun == begun_ns
            })
    });
}
