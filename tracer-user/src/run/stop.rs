//! When a run is to end: whoever started it says so, and the run hears of it.

use tokio::sync::watch;

/// Asks a run to stop.
#[derive(Debug)]
pub(super) struct Stop(watch::Sender<u32>);

/// Hears that a run is to stop.
#[derive(Clone, Debug)]
pub(super) struct Stopped(watch::Receiver<u32>);

impl Stop {
    /// And who hears of it.
    pub(super) fn new() -> (Self, Stopped) {
        let (stop, stopped) = watch::channel(0);
        (Self(stop), Stopped(stopped))
    }

    /// Asks to stop; asked again, to do so at once.
    pub(super) fn ask(&self) {
        self.0.send_modify(|times| *times += 1);
    }
}

impl Stopped {
    /// Waits until that was asked for so many times. Whoever could ask being gone counts as asking.
    pub(super) async fn asked(&mut self, times: u32) {
        // An error says that nobody can ask any more.
        let _ = self.0.wait_for(|asked| *asked >= times).await;
    }

    /// Whether it was asked for.
    pub(super) fn is_asked(&self) -> bool {
        *self.0.borrow() > 0 || self.0.has_changed().is_err()
    }
}
