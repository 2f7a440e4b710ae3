//! The words that may stay, as they are tracer's own or Kubernetes': none of them comes from the host.
//! Anything else in their place is replaced.

/// Who runs containers.
pub(super) const RUNTIMES: [&str; 8] = [
    "containerd",
    "cri-o",
    "crun",
    "docker",
    "lxc",
    "nspawn",
    "podman",
    "runc",
];

/// What makes pods.
pub(super) const OWNERS: [&str; 9] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Node",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Qualities of service of pods.
pub(super) const QUALITIES: [&str; 3] = ["besteffort", "burstable", "guaranteed"];

/// What programs are for, as tracer's own table says: questions depend on it.
pub(super) const ROLES: [&str; 22] = [
    "browser",
    "cache",
    "ci",
    "database",
    "directory",
    "dns",
    "logging",
    "mail",
    "monitoring",
    "network",
    "orchestration",
    "printing",
    "proxy",
    "queue",
    "search",
    "ssh",
    "storage",
    "time",
    "updates",
    "vpn",
    "web",
    "-",
];

/// Sets of hooks.
pub(super) const HOOKS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

/// Machines, as `uname -m` prints them.
pub(super) const MACHINES: [&str; 3] = ["aarch64", "riscv64", "x86_64"];

/// What units of systemd end in.
pub(super) const SUFFIXES: [&str; 5] = ["service", "scope", "slice", "socket", "mount"];

/// What names of scopes and transient units begin with, of which the rest is a number or another name.
pub(super) const BEGINNINGS: [&str; 8] = [
    "app-",
    "machine-lxc-",
    "machine-qemu-",
    "machine-",
    "run-p",
    "run-r",
    "run-u",
    "session-",
];

/// Labels by which several containers are known to be one service.
pub(super) const LABELS: [&str; 18] = [
    "com.amazonaws.ecs.cluster",
    "com.amazonaws.ecs.container-name",
    "com.amazonaws.ecs.task-definition-family",
    "com.docker.compose.container-number",
    "com.docker.compose.oneoff",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
    "com.docker.swarm.task.name",
    "com.hashicorp.nomad.alloc_id",
    "com.hashicorp.nomad.job_id",
    "com.hashicorp.nomad.job_name",
    "com.hashicorp.nomad.namespace",
    "com.hashicorp.nomad.task_group_name",
    "com.hashicorp.nomad.task_name",
    "io.podman.compose.container-number",
    "io.podman.compose.project",
    "io.podman.compose.service",
];

/// Values of labels that mean the same everywhere.
pub(super) const TRUTHS: [&str; 2] = ["false", "true"];
