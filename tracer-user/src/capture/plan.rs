//! From facts to hooks: which programs to try, in which order, and what each choice
//! leaves invisible. Pure, so it can be asked about kernels that are not here.

use std::fmt;

use tracer_common::{Need, hooks};

use super::{Facts, facts::Types, preflight::Obstacle};
use crate::model::Blind;

/// A set of programs that are loaded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSet {
    /// Function entry and exit through BPF trampolines: cheapest, sees callers.
    Fentry,
    /// Function entry and return through breakpoints or ftrace: the same facts.
    Kprobe,
    /// Tracepoints alone: what no function can be hooked for is inferred.
    Tracepoint,
}

impl HookSet {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// The word for it on the command line and in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// At the entry of a kernel function.
    Fentry(&'static str),
    /// At its return.
    Fexit(&'static str),
    /// At the entry of a kernel function.
    Kprobe(&'static str),
    /// At its return.
    Kretprobe(&'static str),
    /// At a tracepoint, with its raw arguments.
    RawTracepoint(&'static str),
    /// At a tracepoint, with arguments whose types the kernel's description tells.
    TypedTracepoint(&'static str),
    /// At a tracepoint of a category, with its record.
    Tracepoint(&'static str, &'static str),
    /// Over everything of a kind, when asked.
    Iterator(&'static str),
    /// Nowhere; it is run when asked.
    OnDemand,
}

/// What a program is a part of. Without the first no plan works; the others can be left
/// out, and then something more stays invisible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The life of connections.
    Life,
    /// Why attempts failed whose end was missed.
    Errors,
    /// What accept() hands out, also where its return is not seen.
    Graft,
    /// Who reads from a connection, where accept() is not seen.
    Readers,
    /// What connect() returns.
    Dial,
    /// Attempts that full accept queues turn away.
    QueueFull,
    /// Attempts at ports that nothing listens on.
    NotListening,
    /// What is there that no hook told of.
    Scan,
    /// What open connections have carried so far.
    Totals,
    /// What processes run.
    Processes,
    /// Control groups that are made.
    Cgroups,
    /// What processes ask name servers.
    Names,
    /// Addresses that are replaced between connect() and the SYN.
    Redirect,
    /// Who keeps a network namespace.
    Namespaces,
    /// Whose a network namespace is; the programs of the others read it.
    Owners,
}

/// One program of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it goes.
    pub attachment: Attachment,
    /// What it is a part of.
    pub part: Part,
}

/// A hook set that is worth trying on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which.
    pub set: HookSet,
    /// What to load and attach.
    pub programs: Vec<Program>,
    /// Whether another task can interrupt a program at a tracepoint.
    pub interrupted: bool,
    /// What is left out, and why.
    pub without: Vec<(Part, String)>,
}

impl Plan {
    /// Bits for the programs: which facts have a program of their own.
    pub fn hooks(&self) -> u32 {
        let life = match self.set {
            HookSet::Fentry | HookSet::Kprobe => hooks::CONNECT | hooks::ACCEPT,
            HookSet::Tracepoint => 0,
        };
        if self.has(Part::Dial) {
            life | hooks::DIAL
        } else {
            life
        }
    }

    /// Whether it reads sockets through pointers whose types the verifier knows.
    pub fn is_typed(&self) -> bool {
        let mut programs = self.programs.iter();
        programs.any(|program| matches!(program.attachment, Attachment::TypedTracepoint(_)))
    }

    /// Whether a part is in.
    pub fn has(&self, part: Part) -> bool {
        self.programs.iter().any(|program| program.part == part)
    }

    /// The same without `part`, which did not load for the reason `why`; none if nothing
    /// works without it.
    pub fn without(&self, part: Part, why: String) -> Option<Self> {
        if part == Part::Life {
            return None;
        }
        let mut plan = self.clone();
        plan.programs.retain(|program| program.part != part);
        plan.without.push((part, why));
        Some(plan)
    }

    /// What stays invisible.
    pub fn blind(&self) -> Vec<Blind> {
        blind(self)
    }
}

/// A hook set that this kernel cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuledOut {
    /// Which.
    pub set: HookSet,
    /// Why.
    pub why: String,
}

/// What to try, best first, and what not to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// To try, in this order.
    pub candidates: Vec<Plan>,
    /// Not to try.
    pub ruled_out: Vec<RuledOut>,
}

impl Plans {
    /// Leaves `part` out of all of them, as it is not wanted for the reason `why`.
    pub fn leave_out(&mut self, part: Part, why: &str) {
        for plan in &mut self.candidates {
            if plan.has(part)
                && let Some(less) = plan.without(part, why.to_owned())
            {
                *plan = less;
            }
        }
    }
}

const fn life(name: &'static str, attachment: Attachment) -> Program {
    Program {
        name,
        attachment,
        part: Part::Life,
    }
}

/// Handshakes, failures, ends and listeners, also outside any process.
const STATE: Program = life(
    "state_changed",
    Attachment::RawTracepoint("inet_sock_set_state"),
);

/// The last word on a connection: what was missed of its end, and that nobody accepted it.
const DESTROYED: Program = life(
    "sock_destroyed",
    Attachment::RawTracepoint("tcp_destroy_sock"),
);

/// The same where the kernel describes the arguments: reading them costs less.
const STATE_TYPED: Program = life(
    "state_changed_typed",
    Attachment::TypedTracepoint("inet_sock_set_state"),
);

/// Likewise.
const DESTROYED_TYPED: Program = life(
    "sock_destroyed_typed",
    Attachment::TypedTracepoint("tcp_destroy_sock"),
);

/// The same where raw tracepoints can be interrupted.
const STATE_CLASSIC: Program = life(
    "state_changed_classic",
    Attachment::Tracepoint("sock", "inet_sock_set_state"),
);

/// Likewise.
const DESTROYED_CLASSIC: Program = life(
    "sock_destroyed_classic",
    Attachment::Tracepoint("tcp", "tcp_destroy_sock"),
);

/// Decides what to try on the kernel that `facts` describe. `choice` limits it to one
/// hook set; none tries all, best first.
///
/// # Errors
/// Every [`Obstacle`] that stands in the way of all of them.
pub fn plan(facts: &Facts, choice: Option<HookSet>) -> Result<Plans, Vec<Obstacle>> {
    let obstacles = super::preflight::obstacles(facts);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut plans = Plans::default();
    for set in HookSet::ALL
        .into_iter()
        .filter(|set| choice.is_none_or(|choice| choice == *set))
    {
        let tracepoints = tracepoints(facts);
        match programs(facts, set) {
            Ok(functions) => {
                let mut without = Vec::new();
                let mut parts = Vec::new();
                for part in [
                    Part::Errors,
                    Part::Graft,
                    Part::Readers,
                    Part::Dial,
                    Part::QueueFull,
                    Part::NotListening,
                    Part::Scan,
                    Part::Totals,
                    Part::Processes,
                    Part::Cgroups,
                    Part::Names,
                    Part::Redirect,
                    Part::Namespaces,
                    Part::Owners,
                ] {
                    match optional(facts, set, part) {
                        Ok(more) => parts.extend(more),
                        Err(why) => without.push((part, why)),
                    }
                }
                for tracepoints in tracepoints {
                    plans.candidates.push(Plan {
                        set,
                        programs: [&tracepoints[..], &functions, &parts].concat(),
                        interrupted: is_interrupted(facts, &tracepoints),
                        without: without.clone(),
                    });
                }
            }
            Err(why) => plans.ruled_out.push(RuledOut { set, why }),
        }
    }
    Ok(plans)
}

/// The tracepoints to try, best first. The last word on a connection comes first, its
/// beginning last: what begins while they are attached one by one must not be left without
/// an end.
fn tracepoints(facts: &Facts) -> Vec<[Program; 2]> {
    let raw = [DESTROYED, STATE];
    let typed = [DESTROYED_TYPED, STATE_TYPED];
    let classic = [DESTROYED_CLASSIC, STATE_CLASSIC];
    match &facts.types {
        Ok(types) if types.raw_tracepoints_interrupted && types.classic_tracepoints => {
            vec![classic, raw]
        }
        Ok(types) if types.state_arguments == Some(3) && types.destroyed_arguments == Some(1) => {
            vec![typed, raw]
        }
        _ => vec![raw],
    }
}

fn is_interrupted(facts: &Facts, tracepoints: &[Program; 2]) -> bool {
    let types = facts.types.as_ref();
    types.is_ok_and(|types| types.raw_tracepoints_interrupted)
        && !tracepoints.contains(&STATE_CLASSIC)
}

/// The functions to hook, in the order to attach them: after the tracepoints.
fn programs(facts: &Facts, set: HookSet) -> Result<Vec<Program>, String> {
    match set {
        HookSet::Tracepoint => Ok(Vec::new()),
        HookSet::Kprobe if !facts.kprobes => Err("this kernel has no kprobes".to_owned()),
        HookSet::Kprobe => Ok(vec![
            life("close_kprobe", Attachment::Kprobe("tcp_close")),
            life("accept_kretprobe", Attachment::Kretprobe("inet_csk_accept")),
            life("connect_kprobe", Attachment::Kprobe("tcp_connect")),
        ]),
        HookSet::Fentry => {
            let types = facts.types.as_ref().map_err(ToString::to_string)?;
            if facts.preemption || types.raw_tracepoints_interrupted {
                return Err(
                    "on this kernel another task can interrupt a program there, and until it goes on the kernel \
                     runs it for nobody else on that processor: calls would be missed"
                        .to_owned(),
                );
            }
            types
                .connect_parameters
                .ok_or_else(|| absent("tcp_connect"))?;
            types.close_parameters.ok_or_else(|| absent("tcp_close"))?;
            let accept = match types.accept_parameters {
                Some(4) => "accept_fexit_4",
                Some(2) => "accept_fexit_2",
                Some(other) => return Err(unknown("inet_csk_accept", other, "2 or 4")),
                None => return Err(absent("inet_csk_accept")),
            };
            Ok(vec![
                life("close_fentry", Attachment::Fentry("tcp_close")),
                life(accept, Attachment::Fexit("inet_csk_accept")),
                life("connect_fentry", Attachment::Fentry("tcp_connect")),
            ])
        }
    }
}

fn absent(function: &str) -> String {
    format!("this kernel's type information has no `{function}`")
}

fn unknown(function: &str, found: usize, known: &str) -> String {
    format!("`{function}` has {found} parameters; {known} are known")
}

/// Whether a function has the parameters that its program reads.
fn expect(function: &str, found: Option<usize>, known: usize) -> Result<(), String> {
    match found {
        Some(found) if found == known => Ok(()),
        Some(found) => Err(unknown(function, found, &known.to_string())),
        None => Err(absent(function)),
    }
}

/// The programs of a part that can be left out, or why it is.
fn optional(facts: &Facts, set: HookSet, part: Part) -> Result<Vec<Program>, String> {
    let types = facts.types.as_ref().map_err(ToString::to_string)?;
    let has = |need| match types.missing(need) {
        Some(member) => Err(member.to_owned()),
        None => Ok(()),
    };
    let of_part = |programs: Vec<(&'static str, Attachment)>| {
        let programs = programs.into_iter();
        Ok(programs
            .map(|(name, attachment)| Program {
                name,
                attachment,
                part,
            })
            .collect())
    };
    let no_function = || Err("no function of this kernel can be hooked".to_owned());
    match part {
        Part::Life => Ok(Vec::new()),
        Part::Errors => {
            has(Need::Errors)?;
            let tracepoint = "inet_sk_error_report";
            if types.error_arguments.is_some() || set == HookSet::Tracepoint {
                expect(tracepoint, types.error_arguments, 1)?;
                // Raw also where that can be interrupted: it is short.
                let tracepoint = Attachment::RawTracepoint(tracepoint);
                return of_part(vec![("error_reported", tracepoint)]);
            }
            // Before Linux 5.14.
            let function = "sock_def_error_report";
            expect(function, types.error_parameters, 1)?;
            match set {
                HookSet::Fentry => of_part(vec![("error_fentry", Attachment::Fentry(function))]),
                HookSet::Kprobe => of_part(vec![("error_kprobe", Attachment::Kprobe(function))]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Graft => {
            let function = "security_sock_graft";
            expect(function, types.graft_parameters, 2)?;
            match set {
                HookSet::Fentry => of_part(vec![("graft_fentry", Attachment::Fentry(function))]),
                HookSet::Kprobe => of_part(vec![("graft_kprobe", Attachment::Kprobe(function))]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Readers => match set {
            HookSet::Fentry | HookSet::Kprobe => Ok(Vec::new()),
            HookSet::Tracepoint => {
                // Raw also where that can be interrupted: it is short.
                let tracepoint = Attachment::RawTracepoint("tcp_rcv_space_adjust");
                of_part(vec![("read_from", tracepoint)])
            }
        },
        Part::Dial => {
            let (permit, dial) = ("security_socket_connect", "__inet_stream_connect");
            expect(permit, types.permit_parameters, 3)?;
            expect(dial, types.dial_parameters, 5)?;
            match set {
                HookSet::Fentry => of_part(vec![
                    ("dial_fexit", Attachment::Fexit(dial)),
                    ("permit_fexit", Attachment::Fexit(permit)),
                ]),
                HookSet::Kprobe => {
                    expect("tcp_v4_connect", types.step_parameters, 3)?;
                    of_part(vec![
                        // The returns first: they forget what the entries remember.
                        ("dial_kretprobe", Attachment::Kretprobe("tcp_v4_connect")),
                        ("dial_kretprobe", Attachment::Kretprobe("tcp_v6_connect")),
                        (
                            "step_kretprobe",
                            Attachment::Kretprobe("tcp_v4_pre_connect"),
                        ),
                        (
                            "step_kretprobe",
                            Attachment::Kretprobe("tcp_v6_pre_connect"),
                        ),
                        ("dial_kretprobe", Attachment::Kretprobe(permit)),
                        ("dial_kprobe", Attachment::Kprobe(dial)),
                        ("dial_kprobe", Attachment::Kprobe(permit)),
                    ])
                }
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::QueueFull => {
            has(Need::Packets)?;
            let function = "tcp_conn_request";
            expect(function, types.request_parameters, 4)?;
            let (v4, v6) = ("tcp_v4_syn_recv_sock", "tcp_v6_syn_recv_sock");
            // (sk, skb, req, dst, req_unhash, own_req), and what MPTCP wants since Linux 7.0.
            if !matches!(types.complete_parameters, Some(6 | 7)) {
                expect(v4, types.complete_parameters, 6)?;
            }
            match set {
                HookSet::Fentry => of_part(vec![
                    ("completed_v4_fentry", Attachment::Fentry(v4)),
                    ("completed_v6_fentry", Attachment::Fentry(v6)),
                    ("request_fentry", Attachment::Fentry(function)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("completed_kprobe", Attachment::Kprobe(v4)),
                    ("completed_kprobe", Attachment::Kprobe(v6)),
                    ("request_kprobe", Attachment::Kprobe(function)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::NotListening => {
            has(Need::Packets)?;
            // Since it has a reason (Linux 6.10), it also tells of what has no socket.
            if types.reset_arguments == Some(3) {
                let tracepoint = Attachment::RawTracepoint("tcp_send_reset");
                return of_part(vec![("reset_sent", tracepoint)]);
            }
            let (v4, v6) = ("tcp_v4_send_reset", "tcp_v6_send_reset");
            if set == HookSet::Tracepoint {
                return Err(
                    "before Linux 6.10 no tracepoint tells, and no function of this kernel can be hooked"
                        .to_owned(),
                );
            }
            // (sk, skb), and a reason from 6.10 on.
            if !matches!(types.reset_parameters, Some(2 | 3)) {
                return Err(absent(v4));
            }
            match set {
                HookSet::Fentry => of_part(vec![
                    ("reset_v4_fentry", Attachment::Fentry(v4)),
                    ("reset_v6_fentry", Attachment::Fentry(v6)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("reset_kprobe", Attachment::Kprobe(v4)),
                    ("reset_kprobe", Attachment::Kprobe(v6)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Scan => {
            has(Need::Scan)?;
            of_part(vec![
                ("examine", Attachment::OnDemand),
                ("scan_listeners", Attachment::Iterator("task")),
                ("scan_connections", Attachment::Iterator("task")),
            ])
        }
        Part::Totals => of_part(vec![("read_totals", Attachment::OnDemand)]),
        Part::Processes => {
            has(Need::Processes)?;
            of_part(vec![
                (
                    "process_exec",
                    Attachment::RawTracepoint("sched_process_exec"),
                ),
                (
                    "process_fork",
                    Attachment::RawTracepoint("sched_process_fork"),
                ),
                (
                    "process_exit",
                    Attachment::RawTracepoint("sched_process_exit"),
                ),
            ])
        }
        Part::Cgroups => {
            has(Need::Cgroups)?;
            of_part(vec![(
                "cgroup_made",
                Attachment::RawTracepoint("cgroup_mkdir"),
            )])
        }
        Part::Names => {
            has(Need::Names)?;
            has(Need::Packets)?;
            names(types, set).and_then(of_part)
        }
        Part::Redirect => {
            let (intended, dialling) = ("security_socket_connect", "tcp_connect");
            expect(intended, types.permit_parameters, 3)?;
            match set {
                HookSet::Fentry => of_part(vec![
                    ("dialling_fentry", Attachment::Fentry(dialling)),
                    ("intended_fentry", Attachment::Fentry(intended)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("dialling_kprobe", Attachment::Kprobe(dialling)),
                    ("intended_kprobe", Attachment::Kprobe(intended)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Namespaces => {
            has(Need::Namespaces)?;
            has(Need::Scan)?; // it follows a descriptor as well
            of_part(vec![("observers", Attachment::OnDemand)])
        }
        Part::Owners => has(Need::Owners).map(|()| Vec::new()),
    }
}

/// What is exchanged with name servers: the programs, or why there are none. What is received
/// is remembered at the entry of a call, so that goes last.
fn names(types: &Types, set: HookSet) -> Result<Vec<(&'static str, Attachment)>, String> {
    expect("udp_sendmsg", types.send_parameters, 3)?;
    // Its first two are the same everywhere.
    let receive = types.receive_parameters;
    receive.ok_or_else(|| absent("udp_recvmsg"))?;
    expect("skb_consume_udp", types.consume_parameters, 3)?;
    let advanced = (
        "tcp_advanced",
        Attachment::RawTracepoint("tcp_rcv_space_adjust"),
    );
    match set {
        HookSet::Fentry => Ok(vec![
            advanced,
            ("udp_received_fentry", Attachment::Fentry("skb_consume_udp")),
            ("udp4_receiving_fentry", Attachment::Fentry("udp_recvmsg")),
            ("udp6_receiving_fentry", Attachment::Fentry("udpv6_recvmsg")),
            ("tcp_receiving_fentry", Attachment::Fentry("tcp_recvmsg")),
            ("udp4_sent_fentry", Attachment::Fentry("udp_sendmsg")),
            ("udp6_sent_fentry", Attachment::Fentry("udpv6_sendmsg")),
            ("tcp_sent_fentry", Attachment::Fentry("tcp_sendmsg")),
        ]),
        HookSet::Kprobe => Ok(vec![
            advanced,
            ("udp_received_kprobe", Attachment::Kprobe("skb_consume_udp")),
            ("udp_receiving_kprobe", Attachment::Kprobe("udp_recvmsg")),
            ("udp_receiving_kprobe", Attachment::Kprobe("udpv6_recvmsg")),
            ("tcp_receiving_kprobe", Attachment::Kprobe("tcp_recvmsg")),
            ("udp_sent_kprobe", Attachment::Kprobe("udp_sendmsg")),
            ("udp_sent_kprobe", Attachment::Kprobe("udpv6_sendmsg")),
            ("tcp_sent_kprobe", Attachment::Kprobe("tcp_sendmsg")),
        ]),
        HookSet::Tracepoint => Err("no function of this kernel can be hooked".to_owned()),
    }
}

/// What a plan cannot see, and why.
fn blind(plan: &Plan) -> Vec<Blind> {
    let mut blind = Vec::new();
    let mut add = |what: &'static str, why: &str| {
        blind.push(Blind {
            what: what.into(),
            why: why.to_owned().into(),
        });
    };
    for (part, why) in &plan.without {
        for what in lost_with(*part, plan.set) {
            add(what, why);
        }
    }
    add(
        "the port of a socket that listens without having been bound, and that listen() failed",
        "the kernel announces a listener before it has chosen and checked its port",
    );
    add(
        "MPTCP connections as a whole; only their first subflows show",
        "subflows are opened and closed inside the kernel",
    );
    if plan.interrupted {
        add(
            "some of what happens while another task interrupts tracer's own programs",
            "raw tracepoints of this kernel can be interrupted, and the classic ones did not attach (they need tracefs)",
        );
    }
    if plan.set == HookSet::Kprobe && plan.has(Part::Dial) {
        add(
            "now and then a failure of connect() without a SYN, where other threads are in the midst of connect()",
            "the kernel watches the return of so many calls at once: twice as many as processors, at least ten, or only as \
             many as processors if it does not preempt",
        );
    }
    if plan.set == HookSet::Tracepoint {
        let what = match plan.has(Part::Readers) {
            true => "which process accepted a connection, until it reads from it or closes it",
            false => "which process accepted a connection, until it closes it",
        };
        add(
            what,
            "no function of this kernel can be hooked: accept is reported at the end of the handshake, with the \
             process that listens",
        );
    }
    blind
}

/// What stays invisible without a part.
fn lost_with(part: Part, set: HookSet) -> &'static [&'static str] {
    match part {
        Part::Life => &[],
        Part::Errors => &[
            "why an attempt failed, where the kernel skips the run of a program",
            "why an attempt failed, where its process asked for the error and gave up",
        ],
        // Its return, or the end of the handshake, stands for it.
        Part::Graft => match set {
            HookSet::Fentry => &[
                "who accepted a connection, until it closes, if that accept() was waiting before the start",
            ],
            HookSet::Kprobe => &[
                "who accepted a connection, until it closes, if that accept() was waiting before the start",
                "who accepted a connection, until it closes, where many processes wait in accept() at once",
            ],
            HookSet::Tracepoint => &[],
        },
        // What accept() tells has a line of its own.
        Part::Readers => &[],
        Part::Dial => &[
            "attempts that fail before a SYN is made, as for want of a route or by a policy of this host",
        ],
        Part::QueueFull => &["connections turned away by a full accept queue of this host"],
        Part::NotListening => {
            &["connections refused by this host as nothing listens on their port"]
        }
        Part::Scan => &["listeners and connections from before the start, until they end"],
        Part::Totals => &["what open connections have carried, until they end"],
        Part::Processes => &[
            "programs that processes run, and so executable and arguments of those gone within milliseconds",
        ],
        Part::Cgroups => &[
            "control groups as they are made, and so the container of who is gone within milliseconds",
        ],
        Part::Names => &["names that processes ask name servers for"],
        Part::Redirect => {
            &["what a process dialled where a program of a control group replaces the address"]
        }
        // A socket that listens there would keep them alive.
        Part::Namespaces => &["translated addresses of other network namespaces"],
        Part::Owners => &[
            "which network namespaces a user made, and so which names and addresses that user chose",
        ],
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::CapabilitySet;

    use super::{super::facts::TypesError, *};

    fn modern() -> Facts {
        Facts {
            release: "6.12.0".to_owned(),
            arch: "x86_64".to_owned(),
            capabilities: CapabilitySet::BPF | CapabilitySet::PERFMON,
            types: Ok(Types {
                offsets: tracer_common::Offsets::default(),
                connect_parameters: Some(1),
                accept_parameters: Some(2),
                close_parameters: Some(2),
                graft_parameters: Some(2),
                dial_parameters: Some(5),
                step_parameters: Some(3),
                permit_parameters: Some(3),
                request_parameters: Some(4),
                complete_parameters: Some(6),
                reset_parameters: Some(3),
                send_parameters: Some(3),
                receive_parameters: Some(5),
                consume_parameters: Some(3),
                reset_arguments: Some(3),
                error_arguments: Some(1),
                error_parameters: Some(1),
                state_arguments: Some(3),
                destroyed_arguments: Some(1),
                typed_task: true,
                raw_tracepoints_interrupted: false,
                classic_tracepoints: true,
                missing: Vec::new(),
                functions: [].into(),
            }),
            ring_buffer: Some(true),
            host_pids: true,
            preemption: false,
            kprobes: true,
        }
    }

    fn with_types(change: impl FnOnce(&mut Types)) -> Facts {
        let mut facts = modern();
        if let Ok(types) = &mut facts.types {
            change(types);
        }
        facts
    }

    fn sets(plans: &Plans) -> Vec<HookSet> {
        let mut sets: Vec<_> = plans.candidates.iter().map(|plan| plan.set).collect();
        sets.dedup();
        sets
    }

    #[test]
    fn tries_the_best_first() {
        let plans = plan(&modern(), None).expect("nothing in the way");
        assert_eq!(sets(&plans), HookSet::ALL);
        assert!(plans.ruled_out.is_empty());
    }

    #[test]
    fn a_choice_is_the_only_candidate() {
        let plans = plan(&modern(), Some(HookSet::Kprobe)).expect("nothing in the way");
        assert_eq!(sets(&plans), [HookSet::Kprobe]);
    }

    #[test]
    fn the_accept_program_follows_the_signature() {
        for (parameters, name) in [(4, "accept_fexit_4"), (2, "accept_fexit_2")] {
            let facts = with_types(|types| types.accept_parameters = Some(parameters));
            let plans = plan(&facts, Some(HookSet::Fentry)).expect("nothing in the way");
            assert!(
                plans.candidates[0]
                    .programs
                    .iter()
                    .any(|program| program.name == name)
            );
        }
        let facts = with_types(|types| types.accept_parameters = Some(3));
        let plans = plan(&facts, None).expect("nothing in the way");
        assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
        assert!(plans.ruled_out[0].why.contains("3 parameters"));
    }

    #[test]
    fn no_file_is_held_while_it_is_looked_at() {
        // The kernel's iterator over files holds each: who closes it then leaves that to tracer. What
        // comes of it shows in one of a hundred recordings of `moments`.
        let plans = plan(&modern(), None).expect("nothing in the way");
        for program in plans.candidates.iter().flat_map(|plan| &plan.programs) {
            if let Attachment::Iterator(over) = program.attachment {
                assert_eq!(over, "task", "{}", program.name);
            }
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_not_tried() {
        let facts = Facts {
            kprobes: false,
            ..modern()
        };
        let plans = plan(&facts, None).expect("nothing in the way");
        assert_eq!(sets(&plans), [HookSet::Fentry, HookSet::Tracepoint]);
        assert!(plans.ruled_out[0].why.contains("kprobes"));
    }

    #[test]
    fn a_function_that_is_not_there_rules_out_fentry_alone() {
        let facts = with_types(|types| types.close_parameters = None);
        let plans = plan(&facts, None).expect("nothing in the way");
        assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
        assert!(plans.ruled_out[0].why.contains("tcp_close"));
    }

    #[test]
    fn without_types_or_ring_buffers_the_kernel_cannot() {
        let mut facts = modern();
        facts.types = Err(TypesError::Absent);
        assert!(
            matches!(plan(&facts, None), Err(obstacles) if obstacles.iter().all(|o| !o.is_privilege()))
        );
        let mut facts = modern();
        facts.ring_buffer = Some(false);
        assert!(
            matches!(plan(&facts, None), Err(obstacles) if obstacles.iter().all(|o| !o.is_privilege()))
        );
    }

    #[test]
    fn missing_capabilities_are_named() {
        let mut facts = modern();
        facts.capabilities = CapabilitySet::PERFMON;
        facts.ring_buffer = None;
        let obstacles = plan(&facts, None).expect_err("CAP_BPF is missing");
        assert_eq!(obstacles.len(), 1);
        assert!(obstacles[0].is_privilege());
        assert!(obstacles[0].what.contains("CAP_BPF"));
        assert!(!obstacles[0].what.contains("CAP_PERFMON"));
    }

    #[test]
    fn sys_admin_stands_for_both() {
        let mut facts = modern();
        facts.capabilities = CapabilitySet::SYS_ADMIN;
        assert!(plan(&facts, None).is_ok());
    }

    #[test]
    fn only_tracepoints_leave_the_acceptor_unknown() {
        let plans = plan(&modern(), None).expect("nothing in the way");
        for candidate in plans.candidates {
            let unknown = candidate
                .blind()
                .iter()
                .any(|blind| blind.what.starts_with("which process accepted"));
            assert_eq!(unknown, candidate.set == HookSet::Tracepoint);
        }
    }

    fn blind_to(plan: &Plan, what: &str) -> Option<String> {
        let blind = plan.blind();
        let found = blind.iter().find(|blind| blind.what.starts_with(what));
        found.map(|blind| blind.why.to_string())
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_told() {
        let mut plans = plan(&modern(), None).expect("nothing in the way");
        plans.leave_out(Part::Names, "--no-dns");
        for plan in &plans.candidates {
            assert!(!plan.has(Part::Names));
            let why = blind_to(plan, "names that processes ask").expect("blind");
            assert_eq!(why == "--no-dns", plan.set != HookSet::Tracepoint, "{why}");
            assert_eq!(
                plan.blind()
                    .iter()
                    .filter(|it| it.what.starts_with("names"))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn arguments_that_the_kernel_describes_are_preferred() {
        let first = |facts: &Facts| {
            let plans = plan(facts, Some(HookSet::Tracepoint)).expect("nothing in the way");
            let first: Vec<_> = plans
                .candidates
                .iter()
                .map(|plan| plan.programs[1].name)
                .collect();
            first
        };
        let (typed, raw) = ("state_changed_typed", "state_changed");
        assert_eq!(first(&modern()), [typed, raw]);
        assert_eq!(
            first(&with_types(|types| types.state_arguments = Some(4))),
            [raw]
        );
        assert_eq!(
            first(&with_types(|types| types.destroyed_arguments = None)),
            [raw]
        );
    }

    #[test]
    fn what_can_be_interrupted_is_the_last_resort() {
        let facts = with_types(|types| types.raw_tracepoints_interrupted = true);
        let plans = plan(&facts, None).expect("nothing in the way");
        assert!(plans.ruled_out[0].why.contains("interrupt"));
        let tried: Vec<_> = plans
            .candidates
            .iter()
            .map(|plan| (plan.set, plan.programs[0].name, plan.interrupted))
            .collect();
        let (raw, classic) = ("sock_destroyed", "sock_destroyed_classic");
        assert_eq!(
            tried,
            [
                (HookSet::Kprobe, classic, false),
                (HookSet::Kprobe, raw, true),
                (HookSet::Tracepoint, classic, false),
                (HookSet::Tracepoint, raw, true),
            ]
        );
        assert!(blind_to(&plans.candidates[1], "some of what happens").is_some());
        assert!(blind_to(&plans.candidates[0], "some of what happens").is_none());
        let mut facts = modern();
        facts.preemption = true;
        let plans = plan(&facts, None).expect("nothing in the way");
        assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
    }

    #[test]
    fn what_is_left_out_is_told_with_its_reason() {
        let facts = with_types(|types| {
            types.dial_parameters = Some(6);
            types.missing = vec![(Need::Scan, "no `file`".to_owned())];
        });
        for plan in plan(&facts, None).expect("nothing in the way").candidates {
            let dial = blind_to(&plan, "attempts that fail before a SYN").expect("blind");
            assert!(dial.contains("6 parameters"), "{dial}");
            assert_eq!(plan.hooks() & hooks::DIAL, 0);
            let scan = blind_to(&plan, "listeners and connections from before").expect("blind");
            assert_eq!(scan, "no `file`");
        }
        let whole = &plan(&modern(), None)
            .expect("nothing in the way")
            .candidates[0];
        assert_eq!(blind_to(whole, "attempts that fail before a SYN"), None);
        assert_ne!(whole.hooks() & hooks::DIAL, 0);
    }

    #[test]
    fn accept_is_seen_in_two_ways() {
        let waiting = "who accepted a connection, until it closes, if";
        let many = "who accepted a connection, until it closes, where";
        let with = plan(&modern(), None).expect("nothing in the way");
        let facts = with_types(|types| types.graft_parameters = None);
        let without = plan(&facts, None).expect("nothing in the way");
        for (with, without) in with.candidates.iter().zip(&without.candidates) {
            assert_eq!(blind_to(with, waiting), None);
            let set = without.set;
            assert_eq!(
                blind_to(without, waiting).is_some(),
                set != HookSet::Tracepoint
            );
            assert_eq!(blind_to(without, many).is_some(), set == HookSet::Kprobe);
        }
    }

    #[test]
    fn a_part_that_does_not_load_is_left_out_but_never_the_life() {
        let whole = &plan(&modern(), None)
            .expect("nothing in the way")
            .candidates[0];
        assert_eq!(whole.without(Part::Life, String::new()), None);
        let less = whole
            .without(Part::Dial, "refused".to_owned())
            .expect("a plan");
        assert!(!less.has(Part::Dial) && less.has(Part::Life));
        assert_eq!(less.hooks() & hooks::DIAL, 0);
        assert_eq!(
            blind_to(&less, "attempts that fail before a SYN").as_deref(),
            Some("refused")
        );
    }

    #[test]
    fn before_resets_have_a_reason_functions_tell_who_was_refused() {
        let facts = with_types(|types| {
            types.reset_arguments = Some(2);
            types.reset_parameters = Some(2);
        });
        for plan in plan(&facts, None).expect("nothing in the way").candidates {
            let is_blind = blind_to(&plan, "connections refused by this host").is_some();
            assert_eq!(is_blind, plan.set == HookSet::Tracepoint);
        }
    }

    #[test]
    fn before_errors_have_a_tracepoint_a_function_tells_of_them() {
        let facts = with_types(|types| types.error_arguments = None);
        for plan in plan(&facts, None).expect("nothing in the way").candidates {
            let is_blind = blind_to(&plan, "why an attempt failed, where its process").is_some();
            assert_eq!(is_blind, plan.set == HookSet::Tracepoint);
        }
    }

    #[test]
    fn the_end_of_the_handshake_is_hooked_whatever_mptcp_wants() {
        for (parameters, is_known) in [(Some(6), true), (Some(7), true), (Some(8), false)] {
            let facts = with_types(|types| types.complete_parameters = parameters);
            let plans = plan(&facts, Some(HookSet::Kprobe)).expect("nothing in the way");
            assert_eq!(plans.candidates[0].has(Part::QueueFull), is_known);
        }
    }

    #[test]
    fn the_page_of_kernels_says_what_each_set_is_blind_to() {
        let page = include_str!("../../../docs/kernels.md");
        let rows = page
            .lines()
            .skip_while(|line| !line.starts_with("| blind to |"))
            .take_while(|line| line.starts_with('|'));
        let rows: Vec<Vec<&str>> = rows
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let plans = plan(&modern(), None).expect("nothing in the way");
        let best = HookSet::ALL.map(|set| plans.candidates.iter().find(|plan| plan.set == set));
        for (column, plan) in (1..).zip(best.into_iter().flatten()) {
            assert_eq!(rows[0][column], format!("`{}`", plan.set));
            let listed = rows[2..].iter().filter(|row| row[column] == "blind");
            let listed: Vec<&str> = listed.map(|row| row[0]).collect();
            let blind = plan.blind();
            let mut known: Vec<&str> = blind.iter().map(|blind| &*blind.what).collect();
            known.sort_by_key(|what| rows.iter().position(|row| row[0] == *what));
            assert_eq!(listed, known, "{}", plan.set);
        }
    }
}
