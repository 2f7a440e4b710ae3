//! Secrets in what others wrote: passwords and tokens among arguments and labels are replaced where
//! these come in, so that nothing that is made of them has any.
//!
//! This knows well-known options, names and shapes ([`rules`]); what it does not know stays. When in
//! doubt it replaces: a word too much costs less than a password.

mod rules;
mod text;
mod words;

use std::sync::Arc;

use crate::model::Process;

/// What stands for a secret. Its length says nothing.
pub(crate) const MASK: &str = "***";

/// What is told of the arguments of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arguments {
    /// Without the passwords and tokens that are known as such.
    #[default]
    Masked,
    /// As they are.
    Full,
    /// Nothing: programs of an interpreter are then told apart by name only.
    None,
}

impl Arguments {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 3] = [Self::Masked, Self::Full, Self::None];

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Full => "full",
            Self::None => "none",
        }
    }

    /// The arguments of a program, as they are to be kept: where nothing is told they still name it.
    pub(super) fn keep(self, exe: Option<&str>, args: Arc<[String]>) -> Arc<[String]> {
        match self {
            Self::Full => args,
            Self::Masked | Self::None => words::masked(exe, &args).map_or(args, Arc::from),
        }
    }

    /// Likewise of a process.
    pub(super) fn keep_of(self, process: &Arc<Process>) -> Arc<Process> {
        let Some(args) = &process.args else {
            return Arc::clone(process);
        };
        let kept = self.keep(process.exe.as_deref(), Arc::clone(args));
        if Arc::ptr_eq(args, &kept) {
            return Arc::clone(process);
        }
        Arc::new(Process {
            args: Some(kept),
            ..Process::clone(process)
        })
    }

    /// Leaves out what is not to be told.
    pub(super) fn tell_of(self, process: &mut Process) {
        if self == Self::None {
            process.args = None;
        }
    }
}

/// `value` of the label `name` without secrets; none where it is not to be told at all.
pub(super) fn label(name: &str, value: &str) -> Option<Arc<str>> {
    // What was applied, environment and all.
    if name.ends_with("last-applied-configuration") {
        return None;
    }
    if text::is_secret(name) && !text::is_plain(value) {
        return Some(MASK.into());
    }
    let mut found = Vec::new();
    text::find(value, text::Context::Prose, &mut found);
    Some(match text::replaced(value, found) {
        Some(masked) => masked.into(),
        None => value.into(),
    })
}

#[cfg(test)]
mod tests;
