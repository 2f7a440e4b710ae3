//! What the kernel counts of our programs: runs, run time, and skipped runs.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::{
    Ebpf,
    programs::{ProgramType, loaded_programs},
    sys::Stats,
};

use crate::model::ProgramCost;

/// `BPF_OBJ_GET_INFO_BY_FD` of the kernel's user-space interface.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// Where `struct bpf_prog_info` has `run_time_ns` and `run_cnt`, in words.
const RUN_TIME_NS: usize = 24;
const RUN_COUNT: usize = 25;
/// And `recursion_misses` (Linux 5.12 and later).
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
pub(super) fn skipped(ebpf: &Ebpf) -> u64 {
    costs(ebpf).iter().map(|cost| cost.skipped).sum()
}

/// Of each program, since it was loaded. Runs are counted while [`count_runs`] lives.
pub(super) fn costs(ebpf: &Ebpf) -> Vec<ProgramCost> {
    ebpf.programs()
        .filter_map(|(name, program)| {
            let fd = program.fd().ok()?;
            let info = info(fd.as_fd().as_raw_fd())?;
            Some(ProgramCost {
                program: name.to_owned(),
                runs: info[RUN_COUNT],
                run_ns: info[RUN_TIME_NS],
                skipped: info[RECURSION_MISSES],
            })
        })
        .collect()
}

/// Whether any program of the host may replace the address of a connect(). True also where the kernel does not
/// tell (it wants `CAP_SYS_ADMIN`).
pub(super) fn may_redirect() -> bool {
    let redirects = ProgramType::CgroupSockAddr.into();
    loaded_programs().any(|program| program.map_or(true, |it| it.program_type() == redirects))
}

/// Has the kernel count the runs of all programs of the host, and take their time, for as
/// long as the value lives. That itself takes some time of every run.
///
/// # Errors
/// The kernel's words, if it refuses (it cannot before Linux 5.8).
pub fn count_runs() -> Result<impl Drop, String> {
    aya::sys::enable_stats(Stats::RunTime).map_err(|error| error.to_string())
}

/// What an older kernel does not fill in is 0.
fn info(fd: i32) -> Option<[u64; INFO_WORDS]> {
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
    (result == 0).then_some(info)
}
