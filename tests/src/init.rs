//! Process 1 of a test machine: makes the machine fit for the suite, runs it, says how it
//! went in one line on the console, and powers off.
//!
//! `TRACER`, `TRACER_HOOKS` and the other settings come from the kernel's command line as the
//! environment, test filters as arguments (after `--`). Nothing else runs on the machine.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    process::Command,
};

use anyhow::{Context as _, Result};
use rustix::{
    mount::{MountFlags, mount},
    process::{Pid, WaitOptions, wait},
    system::{RebootCommand, finit_module, reboot},
};

use crate::{netns, suite};

/// What is mounted, in order: kind, where, options.
const MOUNTS: [(&str, &str, &str); 9] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/run", "mode=755"),
    ("tmpfs", "/dev/shm", "mode=1777"),
];

/// Kernel modules to load, an absolute path a line.
const MODULES: &str = "/etc/modules.load";

/// The closing line of the suite.
const VERDICT: &str = "/run/verdict";

/// Settings for an emulated machine, unless the command line has its own.
const SMALLER: [(&str, &str); 4] = [
    ("TRACER_LEDGER", "1000"),
    ("TRACER_STORM", "2000"),
    ("TRACER_HELD", "500"),
    ("TRACER_MIXED", "1"),
];

/// Where programs are.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether this machine was started for the suite: its process 1 is this executable.
pub fn is_test_machine() -> bool {
    let first = fs::read_link("/proc/1/exe").ok();
    first.is_some() && first == std::env::current_exe().ok()
}

/// What the kernel calls process 1 of an initial file system.
const INIT: &str = "/init";

/// If this is process 1 of a machine, does its work; it returns only by powering off.
pub fn run_if_first() {
    // Process 1 of a container is not called so; what is mounted here would be in its way.
    if std::process::id() != 1 || std::env::args_os().next().is_none_or(|name| name != INIT) {
        return;
    }
    let verdict = work().unwrap_or_else(|error| {
        println!("init: {error:?}");
        "0 passed, 1 failed, 0 skipped".to_owned()
    });
    println!("TRACER-VERDICT: {verdict}");
    rustix::fs::sync();
    let error = reboot(RebootCommand::PowerOff);
    // Process 1 must not return; the kernel panics then, and the runner sees that.
    panic!("power off: {error:?}");
}

fn work() -> Result<String> {
    for (kind, at, options) in MOUNTS {
        if let Err(error) = mount_one(kind, at, options) {
            // The suite says what it cannot do without it.
            println!("init: {error:?}");
        }
    }
    use_console()?;
    load_modules();
    netns::loopback_up().context("bring lo up")?;

    // By its true path, not /proc/self/exe: that would be its name in what tracer prints.
    let own = fs::read_link("/proc/self/exe").context("find the own executable")?;
    let mut suite = Command::new(own);
    suite
        .args(std::env::args_os().skip(1))
        .env("PATH", PROGRAMS)
        .env(suite::VERDICT_FILE, VERDICT);
    for (name, value) in SMALLER {
        if std::env::var_os(name).is_none() {
            suite.env(name, value);
        }
    }
    let suite = suite.spawn().context("start the suite")?;
    let pid = i32::try_from(suite.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("the suite's pid")?;
    // Orphans become children of process 1; the loop buries them too.
    let status = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => break status,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the suite"),
        }
    };
    fs::read_to_string(VERDICT)
        .with_context(|| format!("the suite ended without a verdict: {status:?}"))
}

fn mount_one(kind: &str, at: &str, options: &str) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("make {at}"))?;
    let options = CString::new(options)?;
    match mount(kind, at, kind, MountFlags::empty(), options.as_c_str()) {
        // The kernel may have mounted /dev by itself.
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("mount {kind} on {at}")),
    }
}

/// Without `/dev/console` in the initramfs, process 1 starts with nowhere to print.
fn use_console() -> Result<()> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
        .context("open the console")?;
    rustix::stdio::dup2_stdin(&console).context("read from the console")?;
    rustix::stdio::dup2_stdout(&console).context("print on the console")?;
    rustix::stdio::dup2_stderr(&console).context("print on the console")
}

fn load_modules() {
    let Ok(list) = fs::read_to_string(MODULES) else {
        return;
    };
    for path in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Err(error) = load_module(path) {
            println!("init: {error:?}");
        }
    }
}

fn load_module(path: &str) -> Result<()> {
    let file = File::open(path).with_context(|| format!("open the module {path}"))?;
    finit_module(&file, c"", 0).with_context(|| format!("load the module {path}"))
}
