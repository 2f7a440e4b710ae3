//! `cargo xtask fuzz`: builds the targets in `tests/fuzz` with counters at every branch,
//! gives them examples to begin from, and lets them look for inputs that do harm.
//!
//! It does what cargo-fuzz would, so that nothing needs to be installed but a C++ compiler.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{cargo, process};

/// Counters and comparisons for libFuzzer, as cargo-fuzz asks for them. They are those of
/// the stable compiler.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// An input that takes longer than this is a finding.
const SLOW: &str = "-timeout=10";
/// And one for which more memory is used, of megabytes.
const LARGE: &str = "-rss_limit_mb=1024";
/// Inputs may grow to this many bytes: some times the longest seed, where libFuzzer would stop.
const LONG: &str = "-max_len=32768";

/// Look for inputs that do harm: all targets in turn, or one
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this one
    target: Option<Target>,
    /// How long each is run
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Run the target on this file only, once
    #[arg(long, requires = "target", conflicts_with = "minutes")]
    input: Option<PathBuf>,
}

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Bytes of the ring buffer → records → events → lines
    Decode,
    /// The kernel's type information
    Btf,
    /// Files of /proc
    Procfs,
    /// Messages of name servers, and files of names
    Names,
    /// Recorded streams, and the maps that are made of them
    Replay,
    /// What recordings take in memory
    Memory,
    /// What container runtimes say of containers
    Labels,
    /// Files of rules and of roles
    Rules,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Btf => "btf",
            Self::Procfs => "procfs",
            Self::Names => "names",
            Self::Replay => "replay",
            Self::Memory => "memory",
            Self::Labels => "labels",
            Self::Rules => "rules",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !cfg!(target_os = "linux") {
        bail!("fuzz on Linux: tracer builds for no other system");
    }
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    // There may be options after its name.
    let compiler = compiler.split(' ').next().unwrap_or_default();
    if process::find(compiler).is_none() {
        bail!(
            "install a C++ compiler, g++ or clang++, or name one in CXX: libFuzzer is written in \
             C++, and there is no `{compiler}` here"
        );
    }
    let targets = match options.target {
        Some(target) => vec![target],
        None => Target::value_variants().to_vec(),
    };
    let folder = cargo::root().join("target/fuzz");
    let programs = build(&folder)?;
    for target in targets {
        let name = target.name();
        let program = programs
            .iter()
            .find(|program| program.name == name)
            .with_context(|| format!("cargo built no program named {name}"))?;
        match &options.input {
            Some(input) => process::succeed(Command::new(&program.path).arg(input))?,
            None => fuzz(name, &program.path, &folder, options.minutes)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build(folder: &Path) -> Result<Vec<cargo::Executable>> {
    let host = cargo::host()?;
    let manifest = cargo::root().join("tests/fuzz/Cargo.toml");
    let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
    for flag in FLAGS {
        flags.push(" ");
        flags.push(flag);
    }
    let mut command = cargo::command();
    command
        .args(["build", "--locked", "--release", "--bins"])
        .arg("--manifest-path")
        .arg(manifest)
        // Naming the target keeps the flags away from build scripts and procedural macros.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", folder.join("build"));
    cargo::executables(&mut command, &flags)
}

/// Runs one target. What it has learnt stays in the corpus, for the next time.
fn fuzz(name: &str, program: &Path, folder: &Path, minutes: u32) -> Result<()> {
    let [seeds, corpus, findings] =
        ["seeds", "corpus", "findings"].map(|part| folder.join(part).join(name));
    for part in [&seeds, &corpus, &findings] {
        fs::create_dir_all(part).with_context(|| format!("make {}", part.display()))?;
    }
    process::succeed(Command::new(program).env("TRACER_FUZZ_SEEDS", &seeds))
        .with_context(|| format!("write seeds into {}", seeds.display()))?;
    println!("fuzzing {name} for {minutes} min");
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(&findings);
    prefix.push("/");
    process::succeed(
        Command::new(program)
            .arg(format!("-max_total_time={}", u64::from(minutes) * 60))
            .args([SLOW, LARGE, LONG, "-print_final_stats=1"])
            .arg(prefix)
            .args([&corpus, &seeds]),
    )
    .with_context(|| {
        format!(
            "{name} found something: see above and {}, and run it again with `cargo xtask fuzz \
             {name} --input FILE`",
            findings.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_there_and_can_be_named() {
        let folder = cargo::root().join("tests/fuzz/targets");
        let mut there: Vec<_> = fs::read_dir(folder)
            .expect("the folder of targets")
            .map(|file| file.expect("a file").file_name())
            .collect();
        there.sort();
        let mut named: Vec<_> = Target::value_variants()
            .iter()
            .map(|target| OsString::from(format!("{}.rs", target.name())))
            .collect();
        named.sort();
        assert_eq!(there, named);
    }
}
