//! Control groups that are made: a container may be gone before user space looks for its own.

use tracer_common::{CGROUP_PATH_LEN, Cgroup, Kind};

use crate::{
    emit,
    kernel::{self, now},
    room::clear,
};

/// A control group was made; `path` is the address of its path from the root.
#[inline(always)]
pub(crate) fn made(cgroup: kernel::Cgroup, path: u64) {
    let header = emit::header(Kind::CGROUP, now());
    emit::record(header, |record: *mut Cgroup| {
        // SAFETY: room for a `Cgroup`, aligned to 8; all its fields but the header are written, it has no
        // other byte.
        unsafe {
            (&raw mut (*record).id).write(cgroup.id());
            (&raw mut (*record).hierarchy).write(cgroup.hierarchy());
            (&raw mut (*record).maker).write(kernel::current_uid());
            clear((&raw mut (*record).path).cast(), CGROUP_PATH_LEN / 8);
            kernel::Cgroup::read_path(path, &raw mut (*record).path);
        }
    });
}
