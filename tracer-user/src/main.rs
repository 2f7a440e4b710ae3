//! tracer: see `tracer --help`.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use tracer_user::{
    capture::CaptureError,
    cli::{Cli, Command},
    doctor,
    exit::Exit,
    pipeline,
};

fn main() -> ExitCode {
    let cli = Cli::parse_or_exit();
    cli.start_log();
    let exit = run(cli.command).unwrap_or_else(|error| {
        eprintln!("tracer: {error:#}");
        match error.downcast_ref::<CaptureError>() {
            Some(error) if error.is_privilege() => Exit::NotPermitted,
            Some(error) if error.is_unsupported() => Exit::Unsupported,
            _ => Exit::Failed,
        }
    });
    exit.into()
}

fn run(command: Command) -> Result<Exit> {
    // One thread runs a whole capture: it drains, completes and writes in turn.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    match command {
        Command::Stream(options) => runtime.block_on(pipeline::stream(options)),
        Command::Doctor(options) => runtime.block_on(doctor::run(&options)),
        Command::Completions { shell } => {
            std::io::stdout()
                .write_all(&Cli::completions(shell))
                .context("writing the script")?;
            Ok(Exit::Done)
        }
    }
}
