//! tracer's user space: from kernel records to answers.
//!
//! Data runs left to right, imports do not: all stages below import [`model`], few of them another one
//! (the table in `ARCHITECTURE.md` says which), and [`run`] joins them.
//!
//! - [`model`]: plain values every stage speaks
//! - [`capture`]: kernel → model; the only place that knows aya and the eBPF side
//! - [`replay`]: recorded streams → model
//! - [`enrich`]: model → model: what /proc adds to a process, and what servers are called
//! - [`filter`]: which events the user asked for
//! - [`anonymise`]: model → model: names and addresses that say nothing
//! - [`map`]: events → who depends on whom; pure
//! - [`ask`]: questions about views, each a pure function
//! - [`outputs`]: model → bytes; text from outside is made harmless here
//! - [`sink`]: bytes → standard output
//! - [`tui`]: snapshots of a map → a live view on a terminal
//!
//! Around them: [`cli`] (what was asked), [`run`] and [`doctor`] (the commands),
//! [`exit`] and [`signals`] (how they end), [`host`] (which host this is, its clock, what tracer takes of it),
//! [`files`] (those that the user names), [`procfs`] (what /proc says, for capture and enrich),
//! [`packages`] (who uses the files of a package), [`sandbox`] (what is given up).

// What is printed passes `sink`, and what is complained of `outputs::complaint`: both make it harmless.
#![cfg_attr(
    not(any(test, feature = "fuzzing")),
    deny(clippy::print_stdout, clippy::print_stderr)
)]

pub mod anonymise;
pub mod ask;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
pub mod capture;
pub mod cli;
pub mod doctor;
pub mod enrich;
pub mod exit;
pub mod files;
pub mod filter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod host;
pub mod map;
pub mod model;
pub mod outputs;
pub mod packages;
pub mod procfs;
pub mod replay;
pub mod run;
pub mod sandbox;
pub mod signals;
pub mod sink;
pub mod tui;
