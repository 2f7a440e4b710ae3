//! How a run ends, as the shell sees it. The numbers are public: scripts act on them.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; also when a signal asked to stop or the reader of the output went away.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Ran but lost events, and `--strict` was given.
    Lost = 2,
    /// The question's answer is no.
    No = 3,
    /// The command line makes no sense (`EX_USAGE`).
    Usage = 64,
    /// This kernel cannot do it (`EX_UNAVAILABLE`).
    Unsupported = 69,
    /// Not permitted (`EX_NOPERM`).
    NotPermitted = 77,
}

impl Exit {
    /// How a run ended that did what it was to do; it `lost` events, and that matters.
    pub fn of(lost: bool) -> Self {
        if lost { Self::Lost } else { Self::Done }
    }

    /// The exit code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
