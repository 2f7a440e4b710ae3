//! How things look. Only the sixteen colours that every terminal lets its user choose, and never
//! colour alone: whatever it says is also a word or a sign.

use ratatui_core::style::{Color, Modifier, Style};

use crate::model::EdgeState;

/// What a piece of text is to its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Ordinary.
    #[default]
    Plain,
    /// Of less weight: labels, hints, lines.
    Faint,
    /// A title.
    Head,
    /// It works.
    Good,
    /// It works again, or not always.
    Warn,
    /// It fails.
    Bad,
    /// It must not be overlooked.
    Loud,
    /// Chosen.
    Chosen,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colour: bool,
}

impl Theme {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        match tone {
            Tone::Plain => plain,
            // Not a grey: in some palettes that is the colour of the background.
            Tone::Faint => plain.add_modifier(Modifier::DIM),
            Tone::Head => self.coloured(Color::Cyan).add_modifier(Modifier::BOLD),
            Tone::Good => self.coloured(Color::Green),
            Tone::Warn => self.coloured(Color::Yellow).add_modifier(Modifier::BOLD),
            Tone::Bad => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Loud => self
                .coloured(Color::Red)
                .add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Tone::Chosen => plain.add_modifier(Modifier::REVERSED),
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

/// The sign of a state, one column wide.
pub(super) fn sign(state: EdgeState) -> &'static str {
    match state {
        EdgeState::Ok => " ",
        EdgeState::Failed => "✗",
        EdgeState::Mixed => "!",
    }
}

/// Sign and word.
pub(super) fn word(state: EdgeState) -> &'static str {
    match state {
        EdgeState::Ok => "ok",
        EdgeState::Failed => "✗ failed",
        EdgeState::Mixed => "! mixed",
    }
}

/// How a state looks.
pub(super) fn tone(state: EdgeState) -> Tone {
    match state {
        EdgeState::Ok => Tone::Good,
        EdgeState::Failed => Tone::Bad,
        EdgeState::Mixed => Tone::Warn,
    }
}
