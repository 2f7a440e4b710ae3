//! `cargo xtask build-ebpf`: compiles tracer-ebpf to the object that tracer embeds,
//! byte for byte the same wherever it is done, and with `--check` proves that the
//! committed one is what the sources say.

mod strip;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{cargo, process};

/// The compiler and linker that the committed object comes from. Others make other bytes.
const RUSTC: &str = "1.95.0";
const LINKER: &str = "bpf-linker 0.10.3";

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "ebpf";

/// Build the eBPF object that tracer embeds
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Compare with the committed object instead of replacing it
    #[arg(long)]
    check: bool,
    /// Run clippy on the programs instead of building them; warnings are errors
    #[arg(long, conflicts_with = "check")]
    lint: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    require_toolchain()?;
    if options.lint {
        let mut command = cargo("clippy")?;
        command.args(["--", "-D", "warnings"]);
        // aya's macros hand each program its context by value.
        command.args(["-A", "clippy::needless_pass_by_value"]);
        process::succeed(&mut command)?;
        return Ok(ExitCode::SUCCESS);
    }
    let built = build()?;
    let name = format!("tracer-ebpf/object/tracer-{}.o", architecture());
    let committed = cargo::root().join(&name);
    let bytes = std::fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    if options.check {
        let present = std::fs::read(&committed)
            .with_context(|| format!("read {name}: run `cargo xtask build-ebpf` to make it"))?;
        if present != bytes {
            bail!(
                "compare {name} with its sources: it differs (it has {} bytes, building gives {}, \
                 and they part at byte {}).\n\
                 The object was not rebuilt after a change to tracer-ebpf, tracer-common, \
                 Cargo.lock or the build flags.\n\
                 Run `cargo xtask build-ebpf` and commit the result; to compare: {}",
                present.len(),
                bytes.len(),
                first_difference(&present, &bytes),
                built.display()
            );
        }
        println!("{name} is what its sources say ({} bytes)", bytes.len());
    } else {
        if let Some(folder) = committed.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        std::fs::write(&committed, &bytes).with_context(|| format!("write {name}"))?;
        println!("wrote {name} ({} bytes)", bytes.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Arguments of a kernel function lie elsewhere on each architecture, so there is an object for each.
fn architecture() -> &'static str {
    std::env::consts::ARCH
}

/// Says everything that is missing at once, and how to get it.
fn require_toolchain() -> Result<()> {
    let mut missing = Vec::new();
    let about = process::output(Command::new("rustc").arg("-vV"))?;
    let release = about
        .lines()
        .find_map(|line| line.strip_prefix("release: "))
        .unwrap_or("?");
    if release != RUSTC {
        missing.push(format!(
            "rustc {RUSTC} (this is {release}): `rustup toolchain install {RUSTC}`, then \
             `cargo +{RUSTC} xtask build-ebpf`"
        ));
    }
    if !sysroot()?
        .join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .is_file()
    {
        missing.push("the compiler's library sources: `rustup component add rust-src`".to_owned());
    }
    let linker = process::output(Command::new("bpf-linker").arg("--version")).unwrap_or_default();
    if linker.trim() != LINKER {
        let present = if linker.is_empty() {
            "no bpf-linker"
        } else {
            linker.trim()
        };
        missing.push(format!(
            "{LINKER} (there is {present}): `cargo install --locked {}`",
            LINKER.replace(' ', "@")
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "build the eBPF object: this machine lacks\n  - {}\nOnly changing tracer-ebpf needs these; \
         see docs/building.md",
        missing.join("\n  - ")
    )
}

/// Compiles, and says where the object is.
fn build() -> Result<PathBuf> {
    process::succeed(&mut cargo("build")?)?;
    let linked = target_folder()
        .join(TARGET)
        .join(PROFILE)
        .join("tracer-ebpf");
    let object = std::fs::read(&linked).with_context(|| format!("read {}", linked.display()))?;
    let stripped = linked.with_extension("o");
    std::fs::write(&stripped, strip::debug_sections(&object)?)
        .with_context(|| format!("write {}", stripped.display()))?;
    Ok(stripped)
}

/// A target folder of its own: the flags differ from everything else built here.
fn target_folder() -> PathBuf {
    cargo::root().join("target/ebpf")
}

/// A command of cargo's for the programs, in which nothing depends on this machine.
fn cargo(subcommand: &str) -> Result<Command> {
    let mut command = cargo::command();
    command
        .args([subcommand, "--locked", "--package", "tracer-ebpf"])
        .args(["--profile", PROFILE, "--target", TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(target_folder())
        // `-Z` on a stable compiler; the versions are pinned, so this cannot drift.
        .env("RUSTC_BOOTSTRAP", "1")
        // Takes precedence over RUSTFLAGS and over what a configuration file says.
        .env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\x1f"))
        .stdin(Stdio::null());
    // What a user may have set for other builds must not reach the bytes.
    for name in [
        "AYA_BPF_TARGET_ARCH",
        "CARGO_BUILD_INCREMENTAL",
        "CARGO_INCREMENTAL",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_UNSTABLE_") {
            command.env_remove(name.as_ref());
        }
    }
    Ok(command)
}

/// Flags for the compiler. Paths of this machine are replaced by fixed ones.
fn flags() -> Result<Vec<String>> {
    let remap = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
        .context("find cargo's folder: set CARGO_HOME")?;
    Ok(vec![
        format!("--cfg=bpf_target_arch=\"{}\"", architecture()),
        // Types and lines for the kernel's verifier, whose complaints are unreadable without.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        remap(cargo::root(), "/tracer"),
        remap(&home, "/cargo"),
        remap(&sysroot()?, "/rustc"),
    ])
}

fn sysroot() -> Result<PathBuf> {
    let path = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(path.trim()))
}

fn first_difference(left: &[u8], right: &[u8]) -> usize {
    let same = left
        .iter()
        .zip(right)
        .take_while(|(left, right)| left == right);
    same.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(first_difference(b"same", b"some"), 1);
        assert_eq!(first_difference(b"short", b"shorter"), 5);
    }
}
