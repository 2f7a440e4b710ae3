//! What whoever is handed values one by one answers to each.

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// For more.
    More,
    /// For no more, until it was flushed or is ready.
    Full,
}
