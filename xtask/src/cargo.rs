//! How the project is compiled: one set of release artefacts, static where the
//! machine allows it, used by `run`, `test` and `vm` alike.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that called us, or else the one in the path.
pub(crate) fn command() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Whether programs can be linked statically here. Only static ones run in a
/// virtual machine whose user space is of another make.
pub(crate) fn can_link_statically() -> bool {
    // The C compiler answers with the bare name if it does not find the file.
    process::output(Command::new("cc").arg("-print-file-name=libc.a"))
        .is_ok_and(|path| Path::new(path.trim()).is_absolute())
}

/// A program that cargo built.
pub(crate) struct Executable {
    /// Of the target, such as `tracer`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The folder of its package, where cargo would run it.
    pub(crate) package: PathBuf,
    /// Whether it is a test program: other programs of a package are built with its tests.
    is_test: bool,
}

/// Builds `tracer` for release, and says where it is.
pub(crate) fn build_tracer() -> Result<PathBuf> {
    build(&["build", "--package", "tracer-user", "--bin", "tracer"])?
        .into_iter()
        .find(|executable| executable.name == "tracer")
        .map(|executable| executable.path)
        .context("cargo built no program named tracer")
}

/// Builds the benchmark for release, and says where it is.
pub(crate) fn build_bench() -> Result<PathBuf> {
    build(&[
        "build",
        "--package",
        "tracer-tests",
        "--features",
        "bench",
        "--bin",
        "bench",
    ])?
    .into_iter()
    .find(|executable| executable.name == "bench")
    .map(|executable| executable.path)
    .context("cargo built no program named bench")
}

/// Builds the test programs of the workspace, all or one.
pub(crate) fn build_tests(only: Option<&str>) -> Result<Vec<Executable>> {
    let mut tests = match only {
        None => build(&["test", "--no-run"])?,
        Some(name) => build(&[
            "test",
            "--no-run",
            "--package",
            "tracer-tests",
            "--test",
            name,
        ])?,
    };
    tests.retain(|executable| executable.is_test);
    Ok(tests)
}

fn build(arguments: &[&str]) -> Result<Vec<Executable>> {
    let host = host()?;
    let mut command = command();
    command
        .args(arguments)
        .arg("--release")
        // Naming the target keeps the flags away from procedural macros, which cannot be static.
        .args(["--target", &host]);
    executables(&mut command, &flags())
}

/// Runs `command`, a build by cargo, with these flags for the compiler, and says what
/// programs it made.
pub(crate) fn executables(command: &mut Command, flags: &OsStr) -> Result<Vec<Executable>> {
    command
        .arg("--message-format=json-render-diagnostics")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = process::die_with_us(command)
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        let what = command.get_args().next().unwrap_or_default();
        bail!("cargo {} failed: {}", what.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(executable)
        .collect())
}

/// The user's own flags and ours.
fn flags() -> OsString {
    let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
    if can_link_statically() {
        flags.push(" -C target-feature=+crt-static");
    }
    flags
}

/// The program that one line of cargo's messages is about, if it is about any.
fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    Some(Executable {
        path: message["executable"].as_str()?.into(),
        name: message["target"]["name"].as_str()?.into(),
        package: Path::new(message["manifest_path"].as_str()?)
            .parent()?
            .into(),
        is_test: message["profile"]["test"] == true,
    })
}

/// The target that the compiler builds for by itself.
pub(crate) fn host() -> Result<String> {
    let about = process::output(Command::new("rustc").arg("-vV"))?;
    about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("find the host in what rustc -vV prints")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_about_a_program_is_understood_and_others_are_not() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml",
            "target":{"name":"kernel"},"profile":{"test":true},"executable":"/w/target/kernel-1"}"#;
        let executable = executable(line).expect("a program");
        assert_eq!(executable.name, "kernel");
        assert_eq!(executable.path, Path::new("/w/target/kernel-1"));
        assert_eq!(executable.package, Path::new("/w/tests"));
        assert!(executable.is_test);
        for line in [
            "",
            "{}",
            r#"{"target":{"name":"anyhow"},"executable":null}"#,
        ] {
            assert!(super::executable(line).is_none());
        }
    }
}
