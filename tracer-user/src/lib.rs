//! tracer's user space: from kernel records to answers.
//!
//! Data runs left to right, imports never do: the stages below do not import each
//! other, all of them import [`model`], and only [`pipeline`] knows two stages.
//!
//! - [`model`]: plain values every stage speaks
//! - [`capture`]: kernel → model; the only place that knows aya and the eBPF side
//! - [`enrich`]: model → model: what /proc adds to a process
//! - [`outputs`]: model → bytes; text from outside is made harmless here
//! - [`filter`]: which events the user asked for
//! - [`cli`]: the command line; `pipeline`: a run; [`exit`]: how it ends

pub mod model;
