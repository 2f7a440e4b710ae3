//! What the machine did, and what a process holds.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// Time that all processors together were busy since they were started: with programs, the
/// kernel and its interrupts, by the kernel's own account (proc_stat(5)).
pub(crate) fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = text
        .lines()
        .next()
        .context("the first line of /proc/stat")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("read {line}"))?;
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else {
        anyhow::bail!("too few numbers: {line}");
    };
    let ticks = user + nice + system + irq + softirq;
    Ok(Duration::from_nanos(
        ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What it holds for itself, bytes.
    pub(crate) own: u64,
    /// All that is mapped and there, with what it shares with the kernel or others, bytes.
    pub(crate) resident: u64,
    /// Of its eBPF maps, in the kernel, bytes.
    pub(crate) tables: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("read the status of process {pid}"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let line = line.with_context(|| format!("no {name} in the status"))?;
            let kilobytes = line.trim().trim_end_matches(" kB");
            Ok(kilobytes.parse::<u64>().with_context(|| line.to_owned())? * 1024)
        };
        Ok(Self {
            own: field("RssAnon:")?,
            resident: field("VmRSS:")?,
            tables: tables(pid)?,
        })
    }
}

fn tables(pid: u32) -> Result<u64> {
    let mut sum = 0;
    let folder = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if text.contains("map_type:") {
            let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            sum += bytes
                .and_then(|it| it.trim().parse::<u64>().ok())
                .unwrap_or_default();
        }
    }
    Ok(sum)
}

/// Mounts the tracing file system, which the other tools want, for this process and its own.
pub(crate) fn mount_tracing() -> Result<()> {
    // SAFETY: no descriptor and no memory of this process changes, only what it sees mounted.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
        .context("get mounts of our own")?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .context("keep our mounts to ourselves")?;
    let place = "/sys/kernel/tracing";
    if !Path::new(place).join("events").is_dir() {
        mount("tracefs", place, "tracefs", MountFlags::empty(), None)
            .with_context(|| format!("mount tracefs on {place}"))?;
    }
    Ok(())
}

/// The machine in a line.
pub(crate) fn describe() -> String {
    let uname = rustix::system::uname();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unknown processor", |it| {
            it.trim_start_matches([' ', '\t', ':'])
        });
    let count = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!(
        "{count} x {model}, Linux {}",
        uname.release().to_string_lossy()
    )
}
