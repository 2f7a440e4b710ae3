//! Where runtimes keep what they know of a container on disk, and in which order to look.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    bundle, docker,
    facts::{Facts, Texts},
    files::{self, Whose},
    storage,
};

/// How long a file about one container may be, bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How long the index of all containers of Podman or CRI-O may be, bytes.
const MAX_INDEX_BYTES: u64 = 8 << 20;
/// And of a user's, which is read for each container.
const MAX_INDEX_BYTES_OF_USER: u64 = 1 << 20;
/// How many namespaces of a containerd are looked at; there are two or three.
const MAX_NAMESPACES: usize = 32;

/// Where containerd keeps the bundles of what runs, by namespace; also the ones that Kubernetes
/// distributions bring.
const TASKS: [&str; 5] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/k0s/containerd/io.containerd.runtime.v2.task",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
    "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
];
/// Where Podman and CRI-O keep theirs, by the driver of their storage.
const STORAGES: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];
const DRIVERS: [&str; 3] = ["overlay", "vfs", "btrfs"];
/// Where Docker describes its containers.
const DOCKER: &str = "var/lib/docker/containers";
/// Where runc keeps the state of what runs, with the bundle in it, and who tells it to.
const RUNC: [(&str, Option<&str>); 3] = [
    ("run/docker/runtime-runc/moby", Some("docker")),
    ("run/containerd/runc/k8s.io", Some("containerd")),
    ("run/runc", None),
];
/// The same of crun.
const CRUN: &str = "run/crun";

/// The part of crun's `status` that is needed.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    bundle: PathBuf,
}

/// The part of runc's `state.json` that is needed.
#[derive(Deserialize)]
struct State {
    config: StateConfig,
}

#[derive(Deserialize)]
struct StateConfig {
    /// `key=value`: the bundle, then its annotations.
    #[serde(default)]
    labels: Vec<String>,
}

/// What is on the disks below `root` of the container `id`, which must be one by
/// [`files::is_id`]: in the administrator's files, or if it has an `owner`, in that user's, who can
/// write anything into them.
pub(super) fn find(root: &Path, id: &str, owner: Option<u32>) -> Option<Facts> {
    if let Some(uid) = owner {
        let state = PathBuf::from(format!("run/user/{uid}/crun"));
        return of_crun(root, Path::new(""), &state, id, Whose::User(uid));
    }
    let found = containerd(root, id)
        .or_else(|| of_storage(root, id))
        .or_else(|| of_docker(root, id))
        .or_else(|| of_crun(root, Path::new(CRUN), Path::new(""), id, Whose::System))
        .or_else(|| of_runc(root, id));
    let mut facts = found?;
    // What its containerd knows of a container of Docker is little.
    if facts.name.is_none()
        && let Some(more) = of_docker(root, id)
    {
        facts.or(more);
    }
    Some(facts)
}

fn by(runtime: &str, mut facts: Facts) -> Facts {
    facts.runtime.get_or_insert_with(|| runtime.into());
    facts
}

fn containerd(root: &Path, id: &str) -> Option<Facts> {
    TASKS.iter().find_map(|tasks| {
        let base = root.join(tasks);
        let folders = std::fs::read_dir(&base)
            .ok()?
            .take(MAX_NAMESPACES)
            .flatten();
        for namespace in folders.map(|folder| folder.file_name()) {
            let path = Path::new(&namespace).join(id).join("config.json");
            let bytes = files::read(&base, &path, MAX_BYTES, Whose::System);
            if let Some(facts) = bytes.as_deref().and_then(bundle::parse) {
                let is_docker = namespace == "moby";
                return Some(by(if is_docker { "docker" } else { "containerd" }, facts));
            }
        }
        None
    })
}

fn of_storage(root: &Path, id: &str) -> Option<Facts> {
    STORAGES.iter().find_map(|storage| {
        DRIVERS.iter().find_map(|driver| {
            let base = root.join(storage).join(format!("{driver}-containers"));
            let path = Path::new(id).join("userdata/config.json");
            let bytes = files::read(&base, &path, MAX_BYTES, Whose::System)?;
            let mut facts = by("podman", bundle::parse(&bytes)?);
            for folder in STORAGES {
                let base = root.join(folder).join(format!("{driver}-containers"));
                index(&base, Path::new(""), id, Whose::System, &mut facts);
            }
            Some(facts)
        })
    })
}

/// Adds what the index in `folder` below `base` says, where the bundle did not.
fn index(base: &Path, folder: &Path, id: &str, whose: Whose, facts: &mut Facts) {
    // The second has those that go when they end, or with the machine.
    for name in ["containers.json", "volatile-containers.json"] {
        if facts.name.is_some() && facts.image.is_some() {
            return;
        }
        let max = match whose {
            Whose::System => MAX_INDEX_BYTES,
            Whose::User(_) => MAX_INDEX_BYTES_OF_USER,
        };
        let bytes = files::read(base, &folder.join(name), max, whose);
        if let Some(more) = bytes.and_then(|bytes| storage::parse(&bytes, id)) {
            facts.or(more);
        }
    }
}

fn of_docker(root: &Path, id: &str) -> Option<Facts> {
    let path = Path::new(id).join("config.v2.json");
    let bytes = files::read(&root.join(DOCKER), &path, MAX_BYTES, Whose::System)?;
    Some(by("docker", docker::parse(&bytes, id)?))
}

/// `base`, and `folder` below it, is where crun keeps its state: of a user, all of it is looked at on
/// the way. It keeps a copy of the bundle's `config.json` there; the bundle itself leads to the index,
/// wherever the storage of its owner is.
fn of_crun(root: &Path, base: &Path, folder: &Path, id: &str, whose: Whose) -> Option<Facts> {
    let (base, folder) = (root.join(base), folder.join(id));
    let status = files::read(&base, &folder.join("status"), MAX_BYTES, whose)?;
    let status: Status = serde_json::from_slice(&status).ok()?;
    let bundle = status.bundle.strip_prefix("/").ok();
    let copy = files::read(&base, &folder.join("config.json"), MAX_BYTES, whose);
    let original = || files::read(root, &bundle?.join("config.json"), MAX_BYTES, whose);
    let mut facts = bundle::parse(&copy.or_else(original)?)?;
    if let Some(folder) = bundle.and_then(|bundle| storage_of(bundle, id)) {
        index(root, folder, id, whose, &mut facts);
    }
    Some(by("crun", facts))
}

/// `STORAGE/DRIVER-containers` of the bundle `STORAGE/DRIVER-containers/ID/userdata`.
fn storage_of<'a>(bundle: &'a Path, id: &str) -> Option<&'a Path> {
    let folder = bundle.parent()?;
    (bundle.ends_with("userdata") && folder.ends_with(id)).then(|| folder.parent())?
}

fn of_runc(root: &Path, id: &str) -> Option<Facts> {
    RUNC.iter().find_map(|(base, who)| {
        let path = Path::new(id).join("state.json");
        let bytes = files::read(&root.join(base), &path, MAX_BYTES, Whose::System)?;
        Some(by(who.unwrap_or("runc"), state(&bytes)?))
    })
}

/// runc's `state.json`.
fn state(bytes: &[u8]) -> Option<Facts> {
    let state: State = serde_json::from_slice(bytes).ok()?;
    let pairs = state.config.labels.iter().filter_map(|label| {
        let (key, value) = label.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    Some(bundle::of_annotations(&Texts(pairs.collect())))
}

/// What any contents of the files say.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn any(bytes: &[u8], id: &str) -> Vec<Facts> {
    let _ = serde_json::from_slice::<Status>(bytes);
    let all = [
        bundle::parse(bytes),
        docker::parse(bytes, id),
        storage::parse(bytes, id),
        state(bytes),
    ];
    all.into_iter().flatten().collect()
}
