//! What stands in the way before anything is tried: what, why, and what to do.

use std::fmt;

use rustix::thread::CapabilitySet;

use super::facts::{Facts, TypesError};

/// Something that keeps tracer from watching this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is missing.
    pub what: String,
    /// What it is needed for.
    pub why: &'static str,
    /// What to do.
    pub fix: String,
    privilege: bool,
}

impl Obstacle {
    /// Whether more rights would help; else this kernel cannot.
    pub fn is_privilege(&self) -> bool {
        self.privilege
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  why: {}\n  fix: {}", self.what, self.why, self.fix)
    }
}

/// All that stands in the way on the kernel and with the rights of `facts`.
pub fn obstacles(facts: &Facts) -> Vec<Obstacle> {
    [capabilities(facts), types(facts), ring_buffer(facts)]
        .into_iter()
        .flatten()
        .collect()
}

/// What is missing that does not keep tracer from watching, but costs something.
pub fn limits(facts: &Facts) -> Vec<Obstacle> {
    let has = |capability| facts.capabilities.contains(capability);
    let no_ptrace = || Obstacle {
        what: "CAP_SYS_PTRACE missing".to_owned(),
        why: "executables of other users' processes cannot be read from /proc",
        fix: "run it as root, or add cap_sys_ptrace to the binary's rights".to_owned(),
        privilege: true,
    };
    let inside_pid_namespace = || {
        Obstacle {
        what: "this is not the host's pid namespace".to_owned(),
        why: "the kernel tells the host's process ids, and /proc here shows other ones: executables and arguments of \
              processes that are older than tracer, and what listened or was connected before in other pid \
              namespaces, are not found",
        fix: "run it in the host's pid namespace: `hostPID: true` in Kubernetes, `--pid=host` for a container"
            .to_owned(),
        privilege: false,
    }
    };
    [
        (!has(CapabilitySet::SYS_PTRACE)).then(no_ptrace),
        (!facts.host_pids).then(inside_pid_namespace),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// CAP_SYS_ADMIN implied both until Linux 5.8 split them off, and still does.
fn capabilities(facts: &Facts) -> Option<Obstacle> {
    let has = facts.capabilities;
    if has.contains(CapabilitySet::SYS_ADMIN) {
        return None;
    }
    let missing: Vec<&str> = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
    ]
    .into_iter()
    .filter(|(capability, _)| !has.contains(*capability))
    .map(|(_, name)| name)
    .collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(" and ");
    Some(Obstacle {
        what: format!("not permitted: {missing} missing"),
        why: "loading eBPF programs needs CAP_BPF, reading kernel memory from them needs CAP_PERFMON",
        fix: "run it as root (`sudo tracer …`), or give the binary its rights once: `sudo setcap \
              cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v tracer)`"
            .to_owned(),
        privilege: true,
    })
}

fn types(facts: &Facts) -> Option<Obstacle> {
    let error = facts.types.as_ref().err()?;
    let fix = match error {
        TypesError::Absent => {
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; distributions have done so since \
             2020 (Debian 11, Ubuntu 20.10, RHEL 8.2)"
                .to_owned()
        }
        TypesError::Unreadable(_) => "make /sys/kernel/btf/vmlinux readable".to_owned(),
        TypesError::Btf(_) | TypesError::Size { .. } => format!(
            "use a newer tracer, or report this with the kernel's release ({}) and its file /sys/kernel/btf/vmlinux",
            facts.release
        ),
    };
    Some(Obstacle {
        what: error.to_string(),
        why: "the programs must know where this kernel keeps what they read; a guess would read wrong",
        fix,
        privilege: false,
    })
}

fn ring_buffer(facts: &Facts) -> Option<Obstacle> {
    (facts.ring_buffer == Some(false)).then(|| Obstacle {
        what: format!("this kernel ({}) has no BPF ring buffers", facts.release),
        why: "events travel through one, in order",
        fix: "use Linux 5.8 or later".to_owned(),
        privilege: false,
    })
}
