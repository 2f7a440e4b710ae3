//! The public formats: what programs read. Each file owns the form of one document and its version,
//! which changes when a field goes away or changes its meaning. `docs/output.md` has every field. Answers are
//! serialised as they are computed: their fields are those of the types in `ask`.

pub(super) mod json;
pub(crate) mod map;
pub(crate) mod report;
pub(super) mod stream;
