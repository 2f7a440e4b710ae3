//! `cargo xtask test`: everything there is to test on this machine, from unit tests
//! to the kernel suite in virtual machines, and a table of how it went.

mod failures;
mod report;
mod virtual_machines;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::cargo::{self, Executable};
use crate::process::{self, Ending};
use crate::provision;
use crate::tally::{self, Tally};
use crate::vm::{Hooks, SUITES, Suite};
use failures::Failures;
use report::{Outcome, Report, Row};

/// The test program that needs privileges, and is the first process of the machines.
const KERNEL: &str = "kernel";

/// How long one test program may take natively.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Run all tests: unit, unprivileged, on this kernel, and on Debian's in QEMU
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only tests whose names contain this
    filter: Option<String>,
    /// Boot no virtual machine
    #[arg(long, conflicts_with = "vm_only")]
    native_only: bool,
    /// Only in virtual machines
    #[arg(long)]
    vm_only: bool,
    /// Debian suites whose kernels to test in virtual machines [default: all]
    #[arg(long, value_enum, value_delimiter = ',', hide_default_value = true, default_values_t = SUITES.iter().copied())]
    suites: Vec<Suite>,
    /// Hooks to test on each of them, one boot each
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "fentry,kprobe,tracepoint"
    )]
    hooks: Vec<Hooks>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let machines = if options.native_only {
        &[]
    } else {
        provision::MACHINES
    };
    let needed = [provision::SUITES, machines].concat();
    let only = options.vm_only.then_some(KERNEL);
    // What comes over the network takes about as long as the compiler, and none of its processor.
    let (kernels, built) = std::thread::scope(|scope| {
        let prepared = scope.spawn(|| {
            provision::provision(&needed, "The tests that need them");
            match options.native_only {
                true => Vec::new(),
                false => virtual_machines::fetch(&options.suites),
            }
        });
        println!("building");
        let built =
            cargo::build_tracer().and_then(|tracer| Ok((tracer, cargo::build_tests(only)?)));
        (prepared.join(), built)
    });
    let (tracer, tests) = built?;
    let kernels = kernels.map_err(|_| anyhow!("cannot prepare this machine: see above"))?;
    let (kernel, others): (Vec<_>, Vec<_>) =
        tests.into_iter().partition(|test| test.name == KERNEL);
    let kernel = kernel
        .into_iter()
        .next()
        .context("cargo built no test program named kernel")?;
    let filter: Vec<String> = options.filter.iter().cloned().collect();

    let here = || {
        let mut rows = Vec::new();
        if !options.vm_only {
            rows.extend(
                others
                    .iter()
                    .map(|test| native(test, &tracer, &filter, Command::new(&test.path))),
            );
            rows.push(native_kernel(&kernel, &tracer, &filter));
        }
        rows
    };
    let mut report = Report::default();
    if options.native_only {
        report.extend(here());
    } else {
        let matrix = virtual_machines::Matrix {
            suites: &options.suites,
            hooks: &options.hooks,
            kernels: &kernels,
            init: &kernel.path,
            tracer: &tracer,
            filter: &filter,
        };
        report.extend(matrix.run(here));
    }
    report.print();
    if let Some(filter) = &options.filter {
        ensure!(
            report.has_run(),
            "no test has `{filter}` in its name: `cargo xtask test` runs all"
        );
    }
    Ok(if report.total().failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The kernel suite on this machine's kernel, through sudo if need be.
fn native_kernel(kernel: &Executable, tracer: &Path, filter: &[String]) -> Row {
    if process::is_root() {
        return native(kernel, tracer, filter, Command::new(&kernel.path));
    }
    let sudo = process::find("sudo").filter(|sudo| {
        // Asks for a password now, where there is somebody to ask.
        Command::new(sudo)
            .arg("--validate")
            .status()
            .is_ok_and(|status| status.success())
    });
    match sudo {
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.arg("env").arg(variable(tracer)).arg(&kernel.path);
            native(kernel, tracer, filter, command)
        }
        None => Row {
            suite: KERNEL.to_owned(),
            kernel: running_kernel(),
            hooks: "auto",
            outcome: Outcome::Skipped(
                "needs root: run it as root, or with sudo at hand".to_owned(),
            ),
            seconds: 0,
        },
    }
}

fn variable(tracer: &Path) -> std::ffi::OsString {
    let mut variable = std::ffi::OsString::from("TRACER=");
    variable.push(tracer);
    variable
}

/// Runs one test program on this machine, with `command`.
fn native(test: &Executable, tracer: &Path, filter: &[String], mut command: Command) -> Row {
    let is_kernel = test.name == KERNEL;
    println!("\n{} on this machine", test.name);
    command
        .args(filter)
        .env("TRACER", tracer)
        .env("CARGO_MANIFEST_DIR", &test.package)
        .current_dir(&test.package);
    let begun = Instant::now();
    let (mut tally, mut failures) = (None, Failures::default());
    let ending = process::watch(&mut command, LIMIT, |line| {
        println!("{line}");
        failures.read(line);
        if let Some(more) = tally::summary(line) {
            *tally.get_or_insert_default() += more;
        }
        ControlFlow::Continue(())
    });
    let row = Row {
        suite: test.name.clone(),
        kernel: if is_kernel {
            running_kernel()
        } else {
            String::new()
        },
        hooks: if is_kernel { "auto" } else { "" },
        outcome: outcome(ending, tally, failures),
        seconds: begun.elapsed().as_secs(),
    };
    row.announce();
    row
}

/// A program that fails without a failed test has failed all the same.
fn outcome(ending: Result<Ending>, tally: Option<Tally>, failures: Failures) -> Outcome {
    match (ending, tally) {
        (Err(error), _) => Outcome::Broken(format!("{error:#}")),
        (Ok(Ending::Late), _) => Outcome::Broken(format!("did not end in {} s", LIMIT.as_secs())),
        (Ok(Ending::Exited(status)), None) => {
            Outcome::Broken(format!("ended without a result ({status})"))
        }
        (Ok(Ending::Exited(status)), Some(tally)) if !status.success() && tally.failed == 0 => {
            Outcome::Broken(format!("all tests passed, and yet it failed ({status})"))
        }
        (Ok(Ending::Exited(_)), Some(tally)) => Outcome::Ran(tally, failures.into_lines()),
    }
}

fn running_kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
