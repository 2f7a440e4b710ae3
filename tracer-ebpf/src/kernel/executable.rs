//! Which file a process executes, and where that is.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel_str};
use tracer_common::EXE_LEN;

use super::{offset, read};

/// Steps from a file to the root, at most: a folder or a mount each.
const STEPS: u32 = 64;
/// A name and its NUL: `NAME_MAX` of the kernel's user-space interface, and one.
const NAME_BYTES: usize = 256;

/// Writes to `to` the names on the way from the file that the current process executes
/// (`mm_struct.exe_file`) up to the root, each with a NUL after it, and to `bytes` how many bytes
/// they have: 0 if there are more than there is room for.
///
/// How many there are is kept there all the time, in memory of which the verifier knows nothing: it
/// would follow every sum of lengths by itself.
///
/// Goes the way of the kernel's `prepend_path()`, by which /proc makes the same path. But it does
/// not stop at the reader's own root.
#[inline(always)]
pub(crate) fn read_executable(to: *mut [u8; EXE_LEN], bytes: *mut u32) {
    // SAFETY: the caller's room for a number; likewise below.
    let set = |used: u64| unsafe { bytes.write_volatile(used as u32) };
    set(0);
    // SAFETY: takes no argument; the address is only used through checked reads.
    let task = unsafe { bpf_get_current_task() };
    let mm: u64 = read(task, offset!(task_mm));
    let file: u64 = read(mm, offset!(mm_exe_file));
    let mut dentry: u64 = read(file, offset!(file_dentry));
    let mut vfsmount: u64 = read(file, offset!(file_mnt));
    for _ in 0..STEPS {
        let parent: u64 = read(dentry, offset!(dentry_parent));
        if dentry == read::<u64>(vfsmount, offset!(vfsmount_root)) {
            // `real_mount()`: a `struct vfsmount` is a part of a `struct mount`.
            let within = u64::from(offset!(mount_root)) - u64::from(offset!(vfsmount_root));
            let mount = vfsmount.wrapping_sub(within);
            let above: u64 = read(mount, offset!(mount_parent));
            if above == mount {
                return;
            }
            dentry = read(mount, offset!(mount_mountpoint));
            vfsmount = above.wrapping_add(within);
            continue;
        }
        // SAFETY: see above.
        let used = u64::from(unsafe { bytes.read_volatile() });
        if used > (EXE_LEN - NAME_BYTES) as u64 {
            break;
        }
        let name: u64 = read(dentry, offset!(dentry_name));
        // SAFETY: room for `NAME_BYTES` from there on, as was just asked. The helper checks the
        // address of the name, and ends it with a NUL.
        let length = unsafe {
            let place = to.cast::<u8>().add(used as usize);
            bpf_probe_read_kernel_str(place.cast(), NAME_BYTES as u32, name as *const _)
        };
        if length <= 1 || length > NAME_BYTES as i64 {
            break;
        }
        set(used + length as u64);
        if parent == dentry {
            // In no folder: a memfd.
            return;
        }
        dentry = parent;
    }
    set(0);
}
