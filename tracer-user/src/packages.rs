//! Packages of the distribution → the processes of this host that use them: what a notice of a patch
//! is about.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{ErrorKind, Read as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// Where dpkg keeps the lists of files.
const DPKG: &str = "/var/lib/dpkg/info";
/// Where dpkg keeps which files of packages are elsewhere than they say.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
/// A list of files is not longer than this.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// How much is read of what a process has mapped, bytes; the kernel allows 65,530 mappings by default.
const MAX_MAPS_BYTES: u64 = 32 << 20;
/// How long a process may take to be looked at. Who asks what it has mapped waits for the lock of its
/// memory, which the process can keep.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many threads may be kept by processes that take longer.
const MAX_KEPT: usize = 8;
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
    /// Its files by every path that a process may be told by: as the package lists them, where they are
    /// diverted to, and without symbolic links on the way. Also those that are gone.
    pub paths: BTreeSet<String>,
    /// Whether it has libraries, which programs of other packages use.
    pub has_libraries: bool,
    /// The executables that run now, whatever they use.
    pub running: BTreeSet<String>,
    /// Processes that run one of them or have it mapped.
    pub pids: BTreeSet<u32>,
    /// Those of them that use a version which was replaced meanwhile, and so have to be restarted.
    pub outdated: BTreeSet<u32>,
    /// How many processes could not be looked at in time.
    pub unread: u64,
}

/// The files of `package`, and the processes that use them.
///
/// # Errors
/// If there is no such package.
pub fn used(package: &str) -> Result<Used, PackageError> {
    let mut files = files(package)?;
    let diversions = fs::read_to_string(DIVERSIONS).unwrap_or_default();
    divert(&mut files, package, &diversions);
    Ok(users(Path::new("/proc"), files))
}

/// Another package, or who administers the host, has put its own file in the place of one of `package`,
/// which is elsewhere then. Each diversion has three lines: from where, to where, by which package.
fn divert(files: &mut [PathBuf], package: &str, diversions: &str) {
    let lines: Vec<&str> = diversions.lines().collect();
    let diverted: HashMap<&Path, &Path> = lines
        .chunks_exact(3)
        .filter(|it| it[2] != package)
        .map(|it| (Path::new(it[0]), Path::new(it[1])))
        .collect();
    for file in files {
        if let Some(to) = diverted.get(file.as_path()) {
            *file = to.to_path_buf();
        }
    }
}

/// Whether a file is a library by its name, as `libssl.so.3`.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str());
    name.is_some_and(|it| it.ends_with(".so") || it.contains(".so."))
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
        let metadata = fs::metadata(&real);
        if metadata.as_ref().is_ok_and(|it| !it.is_file()) {
            continue;
        }
        // What was removed, or is a link to what another package has, ran by that path all the same.
        let folder = file.parent().and_then(|it| fs::canonicalize(it).ok());
        let by_folder = folder.zip(file.file_name()).map(|(it, name)| it.join(name));
        for path in [Some(&file), by_folder.as_ref(), Some(&real)] {
            used.paths.extend(path.map(|it| it.display().to_string()));
        }
        used.has_libraries |= is_library(&file);
        if let Ok(metadata) = metadata {
            inodes.insert(real, metadata.ino());
        }
    }
    let mut looks = Looks::new(proc, MAX_KEPT, PATIENCE, look);
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let Some((exe, maps)) = looks.look(pid) else {
            used.unread += 1;
            continue;
        };
        if let Some(exe) = exe {
            used.running.insert(exe);
        }
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

/// What a process runs, and its `/proc/PID/maps`.
type Seen = (Option<String>, Vec<u8>);

/// It may be gone by now, or not ours to look at.
fn look(process: &Path) -> Seen {
    let exe = fs::read_link(process.join("exe")).ok();
    let exe = exe.map(|exe| exe.display().to_string());
    let exe = exe.map(|exe| exe.trim_end_matches(" (deleted)").to_owned());
    let mut maps = Vec::new();
    if let Ok(file) = fs::File::open(process.join("maps")) {
        // What was read until an error counts.
        let _ = file.take(MAX_MAPS_BYTES).read_to_end(&mut maps);
    }
    (exe, maps)
}

/// Looks at processes by a thread that may be kept by one of them: then another one goes on.
struct Looks {
    proc: PathBuf,
    /// How many threads more may be kept.
    left: usize,
    patience: Duration,
    look: fn(&Path) -> Seen,
    thread: Option<(Sender<PathBuf>, Receiver<Seen>)>,
}

impl Looks {
    fn new(proc: &Path, threads: usize, patience: Duration, look: fn(&Path) -> Seen) -> Self {
        Self {
            proc: proc.to_owned(),
            left: threads,
            patience,
            look,
            thread: None,
        }
    }

    /// What is seen of this process; none if it cannot be looked at in time.
    fn look(&mut self, pid: u32) -> Option<Seen> {
        if self.thread.is_none() {
            self.thread = Some(self.start()?);
        }
        let (asks, answers) = self.thread.as_ref()?;
        asks.send(self.proc.join(pid.to_string())).ok()?;
        let seen = answers.recv_timeout(self.patience).ok();
        if seen.is_none() {
            self.thread = None;
        }
        seen
    }

    fn start(&mut self) -> Option<(Sender<PathBuf>, Receiver<Seen>)> {
        self.left = self.left.checked_sub(1)?;
        let (asks, asked) = channel::<PathBuf>();
        let (tell, answers) = channel();
        let look = self.look;
        // Not joined: it may never return.
        let started = thread::Builder::new()
            .name("packages".to_owned())
            .spawn(move || {
                while let Ok(process) = asked.recv() {
                    if tell.send(look(&process)).is_err() {
                        return;
                    }
                }
            });
        started.ok().map(|_| (asks, answers))
    }
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
    fn what_is_gone_linked_or_diverted_is_found_by_each_of_its_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("usr")).expect("a folder");
        fs::write(at("usr/tool"), "").expect("a file");
        std::os::unix::fs::symlink(at("usr"), at("bin")).expect("a link");
        let mut files = vec![
            at("bin/tool"),
            at("bin/gone"),
            at("bin"),
            at("bin/libx.so.1"),
        ];
        let diversions = format!(
            "{0}\n{0}.real\nother\n{1}\n{1}.own\nthis\n",
            at("bin/gone").display(),
            at("bin/tool").display()
        );
        divert(&mut files, "this", &diversions);
        let used = users(Path::new("/nowhere"), files);
        let real = fs::canonicalize(at("usr")).expect("it is there");
        for path in [
            at("bin/tool"),
            real.join("tool"),
            at("bin/gone.real"),
            real.join("gone.real"),
        ] {
            assert!(used.paths.contains(&path.display().to_string()), "{path:?}");
        }
        assert!(!used.paths.contains(&at("bin/gone").display().to_string()));
        assert!(!used.paths.contains(&at("bin").display().to_string()));
        assert!(used.has_libraries);
    }

    #[test]
    fn a_name_cannot_be_an_option_or_a_path() {
        for name in ["", "-e", "../x", "a b", "a/b"] {
            assert!(matches!(files(name), Err(PackageError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_process_that_cannot_be_looked_at_keeps_nobody() {
        let patience = Duration::from_millis(20);
        let mut looks = Looks::new(Path::new("/"), 3, patience, |process| {
            if process.ends_with("7") {
                thread::sleep(Duration::from_secs(5));
            }
            (Some(process.display().to_string()), Vec::new())
        });
        let seen: Vec<bool> = [1, 7, 2, 7, 3, 7, 4]
            .map(|pid| looks.look(pid).is_some())
            .to_vec();
        // The last one finds no thread.
        assert_eq!(seen, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn this_process_uses_the_file_that_it_runs() {
        let exe = std::env::current_exe().expect("it runs something");
        let used = users(Path::new("/proc"), vec![exe]);
        assert!(used.pids.contains(&std::process::id()));
        assert!(used.outdated.is_empty());
        assert_eq!(used.unread, 0);
    }
}
