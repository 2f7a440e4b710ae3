//! Asks the kernel who observes network namespaces, and whether anybody else keeps them: nothing in
//! user space tells that of descriptors, of the sockets of who left, or of mounts elsewhere.

use std::{
    io,
    mem::size_of_val,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{ProgramError, ProgramFd, RawTracePoint},
};

use crate::model::Observer;

/// The most runs of one answer: sockets beyond that are ignored.
const MAX_RUNS: usize = 256;

/// Newtype for the right to be copied from the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodObservers(tracer_common::Observers);

// SAFETY: `Observers` is `repr(C)` of integers only, without padding.
unsafe impl aya::Pod for PodObservers {}

/// The program that finds observers, and the map it writes to. It is attached nowhere, so it costs nothing
/// until it is run.
pub struct Observers {
    program: ProgramFd,
    found: Array<MapData, PodObservers>,
}

/// `struct bpf_attr` of the kernel's user-space interface, as `BPF_PROG_TEST_RUN` has it.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    result: u32,
    data: [u32; 2],
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_bytes: u32,
    context_out_bytes: u32,
    context: u64,
    context_out: u64,
}

impl Observers {
    /// Takes it from the object; none if it is not loaded.
    ///
    /// # Errors
    /// If the object lacks it, or no descriptor is left.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Option<Self>, ProgramError> {
        let Some(program) = ebpf.program("observers") else {
            return Ok(None);
        };
        let program = match <&RawTracePoint>::try_from(program)?.fd() {
            Ok(fd) => fd.try_clone()?,
            Err(ProgramError::NotLoaded) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(found) = ebpf.take_map("OBSERVED") else {
            return Ok(None);
        };
        let found = Array::try_from(found)?;
        Ok(Some(Self { program, found }))
    }

    /// All netlink sockets of the host that listen to connection tracking. `socket` is one of this process. If
    /// others come and go meanwhile, some may be missing, but none is there twice.
    ///
    /// # Errors
    /// If the kernel does not run the program.
    pub fn ask(&self, socket: RawFd) -> io::Result<Vec<Observer>> {
        let mut observers = Vec::new();
        let (mut next, mut forth) = (0, 0);
        for _ in 0..MAX_RUNS {
            self.run(&[u64::from(socket.cast_unsigned()), next, forth])?;
            let found = self.found.get(&0, 0).map_err(io::Error::other)?.0;
            let count = usize::try_from(found.count).unwrap_or(usize::MAX);
            let some = found.found.iter().take(count);
            observers.extend(some.map(|it| Observer {
                netns: it.netns,
                references: it.references,
            }));
            (next, forth) = (found.next, found.forth);
            if next == 0 {
                break;
            }
        }
        Ok(observers)
    }

    /// Runs it once, in the context of the calling thread.
    fn run(&self, context: &[u64; 3]) -> io::Result<()> {
        /// `BPF_PROG_TEST_RUN`.
        const TEST_RUN: libc::c_long = 10;
        let mut run = Run {
            program: self.program.as_fd().as_raw_fd().cast_unsigned(),
            context_bytes: size_of_val(context) as u32,
            context: context.as_ptr() as u64,
            ..Run::default()
        };
        // SAFETY: a `bpf_attr` of that length; the kernel reads the context, which outlives the
        // call, and writes the result into the attribute.
        let status = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                TEST_RUN,
                &raw mut run,
                size_of::<Run>() as libc::c_long,
            )
        };
        if status < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

#[cfg(test)]
impl Observers {
    /// With nothing else loaded; none without the rights.
    pub(crate) fn alone() -> Option<Self> {
        let types = super::Facts::gather().types.ok()?;
        let mut ebpf = super::attach::load_one(&types, "observers").ok()?;
        Self::take(&mut ebpf).ok()?
    }
}

#[cfg(test)]
mod tests;
