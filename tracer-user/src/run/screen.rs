//! The terminal view of a map, fed with snapshots.

use std::io::IsTerminal as _;

use anyhow::{Context, Result};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    consumer::{Figures, Snapshot},
    pace::{Pace, spent},
    source::Account,
    thread::{First, LOOKS, LOOKS_PART, Running},
};
use crate::{
    model::View,
    signals::Signals,
    tui::{App, Command, Input, Screen, Status},
};

/// Whether the terminal is opened by its name, for writing: again at the end, to give it back.
pub(super) fn opens_terminal(on_screen: bool) -> bool {
    on_screen && !std::io::stdin().is_terminal()
}

/// The terminal, taken over.
pub(super) struct Display {
    screen: Screen,
    app: App,
    /// What the events come from.
    source: String,
    begun: Instant,
    paused: bool,
    /// What was shown last, and when.
    last: Option<(Instant, u64, u64)>,
}

impl Display {
    /// Takes the terminal over, to show events of `source`.
    pub(super) fn open(source: String) -> Result<Self> {
        Ok(Self {
            screen: Screen::open().context("taking the terminal over")?,
            app: App::new(),
            source,
            begun: Instant::now(),
            paused: false,
            last: None,
        })
    }

    /// Shows a new snapshot.
    pub(super) fn show(&mut self, view: View, figures: &Figures) -> Result<()> {
        let now = Instant::now();
        let cpu_ns = figures.cost.map_or(0, |cost| cost.cpu_ns);
        let (from, events, cpu_before) = self.last.unwrap_or((self.begun, 0, 0));
        let seconds = (now - from).as_secs_f64().max(0.001);
        self.last = Some((now, figures.events, cpu_ns));
        let status = Status {
            elapsed: now - self.begun,
            events_per_second: figures.events.saturating_sub(events) as f64 / seconds,
            lost: figures.lost,
            missed: view.coverage.iter().map(|it| it.missed).sum(),
            cpu_percent: figures
                .cost
                .map(|_| (cpu_ns.saturating_sub(cpu_before) as f64 / seconds / 1e7) as f32),
            memory_bytes: figures.cost.and_then(|cost| cost.memory_bytes),
            hooks: self.source.clone(),
            paused: self.paused,
        };
        self.app.show(view, status);
        self.draw()
    }

    /// What the user does next; see [`Self::act`].
    pub(super) async fn input(&mut self) -> Option<Input> {
        self.screen.key().await
    }

    /// Does what the user asked for. Tells whether to go on.
    pub(super) fn act(&mut self, input: Option<Input>) -> Result<bool> {
        match input {
            None => return Ok(false),
            Some(Input::Redraw) => {}
            Some(Input::Key(key)) => match self.app.press(key) {
                Some(Command::Quit) => return Ok(false),
                Some(Command::Pause) => self.paused = !self.paused,
                None => {}
            },
        }
        self.draw()?;
        Ok(true)
    }

    fn draw(&mut self) -> Result<()> {
        self.screen
            .draw(&mut self.app)
            .context("writing to the terminal")
    }
}

/// Shows one snapshot until the user has seen enough.
pub(super) async fn explore(view: View, source: String, figures: &Figures) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut display = Display::open(source)?;
    // They did not happen just now.
    display.last = Some((display.begun, figures.events, 0));
    display.show(view, figures)?;
    loop {
        tokio::select! {
            () = signals.stop() => return Ok(()),
            input = display.input() => {
                if !display.act(input)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Shows each snapshot of a run until the user has seen enough; then what is left of the run is waited for.
pub(super) async fn follow(
    mut run: Running,
    mut display: Display,
    mut snapshots: watch::Receiver<Option<Snapshot>>,
    choose: impl Fn(&View) -> View,
) -> Result<Account> {
    enum Next {
        Input(Option<Input>),
        Snapshot,
    }
    let mut pace = Pace::new(LOOKS_PART, LOOKS);
    loop {
        let next = async {
            let snapshot = async {
                sleep_until(pace.next()).await;
                snapshots.changed().await
            };
            tokio::select! {
                input = display.input() => Next::Input(input),
                // The end of the run shows by itself.
                Ok(()) = snapshot => Next::Snapshot,
            }
        };
        match run.or(next).await? {
            First::Ended(account) => return Ok(account),
            First::Asked | First::AskedAgain => break,
            First::Other(Next::Input(input)) => {
                if !display.act(input)? {
                    run.stop();
                    break;
                }
            }
            First::Other(Next::Snapshot) => {
                let before = spent();
                let snapshot = snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    display.show(choose(&snapshot.view), &snapshot.figures)?;
                }
                pace.took(spent().saturating_sub(before));
            }
        }
    }
    // The terminal is given back before anything can take long.
    drop((display, snapshots));
    run.end().await
}
