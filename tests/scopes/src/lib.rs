//! The parts of the kernel suite: a folder or file of `tests/kernel` each. The suite and whoever runs it name them
//! by one type, so that no misspelt name can select nothing.

use std::{fmt, str::FromStr};

/// The environment variable that says which parts of the suite to run, by their names, with commas between.
pub const VARIABLE: &str = "TRACER_SCOPE";

/// A part of the kernel suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Connections of all kinds, held against what really happened.
    Traffic,
    /// Many connections a second.
    Storm,
    /// What was there before, what finds no room, every moment at which a run begins or ends.
    Start,
    /// Attempts that fail, and listeners.
    Failures,
    /// Sockets and processes that are awkward to follow.
    Sockets,
    /// Whose a connection is.
    Identity,
    /// The program as a whole.
    General,
    /// What tracer costs, in instructions. It takes long, so it runs only where it is named.
    Cost,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Traffic,
        Self::Storm,
        Self::Start,
        Self::Failures,
        Self::Sockets,
        Self::Identity,
        Self::General,
        Self::Cost,
    ];

    /// Those that run unless others are named.
    pub const DEFAULT: [Self; 7] = [
        Self::Traffic,
        Self::Storm,
        Self::Start,
        Self::Failures,
        Self::Sockets,
        Self::Identity,
        Self::General,
    ];

    /// Its name: that of its folder or file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traffic => "traffic",
            Self::Storm => "storm",
            Self::Start => "start",
            Self::Failures => "failures",
            Self::Sockets => "sockets",
            Self::Identity => "identity",
            Self::General => "general",
            Self::Cost => "cost",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` is no part of the kernel suite: write one of {}, or several with commas between",
                    join(&Self::ALL)
                )
            })
    }
}

/// As the variable holds them.
pub fn join(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(|it| it.name())
        .collect::<Vec<_>>()
        .join(",")
}

/// The parts that the variable names; those of [`Scope::DEFAULT`] without it.
///
/// # Errors
///
/// If it names what is no part, or nothing.
pub fn named(variable: Option<&str>) -> Result<Vec<Scope>, String> {
    match variable {
        None => Ok(Scope::DEFAULT.to_vec()),
        Some(text) => text.split(',').map(str::parse).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(named(Some(&join(&Scope::ALL))), Ok(Scope::ALL.to_vec()));
        assert_eq!(named(None), Ok(Scope::DEFAULT.to_vec()));
    }

    #[test]
    fn a_misspelt_name_is_an_error() {
        for text in ["", "trafic", "traffic,", "traffic, storm", "all"] {
            assert!(named(Some(text)).is_err(), "{text:?}");
        }
    }
}
