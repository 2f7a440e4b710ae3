//! A plan, and what it is made of.

use std::fmt;

use tracer_common::hooks;

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

impl Part {
    /// All that can be left out, in the order in which they are planned.
    pub(super) const OPTIONAL: [Self; 14] = [
        Self::Errors,
        Self::Graft,
        Self::Readers,
        Self::Dial,
        Self::QueueFull,
        Self::NotListening,
        Self::Scan,
        Self::Totals,
        Self::Processes,
        Self::Cgroups,
        Self::Names,
        Self::Redirect,
        Self::Namespaces,
        Self::Owners,
    ];
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

/// A program that no plan works without.
pub(super) const fn life(name: &'static str, attachment: Attachment) -> Program {
    Program {
        name,
        attachment,
        part: Part::Life,
    }
}
