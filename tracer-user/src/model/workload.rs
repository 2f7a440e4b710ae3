//! Workloads: what an operator calls the thing that runs.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::omit::is_zero;

/// What kind of thing a workload is, the most telling one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A unit of systemd.
    Systemd,
    /// A container that belongs to no pod.
    Container,
    /// A container of a Kubernetes pod.
    Pod,
    /// None of these: a program.
    Executable,
}

impl WorkloadKind {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Executable => "executable",
        }
    }
}

/// What an operator calls the thing that a process belongs to. Processes of one workload are
/// replaceable by each other: the workers of a server, the threads of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its name: the unit; the container's name, or the short form of its id; the pod's owner or
    /// the pod; the file name of the executable.
    pub name: Arc<str>,
    /// The user, not root, who owns the control group or the network namespace that it is in: whoever
    /// that is chose the name, and may choose the addresses. The name ends with it, `NAME@UID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Unit of systemd that it runs in, where systemd runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// The innermost slice of systemd that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<Arc<str>>,
    /// The container it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// What Kubernetes calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k8s: Option<Kubernetes>,
    /// What it is for, as far as its executable, port or image tell: `web`, `database`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
}

impl Workload {
    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let texts = [Some(&self.name), self.unit.as_ref(), self.slice.as_ref()];
        let container = self.container.as_ref().map_or(0, Container::bytes);
        size_of::<Self>() + sum(texts) + container
    }
}

/// Bytes of all that are there.
fn sum<const N: usize>(texts: [Option<&Arc<str>>; N]) -> usize {
    texts.into_iter().flatten().map(|it| it.len()).sum()
}

impl Container {
    fn bytes(&self) -> usize {
        let around = self.around.as_ref();
        let texts = [
            Some(&self.id),
            self.name.as_ref(),
            self.image.as_ref(),
            around.map(|it| &it.id),
            around.and_then(|it| it.name.as_ref()),
        ];
        let labels = self.labels.iter();
        let labels = labels.map(|(key, value)| LABEL_BYTES + key.len() + value.len());
        sum(texts) + labels.sum::<usize>()
    }
}

/// What a label takes beside its texts: two references, with the counts of what they share.
const LABEL_BYTES: usize = 64;

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id, whole, as its runtime gave it.
    pub id: Arc<str>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The image it was made of, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Arc<str>>,
    /// What runs it: as `docker`, `containerd`, `cri-o`, `podman`, `lxc`, `nspawn`,
    /// `crun`, `runc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Arc<str>>,
    /// The container or machine that it runs in, where containers nest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub around: Option<Outer>,
    /// Its labels; of Kubernetes' own only those that say more than [`Kubernetes`] does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// How many of them are left out: see [`bounds::labels`](super::bounds::labels).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub labels_cut: u64,
}

/// What is around a container that runs in another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outer {
    /// Its id, whole; of several that nest, from the outermost to the innermost, with `/` between.
    pub id: Arc<str>,
    /// The name of the outermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

/// What Kubernetes calls a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Namespace of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Arc<str>>,
    /// The pod's uid, with hyphens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Arc<str>>,
    /// Its quality of service: `guaranteed`, `burstable`, `besteffort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<Arc<str>>,
    /// What made the pod, where its name tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The node it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
}

/// What made a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its kind, as Kubernetes writes it: `ReplicaSet`, `DaemonSet`.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}
