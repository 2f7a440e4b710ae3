//! Model → bytes: one line an event, for programs or for people; a map in the formats of [`map`];
//! answers in those of [`answers`]. The JSON documents and their versions are in [`wire`].
//!
//! Text that comes from outside (names, paths, arguments) is hostile: nothing of it
//! reaches a terminal but through [`sanitise`] or the JSON serialiser.

pub mod answers;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod complaint;
mod grid;
pub mod map;
mod row;
mod sanitise;
mod strict;
mod text;
pub(crate) mod units;
pub(crate) mod wire;

use std::io::IsTerminal;

use crate::model::Event;

pub use complaint::{complaint, lines};
pub use sanitise::sanitise;

/// Appends any value as JSON over several lines, harmless on a terminal.
pub fn pretty_json(value: &impl serde::Serialize, buf: &mut Vec<u8>) {
    wire::json::pretty(value, buf);
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON Lines, for programs: one object a line, every field.
    Json,
    /// One line an event, for people: may change with any release.
    Text,
}

impl Format {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    /// The form for standard output if the user asked for none: for people if it is a
    /// terminal, else for programs.
    pub fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// Whether standard output is to be coloured: if it is a terminal that can, and the user
/// did not say no (<https://no-color.org>).
pub fn colour_for_stdout() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// How many columns standard output has, if it is a terminal.
pub fn width_of_stdout() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

/// Writes events in one form.
#[derive(Debug)]
pub struct Writer(Form);

#[derive(Debug)]
enum Form {
    Json(wire::stream::Lines),
    Text { colour: bool },
}

impl Writer {
    /// A writer of `format`; `colour` matters for text only.
    pub fn new(format: Format, colour: bool) -> Self {
        Self(match format {
            Format::Json => Form::Json(wire::stream::Lines::default()),
            Format::Text => Form::Text { colour },
        })
    }

    /// Appends `event` to `buf`, line end included.
    pub fn write(&mut self, event: &Event, buf: &mut Vec<u8>) {
        match &mut self.0 {
            Form::Json(lines) => lines.write(event, buf),
            Form::Text { colour } => text::write(event, *colour, buf),
        }
    }
}

#[cfg(test)]
mod documentation;
#[cfg(test)]
pub(crate) mod readers;
