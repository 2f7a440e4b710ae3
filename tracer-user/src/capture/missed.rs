//! How often the kernel did not run our programs when it should have.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;

/// `BPF_OBJ_GET_INFO_BY_FD` of the kernel's user-space interface.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// Where `struct bpf_prog_info` has `recursion_misses` (Linux 5.12 and later), in words.
const RECURSION_MISSES: usize = 26;
/// As much of it as is of interest.
const INFO_WORDS: usize = RECURSION_MISSES + 1;

/// The part of `union bpf_attr` for this command.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// How often programs were skipped as one was running already on the same processor, all
/// of them together. 0 where the kernel does not tell (before Linux 5.12).
pub(super) fn runs(ebpf: &Ebpf) -> u64 {
    ebpf.programs()
        .filter_map(|(_, program)| {
            let fd = program.fd().ok()?;
            of_program(fd.as_fd().as_raw_fd())
        })
        .sum()
}

fn of_program(fd: i32) -> Option<u64> {
    let mut info = [0_u64; INFO_WORDS];
    let mut attr = InfoByFd {
        fd: fd.try_into().ok()?,
        length: size_of_val(&info).try_into().ok()?,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the attribute names a buffer as large as it says; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw mut attr,
            size_of::<InfoByFd>(),
        )
    };
    // An older kernel fills in less, and says so.
    let filled = usize::try_from(attr.length).ok()? / size_of::<u64>();
    (result == 0 && filled > RECURSION_MISSES).then_some(info[RECURSION_MISSES])
}
