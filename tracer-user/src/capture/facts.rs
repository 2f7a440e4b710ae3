//! What this kernel and these privileges are: read once, before anything is loaded.

use std::{fs, io, path::Path, sync::Arc};

use rustix::thread::{CapabilitySet, capabilities};
use tracer_common::{Need, Offsets};

use super::btf::{Btf, BtfError};

/// Where a kernel shows its type information.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// What can be attached to: one of them are kprobes, since Linux 4.17.
const EVENT_SOURCES: &str = "/sys/bus/event_source/devices";
/// The first pid namespace: `PROC_PID_INIT_INO` of the kernel's `include/linux/proc_ns.h`.
const HOST_PID_NAMESPACE: &str = "pid:[4026531836]";
/// No kernel's type information comes near this; a file that does is not one.
const MAX_BTF_BYTES: u64 = 256 << 20;

/// Functions that are asked about.
const FUNCTIONS: [&str; 23] = [
    "tcp_connect",
    "inet_csk_accept",
    "tcp_close",
    "security_sock_graft",
    "security_socket_connect",
    "__inet_stream_connect",
    "tcp_v4_pre_connect",
    "tcp_v6_pre_connect",
    "tcp_v4_connect",
    "tcp_v6_connect",
    "tcp_conn_request",
    "tcp_v4_syn_recv_sock",
    "tcp_v6_syn_recv_sock",
    "tcp_v4_send_reset",
    "tcp_v6_send_reset",
    "udp_sendmsg",
    "udpv6_sendmsg",
    "tcp_sendmsg",
    "udp_recvmsg",
    "skb_consume_udp",
    "udpv6_recvmsg",
    "tcp_recvmsg",
    "sock_def_error_report",
];
/// The steps of connect() that are TCP's own.
const STEPS: [&str; 4] = [
    "tcp_v4_pre_connect",
    "tcp_v6_pre_connect",
    "tcp_v4_connect",
    "tcp_v6_connect",
];
/// What a BPF iterator over tasks attaches to.
const ITERATED: [&str; 1] = ["bpf_iter_task"];
/// What the tracepoint `tcp_send_reset` calls.
const RESETS: &str = "btf_trace_tcp_send_reset";
/// And `inet_sk_error_report`.
const ERRORS: &str = "btf_trace_inet_sk_error_report";
/// Changes of state.
const STATES: &str = "btf_trace_inet_sock_set_state";
/// Ends of sockets.
const DESTROYED: &str = "btf_trace_tcp_destroy_sock";

/// Hands out the current task with its type, since Linux 5.11.
const TYPED_TASK: &str = "bpf_get_current_task_btf";
/// The counter of readers that guards tracepoints where it is not a closed processor.
const SRCU: &str = "tracepoint_srcu_srcu_data";
/// A part of every tracepoint since Linux 6.13.
const EXTENSION: &str = "tracepoint_ext";
/// Where the programs at classic tracepoints find what they read: structure, member, and its
/// offset and size. As in `tracer-ebpf`'s `probes/state.rs`.
pub(super) const CLASSIC: [(&str, &str, (u32, u32)); 4] = [
    ("trace_event_raw_inet_sock_set_state", "skaddr", (8, 8)),
    ("trace_event_raw_inet_sock_set_state", "oldstate", (16, 4)),
    ("trace_event_raw_inet_sock_set_state", "newstate", (20, 4)),
    ("trace_event_raw_tcp_event_sk", "skaddr", (8, 8)),
];

/// What is known of the running kernel and of this process's rights.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As `uname -r` prints it.
    pub release: String,
    /// As `uname -m` prints it.
    pub arch: String,
    /// Capabilities in effect.
    pub capabilities: CapabilitySet,
    /// What the kernel's type information says, or why it says nothing.
    pub types: Result<Types, TypesError>,
    /// Whether it has ring buffers (Linux 5.8); none if it could not be asked, for
    /// want of privileges.
    pub ring_buffer: Option<bool>,
    /// Whether /proc shows processes by the ids that the kernel tells.
    pub host_pids: bool,
    /// Whether a task can interrupt another within the kernel.
    pub preemption: bool,
    /// Whether it has kprobes (`CONFIG_KPROBE_EVENTS`), as far as can be seen.
    pub kprobes: bool,
}

/// What the kernel's type information says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Where members of its structures are.
    pub offsets: Offsets,
    /// Parameters of `tcp_connect`, `inet_csk_accept`, `tcp_close`; none where the
    /// function is not there to hook.
    pub connect_parameters: Option<usize>,
    /// Likewise; it decides where an fexit program finds the return value.
    pub accept_parameters: Option<usize>,
    /// Likewise.
    pub close_parameters: Option<usize>,
    /// Parameters of `security_sock_graft`.
    pub graft_parameters: Option<usize>,
    /// Parameters of `__inet_stream_connect`.
    pub dial_parameters: Option<usize>,
    /// Parameters of `tcp_v4_connect`, `tcp_v4_pre_connect` and their twins, if they are the same.
    pub step_parameters: Option<usize>,
    /// Parameters of `security_socket_connect`.
    pub permit_parameters: Option<usize>,
    /// Parameters of `tcp_conn_request`.
    pub request_parameters: Option<usize>,
    /// Parameters of `tcp_v4_syn_recv_sock` and its twin, if they are the same.
    pub complete_parameters: Option<usize>,
    /// Parameters of `tcp_v4_send_reset` and its twin.
    pub reset_parameters: Option<usize>,
    /// Parameters of `udp_sendmsg`, its twin and `tcp_sendmsg`, if they are the same.
    pub send_parameters: Option<usize>,
    /// Parameters of `udp_recvmsg`, its twin and `tcp_recvmsg`, if they are the same.
    pub receive_parameters: Option<usize>,
    /// Parameters of `skb_consume_udp`.
    pub consume_parameters: Option<usize>,
    /// Arguments of the tracepoint `tcp_send_reset`.
    pub reset_arguments: Option<usize>,
    /// Arguments of the tracepoint `inet_sk_error_report`.
    pub error_arguments: Option<usize>,
    /// Parameters of `sock_def_error_report`.
    pub error_parameters: Option<usize>,
    /// Arguments of the tracepoint `inet_sock_set_state`.
    pub state_arguments: Option<usize>,
    /// Arguments of the tracepoint `tcp_destroy_sock`.
    pub destroyed_arguments: Option<usize>,
    /// Whether programs can have the current task with its type.
    pub typed_task: bool,
    /// Whether a task can interrupt a program at a raw tracepoint (Linux 7.0).
    pub raw_tracepoints_interrupted: bool,
    /// Whether the records of the classic tracepoints are laid out as their programs read them.
    pub classic_tracepoints: bool,
    /// What cannot be done for want of a member, and which.
    pub missing: Vec<(Need, String)>,
    /// The ids of functions and tracepoints that programs attach to, as type information for aya.
    pub functions: Arc<[u8]>,
}

impl Types {
    /// The member for want of which `need` cannot be met.
    pub fn missing(&self, need: Need) -> Option<&str> {
        let missing = self.missing.iter().find(|(other, _)| *other == need);
        missing.map(|(_, why)| why.as_str())
    }
}

/// Why there is no type information to go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    /// The kernel has none.
    #[error("this kernel does not describe its types: {KERNEL_BTF} is missing")]
    Absent,
    /// It cannot be read.
    #[error("{KERNEL_BTF} cannot be read: {0}")]
    Unreadable(String),
    /// It makes no sense, or lacks what the programs read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A member has another size than the programs read.
    #[error("`{member}` has {found} bytes in this kernel, not {expected}")]
    Size {
        /// Structure and member.
        member: String,
        /// Bytes that the programs read.
        expected: u32,
        /// Bytes that it has.
        found: u32,
    },
}

impl Facts {
    /// Reads the running kernel and this process. Never fails: what cannot be found out is a fact too.
    pub fn gather() -> Self {
        let uname = rustix::system::uname();
        Self {
            release: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            capabilities: capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective),
            types: read_types(Path::new(KERNEL_BTF)),
            ring_buffer: ring_buffer(),
            kprobes: !Path::new(EVENT_SOURCES).exists()
                || Path::new(EVENT_SOURCES).join("kprobe").exists(),
            preemption: preemption(
                &uname.version().to_string_lossy(),
                fs::read_to_string("/sys/kernel/debug/sched/preempt").ok(),
            ),
            host_pids: fs::read_link("/proc/self/ns/pid")
                .is_ok_and(|link| link.as_os_str() == HOST_PID_NAMESPACE),
        }
    }
}

/// Reads the kernel's version text, as `uname -v` prints it, and for kernels that can be either
/// way the modes, of which the one in use is in parentheses: `none voluntary (full)`.
fn preemption(version: &str, modes: Option<String>) -> bool {
    let has = |word: &str| version.split_ascii_whitespace().any(|it| it == word);
    if has("PREEMPT_DYNAMIC") {
        // If it cannot be read: as distributions set it.
        return modes.is_some_and(|modes| modes.contains("(full)") || modes.contains("(lazy)"));
    }
    has("PREEMPT") || has("PREEMPT_RT") || has("PREEMPT_LAZY") || has("PREEMPT(full)")
}

fn read_types(path: &Path) -> Result<Types, TypesError> {
    let unreadable = |error: io::Error| TypesError::Unreadable(error.to_string());
    let data = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BTF_BYTES => {
            return Err(TypesError::Unreadable(
                "it is larger than any kernel's".to_owned(),
            ));
        }
        Ok(_) => fs::read(path).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(TypesError::Absent),
        Err(error) => return Err(unreadable(error)),
    };
    types_in(data)
}

/// Names of all types that are asked about.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let structures = Offsets::MEMBERS.iter().map(|(structure, ..)| *structure);
    let records = CLASSIC.iter().map(|(structure, ..)| *structure);
    let names = structures.chain(records).chain(FUNCTIONS).chain(ITERATED);
    names.chain([
        RESETS, ERRORS, STATES, DESTROYED, TYPED_TASK, SRCU, EXTENSION,
    ])
}

/// What is asked of a kernel's type information.
pub(super) fn types_in(data: Vec<u8>) -> Result<Types, TypesError> {
    let mut btf = Btf::parse(data)?;
    btf.look_for(names());
    let mut values = [0; Offsets::MEMBERS.len()];
    let mut missing = Vec::new();
    for (value, (structure, path, size, need)) in values.iter_mut().zip(Offsets::MEMBERS) {
        match offset(&btf, structure, path, *size) {
            Ok(offset) => *value = offset,
            Err(error) if *need == Need::Core => return Err(error),
            Err(error) => missing.push((*need, error.to_string())),
        }
    }
    leave_out(&mut values, &missing);
    let parameters = |function: &str| btf.parameters(function).ok();
    let same = |functions: &[&str]| {
        let (first, others) = functions.split_first()?;
        parameters(first).filter(|count| others.iter().all(|it| parameters(it) == Some(*count)))
    };
    // The first parameter of what a tracepoint calls is the tracer's own.
    let arguments = |tracepoint| {
        let parameters = btf.typedef_parameters(tracepoint);
        parameters.ok().and_then(|count| count.checked_sub(1))
    };
    Ok(Types {
        offsets: Offsets::from_array(values),
        connect_parameters: parameters("tcp_connect"),
        accept_parameters: parameters("inet_csk_accept"),
        close_parameters: parameters("tcp_close"),
        graft_parameters: parameters("security_sock_graft"),
        dial_parameters: parameters("__inet_stream_connect"),
        step_parameters: same(&STEPS),
        permit_parameters: parameters("security_socket_connect"),
        request_parameters: parameters("tcp_conn_request"),
        complete_parameters: same(&["tcp_v4_syn_recv_sock", "tcp_v6_syn_recv_sock"]),
        reset_parameters: same(&["tcp_v4_send_reset", "tcp_v6_send_reset"]),
        send_parameters: same(&["udp_sendmsg", "udpv6_sendmsg", "tcp_sendmsg"]),
        receive_parameters: same(&["udp_recvmsg", "udpv6_recvmsg", "tcp_recvmsg"]),
        consume_parameters: parameters("skb_consume_udp"),
        reset_arguments: arguments(RESETS),
        error_arguments: arguments(ERRORS),
        error_parameters: parameters("sock_def_error_report"),
        state_arguments: arguments(STATES),
        destroyed_arguments: arguments(DESTROYED),
        typed_task: btf.parameters(TYPED_TASK).is_ok(),
        // Up to 6.12 tracepoints had that counter for idle processors only, and no extension.
        raw_tracepoints_interrupted: btf.has(SRCU) && btf.has(EXTENSION),
        classic_tracepoints: CLASSIC.iter().all(|(structure, member, expected)| {
            btf.member(structure, member)
                .is_ok_and(|found| (found.offset, found.size) == *expected)
        }),
        functions: btf
            .of_attachments(&[&FUNCTIONS[..], &ITERATED, &[STATES, DESTROYED]].concat())
            .into(),
        missing,
    })
}

/// Of what cannot be done for want of one member, the programs have no other either: they ask for one of them
/// whether they can do it at all.
fn leave_out(offsets: &mut [u32; Offsets::MEMBERS.len()], missing: &[(Need, String)]) {
    for (offset, (_, _, _, need)) in offsets.iter_mut().zip(Offsets::MEMBERS) {
        // What is needed for nothing is a member each.
        if *need != Need::Nothing && missing.iter().any(|(other, _)| other == need) {
            *offset = 0;
        }
    }
}

fn offset(btf: &Btf, structure: &str, path: &str, size: u32) -> Result<u32, TypesError> {
    let mut found = path.split('|').map(|path| btf.member(structure, path));
    let member = match found.find(Result::is_ok) {
        Some(member) => member?,
        None => btf.member(structure, path)?,
    };
    if member.size != size {
        return Err(TypesError::Size {
            member: format!("{structure}.{path}"),
            expected: size,
            found: member.size,
        });
    }
    Ok(member.offset)
}

/// Asks by making one, which needs the privilege to: only `EINVAL` says that the
/// kernel does not know them.
fn ring_buffer() -> Option<bool> {
    aya::sys::is_map_supported(aya::maps::MapType::RingBuf).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_lacks_a_member_no_other_is_used() {
        for lacking in Offsets::MEMBERS {
            let mut offsets = [7; Offsets::MEMBERS.len()];
            leave_out(&mut offsets, &[(lacking.3, "no such member".to_owned())]);
            for (offset, member) in offsets.iter().zip(Offsets::MEMBERS) {
                let is_left_out = member.3 == lacking.3 && lacking.3 != Need::Nothing;
                assert_eq!(*offset == 0, is_left_out, "{lacking:?}: {member:?}");
            }
        }
    }

    #[test]
    fn a_kernel_that_can_be_either_way_is_asked() {
        let modes = |text: &str| Some(text.to_owned());
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.174-1";
        assert!(!preemption(dynamic, None));
        assert!(!preemption(dynamic, modes("none (voluntary) full")));
        assert!(preemption(dynamic, modes("none voluntary (full) lazy")));
        assert!(preemption("#1 SMP PREEMPT_RT", None));
        assert!(preemption(
            "#1 SMP PREEMPT Fri",
            modes("none (voluntary) full")
        ));
        assert!(!preemption("#1 SMP Debian 5.10.0", None));
    }
}
