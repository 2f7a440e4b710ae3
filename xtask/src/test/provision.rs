//! Puts in place the programs that the suites use. What cannot be installed is not
//! an error here: the tests that need it are skipped, and say so.

use std::process::{Command, Stdio};

use crate::process;

/// A program, the Debian package it comes from, and whether only virtual machines need it.
const NEEDED: &[(&str, &str, bool)] = &[
    ("bpftool", "bpftool", false),
    ("curl", "curl", false),
    ("ip", "iproute2", false),
    ("nft", "nftables", false),
    ("nginx", "nginx-light", false),
    ("redis-server", "redis-server", false),
    ("qemu-system-x86_64", "qemu-system-x86", true),
    ("xz", "xz-utils", true),
    ("zstd", "zstd", true),
];

/// Installs what is missing if that can be done without asking, and else says how to.
pub(super) fn provision(machines: bool) {
    let missing = missing(machines);
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    if !process::is_root() || process::find("apt-get").is_none() {
        println!(
            "missing: {packages}. The tests that need them will be skipped.\n\
             On Debian and its kin, run: sudo apt-get install {packages}"
        );
        return;
    }
    println!("installing {packages}");
    if let Err(error) = install(&missing) {
        println!("cannot install {packages}: {error:#}. The tests that need them will be skipped.");
    }
}

fn missing(machines: bool) -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(program, _, only_machines)| {
            (machines || !only_machines) && process::find(program).is_none()
        })
        .map(|(_, package, _)| *package)
        .collect()
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg("--quiet")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        process::succeed(&mut command)
    };
    // A repository of the user's own that does not answer must not stop the others.
    if let Err(error) = apt(&["update"]) {
        println!("{error:#}; going on with the lists that there are");
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}
