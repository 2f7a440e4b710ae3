//! A typed view of `struct cgroup`.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tracer_common::CGROUP_PATH_LEN;

use super::{offset, read};

/// The address of a `struct cgroup` that a hook handed us.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(pub(crate) u64);

impl Cgroup {
    /// Inode number of its folder.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        let node: u64 = read(self.0, offset!(made_kn));
        read(node, offset!(made_id))
    }

    /// Number of its hierarchy; 0 is that of v2.
    #[inline(always)]
    pub(crate) fn hierarchy(self) -> u32 {
        let root: u64 = read(self.0, offset!(cgroup_root));
        read(root, offset!(root_hierarchy))
    }

    /// Writes the text at `path`, in kernel memory, to `to`, which must be zero.
    #[inline(always)]
    pub(crate) fn read_path(path: u64, to: *mut [u8; CGROUP_PATH_LEN]) {
        // SAFETY: room for `CGROUP_PATH_LEN` bytes. The helper checks the address and ends
        // the text with a NUL.
        unsafe {
            bpf_probe_read_kernel_str(to.cast(), CGROUP_PATH_LEN as u32, path as *const _);
        }
    }
}
