//! Capabilities.

use rustix::{
    io::{self, Errno},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

/// What reading files takes that the caller names and may read, and writing the one of `--save`: root's
/// own way past the modes of files. Also that of a user's runtime, whose socket only that user may write.
const FILES: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE);

/// What watching takes besides; `docs/privileges.md` says what for. All of it also after the start, as
/// what is loaded is looked at again, namespaces and processes come up, and a look around attaches its
/// iterator each time.
pub(super) const WATCHING: CapabilitySet = FILES
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SYS_ADMIN);

/// Gives up what is not needed, for good and in all sets, and the way to get anything by executing a file.
pub(super) fn shed(watches: bool, note: &mut impl FnMut(&str, io::Result<()>)) {
    let kept = if watches { WATCHING } else { FILES };
    note("forbidding new privileges", set_no_new_privs(true));
    // Linux before 4.3 has no such set.
    let _ = clear_ambient_capability_set();
    for one in CapabilitySet::all().difference(kept).iter() {
        match remove_capability_from_bounding_set(one) {
            // An older kernel does not know the newest. Without CAP_SETPCAP it stays, and is of no use:
            // nothing that is executed gains rights.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => note("limiting capabilities", Err(error)),
        }
    }
    let lowered = capabilities(None).and_then(|has| {
        set_capabilities(
            None,
            CapabilitySets {
                effective: has.effective & kept,
                permitted: has.permitted & kept,
                inheritable: CapabilitySet::empty(),
            },
        )
    });
    note("giving up capabilities", lowered);
}
