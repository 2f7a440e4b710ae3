//! The kernel functions that the life of connections is hooked at, and what a signature must be.

use super::{
    super::facts::Facts,
    types::{Attachment, HookSet, Program, life},
};

/// The functions to hook, in the order to attach them: after the tracepoints.
pub(super) fn programs(facts: &Facts, set: HookSet) -> Result<Vec<Program>, String> {
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

pub(super) fn absent(function: &str) -> String {
    format!("this kernel's type information has no `{function}`")
}

fn unknown(function: &str, found: usize, known: &str) -> String {
    format!("`{function}` has {found} parameters; {known} are known")
}

/// Whether a function has the parameters that its program reads.
pub(super) fn expect(function: &str, found: Option<usize>, known: usize) -> Result<(), String> {
    match found {
        Some(found) if found == known => Ok(()),
        Some(found) => Err(unknown(function, found, &known.to_string())),
        None => Err(absent(function)),
    }
}
