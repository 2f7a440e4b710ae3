//! Who chose the names in the path of a control group: whoever may write to the folder that a group is
//! in makes it by any name. The first folder from the root that is a user's has all below it in that user's hands.

use std::{fs, num::NonZeroUsize, os::unix::fs::MetadataExt as _, path::Path};

use lru::LruCache;

use super::cgroups::{Mount, mounts};
use crate::model::{Blind, BlindId};

/// How many folders are remembered for when they are gone; those that were not asked about for longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(8 << 10).unwrap();
/// Bits of a folder's mode by which others than its owner make what is in it.
const WRITABLE: u32 = 0o022;

/// Whose the names of a path are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// So many bytes of it are root's, whole components.
    pub(super) of_root: usize,
    /// Who chose the others, in the initial user namespace; none if there are none, or it is not
    /// known: then they are to be left out.
    pub(super) uid: Option<u32>,
}

/// Knows who owns the folders of control groups.
#[derive(Debug)]
pub(super) struct Owners {
    hierarchies: Vec<Mount>,
    /// Owners of folders that others are in, by hierarchy and path.
    known: LruCache<(usize, Box<str>), u32>,
    /// Who made groups of v2, by path, as the kernel told.
    makers: LruCache<Box<str>, u32>,
}

impl Owners {
    /// By the mounts that the process at `proc_root` sees.
    pub(super) fn read(proc_root: &Path) -> Self {
        Self::of(mounts(proc_root))
    }

    fn of(mounts: Vec<Mount>) -> Self {
        Self {
            hierarchies: mounts.into_iter().filter(is_whole).collect(),
            known: LruCache::new(CAPACITY),
            makers: LruCache::new(CAPACITY),
        }
    }

    /// What cannot be seen, if it is nothing of any hierarchy: a host has v2, or those of v1 alone.
    pub(super) fn blind(&self) -> Option<Blind> {
        const WHY: &str =
            "no hierarchy of control groups is mounted from its root on where tracer runs";
        let is_blind = self.hierarchies.is_empty();
        is_blind.then(|| Blind::new(BlindId::CgroupOwners, WHY))
    }

    /// The user `uid` made the group of v2 at `path`, and so chose its name.
    pub(super) fn made(&mut self, path: &str, uid: u32) {
        self.makers.put(path.into(), uid);
    }

    fn hierarchy(&self, controllers: &str) -> Option<usize> {
        let of_line = |mount: &Mount| match controllers.split(',').next() {
            None | Some("") => mount.options.is_none(),
            Some(first) => mount.has(first),
        };
        self.hierarchies.iter().position(of_line)
    }

    /// Whose the names in `path` are, of the hierarchy with these controllers (see
    /// [`Line`](super::workload::Line)). Of a hierarchy that is not mounted whole here, only what systemd
    /// calls a user's own manager tells.
    pub(super) fn names(&mut self, controllers: &str, path: &str) -> Names {
        let is_within = !path.split('/').any(|it| it == "..");
        let hierarchy = self.hierarchy(controllers).filter(|_| is_within);
        let root = hierarchy.map(|at| self.hierarchies[at].point.clone());
        let mut is_gone = false;
        let mut is_open = false;
        let mut before = 0;
        for end in ends(path) {
            let folder = &path[..end];
            let is_last = end == path.len();
            let key = hierarchy.map(|at| (at, Box::from(folder)));
            let seen = root.as_deref().filter(|_| !is_gone);
            let seen = seen.and_then(|root| look(root, folder));
            match (seen, key) {
                (Some((0, mode)), key) => {
                    is_open = mode & WRITABLE != 0;
                    // Its owner may be set after it is made, and before anything is made in it.
                    if let Some(key) = key.filter(|_| !is_last) {
                        self.known.put(key, 0);
                    }
                }
                (Some((uid, _)), key) => {
                    if let Some(key) = key {
                        self.known.put(key, uid);
                    }
                    // Where all may make folders, whoever made it called it so.
                    let of_root = if is_open { before } else { end };
                    return Names::of(path, of_root, Some(uid));
                }
                (None, Some(key)) => {
                    is_gone = true;
                    let maker = self.makers.get(folder).copied();
                    match maker.filter(|_| controllers.is_empty()) {
                        Some(0) => {
                            before = end;
                            continue;
                        }
                        Some(uid) => return Names::of(path, before, Some(uid)),
                        None => {}
                    }
                    match self.known.get(&key).copied().or_else(|| user_of(folder)) {
                        Some(0) => {}
                        uid => return Names::of(path, end, uid),
                    }
                }
                (None, None) => {
                    if let Some(uid) = user_of(folder) {
                        return Names::of(path, end, Some(uid));
                    }
                }
            }
            before = end;
        }
        Names::of(path, path.len(), None)
    }
}

impl Names {
    fn of(path: &str, of_root: usize, uid: Option<u32>) -> Self {
        let uid = uid.filter(|_| of_root < path.len());
        Self { of_root, uid }
    }
}

/// Where each component of `path` ends, from the root on.
fn ends(path: &str) -> impl Iterator<Item = usize> {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let ends = slashes.filter(|at| *at > 0).chain([path.len()]);
    ends.filter(|end| *end > 1)
}

/// Owner and mode of a folder that is there.
fn look(root: &Path, folder: &str) -> Option<(u32, u32)> {
    let place = root.join(folder.trim_start_matches('/'));
    let found = fs::symlink_metadata(place).ok()?;
    Some((found.uid(), found.mode()))
}

/// Whose the last folder of a path is, as systemd calls the manager of a user.
fn user_of(path: &str) -> Option<u32> {
    let name = path.rsplit('/').next()?.strip_prefix("user@")?;
    let uid = name.strip_suffix(".service")?.parse().ok();
    uid.filter(|uid| *uid != 0)
}

/// Whether a mount is of a hierarchy from its very root on: in a namespace of control groups what looks
/// like the root may be any group. Only the root has no `cgroup.type`, and with v1 a `release_agent`.
fn is_whole(mount: &Mount) -> bool {
    let has = |name: &str| fs::symlink_metadata(mount.point.join(name)).is_ok();
    match mount.options {
        None => has("cgroup.procs") && !has("cgroup.type"),
        Some(_) => has("release_agent"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    /// A hierarchy of v2 with these folders, each with its owner.
    fn hierarchy(folders: &[(&str, u32)]) -> Option<(tempfile::TempDir, Owners)> {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("cgroup.procs"), "").expect("a file");
        for (folder, uid) in folders {
            let place = root.path().join(folder);
            fs::create_dir(&place).expect("a folder");
            // Only root may.
            chown(place, Some(*uid), None).ok()?;
        }
        let point = root.path().to_owned();
        let owners = Owners::of(vec![Mount {
            point,
            options: None,
        }]);
        Some((root, owners))
    }

    fn names(of_root: &str, uid: Option<u32>) -> Names {
        let of_root = of_root.len();
        Names { of_root, uid }
    }

    #[test]
    fn what_is_below_a_users_folder_is_the_users_and_its_own_name_is_not() {
        let made = hierarchy(&[
            ("system.slice", 0),
            ("system.slice/app.service", 1000),
            ("system.slice/app.service/secpg.service", 0),
        ]);
        let Some((_root, mut owners)) = made else {
            return; // not root
        };
        let app = "/system.slice/app.service";
        assert_eq!(owners.names("", app), names(app, None));
        let forged = "/system.slice/app.service/secpg.service";
        assert_eq!(owners.names("", forged), names(app, Some(1000)));
        let deeper = format!("{forged}/docker-0");
        assert_eq!(owners.names("", &deeper), names(app, Some(1000)));
        assert_eq!(owners.names("", "/"), names("/", None));
        // Of no hierarchy that is seen.
        assert_eq!(owners.names("memory", forged), names(forged, None));
    }

    #[test]
    fn what_is_gone_is_known_by_what_was_seen_before() {
        let made = hierarchy(&[
            ("pods", 0),
            ("pods/one", 0),
            ("pods/one/c", 0),
            ("theirs", 0),
            ("theirs/box", 1000),
            ("theirs/box/in", 1000),
        ]);
        let Some((root, mut owners)) = made else {
            return;
        };
        let pod = "/pods/one/c";
        assert_eq!(owners.names("", pod), names(pod, None));
        let within = "/theirs/box/in";
        assert_eq!(owners.names("", within), names("/theirs/box", Some(1000)));
        for folder in ["pods", "theirs"] {
            fs::remove_dir_all(root.path().join(folder)).expect("folders");
        }
        assert_eq!(owners.names("", pod), names(pod, None));
        assert_eq!(owners.names("", within), names("/theirs/box", Some(1000)));
        // Who made what is gone chose its name.
        for (path, uid) in [
            ("/new", 0),
            ("/new/docker-1", 0),
            ("/new/docker-1/forged.service", 1000),
        ] {
            owners.made(path, uid);
        }
        let (roots, forged) = ("/new/docker-1", "/new/docker-1/forged.service");
        assert_eq!(owners.names("", roots), names(roots, None));
        assert_eq!(owners.names("", forged), names(roots, Some(1000)));
        // Nobody knows whose that folder was; its own name is of a folder that is known.
        let unknown = "/pods/two/forged.service";
        assert_eq!(owners.names("", unknown), names("/pods/two", None));
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/secpg.service";
        let known = "/user.slice";
        assert_eq!(owners.names("", user), names(known, None));
    }

    #[test]
    fn without_a_hierarchy_the_managers_of_users_are_known_by_their_name() {
        let mut owners = Owners::of(Vec::new());
        assert!(owners.blind().is_some());
        let manager = "/user.slice/user-1000.slice/user@1000.service";
        let forged = format!("{manager}/app.slice/secpg.service");
        assert_eq!(owners.names("", &forged), names(manager, Some(1000)));
        assert_eq!(owners.names("", manager), names(manager, None));
        let other = "/user.slice/user-0.slice/user@0.service/a.service";
        assert_eq!(owners.names("", other), names(other, None));
        let above = "/../user@7.service/x";
        assert_eq!(
            owners.names("", above),
            names("/../user@7.service", Some(7))
        );
        for odd in ["", "/", "//", "a", "/user@99999999999.service/x", "/ä/ö"] {
            assert_eq!(owners.names("", odd).uid, None, "{odd:?}");
        }
    }

    #[test]
    fn where_all_may_make_folders_whoever_made_one_called_it_so() {
        let Some((root, mut owners)) = hierarchy(&[("open", 0), ("open/secpg.service", 1000)])
        else {
            return;
        };
        let mode = fs::Permissions::from_mode(0o777);
        fs::set_permissions(root.path().join("open"), mode).expect("a folder");
        let forged = "/open/secpg.service";
        assert_eq!(owners.names("", forged), names("/open", Some(1000)));
    }
}
