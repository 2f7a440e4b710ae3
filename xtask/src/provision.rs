//! Puts in place the programs that the suites and the benchmark use. What cannot be
//! installed is not an error here: what needs it is left out, and says so.

use std::process::{Command, Stdio};

use crate::process;

/// A program, or the whole path of another file, and the Debian package it comes from.
pub(crate) type Needed = (&'static str, &'static str);

/// For the suites.
pub(crate) const SUITES: &[Needed] = &[
    ("bpftool", "bpftool"),
    ("chromium", "chromium"),
    ("crun", "crun"),
    ("curl", "curl"),
    ("dnsmasq", "dnsmasq-base"),
    ("dot", "graphviz"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("pg_ctlcluster", "postgresql"),
    // No programs, but modules of Debian's Python.
    (
        "/usr/lib/python3/dist-packages/networkx/__init__.py",
        "python3-networkx",
    ),
    (
        "/usr/lib/python3/dist-packages/yaml/__init__.py",
        "python3-yaml",
    ),
    ("haproxy", "haproxy"),
    ("redis-server", "redis-server"),
    ("tmux", "tmux"),
    ("wrk", "wrk"),
];

/// For virtual machines.
pub(crate) const MACHINES: &[Needed] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// To compare tracer with.
pub(crate) const PEERS: &[Needed] = &[("tcplife", "libbpf-tools"), ("tcpstates", "libbpf-tools")];

/// Installs what is missing if that can be done without asking, and else says how to.
/// `who` cannot do without.
pub(crate) fn provision(needed: &[Needed], who: &str) {
    let mut missing: Vec<_> = needed
        .iter()
        .filter(|(program, _)| process::find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    if !process::is_root() || process::find("apt-get").is_none() {
        println!(
            "missing: {packages}. {who} will be left out.\n\
             On Debian and its kin, run: sudo apt-get install {packages}"
        );
        return;
    }
    println!("installing {packages}");
    if let Err(error) = install(&missing) {
        println!("cannot install {packages}: {error:#}. {who} will be left out.");
    }
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
