//! Memory of this process that is no longer used.

/// Makes all threads allocate from one arena. Call before there is a second thread.
///
/// glibc gives threads arenas of their own, and `malloc_trim()` keeps the free end of these: it shortens the main
/// arena alone (`malloc/malloc.c`, `mtrim()`). Up to some megabytes that a thread took at the start would stay. Only one thread here allocates much.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers; nobody allocates meanwhile.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free memory to the kernel, such as the tens of megabytes that the kernel's type information takes
/// while attaching: the allocator would keep it for as long as this process lives.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
