//! What a plan leaves invisible, and why.

use super::types::{HookSet, Part, Plan};
use crate::model::{Blind, BlindId};

impl Plan {
    /// What stays invisible, and why.
    pub fn blind(&self) -> Vec<Blind> {
        let mut blind = Vec::new();
        let mut add = |id, why: &str| blind.push(Blind::new(id, why.to_owned()));
        for (part, why) in &self.without {
            for id in lost_with(*part, self.set) {
                add(*id, why);
            }
        }
        add(
            BlindId::UnboundListeners,
            "the kernel announces a listener before it has chosen and checked its port",
        );
        add(
            BlindId::Mptcp,
            "subflows are opened and closed inside the kernel",
        );
        if self.interrupted {
            add(
                BlindId::InterruptedPrograms,
                "raw tracepoints of this kernel can be interrupted, and the classic ones did not attach (they need tracefs)",
            );
        }
        if self.set == HookSet::Kprobe && self.has(Part::Dial) {
            add(
                BlindId::ConcurrentFailures,
                "the kernel watches the return of so many calls at once: twice as many as processors, at least ten, or only as \
                 many as processors if it does not preempt",
            );
        }
        if self.set == HookSet::Tracepoint {
            let id = match self.has(Part::Readers) {
                true => BlindId::AcceptorUntilRead,
                false => BlindId::AcceptorUntilClose,
            };
            add(
                id,
                "no function of this kernel can be hooked: accept is reported at the end of the handshake, with the \
                 process that listens",
            );
        }
        blind
    }
}

/// What stays invisible without a part.
fn lost_with(part: Part, set: HookSet) -> &'static [BlindId] {
    match part {
        Part::Life => &[],
        Part::Errors => &[BlindId::FailureReasonSkipped, BlindId::FailureReasonTaken],
        // Its return, or the end of the handshake, stands for it.
        Part::Graft => match set {
            HookSet::Fentry => &[BlindId::AcceptorWaiting],
            HookSet::Kprobe => &[BlindId::AcceptorWaiting, BlindId::AcceptorAmongMany],
            HookSet::Tracepoint => &[],
        },
        // What accept() tells has a line of its own.
        Part::Readers => &[],
        Part::Dial => &[BlindId::FailuresBeforeSyn],
        Part::QueueFull => &[BlindId::AcceptQueueFull],
        Part::NotListening => &[BlindId::NotListening],
        Part::Scan => &[BlindId::BeforeStart],
        Part::Totals => &[BlindId::OpenTotals],
        Part::Processes => &[BlindId::Programs],
        Part::Cgroups => &[BlindId::NewCgroups],
        Part::Names => &[BlindId::Dns],
        Part::Redirect => &[BlindId::ReplacedAddresses],
        // A socket that listens there would keep them alive.
        Part::Namespaces => &[BlindId::TranslationsElsewhere],
        Part::Owners => &[BlindId::NetnsOwners],
    }
}
