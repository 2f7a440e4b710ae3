//! What can be wrong with a line.

/// The version of the stream that is understood.
pub(super) const VERSION: u64 = 1;

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not JSON, or not of the shape of a line.
    #[error("not a line of a tracer stream: {0}")]
    Json(serde_json::Error),
    /// It is of another version.
    #[error(
        "version {0} of the stream, and this tracer reads version {VERSION}: use the tracer that wrote it, or a newer one"
    )]
    Version(u64),
    /// A field is missing that this kind of event has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field has a value that none of it can be.
    #[error("`{field}` cannot be `{value}`")]
    Value {
        /// The field.
        field: &'static str,
        /// What is there; the beginning of it.
        value: String,
    },
    /// It is longer than any line can be.
    #[error("longer than {0} bytes, which no line of a tracer stream is")]
    TooLong(usize),
    /// It is the last one, and not whole.
    #[error(
        "the recording ends in the midst of this line: it was cut off, or is still being written"
    )]
    CutOff,
}

/// `field` cannot be `value`.
pub(super) fn bad(field: &'static str, value: &str) -> Fault {
    Fault::Value {
        field,
        value: value.chars().take(60).collect(),
    }
}
