//! Packages of the distribution → the processes of this host that use them: what a notice of a patch
//! is about.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where dpkg keeps the lists of files.
const DPKG: &str = "/var/lib/dpkg/info";
/// A list of files is not longer than this.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// Packages that are suggested.
const SUGGESTIONS: usize = 5;

/// Why it is not known what a package has.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// There is no such package.
    #[error("no package called {name} is installed here{}", suggestions(.nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Packages that are called nearly that.
        nearest: Vec<String>,
    },
    /// The name cannot be one.
    #[error("{0:?} cannot be the name of a package: write it as dpkg -l or rpm -qa do")]
    Name(String),
    /// Neither dpkg nor rpm is there.
    #[error("this host has neither dpkg nor rpm: name executables by --exe instead")]
    NoDatabase,
    /// The list of files cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, String),
}

fn suggestions(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; what comes nearest: {}", names.join(", ")),
    }
}

/// What a package has, and who uses it now.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// Its files.
    pub paths: BTreeSet<String>,
    /// Processes that run one of them or have it mapped.
    pub pids: BTreeSet<u32>,
    /// Those of them that use a version which was replaced meanwhile, and so have to be restarted.
    pub outdated: BTreeSet<u32>,
}

/// The files of `package`, and the processes that use them.
///
/// # Errors
/// If there is no such package.
pub fn used(package: &str) -> Result<Used, PackageError> {
    let files = files(package)?;
    Ok(users(Path::new("/proc"), files))
}

/// The files of `package` by the distribution's database.
fn files(package: &str) -> Result<Vec<PathBuf>, PackageError> {
    let is_name = |it: u8| it.is_ascii_alphanumeric() || b"+-._:~^".contains(&it);
    if package.is_empty() || package.starts_with('-') || !package.bytes().all(is_name) {
        return Err(PackageError::Name(package.to_owned()));
    }
    if Path::new(DPKG).is_dir() {
        return dpkg(Path::new(DPKG), package);
    }
    let output = match Command::new("rpm").args(["-ql", "--", package]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(PackageError::NoDatabase),
        Err(error) => {
            return Err(PackageError::Unreadable(
                "rpm".to_owned(),
                error.to_string(),
            ));
        }
    };
    if !output.status.success() {
        return Err(PackageError::Unknown {
            name: package.to_owned(),
            nearest: Vec::new(),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(PathBuf::from).collect())
}

fn dpkg(folder: &Path, package: &str) -> Result<Vec<PathBuf>, PackageError> {
    let unreadable = |path: &Path, error: std::io::Error| {
        PackageError::Unreadable(path.display().to_string(), error.to_string())
    };
    let mut found = Vec::new();
    let mut names = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|it| it.strip_suffix(".list")) else {
            continue;
        };
        // `libssl3:amd64`, where several architectures can be installed.
        let bare = name.split(':').next().unwrap_or(name);
        if name == package || bare == package {
            found.push(entry.path());
        } else {
            names.push(bare.to_owned());
        }
    }
    if found.is_empty() {
        let likeness = |name: &String| (strsim::jaro_winkler(name, package) * 1000.0) as u64;
        names.sort_by_key(|name| std::cmp::Reverse(likeness(name)));
        names.truncate(SUGGESTIONS);
        return Err(PackageError::Unknown {
            name: package.to_owned(),
            nearest: names,
        });
    }
    let mut files = Vec::new();
    for path in found {
        let size = fs::metadata(&path)
            .map_err(|error| unreadable(&path, error))?
            .len();
        if size > MAX_LIST_BYTES {
            let error = std::io::Error::other("it is larger than any list of files");
            return Err(unreadable(&path, error));
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        files.extend(text.lines().map(PathBuf::from));
    }
    Ok(files)
}

/// Who uses these files. A file of that path in another root (a container's) is another file: it
/// has another inode, and was not deleted.
fn users(proc: &Path, files: Vec<PathBuf>) -> Used {
    let mut used = Used::default();
    let mut inodes: HashMap<PathBuf, u64> = HashMap::new();
    for file in files {
        // Symbolic links on the way, as /lib to /usr/lib: processes are told the real path.
        let real = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
        let Ok(metadata) = fs::metadata(&real) else {
            continue;
        };
        if metadata.is_file() {
            used.paths.insert(real.display().to_string());
            inodes.insert(real, metadata.ino());
        }
    }
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // It may be gone by now, or not ours to look at.
        let maps = fs::read(entry.path().join("maps")).unwrap_or_default();
        for line in String::from_utf8_lossy(&maps).lines() {
            let Some((inode, path)) = mapped(line) else {
                continue;
            };
            let current = path.strip_suffix(" (deleted)");
            let Some(known) = inodes.get(Path::new(current.unwrap_or(path))) else {
                continue;
            };
            if current.is_some() || inode == *known {
                used.pids.insert(pid);
            }
            if current.is_some() {
                used.outdated.insert(pid);
            }
        }
    }
    used
}

/// The inode and the path of a line of `/proc/PID/maps`: range, permissions, offset, device, inode,
/// and after spaces the path.
fn mapped(line: &str) -> Option<(u64, &str)> {
    let mut rest = line;
    let mut word = || {
        rest = rest.trim_start();
        let end = rest.find(' ')?;
        let (word, more) = rest.split_at(end);
        rest = more;
        Some(word)
    };
    for _ in 0..4 {
        word()?;
    }
    let inode = word()?.parse().ok().filter(|it| *it != 0)?;
    let path = rest.trim_start();
    path.starts_with('/').then_some((inode, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_has_an_inode_and_a_path() {
        let line = "7f0e4c000000-7f0e4c021000 r-xp 00026000 fe:01 1234 /usr/lib/a b.so (deleted)";
        assert_eq!(mapped(line), Some((1234, "/usr/lib/a b.so (deleted)")));
        assert_eq!(mapped("7ffd-7ffe rw-p 00000000 00:00 0 [stack]"), None);
        assert_eq!(mapped("7ffd-7ffe rw-p 00000000 00:00 0"), None);
        assert_eq!(mapped(""), None);
    }

    #[test]
    fn lists_of_dpkg_are_found_with_and_without_an_architecture() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(
            folder.path().join("libssl3:amd64.list"),
            "/.\n/usr/lib/libssl.so.3\n",
        )
        .expect("a list");
        for name in ["libssl3", "libssl3:amd64"] {
            let files = dpkg(folder.path(), name).expect("it is there");
            assert_eq!(
                files,
                [PathBuf::from("/."), PathBuf::from("/usr/lib/libssl.so.3")]
            );
        }
        let error = dpkg(folder.path(), "libssl").expect_err("it is not there");
        assert_eq!(
            error.to_string(),
            "no package called libssl is installed here; what comes nearest: libssl3"
        );
    }

    #[test]
    fn a_name_cannot_be_an_option_or_a_path() {
        for name in ["", "-e", "../x", "a b", "a/b"] {
            assert!(matches!(files(name), Err(PackageError::Name(_))), "{name}");
        }
    }

    #[test]
    fn this_process_uses_the_file_that_it_runs() {
        let exe = std::env::current_exe().expect("it runs something");
        let used = users(Path::new("/proc"), vec![exe]);
        assert!(used.pids.contains(&std::process::id()));
        assert!(used.outdated.is_empty());
    }
}
