//! What goes on, on a terminal; nothing elsewhere.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

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
        let seconds = Duration::from_secs(self.begun.elapsed().as_secs());
        let seconds = humantime::format_duration(seconds);
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
