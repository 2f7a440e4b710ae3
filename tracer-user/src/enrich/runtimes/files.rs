//! Reading below a folder of somebody else's: no link is followed on the way, only regular files
//! are read, and never more than there should be.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
/// Without waiting for the other end of what turns out to be a pipe.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// Whose files are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// In folders that only the administrator can write to: anybody's.
    System,
    /// In folders of this user: only the user's own, so that a second name of another one's file
    /// is of no use.
    User(u32),
}

/// The file at `path` below `base`, if it is at most `max` bytes long. Links are followed on the
/// way to `base`, and not from there.
pub(super) fn read(base: &Path, path: &Path, max: u64, whose: Whose) -> Option<Vec<u8>> {
    let mut folder: OwnedFd = openat(CWD, base, FOLDER, Mode::empty()).ok()?;
    let mut parts = path.components().peekable();
    let name = loop {
        let Component::Normal(part) = parts.next()? else {
            return None;
        };
        if parts.peek().is_none() {
            break part;
        }
        folder = openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty()).ok()?;
    };
    let file = openat(&folder, name, FILE, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    if let Whose::User(uid) = whose
        && stat.st_uid != uid
    {
        return None;
    }
    let mut bytes = Vec::new();
    // It may grow meanwhile: one more, to see that.
    File::from(file)
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .ok()?;
    u64::try_from(bytes.len())
        .is_ok_and(|len| len <= max)
        .then_some(bytes)
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
