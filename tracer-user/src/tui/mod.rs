//! The live terminal view of a map. It shows snapshots ([`View`](crate::model::View)) and never
//! sees an event, so it can neither slow a capture down nor disagree with the other outputs.
//!
//! [`App`] is what is shown and what keys do to it: pure, without a clock and without I/O. [`Screen`]
//! is the terminal: it hands over keys and draws an [`App`], and nothing in it waits for either.
//!
//! A caller's loop:
//!
//! ```no_run
//! # use tracer_user::{model::View, tui::{App, Command, Input, Screen, Status}};
//! # async fn run() -> std::io::Result<()> {
//! let mut screen = Screen::open()?;
//! let mut app = App::new();
//! app.show(View::default(), Status::default()); // then again whenever there is a new snapshot
//! loop {
//!     screen.draw(&mut app)?;
//!     match screen.key().await {
//!         None => break,
//!         Some(Input::Redraw) => {}
//!         Some(Input::Key(key)) => match app.press(key) {
//!             Some(Command::Quit) => break,
//!             Some(Command::Pause) => { /* turn `Status::paused` around */ }
//!             None => {}
//!         },
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod app;
mod cells;
mod columns;
mod detail;
mod draw;
mod facts;
mod focus;
mod keys;
mod list;
mod numbers;
mod paint;
mod rows;
mod screen;
mod status;
mod theme;

pub use app::{App, Command};
pub use crossterm::event::KeyEvent;
pub use screen::{Input, Screen};
pub use status::Status;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
