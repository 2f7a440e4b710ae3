//! The control groups of the v2 hierarchy: which path an id stands for.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lru::LruCache;

use crate::model::Cgroup;

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
    paths: LruCache<u64, Arc<str>>,
}

impl Cgroups {
    /// Those that are there, by the mounts that the process at `proc_root` sees; none where v2
    /// is not mounted whole.
    pub(super) fn read(proc_root: &Path) -> Self {
        let mut cgroups = Self {
            paths: LruCache::new(CAPACITY),
        };
        let mounts = fs::read(proc_root.join("self/mountinfo")).unwrap_or_default();
        let mounts = &mounts[..mounts.len().min(MAX_MOUNTS_BYTES)];
        if let Some(root) = mount_of_v2(&String::from_utf8_lossy(mounts)) {
            cgroups.walk(&root);
        }
        cgroups
    }

    /// Remembers one that was made.
    pub(super) fn learn(&mut self, made: &Cgroup) {
        self.paths.put(made.id, Arc::clone(&made.path));
    }

    /// The path from the root of the hierarchy, as `/system.slice/nginx.service`.
    pub(super) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        self.paths.get(&id).map(Arc::clone)
    }

    /// All paths that are known.
    pub(super) fn paths(&self) -> Vec<Arc<str>> {
        self.paths
            .iter()
            .map(|(_, path)| Arc::clone(path))
            .collect()
    }

    fn walk(&mut self, root: &Path) {
        let Ok(metadata) = fs::metadata(root) else {
            return;
        };
        self.paths.put(metadata.ino(), "/".into());
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
                self.paths.put(entry.ino(), path.as_str().into());
                if depth < MAX_DEPTH {
                    folders.push((entry.path(), path, depth + 1));
                }
            }
        }
    }
}

/// Where the v2 hierarchy is mounted from its root on: `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT
/// OPTIONS ... - TYPE ...`, a mount a line.
fn mount_of_v2(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| unescape(point).into())
    })
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
    fn the_whole_v2_mount_is_found() {
        let hybrid = "\
            24 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
            25 24 0:23 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
            26 24 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        assert_eq!(mount_of_v2(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let part = "25 24 0:23 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(mount_of_v2(part), None);
        let spaced = "25 24 0:23 / /odd\\040place\\x rw - cgroup2 cgroup rw\n";
        assert_eq!(mount_of_v2(spaced), Some("/odd place\\x".into()));
        for hostile in ["", "-", " - cgroup2 ", "\\", "1 2 3 4 5 - cgroup2"] {
            assert_eq!(mount_of_v2(hostile), None, "{hostile:?}");
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
