//! Events, rendered as lines until there are enough of them to be written.

use super::Take;
use crate::{
    anonymise::Anonymiser,
    model::Event,
    outputs::{Format, Writer},
};

/// A batch is to be written at this size, bytes.
const FULL_BYTES: usize = 256 << 10;

/// Lines that wait.
pub(crate) struct Batch {
    anonymiser: Option<Anonymiser>,
    writer: Writer,
    bytes: Vec<u8>,
}

impl Batch {
    /// Of lines that this writer makes.
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            anonymiser: None,
            writer,
            bytes: Vec::new(),
        }
    }

    /// Of lines of JSON.
    pub(crate) fn json() -> Self {
        Self::new(Writer::new(Format::Json, false))
    }

    /// The same, with names and addresses that say nothing.
    pub(crate) fn anonymised(self) -> Self {
        Self {
            anonymiser: Some(Anonymiser::default()),
            ..self
        }
    }

    /// Takes one more.
    pub(crate) fn write(&mut self, event: &Event) {
        match &mut self.anonymiser {
            None => self.writer.write(event, &mut self.bytes),
            Some(anonymiser) => {
                let made_up = anonymiser.replace(event.clone());
                self.writer.write(&made_up, &mut self.bytes);
            }
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it is to be written now.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// Whether there is room for more.
    pub(super) fn room(&self) -> Take {
        match self.is_full() {
            true => Take::Full,
            false => Take::More,
        }
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins anew, in the same memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Begins anew; what was in it is returned.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
