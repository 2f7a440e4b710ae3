//! A container of a test's own, by crun, which needs no daemon, no image and no network.
//!
//! Its files are the host's: each folder of the root is bound into it, so every program that is
//! here runs there under the same path, test binaries included. It is in the network namespace of
//! whoever starts it (see [`crate::netns`]) and has namespaces of its own for the rest. What tells
//! tracer that it is one is its control group, whose path a [`Style`] or the test chooses.
//!
//! crun wants one hierarchy of control groups. Where there are both, as with systemd's hybrid
//! layout, it is shown a /sys/fs/cgroup with only the second in a mount namespace of its own; the
//! container's group is then in `/sys/fs/cgroup/unified`, and in the root of each older hierarchy.
//! No devices or limits are set, as that takes rights that test machines lack (`CAP_SYS_RESOURCE`).

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{skip, wait};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Folders of the root that a container has its own of.
const OWN: [&str; 3] = ["proc", "dev", "sys"];

/// How long what was told to end may take.
const GRACE: Duration = Duration::from_secs(5);

/// Whose way to name a container's control group is followed.
#[derive(Clone, Debug)]
pub enum Style {
    /// `/docker/ID`
    Docker,
    /// `/system.slice/docker-ID.scope`
    DockerSystemd,
    /// `/machine.slice/libpod-ID.scope`
    Podman,
    /// `/kubepods.slice/…-burstable-podUID.slice/cri-containerd-ID.scope`; the pod's uid, with
    /// hyphens.
    Containerd(String),
    /// `/kubepods.slice/…-burstable-podUID.slice/crio-ID.scope`; likewise.
    CriO(String),
    /// This one; `{id}` in it is replaced.
    Path(String),
}

impl Style {
    /// The path of the control group of the container `id`.
    pub fn path(&self, id: &str) -> String {
        let pod = |uid: &str, scope: &str| {
            let uid = uid.replace('-', "_");
            let slice = "kubepods.slice/kubepods-burstable.slice";
            format!("/{slice}/kubepods-burstable-pod{uid}.slice/{scope}-{id}.scope")
        };
        match self {
            Self::Docker => format!("/docker/{id}"),
            Self::DockerSystemd => format!("/system.slice/docker-{id}.scope"),
            Self::Podman => format!("/machine.slice/libpod-{id}.scope"),
            Self::Containerd(uid) => pod(uid, "cri-containerd"),
            Self::CriO(uid) => pod(uid, "crio"),
            Self::Path(path) => path.replace("{id}", id),
        }
    }
}

/// A running container. It ends with its value, and its control group goes.
#[derive(Debug)]
pub struct Container {
    id: String,
    pid: u32,
    path: String,
    child: Child,
    bundle: TempDir,
    /// Control groups that were not there before, innermost first.
    groups: Vec<PathBuf>,
}

impl Container {
    /// Starts one that runs `args`, the first of which is the path of a program; or skips where
    /// there is no crun or no right to use it.
    ///
    /// # Errors
    /// A skip, or what crun said.
    pub fn run(style: &Style, args: &[&str]) -> Result<Self> {
        Self::run_annotated(style, args, &[])
    }

    /// The same, with these annotations in its `config.json`, which crun copies to
    /// `/run/crun/ID/`.
    ///
    /// # Errors
    /// A skip, or what crun said.
    pub fn run_annotated(
        style: &Style,
        args: &[&str],
        annotations: &[(&str, &str)],
    ) -> Result<Self> {
        skip::need("crun")?;
        if !rustix::process::geteuid().is_root() {
            return skip::skip("root", "containers are started by root");
        }
        let id = new_id();
        let path = style.path(&id);
        let bundle = TempDir::with_prefix("tracer-bundle-").context("make a bundle")?;
        let annotations: serde_json::Map<String, Value> = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        write_bundle(bundle.path(), &path, args, &annotations)?;
        let groups = missing_groups(&path)?;
        let (pid_file, log) = (bundle.path().join("pid"), bundle.path().join("stderr"));
        let stderr = fs::File::create(&log).context("make a file for errors")?;
        let mut child = crun()?
            .args(["run", "--bundle"])
            .arg(bundle.path())
            .arg("--pid-file")
            .arg(&pid_file)
            .arg(&id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("start crun")?;
        let pid = wait::until("a container to start", || {
            let pid = fs::read_to_string(&pid_file).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse() {
                return Ok(Some(pid));
            }
            if let Some(status) = child.try_wait()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("crun: {status}: {}", said.trim());
            }
            Ok(None)
        });
        let out = Self {
            id,
            pid: *pid.as_ref().unwrap_or(&0),
            path,
            child,
            bundle,
            groups,
        };
        // Not before `out` is there, which cleans up.
        pid.map(|_| out)
    }

    /// Its id: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its first process, as the host counts.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Path of its control group below the root of the hierarchy.
    pub fn cgroup(&self) -> &str {
        &self.path
    }

    /// What its first process reads; none if it was taken already.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What its first process writes; none if it was taken already.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.bundle.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(mut delete) = crun() {
            // It fails if the container has ended and crun has cleaned up.
            let _ = delete.args(["delete", "--force", &self.id]).output();
        }
        // crun ends with the container, and takes note of its end: killed before, it would leave
        // that to process 1.
        let ended = wait::until_at_most(GRACE, "crun", || Ok(self.child.try_wait()?));
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for group in &self.groups {
            // The kernel takes a moment to count a dead process out.
            let _ = wait::until_at_most(GRACE, "a group", || {
                Ok(match fs::remove_dir(group) {
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => None,
                    _ => Some(()),
                })
            });
        }
    }
}

/// crun, where it sees one hierarchy of control groups.
fn crun() -> Result<Command> {
    let mut command = if is_unified() {
        Command::new("crun")
    } else {
        let mut command = Command::new(skip::need("unshare")?);
        let script = r#"mount -t cgroup2 cgroup2 "$0" && exec crun "$@""#;
        command.args(["--mount", "--propagation", "private"]);
        command.args(["sh", "-c", script, CGROUPS]);
        command
    };
    command.arg("--cgroup-manager=cgroupfs");
    Ok(command)
}

fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// The groups on the way to `path` that are not there, innermost first.
fn missing_groups(path: &str) -> Result<Vec<PathBuf>> {
    let root = [CGROUPS, "/sys/fs/cgroup/unified"]
        .map(Path::new)
        .into_iter()
        .find(|root| root.join("cgroup.controllers").exists());
    let Some(root) = root else {
        return skip::skip("cgroup2", "it is not mounted");
    };
    let innermost = root.join(path.trim_start_matches('/'));
    let groups = innermost.ancestors().take_while(|group| !group.exists());
    Ok(groups.map(Path::to_owned).collect())
}

/// Ids that no other container has: 64 hexadecimal digits.
fn new_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    // Not only zeros in front: tools cut ids to their first twelve digits.
    let front = now.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let pid = std::process::id();
    format!(
        "{front:032x}{:016x}{pid:08x}{count:08x}",
        now & u128::from(u64::MAX)
    )
}

/// A bundle whose root has all that the host's has.
fn write_bundle(
    bundle: &Path,
    cgroup: &str,
    args: &[&str],
    annotations: &serde_json::Map<String, Value>,
) -> Result<()> {
    let rootfs = bundle.join("rootfs");
    fs::create_dir(&rootfs).context("make a root")?;
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=65536k"]}),
        json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]}),
    ];
    for name in OWN {
        fs::create_dir(rootfs.join(name)).context("make a folder of a root")?;
    }
    for entry in fs::read_dir("/").context("read /")? {
        let entry = entry.context("read /")?;
        let (name, kind) = (entry.file_name(), entry.file_type().context("read /")?);
        let Some(name) = name.to_str().filter(|name| !OWN.contains(name)) else {
            continue;
        };
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, rootfs.join(name)).context("make a root")?;
        } else if kind.is_dir() {
            fs::create_dir(rootfs.join(name)).context("make a folder of a root")?;
            mounts.push(json!({"destination": format!("/{name}"), "type": "none",
                "source": format!("/{name}"), "options": ["rbind"]}));
        }
    }
    let capabilities = json!([
        "CAP_NET_ADMIN",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_KILL",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_ADMIN"
    ]);
    let config = json!({
        "ociVersion": "1.0.0",
        "annotations": annotations,
        "hostname": "container",
        "root": {"path": "rootfs", "readonly": false},
        "mounts": mounts,
        "process": {
            "terminal": false, "cwd": "/", "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": capabilities, "effective": capabilities,
                "permitted": capabilities},
        },
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
        },
    });
    let config = serde_json::to_vec_pretty(&config).context("write a config.json")?;
    fs::write(bundle.join("config.json"), config).context("write a config.json")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Of a test that may be skipped, which the test runner of Rust cannot tell apart.
    fn unless_skipped(result: Result<()>) {
        match result {
            Err(error) if error.is::<skip::Skip>() => println!("skipped: {error}"),
            other => other.unwrap(),
        }
    }

    #[test]
    fn a_container_runs_in_its_group_and_leaves_nothing() {
        unless_skipped((|| {
            let uid = "005f082b-5fd9-4650-8ef4-473e63bc2d13".to_owned();
            let note = ("io.kubernetes.cri.container-name", "web");
            let script = "echo $$; exec sleep 1000";
            let args = ["/bin/sh", "-c", script];
            let mut it = Container::run_annotated(&Style::Containerd(uid), &args, &[note])?;
            let mut first = [0; 2];
            it.stdout().unwrap().read_exact(&mut first)?;
            assert_eq!(&first, b"1\n");
            let groups = fs::read_to_string(format!("/proc/{}/cgroup", it.pid()))?;
            assert!(
                groups.contains(&format!("0::{}\n", it.cgroup())),
                "{groups}"
            );
            let config = fs::read_to_string(format!("/run/crun/{}/config.json", it.id()))?;
            assert!(config.contains(note.0));
            let (pid, groups) = (it.pid(), it.groups.clone());
            assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()));
            drop(it);
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
            assert!(groups.iter().all(|group| !group.exists()));
            Ok(())
        })());
    }

    #[test]
    fn what_crun_says_is_told() {
        unless_skipped((|| {
            let it = Container::run(&Style::Docker, &["/no/such/program"]);
            let error = it.unwrap_err();
            if error.is::<skip::Skip>() {
                return Err(error);
            }
            assert!(error.to_string().contains("/no/such/program"), "{error}");
            Ok(())
        })());
    }
}
