//! tracer: see `tracer --help`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::Write,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tracer_user::{
    capture::CaptureError,
    cli::{Cli, Command, UsageError},
    doctor,
    exit::Exit,
    outputs::complaint,
    run, sandbox, sink,
};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // A fault of ours, which may quote what we fell over.
        let trace = Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\n{trace}"),
            _ => "; RUST_BACKTRACE=1 shows more".to_owned(),
        };
        complain(complaint(&format!("tracer: {panic}{trace}")) + "\n");
    }));
    let cli = Cli::parse_or_exit();
    // Before there are threads, as of the log: each has rights of its own.
    let refused = match cli.no_sandbox {
        true => {
            sandbox::raise_limits();
            Vec::new()
        }
        false => sandbox::begin(cli.command.watches()),
    };
    let _log = cli.start_log();
    for what in refused {
        tracing::warn!("{what}: this process keeps more than it needs");
    }
    let exit = obey(cli.command).unwrap_or_else(|error| {
        complain(complaint(&format!("tracer: {error:#}")) + "\n");
        if error.is::<UsageError>() {
            return Exit::Usage;
        }
        match error.downcast_ref::<CaptureError>() {
            Some(error) if error.is_privilege() => Exit::NotPermitted,
            Some(error) if error.is_unsupported() => Exit::Unsupported,
            _ => Exit::Failed,
        }
    });
    exit.into()
}

fn obey(command: Command) -> Result<Exit> {
    match command {
        Command::Stream(options) => alone(run::stream(options)),
        Command::Map(options) => alone(run::map(options)),
        Command::Ask(question) => alone(run::ask(question)),
        Command::Doctor(options) => alone(doctor::run(options)),
        Command::Completions { shell } => {
            sink::print(&Cli::completions(shell)).context("writing the script")?;
            Ok(Exit::Done)
        }
    }
}

/// Waits for `command` on this thread. What takes events has one of its own.
fn alone(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(command)
}

/// Writes to standard error, but does not wait for long: it may be the very pipe that
/// nobody reads.
fn complain(text: String) {
    let (done, written) = mpsc::channel();
    thread::spawn(move || {
        // There is nowhere else to complain.
        let _ = std::io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    let _ = written.recv_timeout(Duration::from_secs(1));
}
