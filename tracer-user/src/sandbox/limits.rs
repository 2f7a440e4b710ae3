//! Resource limits.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Descriptors that a run may want: a socket or two in each of 1,024 network namespaces, programs and
/// maps, and as many again for the rest. Not more, as programs that tracer starts (`rpm`) inherit the
/// limit, and some look at all descriptors that they might have.
const FILES: u64 = 8192;

/// Sets what protects: no core dumps, which hold what was read, and no other process of the same user
/// may look into this one.
pub(super) fn set(note: &mut impl FnMut(&str, io::Result<()>)) {
    raise();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    note("forbidding core dumps", setrlimit(Resource::Core, none));
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    note("hiding this process's memory", hidden);
}

/// Raises what a run wants more of than a shell gives.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if let Some(current) = limit.current
        && current < FILES
    {
        // To the hard limit it takes no rights. Who is left without a descriptor says so.
        let wanted = limit.maximum.map_or(FILES, |most| most.min(FILES));
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
    // Before Linux 5.11 maps count as locked memory. It takes CAP_SYS_RESOURCE, which is given up next;
    // making the maps tells if it was not enough.
    let most = Rlimit {
        current: None,
        maximum: None,
    };
    let _ = setrlimit(Resource::Memlock, most);
}
