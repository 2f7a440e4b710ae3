//! From facts to hooks: which programs to try, in which order, and what each choice
//! leaves invisible. Pure, so it can be asked about kernels that are not here.

use std::fmt;

use tracer_common::hooks;

use super::{Facts, preflight::Obstacle};
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
}

/// One program of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it goes.
    pub attachment: Attachment,
    /// What it is for.
    pub why: &'static str,
}

/// A hook set that is worth trying on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which.
    pub set: HookSet,
    /// What to load and attach.
    pub programs: Vec<Program>,
    /// Bits for the programs: which facts have a program of their own.
    pub hooks: u32,
    /// What stays invisible.
    pub blind: Vec<Blind>,
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

const STATE: Program = Program {
    name: "state_changed",
    attachment: Attachment::RawTracepoint("inet_sock_set_state"),
    why: "handshakes, failures, ends and listeners, also outside any process",
};

const DESTROYED: Program = Program {
    name: "sock_destroyed",
    attachment: Attachment::RawTracepoint("tcp_destroy_sock"),
    why: "the last word on a connection: what was missed of its end, and that nobody accepted it",
};

const CONNECT: &str = "begins an attempt, with the process that asked";
const ACCEPT: &str = "hands a connection to a process";
const CLOSE: &str = "a process lets go of a connection whose accept() was missed";

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
        match programs(facts, set) {
            Ok(programs) => plans.candidates.push(Plan {
                set,
                programs,
                hooks: match set {
                    HookSet::Fentry | HookSet::Kprobe => hooks::CONNECT | hooks::ACCEPT,
                    HookSet::Tracepoint => 0,
                },
                blind: blind(set),
            }),
            Err(why) => plans.ruled_out.push(RuledOut { set, why }),
        }
    }
    Ok(plans)
}

/// The last word on a connection first, its beginning last: what begins while they
/// are attached one by one must not be left without an end.
fn programs(facts: &Facts, set: HookSet) -> Result<Vec<Program>, String> {
    let program = |name, attachment, why| Program {
        name,
        attachment,
        why,
    };
    match set {
        HookSet::Tracepoint => Ok(vec![DESTROYED, STATE]),
        HookSet::Kprobe => Ok(vec![
            DESTROYED,
            STATE,
            program("close_kprobe", Attachment::Kprobe("tcp_close"), CLOSE),
            program(
                "accept_kretprobe",
                Attachment::Kretprobe("inet_csk_accept"),
                ACCEPT,
            ),
            program("connect_kprobe", Attachment::Kprobe("tcp_connect"), CONNECT),
        ]),
        HookSet::Fentry => {
            let types = facts.types.as_ref().map_err(ToString::to_string)?;
            let absent =
                |function: &str| format!("this kernel's type information has no `{function}`");
            types
                .connect_parameters
                .ok_or_else(|| absent("tcp_connect"))?;
            types.close_parameters.ok_or_else(|| absent("tcp_close"))?;
            let accept = match types.accept_parameters {
                Some(4) => "accept_fexit_4",
                Some(2) => "accept_fexit_2",
                Some(other) => {
                    return Err(format!(
                        "`inet_csk_accept` has {other} parameters; 2 or 4 are known"
                    ));
                }
                None => return Err(absent("inet_csk_accept")),
            };
            Ok(vec![
                DESTROYED,
                STATE,
                program("close_fentry", Attachment::Fentry("tcp_close"), CLOSE),
                program(accept, Attachment::Fexit("inet_csk_accept"), ACCEPT),
                program("connect_fentry", Attachment::Fentry("tcp_connect"), CONNECT),
            ])
        }
    }
}

/// What a hook set cannot see, and why.
fn blind(set: HookSet) -> Vec<Blind> {
    let mut blind = vec![
        Blind {
            what: "attempts that fail before a SYN is made, as for want of a route or by a policy of this host",
            why: "they change no socket's state",
        },
        Blind {
            what: "connections refused by this host, and those its full accept queues turn away",
            why: "no socket is made for them",
        },
        Blind {
            what: "connections that were open before the start, until they close",
            why: "they are not looked for",
        },
        Blind {
            what: "the port of a socket that listens without having been bound, and that listen() failed",
            why: "the kernel announces a listener before it has chosen and checked its port",
        },
        Blind {
            what: "MPTCP connections as a whole; only their first subflows show",
            why: "subflows are opened and closed inside the kernel",
        },
    ];
    match set {
        HookSet::Fentry => {}
        HookSet::Kprobe => blind.push(Blind {
            what: "who accepted a connection, until it closes, where many processes wait in accept() at once",
            why: "the kernel watches the return of a limited number of calls; accept is then reported at the close",
        }),
        HookSet::Tracepoint => blind.push(Blind {
            what: "which process accepted a connection, until it closes it",
            why: "no function of this kernel can be hooked: accept is reported at the end of the handshake, with the \
                  process that listens",
        }),
    }
    if set != HookSet::Tracepoint {
        blind.push(Blind {
            what: "who accepted a connection, until it closes, if that accept() was waiting before the start",
            why: "the call was entered before the hook was there",
        });
    }
    blind
}

#[cfg(test)]
mod tests {
    use rustix::thread::CapabilitySet;

    use super::{
        super::facts::{Types, TypesError},
        *,
    };

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
            }),
            ring_buffer: Some(true),
            host_pids: true,
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
        plans.candidates.iter().map(|plan| plan.set).collect()
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
                .blind
                .iter()
                .any(|blind| blind.what.starts_with("which process accepted"));
            assert_eq!(unknown, candidate.set == HookSet::Tracepoint);
        }
    }
}
