//! Memory that is no longer used.

/// Returns free memory to the kernel, such as the tens of megabytes that the kernel's type information takes
/// while attaching: the allocator would keep it for as long as this process lives.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
