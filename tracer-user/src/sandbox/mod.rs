//! What tracer gives up, so that whoever takes it over by what it reads gains little.
//!
//! In two steps. [`begin`] is the first thing that a run does, before it has threads: capabilities are a
//! thread's own, and threads inherit them. From then on it has those that its work needs, and nothing it
//! could start would have more. [`close`] comes when all is attached and open: a filter of system calls
//! for all threads, which leaves what the rest of the run needs. Both do what the kernel lets them: what
//! it refuses becomes a warning, as a host that is watched with less protection is better than one that
//! is not watched.
//!
//! **No Landlock.** A process with Landlock rules may not look into processes without them, even where
//! nothing of that is in the rules (`hook_ptrace_access_check()` in the kernel's
//! `security/landlock/task.c`): `exe`, `fd` and `ns` of all others in `/proc` would be gone. The filter
//! makes the file system read-only instead: nothing can be opened for writing.

mod calls;
mod filter;
mod limits;
mod rights;

use std::sync::atomic::{AtomicBool, Ordering};

pub use filter::{Attaches, Needs};

/// Whether [`close`] does anything: not before [`begin`], nor with `--no-sandbox`.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// The first step: rights, limits and what others may do with this process. `watches` tells whether a
/// host is to be watched: else there are but files to be read. To be called before there are threads.
/// Returns what the kernel refused, to be told once there is a log.
#[must_use]
pub fn begin(watches: bool) -> Vec<String> {
    IS_ON.store(true, Ordering::Release);
    let mut refused = Vec::new();
    let mut note = |what: &str, result: rustix::io::Result<()>| {
        if let Err(error) = result {
            refused.push(format!("{what}: {error}"));
        }
    };
    limits::set(&mut note);
    rights::shed(watches, &mut note);
    refused
}

/// The limits alone, which a run without a sandbox needs too.
pub fn raise_limits() {
    limits::raise();
}

/// The second step: from now on no thread of this process can do more than `needs` says. To be called
/// once nothing is to be attached or created any more; only the first call counts.
pub fn close(needs: Needs) {
    if !IS_ON.swap(false, Ordering::AcqRel) {
        return;
    }
    match filter::install(needs) {
        Ok(()) => tracing::debug!("system calls that are not needed are refused from now on"),
        Err(error) => tracing::warn!(
            %error,
            "the kernel takes no filter of system calls, so this process keeps all that its rights \
             allow: use a kernel with CONFIG_SECCOMP_FILTER, or a container that permits seccomp(); \
             --no-sandbox does without"
        ),
    }
}

#[cfg(test)]
mod tests;
