//! `/etc/hosts`: names that the host itself gives to addresses.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, Read},
    net::IpAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{is_nameable, message::MAX_NAME};

/// How many bytes of the file are read.
const MAX_BYTES: u64 = 1 << 20;
/// How many addresses are kept, the first ones.
pub(super) const MAX_ADDRESSES: usize = 16_384;
/// How often the file is looked at.
const INTERVAL_NS: u64 = 5_000_000_000;

/// The file, and what it said when it last changed.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    path: Option<PathBuf>,
    looked_ns: Option<u64>,
    version: Option<Version>,
    names: HashMap<IpAddr, Arc<str>>,
}

/// Tells one state of the file from the next.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of when its bytes changed.
    written: (i64, i64),
    /// The same of when anything of it changed.
    changed: (i64, i64),
}

impl Version {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Hosts {
    /// Reads the file at `path` at the next [`Self::refresh`]; without one there are no names.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Reads the file again if it changed. Looks at it every five seconds at most. A file that
    /// cannot be read has no names.
    pub(super) fn refresh(&mut self, now_ns: u64) {
        let Some(path) = &self.path else { return };
        let is_due = |looked: u64| now_ns.saturating_sub(looked) >= INTERVAL_NS;
        if !self.looked_ns.is_none_or(is_due) {
            return;
        }
        self.looked_ns = Some(now_ns);
        match read_if_new(path, self.version.as_ref()) {
            Ok(Some((version, bytes))) => {
                self.names = parse(&bytes);
                self.version = Some(version);
            }
            Ok(None) => {}
            Err(_) => {
                self.names.clear();
                self.version = None;
            }
        }
    }

    pub(super) fn name(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.names.get(&address)
    }
}

/// What is in the file, unless it is still at this version.
fn read_if_new(path: &Path, known: Option<&Version>) -> io::Result<Option<(Version, Vec<u8>)>> {
    let mut options = File::options();
    // What is not a file must not make us wait.
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Taken before it is read: if it changes meanwhile, it is read again.
    let version = Version::of(&metadata);
    if known == Some(&version) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some((version, bytes)))
}

/// The names in such a file: of each line the first one, which is the canonical one; of several
/// lines about one address the first, as resolvers have it. Lines that are wrong are left out.
///
/// So are addresses of the host itself and of many hosts at once: that `127.0.0.1` is
/// `localhost` says less than that it is a loopback address, and the `0.0.0.0` that fills lists
/// of blocked names is nobody's address.
pub(super) fn parse(bytes: &[u8]) -> HashMap<IpAddr, Arc<str>> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if names.len() >= MAX_ADDRESSES {
            break;
        }
        let Ok(line) = str::from_utf8(line) else {
            continue;
        };
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            continue;
        };
        let address = address.to_canonical();
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_name = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        if is_name && is_nameable(address) {
            names.entry(address).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests;
