//! Parts of lines that are the same on thousands of them, understood once: hosts, processes and
//! workloads are half of a line.

use std::{collections::HashMap, sync::Arc};

use super::canonical::Rest;

/// How many texts are kept; a recording has few processes that are busy at once.
const MAX_TEXTS: usize = 4096;
/// How many of them are compared with first, which takes less than to look one up.
const RECENT: usize = 4;

/// What texts mean that were read before.
#[derive(Debug)]
pub(super) struct Memo<T> {
    known: HashMap<Arc<str>, T>,
    recent: [Option<(Arc<str>, T)>; RECENT],
    /// Which of these is the oldest.
    oldest: usize,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            recent: [const { None }; RECENT],
            oldest: 0,
        }
    }
}

impl<T: Clone> Memo<T> {
    /// What `text` means, by `read` if it is new.
    pub(super) fn get<E>(
        &mut self,
        text: &str,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(value) = self.peek(text) {
            return Ok(value);
        }
        let value = read()?;
        self.insert(text, value.clone());
        Ok(value)
    }

    /// What `text` means, if it was read before.
    pub(super) fn peek(&mut self, text: &str) -> Option<T> {
        let recent = self.recent.iter().flatten();
        if let Some((_, value)) = recent.into_iter().find(|(known, _)| **known == *text) {
            return Some(value.clone());
        }
        let (text, value) = self.known.get_key_value(text)?;
        let (text, value) = (Arc::clone(text), value.clone());
        self.remember(text, value.clone());
        Some(value)
    }

    /// What the object that is next in a line means, by `read` if it is new; with the object
    /// behind it that `more` announces.
    pub(super) fn of_object(
        &mut self,
        rest: &mut Rest<'_>,
        more: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = self.recent_object(rest, more) {
            return Some(value);
        }
        let text = rest.object(more)?;
        self.get(text, || read(text).ok_or(())).ok()
    }

    /// The same, if it was read lately: then it need not even be looked through for its end.
    pub(super) fn recent_object(&mut self, rest: &mut Rest<'_>, more: &str) -> Option<T> {
        let recent = self.recent.iter().flatten();
        let (_, value) = recent
            .into_iter()
            .find(|(known, _)| rest.object_like(known, more))?;
        Some(value.clone())
    }

    /// Remembers what `text` means.
    pub(super) fn insert(&mut self, text: &str, value: T) {
        if self.known.len() >= MAX_TEXTS {
            self.known.clear();
        }
        let text: Arc<str> = text.into();
        self.known.insert(Arc::clone(&text), value.clone());
        self.remember(text, value);
    }

    fn remember(&mut self, text: Arc<str>, value: T) {
        self.recent[self.oldest] = Some((text, value));
        self.oldest = (self.oldest + 1) % RECENT;
    }
}
