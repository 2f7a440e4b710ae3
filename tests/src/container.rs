//! Containers that crun runs, in control groups laid out as other runtimes do.

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{cgroup, netns::Netns, skip};

/// What of this system a container sees.
const SHARED: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// Tells the containers of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Runs `program`, which lies outside of what containers see, with `args` in a container in the
/// namespace `netns` and the control group `path`, from the root of v2; waits for its end.
///
/// crun takes a hybrid host for one that it does not know: there it sees v2 alone.
pub fn run(netns: &Netns, path: &str, program: &Path, args: &[String]) -> Result<()> {
    let crun = skip::need("crun")?;
    let Some(mount) = cgroup::mounted()? else {
        return skip::skip("cgroup2", "it is not mounted");
    };
    let folder = tempfile::tempdir().context("make a folder")?;
    let root = folder.path().join("rootfs");
    for place in SHARED.iter().chain(&["/dev", "/proc", "/program"]) {
        fs::create_dir_all(root.join(&place[1..])).context("make the container's folders")?;
    }
    let bind = |from: &Path, to: &str| json!({"destination": to, "type": "none", "source": from, "options": ["rbind", "ro"]});
    let mut mounts = vec![json!({"destination": "/proc", "type": "proc", "source": "proc"})];
    let shared = SHARED.iter().filter(|place| Path::new(place).is_dir());
    mounts.extend(shared.map(|place| bind(Path::new(place), place)));
    mounts.push(bind(program.parent().context("a folder")?, "/program"));
    let inside = format!("/program/{}", name(program)?);
    let all: Vec<&String> = std::iter::once(&inside).chain(args).collect();
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": all,
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}],
            "cgroupsPath": path,
        },
    });
    fs::write(folder.path().join("config.json"), config.to_string()).context("write the bundle")?;
    let mut command = Command::new(crun);
    command
        .arg("--root")
        .arg(folder.path().join("state"))
        .args(["--cgroup-manager=cgroupfs", "run", "--no-pivot", "--bundle"])
        .arg(folder.path())
        .arg(format!(
            "tracer-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ))
        .stdin(Stdio::null());
    let group = Group {
        folder: mount.join(path.trim_start_matches('/')),
        mount,
    };
    netns.enter(&mut command);
    if group.mount != Path::new("/sys/fs/cgroup") {
        see_v2_alone(&mut command);
    }
    let output = command.output().context("start crun")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Some kernels do not let it run a copy of itself out of an initial file system.
    if said.contains("re-execute") {
        return skip::not_here("crun", said.trim());
    }
    ensure!(output.status.success(), "crun: {}: {said}", output.status);
    Ok(())
}

fn name(program: &Path) -> Result<String> {
    let name = program.file_name().context("a file name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Gives `command` a mount namespace of its own, where v2 is all there is of control groups.
fn see_v2_alone(command: &mut Command) {
    // SAFETY: the closure only makes system calls; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            let (none, kind) = (std::ptr::null(), c"cgroup2".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let place = c"/sys/fs/cgroup".as_ptr();
            if libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
                || libc::mount(kind, place, kind, 0, none.cast()) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// A folder of control groups that a runtime makes. What is left of it goes with the value.
struct Group {
    mount: PathBuf,
    folder: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        // What others still use stays.
        let mut folder = Some(self.folder.as_path());
        while let Some(path) = folder.filter(|path| *path != self.mount) {
            if fs::remove_dir(path).is_err() && path.exists() {
                return;
            }
            folder = path.parent();
        }
    }
}
