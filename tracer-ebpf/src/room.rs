//! Memory that is zero before it is filled. A value returned, or written with a plain
//! store, becomes a call of a memset that goes byte by byte: so word by word, volatile.

use core::mem::MaybeUninit;

/// A `T` in `room`, all zero.
#[inline(always)]
pub(crate) fn zeroed<T: Copy>(room: &mut MaybeUninit<T>) -> &mut T {
    // SAFETY: `room` is for a `T`; the structures of tracer-common are of whole words.
    unsafe { clear(room.as_mut_ptr().cast(), size_of::<T>() / 8) };
    // SAFETY: every word was written; the structures of tracer-common are integers,
    // for which zero is valid.
    unsafe { room.assume_init_mut() }
}

/// Writes zeros.
///
/// # Safety
///
/// `to` must have room for so many words, aligned.
#[inline(always)]
pub(crate) unsafe fn clear(to: *mut u64, words: usize) {
    for at in 0..words {
        // SAFETY: the caller's promise.
        unsafe { to.add(at).write_volatile(0) };
    }
}
