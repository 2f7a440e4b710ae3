//! The control groups of the v2 hierarchy: which path an id stands for, and whose the names in it are.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lru::LruCache;

use super::owners::{Names, Owners};
use crate::model::{Blind, Cgroup};

/// How many are known. A host has some thousands at most; those that were not asked about for
/// longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(32 << 10).unwrap();
/// How deep folders are followed. The kernel's own limit is higher; nobody comes near it.
const MAX_DEPTH: usize = 32;
/// How much of the list of mounts is read, bytes.
const MAX_MOUNTS_BYTES: usize = 4 << 20;

/// Knows the paths of control groups by id, also of those that are gone.
#[derive(Debug)]
pub(super) struct Cgroups {
    paths: LruCache<u64, Known>,
    owners: Owners,
}

#[derive(Debug)]
struct Known {
    path: Arc<str>,
    /// Whose the names in it are, if that was asked.
    names: Option<Names>,
}

impl Known {
    fn new(path: Arc<str>) -> Self {
        Self { path, names: None }
    }
}

/// A mount of a hierarchy, from its root on as far as the mount tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: PathBuf,
    /// Of v1, what it was mounted with: its controllers are among that.
    pub(super) options: Option<String>,
}

impl Mount {
    /// Whether it is of v1, with this option.
    pub(super) fn has(&self, option: &str) -> bool {
        let options = self.options.as_deref().unwrap_or_default();
        options.split(',').any(|it| it == option)
    }
}

impl Cgroups {
    /// Those that are there, by the mounts that the process at `proc_root` sees; none where v2
    /// is not mounted whole.
    pub(super) fn read(proc_root: &Path) -> Self {
        let mut cgroups = Self {
            paths: LruCache::new(CAPACITY),
            owners: Owners::read(proc_root),
        };
        let mounts = mounts(proc_root);
        if let Some(mount) = mounts.iter().find(|it| it.options.is_none()) {
            cgroups.walk(&mount.point);
        }
        cgroups
    }

    /// Remembers one that was made, and whose its names are: who owns the folders around it may not be
    /// told any more when somebody asks.
    pub(super) fn learn(&mut self, made: &Cgroup) -> Names {
        self.owners.made(&made.path, made.maker);
        let names = self.owners.names("", &made.path);
        let known = Known {
            path: Arc::clone(&made.path),
            names: Some(names),
        };
        self.paths.put(made.id, known);
        names
    }

    /// The path from the root of the hierarchy, as `/system.slice/nginx.service`.
    pub(super) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        self.paths.get(&id).map(|it| Arc::clone(&it.path))
    }

    /// Whose the names in the path of this one are, which is known.
    pub(super) fn names(&mut self, id: u64) -> Names {
        let known = self.paths.get_mut(&id);
        known.map_or_else(Names::default, |known| {
            let owners = &mut self.owners;
            let names = known.names;
            let names = names.unwrap_or_else(|| owners.names("", &known.path));
            *known.names.insert(names)
        })
    }

    /// Whose the names in a path of any hierarchy are: see [`Owners::names`].
    pub(super) fn names_in(&mut self, controllers: &str, path: &str) -> Names {
        self.owners.names(controllers, path)
    }

    /// What cannot be seen of whose the groups are.
    pub(super) fn blind(&self) -> Option<Blind> {
        self.owners.blind()
    }

    /// All that are known.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.paths.iter().map(|(id, _)| *id).collect()
    }

    fn walk(&mut self, root: &Path) {
        let Ok(metadata) = fs::metadata(root) else {
            return;
        };
        self.paths.put(metadata.ino(), Known::new("/".into()));
        let mut folders = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, path, depth)) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue; // removed meanwhile
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|it| it.is_dir())
                    || self.paths.len() >= CAPACITY.get()
                {
                    continue;
                }
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                let known = Known::new(path.as_str().into());
                self.paths.put(entry.ino(), known);
                if depth < MAX_DEPTH {
                    folders.push((entry.path(), path, depth + 1));
                }
            }
        }
    }
}

/// The mounts of hierarchies that the process at `proc_root` sees, from their root on.
pub(super) fn mounts(proc_root: &Path) -> Vec<Mount> {
    let mounts = fs::read(proc_root.join("self/mountinfo")).unwrap_or_default();
    let mounts = &mounts[..mounts.len().min(MAX_MOUNTS_BYTES)];
    mounts_in(&String::from_utf8_lossy(mounts))
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE OPTIONS`, a mount a line.
fn mounts_in(mounts: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut kind = kind.split(' ');
        let options = match kind.next()? {
            "cgroup2" => None,
            "cgroup" => Some(kind.nth(1)?.to_owned()),
            _ => return None,
        };
        let point = unescape(point).into();
        (root == "/").then_some(Mount { point, options })
    };
    mounts.lines().filter_map(mount).collect()
}

/// Spaces and the like are written as three octal digits after a backslash.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..3).and_then(|it| u8::from_str_radix(it, 8).ok());
        match digits {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_from_the_root_on_are_found() {
        let hybrid = "\
            24 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
            25 24 0:23 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
            26 24 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let mount = |point: &str, options: Option<&str>| Mount {
            point: point.into(),
            options: options.map(Into::into),
        };
        let systemd = mount("/sys/fs/cgroup/systemd", Some("rw,name=systemd"));
        assert!(systemd.has("name=systemd") && !systemd.has("name"));
        let unified = mount("/sys/fs/cgroup/unified", None);
        assert_eq!(mounts_in(hybrid), [unified, systemd]);
        let part = "25 24 0:23 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(mounts_in(part), []);
        let spaced = "25 24 0:23 / /odd\\040place\\x rw - cgroup2 cgroup rw\n";
        assert_eq!(mounts_in(spaced), [mount("/odd place\\x", None)]);
        for hostile in ["", "-", " - cgroup2 ", "\\", "1 2 3 4 5 - cgroup2"] {
            assert_eq!(mounts_in(hostile), [], "{hostile:?}");
        }
    }

    #[test]
    fn folders_are_found_by_their_inode_numbers() {
        let root = tempfile::tempdir().expect("a folder");
        let nested = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&nested).expect("folders");
        fs::write(nested.join("cgroup.procs"), "").expect("a file");
        let mut cgroups = Cgroups {
            paths: LruCache::new(CAPACITY),
            owners: Owners::read(root.path()),
        };
        cgroups.walk(root.path());
        let id = fs::metadata(&nested).expect("it is there").ino();
        assert_eq!(
            cgroups.path(id).as_deref(),
            Some("/system.slice/nginx.service")
        );
        assert_eq!(cgroups.path(0), None);
        fs::remove_dir(nested).unwrap_or_default();
        assert!(cgroups.path(id).is_some(), "also once it is gone");
    }
}
