//! What goes on, on a terminal; nothing elsewhere.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A line that is written again and again.
pub(super) struct Progress {
    begun: Instant,
    is_shown: Cell<bool>,
}

impl Progress {
    /// None if standard error is no terminal.
    pub(super) fn new() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self {
            begun: Instant::now(),
            is_shown: Cell::new(false),
        })
    }

    /// Shows that this host is watched, and `text`.
    pub(super) fn show(&self, text: &str) {
        let stderr = std::io::stderr();
        let seconds = Duration::from_secs(self.begun.elapsed().as_secs());
        let seconds = humantime::format_duration(seconds);
        // A terminal that takes nothing (Ctrl-S, a connection that hangs) keeps nobody waiting.
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0) {
            return;
        }
        self.is_shown.set(true);
        // There is nowhere else to say that this cannot be written.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Kwatching for {seconds}: {text}; Ctrl-C for the answer"
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown.get() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
