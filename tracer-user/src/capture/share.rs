//! Who had no more room in the kernel side's tables, and when that is over.

use aya::{
    Ebpf,
    maps::{Array, MapError},
};
use tracer_common::share;

/// The user who was refused room in the table of connections last, or the first of a block of users; none if nobody
/// was, or if it was root's or is not known.
pub(super) fn refused(ebpf: &Ebpf) -> Option<u32> {
    let map = ebpf.map("REFUSED")?;
    let payers: Array<_, u32> = Array::try_from(map).ok()?;
    share::user(payers.get(&0, 0).ok()?)
}

/// From here on a socket without an entry in the table of connections is one that is older than the programs, and no
/// longer one that may not have fit.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn recover(ebpf: &mut Ebpf) -> Result<(), MapError> {
    let Some(map) = ebpf.map_mut("OVERFLOWED") else {
        return Ok(()); // not the object of this binary, which shows elsewhere
    };
    Array::<_, u32>::try_from(map)?.set(0, 0, 0)
}
