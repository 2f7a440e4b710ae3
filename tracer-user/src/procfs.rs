//! Reads what /proc knows about processes.
//!
//! /proc is hostile: processes choose their own names and arguments, and go away while
//! they are read. So reads are bounded, parsing is total, and whatever cannot be had is
//! `None`. Bytes that are not UTF-8 become U+FFFD.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use crate::model::bounds;
use rustix::{
    fs::{Mode, OFlags, openat, readlinkat},
    param::clock_ticks_per_second,
};

/// How many arguments are kept.
pub const MAX_ARGS: usize = bounds::MAX_ARGS;
/// How many bytes of arguments are kept.
pub const MAX_ARGS_BYTES: usize = 4096;
/// How many bytes of any other file are read. The kernel's own lines are shorter.
const MAX_FILE_BYTES: usize = 4096;

/// How many bytes of the list of control groups are read: a line a hierarchy, each with a path.
const MAX_CGROUPS_BYTES: usize = 64 << 10;

/// A mounted /proc.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

/// The directory of one process. It stays with that process: once it is gone reads fail,
/// also when its pid is used again.
#[derive(Debug)]
pub struct Entry {
    dir: OwnedFd,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name of the main thread.
    pub comm: String,
    /// The parent; none for the first process and for those whose parent is out of sight.
    pub ppid: Option<u32>,
    /// Start, clock ticks since boot, as this process's time namespace counts them.
    pub start_ticks: u64,
}

impl Proc {
    /// The /proc mounted at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The process with this id, to read several things of one and the same process.
    pub fn open(&self, pid: u32) -> Option<Entry> {
        let dir = File::open(self.root.join(pid.to_string())).ok()?;
        Some(Entry { dir: dir.into() })
    }

    /// See [`Entry::stat`].
    pub fn stat(&self, pid: u32) -> Option<Stat> {
        self.open(pid)?.stat()
    }
}

impl Entry {
    /// Its name, parent and start.
    pub fn stat(&self) -> Option<Stat> {
        parse_stat(&self.read("stat", MAX_FILE_BYTES)?)
    }

    /// Path of its executable; none for kernel threads. The ` (deleted)` that the kernel
    /// appends once the file is replaced or removed is left out.
    pub fn exe(&self) -> Option<Arc<str>> {
        let target = readlinkat(&self.dir, "exe", Vec::new()).ok()?;
        Some(executable(target.as_bytes()))
    }

    /// The directory that it works in. The ` (deleted)` that the kernel appends once that is removed is
    /// left out, and what is longer than any file is called by cannot be had.
    pub fn cwd(&self) -> Option<Arc<str>> {
        let target = readlinkat(&self.dir, "cwd", Vec::new()).ok()?;
        Some(executable(target.as_bytes()))
    }

    /// Its arguments, the program's name first: at most [`MAX_ARGS`] of them and
    /// [`MAX_ARGS_BYTES`] together, and [`bounds::MAX_ARGS_WRITTEN`] as they are written. If there are more, the last one kept ends with `…`.
    /// None if there are none, as for kernel threads.
    pub fn args(&self) -> Option<Arc<[String]>> {
        let bytes = self.read("cmdline", MAX_ARGS_BYTES + 1)?;
        let kept = bytes.get(..MAX_ARGS_BYTES).unwrap_or(&bytes);
        parse_args(kept, bytes.len() > MAX_ARGS_BYTES)
    }

    /// Its control groups, as `/proc/PID/cgroup` lists them; what is longer than the kernel makes
    /// it is cut.
    pub fn cgroups(&self) -> Option<Vec<u8>> {
        self.read("cgroup", MAX_CGROUPS_BYTES)
    }

    fn read(&self, name: &str, max: usize) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(openat(&self.dir, OsStr::new(name), flags, Mode::empty()).ok()?);
        let mut bytes = Vec::new();
        file.take(u64::try_from(max).ok()?)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }
}

impl Stat {
    /// Whether this process started at `start_ns`, nanoseconds since boot, as far as clock
    /// ticks can tell.
    pub fn started_at(&self, start_ns: u64) -> bool {
        // Before Linux 5.11 /proc told starts without the namespace's offset.
        [boot_offset_ns(), 0]
            .into_iter()
            .any(|offset| self.start_ticks == start_ns.saturating_add_signed(offset) / tick_ns())
    }
}

/// The path of an executable, without the ` (deleted)` that the kernel appends once the file is
/// replaced or removed. A file's own name may end like that: it cannot be told apart.
pub(crate) fn executable(path: &[u8]) -> Arc<str> {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    bounds::end_of_path(&String::from_utf8_lossy(path), bounds::MAX_PATH_WRITTEN)
}

/// By how much this process's time namespace moves the time since boot, which /proc and
/// `clock_gettime()` tell by it. The kernel's own, in which eBPF programs tell theirs, is
/// not moved.
pub fn boot_offset_ns() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let own = |name| fs::read_link(format!("/proc/self/ns/{name}")).ok();
        // The file is of the namespace that children get; another one's says nothing of ours.
        let ours = own("time").is_some() && own("time") == own("time_for_children");
        let offsets = fs::read_to_string("/proc/self/timens_offsets");
        let parsed = offsets
            .ok()
            .filter(|_| ours)
            .as_deref()
            .and_then(parse_boot_offset);
        parsed.unwrap_or(0)
    })
}

/// `boottime SECONDS NANOSECONDS`, a clock a line.
fn parse_boot_offset(text: &str) -> Option<i64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut fields =
        lines.find_map(|mut fields| (fields.next()? == "boottime").then_some(fields))?;
    let seconds: i64 = fields.next()?.parse().ok()?;
    let nanoseconds: i64 = fields.next()?.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// Length of a clock tick, nanoseconds.
fn tick_ns() -> u64 {
    1_000_000_000 / clock_ticks_per_second().max(1)
}

/// `PID (COMM) STATE PPID ...`: the name may hold anything, the rest is numbers, so the
/// last parenthesis ends the name.
pub(crate) fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let rest = str::from_utf8(line.get(close + 1..)?).ok()?;
    // The third field comes first here.
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let ppid = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        comm,
        ppid: (ppid != 0).then_some(ppid),
        start_ticks,
    })
}

/// Splits at the zero after each argument; `is_cut` tells that there were more bytes.
pub(crate) fn parse_args(kept: &[u8], is_cut: bool) -> Option<Arc<[String]>> {
    let end = kept.iter().rposition(|byte| *byte != 0)? + 1;
    let args = kept[..end].split(|byte| *byte == 0);
    let args = args.map(|arg| String::from_utf8_lossy(arg).into_owned());
    Some(bounds::args(args, is_cut))
}

#[cfg(test)]
mod tests;
