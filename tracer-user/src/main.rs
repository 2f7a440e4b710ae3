//! tracer: see `tracer --help`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tracer_user::{
    capture::CaptureError,
    cli::{self, Invocation, Request, log},
    doctor,
    exit::Exit,
    host,
    outputs::complaint,
    run, sandbox, sink,
};

fn main() -> ExitCode {
    host::memory::use_one_arena();
    std::panic::set_hook(Box::new(|panic| {
        // A fault of ours, which may quote what we fell over.
        let trace = Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\n{trace}"),
            _ => "; RUST_BACKTRACE=1 shows more".to_owned(),
        };
        complain(complaint(&format!("tracer: {panic}{trace}")) + "\n");
    }));
    let Invocation {
        request,
        verbose,
        no_sandbox,
    } = cli::parse_or_exit();
    // Before there are threads, as of the log: each has rights of its own.
    let refused = match no_sandbox {
        true => {
            sandbox::raise_limits();
            Vec::new()
        }
        false => sandbox::begin(request.watches()),
    };
    // It would be written over what is shown.
    let is_covered = request.takes_terminal() && std::io::stderr().is_terminal();
    let _log = (!is_covered).then(|| log::start(verbose));
    for what in refused {
        tracing::warn!("{what}: this process keeps more than it needs");
    }
    let exit = obey(request).unwrap_or_else(|error| {
        complain(complaint(&format!("tracer: {error:#}")) + "\n");
        match error.downcast_ref::<CaptureError>() {
            Some(error) if error.is_privilege() => Exit::NotPermitted,
            Some(error) if error.is_unsupported() => Exit::Unsupported,
            _ => Exit::Failed,
        }
    });
    exit.into()
}

fn obey(request: Request) -> Result<Exit> {
    match request {
        Request::Stream(request) => alone(run::stream(request)),
        Request::Map(request) => alone(run::map(request)),
        Request::Ask(request) => alone(run::ask(request)),
        Request::Follow(request) => alone(run::follow(request)),
        Request::Doctor(request) => alone(doctor::run(request)),
        Request::Completions(script) => {
            sink::print(&script).context("writing the script")?;
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
