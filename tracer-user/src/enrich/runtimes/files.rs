//! What others put where runtimes keep their files and sockets: opened component by component, and
//! only after a look at what it is.
//!
//! Nothing is opened but regular files and sockets: to open a device or a pipe would be noticed. Each is
//! first taken hold of with `O_PATH`, which asks nobody, and used by that, so that it cannot become
//! another one meanwhile. What is in the hands of a user is believed only if it is that user's own, in
//! folders that nobody else may write, and on a file system that answers by itself: whoever asks one
//! that the user mounted (FUSE) waits for the user.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags, open, openat, statx};

/// The path of a descriptor of our own.
const DESCRIPTORS: &str = "/proc/self/fd";
/// How much of the list of mounts is read, bytes.
const MAX_MOUNTS_BYTES: u64 = 4 << 20;
/// File systems that answer by themselves, by the names that the kernel has for them.
const LOCAL: [&str; 12] = [
    "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "overlay",
    "squashfs",
];

/// Whose files are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// In folders that only the administrator can write to: anybody's.
    System,
    /// This user's own, so that a second name of another one's file is of no use. Every folder on the
    /// way is the administrator's or the user's, and nobody else may write it.
    User(u32),
}

/// A socket, and whose it is.
pub(super) struct Socket {
    /// Held by `O_PATH`: not connected.
    fd: OwnedFd,
    /// The owner of its file.
    pub(super) owner: u32,
}

impl Socket {
    /// Where to connect to, as long as this value is there: this very socket, whatever became of its
    /// name.
    pub(super) fn path(&self) -> PathBuf {
        again(&self.fd)
    }
}

/// The file at `path` below `base`, if it is at most `max` bytes long. Links are followed on the
/// way to `base`, and not from there; in the hands of a user, `base` is the root of the host.
pub(super) fn read(base: &Path, path: &Path, max: u64, whose: Whose) -> Option<Vec<u8>> {
    let mut walk = Walk::begin(base, whose)?;
    let (file, stat) = walk.last(path)?;
    let is_believed = match whose {
        Whose::System => true,
        Whose::User(uid) => stat.stx_uid == uid,
    };
    if kind(&stat) != FileType::RegularFile || !is_believed {
        return None;
    }
    // Without waiting for whoever has a lease on it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(again(&file), flags, Mode::empty()).ok()?);
    let mut bytes = Vec::new();
    // It may grow meanwhile: one more, to see that.
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .ok()?;
    u64::try_from(bytes.len())
        .is_ok_and(|len| len <= max)
        .then_some(bytes)
}

/// The socket at `path` below `root`, the root of the host, if it and all folders on the way are of who
/// it should be, and nobody else may write there. No link is followed.
pub(super) fn socket(root: &Path, path: &Path, whose: Whose) -> Option<Socket> {
    let mut walk = Walk::begin(root, whose)?;
    walk.is_strict = true;
    let (fd, stat) = walk.last(path)?;
    let owner = match whose {
        Whose::System => walk.administrator,
        Whose::User(uid) => uid,
    };
    let is_it = kind(&stat) == FileType::Socket && stat.stx_uid == owner;
    is_it.then_some(Socket { fd, owner })
}

/// On the way from a folder to what is below it.
struct Walk {
    whose: Whose,
    /// Who owns the folder at which it begins: root, for that is the host's.
    administrator: u32,
    /// Whether folders of the system are looked at as those of users are.
    is_strict: bool,
    folder: OwnedFd,
    mount: u64,
    /// The list of mounts, once it was needed.
    mounts: Option<String>,
}

impl Walk {
    fn begin(base: &Path, whose: Whose) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, base, flags, Mode::empty()).ok()?;
        let stat = look(&folder)?;
        Some(Self {
            whose,
            administrator: stat.stx_uid,
            is_strict: false,
            folder,
            mount: stat.stx_mnt_id,
            mounts: None,
        })
    }

    /// What is at `path` from here. Nothing is asked of a file system before it is known which one it is.
    fn last(&mut self, path: &Path) -> Option<(OwnedFd, Statx)> {
        let mut parts = path.components().peekable();
        loop {
            let Component::Normal(part) = parts.next()? else {
                return None;
            };
            let is_last = parts.peek().is_none();
            let (there, stat) = self.hold(part, !is_last)?;
            if is_last {
                return Some((there, stat));
            }
            if !self.may_pass(&stat) {
                return None;
            }
            self.folder = there;
        }
    }

    /// `name` in the folder that was reached, without asking for more than what it is.
    fn hold(&mut self, name: &OsStr, is_folder: bool) -> Option<(OwnedFd, Statx)> {
        let mut flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        flags.set(OFlags::DIRECTORY, is_folder);
        let there = openat(&self.folder, name, flags, Mode::empty()).ok()?;
        let stat = look(&there)?;
        if self.whose != Whose::System && stat.stx_mnt_id != self.mount {
            let mounts = self.mounts.get_or_insert_with(mounts);
            if !is_local(mounts, stat.stx_mnt_id) {
                return None;
            }
        }
        self.mount = stat.stx_mnt_id;
        Some((there, stat))
    }

    /// Whether only those who are believed may change what is in a folder.
    fn may_pass(&self, folder: &Statx) -> bool {
        let owner = folder.stx_uid;
        let owns = match self.whose {
            Whose::System if !self.is_strict => return true,
            Whose::System => owner == self.administrator,
            Whose::User(uid) => owner == uid || owner == self.administrator,
        };
        owns && Mode::from_raw_mode(folder.stx_mode.into()) & (Mode::WGRP | Mode::WOTH)
            == Mode::empty()
    }
}

/// What `file` is, as far as the kernel knows without asking anybody.
fn look(file: &OwnedFd) -> Option<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::MNT_ID;
    let stat = statx(file, "", flags, wanted).ok()?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask);
    known.contains(wanted).then_some(stat)
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// The path by which a file is opened again that is held already.
fn again(file: &OwnedFd) -> PathBuf {
    Path::new(DESCRIPTORS).join(file.as_fd().as_raw_fd().to_string())
}

fn mounts() -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open("/proc/self/mountinfo") {
        // What was read until an error counts.
        let _ = file.take(MAX_MOUNTS_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the mount with this number is of a file system that answers by itself: `ID PARENT
/// MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE ...`, a mount a line.
fn is_local(mounts: &str, mount: u64) -> bool {
    let of_mount = |line: &&str| {
        let id = line.split(' ').next();
        id.and_then(|it| it.parse().ok()) == Some(mount)
    };
    let line = mounts.lines().find(of_mount);
    let kind = line.and_then(|line| line.split_once(" - ")?.1.split(' ').next());
    kind.is_some_and(|kind| LOCAL.contains(&kind))
}

/// Whether `id` can be a part of a path and of an address: letters, digits, `_`, `-` and `.`, of
/// which the first is a letter or digit, at most 128.
pub(super) fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files fails"
)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::process::getuid;

    use super::*;

    #[test]
    fn links_pipes_and_what_is_too_long_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        std::fs::create_dir_all(folder.path().join("out")).unwrap();
        std::fs::write(folder.path().join("out/f"), "secret").unwrap();
        std::fs::write(base.join("a/b/f"), "12345").unwrap();
        symlink(folder.path().join("out"), base.join("a/dir")).unwrap();
        symlink(base.join("a/b/f"), base.join("a/link")).unwrap();
        rustix::fs::mknodat(
            CWD,
            base.join("a/pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let read = |path: &str, max, whose| read(&base, Path::new(path), max, whose);
        assert_eq!(read("a/b/f", 5, Whose::System).unwrap(), b"12345");
        assert_eq!(read("a/b/f", 4, Whose::System), None);
        for path in [
            "a/dir/f",
            "a/link",
            "a/pipe",
            "a",
            "a/b/g",
            "",
            "../out/f",
            "/etc/passwd",
        ] {
            assert_eq!(read(path, 100, Whose::System), None, "{path}");
        }
        let me = getuid().as_raw();
        assert!(read("a/b/f", 5, Whose::User(me)).is_some());
        assert!(read("a/b/f", 5, Whose::User(me + 1)).is_none());
    }

    #[test]
    fn what_others_may_write_is_not_passed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let me = getuid().as_raw();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/f"), "1").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(root.join("a/b/s")).unwrap();
        symlink(root.join("a/b/s"), root.join("a/link")).unwrap();
        symlink(root.join("a/b"), root.join("a/dir")).unwrap();
        for (mode, is_open) in [
            (0o755, true),
            (0o775, false),
            (0o757, false),
            (0o1777, false),
        ] {
            rustix::fs::chmod(root.join("a"), Mode::from_raw_mode(mode)).unwrap();
            for whose in [Whose::System, Whose::User(me)] {
                let is_socket = |path: &str| socket(root, Path::new(path), whose).is_some();
                assert_eq!(is_socket("a/b/s"), is_open, "{mode:o} {whose:?}");
                for path in ["a/b/f", "a/link", "a/dir/s", "a/b", "a/b/none", "../a/b/s"] {
                    assert!(!is_socket(path), "{path} {mode:o} {whose:?}");
                }
            }
            let file = read(root, Path::new("a/b/f"), 1, Whose::User(me));
            assert_eq!(file.is_some(), is_open, "{mode:o}");
        }
        rustix::fs::chmod(root.join("a"), Mode::from_raw_mode(0o755)).unwrap();
        let other = Whose::User(me + 1);
        assert!(socket(root, Path::new("a/b/s"), other).is_none());
    }

    #[test]
    fn a_file_system_that_somebody_answers_for_is_not_asked() {
        let mounts = "\
            24 1 0:22 / / rw - ext4 /dev/vda rw\n\
            25 24 0:23 / /run/user/1000 rw shared:3 - tmpfs tmpfs rw\n\
            26 25 0:24 / /run/user/1000/a\\040-\\040tmpfs rw - fuse.x y rw\n\
            27 24 0:25 / /home rw - nfs4 server:/home rw\n";
        let local: Vec<u64> = (0..30).filter(|it| is_local(mounts, *it)).collect();
        assert_eq!(local, [24, 25]);
        assert!(!is_local("", 1) && !is_local("1 - \n1", 1));
    }

    #[test]
    fn an_id_is_no_path() {
        for id in ["t1", "68041ceb3f120f20", "web_1.a-b"] {
            assert!(is_id(id), "{id}");
        }
        for id in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "-a",
            "a b",
            "a\0",
            "ä",
            "a?x=y",
            "a%2f",
            &"a".repeat(129),
        ] {
            assert!(!is_id(id), "{id}");
        }
    }
}
