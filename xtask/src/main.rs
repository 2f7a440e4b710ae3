//! tracer's build, run and test commands. Owns the list of commands only; each
//! is one module with its `Options` and a `run`.

mod bench;
mod build_ebpf;
mod cargo;
mod fuzz;
mod process;
mod provision;
mod run;
mod tally;
mod test;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// tracer's build, run and test commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Run(run::Options),
    Test(test::Options),
    Vm(vm::Options),
    BuildEbpf(build_ebpf::Options),
    Fuzz(fuzz::Options),
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Run(options) => run::run(options),
        Command::Test(options) => test::run(&options),
        Command::Vm(options) => vm::run(&options),
        Command::BuildEbpf(options) => build_ebpf::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        // Without the backtrace, which nobody who is told what to do needs.
        eprintln!("cargo xtask: {error:#}");
        ExitCode::FAILURE
    })
}
