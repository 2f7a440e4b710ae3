//! tracer's own log: to standard error, quiet unless asked.

use std::{
    fmt,
    io::{IsTerminal, stderr},
};

use tracing::field::Field;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    filter::LevelFilter,
    fmt::format::{Writer, debug_fn},
};

use crate::outputs::complaint;

/// Names what the log shows, in the syntax of `tracing_subscriber::EnvFilter`; wins over `-v`.
const VARIABLE: &str = "TRACER_LOG";

/// Keeps the log going; when dropped, what is left is written.
pub type Guard = WorkerGuard;

/// Sends the log to standard error, as much of it as asked for, until the guard is dropped. A second start is ignored. It is written by a thread of its own and
/// never waited for: standard error may be a pipe that nobody reads.
pub fn start(verbose: u8) -> Guard {
    let (writer, guard) = tracing_appender::non_blocking(stderr());
    let (filter, complaint) = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (default_filter(verbose), Some(error)),
        },
        _ => (default_filter(verbose), None),
    };
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(debug_fn(field).delimited(" "))
        .with_writer(writer)
        .with_ansi(stderr().is_terminal())
        .with_target(verbose > 1)
        .try_init();
    if let (Ok(()), Some(error)) = (started, complaint) {
        tracing::warn!("{VARIABLE} is ignored: {error}. Write for example {VARIABLE}=debug");
    }
    guard
}

/// Writes a field of a message, whatever it quotes.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = complaint(&format!("{value:?}"));
    match field.name() {
        // Where a library logged that.
        name if name.starts_with("log.") => Ok(()),
        "message" => write!(writer, "{text}"),
        name => write!(writer, "{}={text}", name.trim_start_matches("r#")),
    }
}

fn default_filter(verbose: u8) -> EnvFilter {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::default().add_directive(level.into());
    // The libraries are chatty: theirs only when everything is asked for.
    match "aya=warn,aya_obj=warn,aya_log=warn"
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<_>, _>>()
    {
        Ok(quiet) if verbose < 3 => quiet.into_iter().fold(filter, EnvFilter::add_directive),
        _ => filter,
    }
}
