//! Records of a real run, taken through the stages again.

use super::{decode, interpret::Interpreter};
use crate::{host::this_host, model::Told};

/// Records of another capture, taken through the stages of this one.
pub(crate) struct Replay(Interpreter);

impl Replay {
    pub(crate) fn new() -> Self {
        Self(Interpreter::new(this_host()))
    }

    /// What a record tells.
    pub(crate) fn told<T>(&mut self, bytes: &[u8], each: impl FnOnce(Told<'_>) -> T) -> Option<T> {
        let record = decode::decode(bytes).ok()?;
        self.0.told(&record, |_| true).map(each)
    }
}
