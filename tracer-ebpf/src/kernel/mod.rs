//! The only raw reads of kernel memory.
//!
//! Every read goes through `bpf_probe_read_kernel`, which checks the address, or a pointer whose
//! type the verifier checks (`Sock::typed`), at an offset from the running kernel's BTF. A read
//! that fails gives zeros: the kernel owns the pointers that hooks hand us, so none should.

mod cgroup;
mod executable;
mod files;
mod message;
mod netns;
mod packet;
mod sock;
mod task;

use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, generated::bpf_probe_read_kernel};

pub(crate) use cgroup::Cgroup;
pub(crate) use executable::read_executable;
pub(crate) use files::{Files, Held};
pub(crate) use message::{Message, Pieces, Room, port_of};
pub(crate) use netns::Node;
pub(crate) use packet::{Packet, first_sequence};
pub(crate) use sock::{Role, Sock, is_internet, of_socket, state};
pub(crate) use task::{
    current_uid, exit_status, is_current, is_ending, is_kernel_thread, is_last_thread, is_of,
    parent, read_arguments, read_child, read_current, read_netns_owner, read_task, started_ns,
};

/// Nanoseconds of the clock that goes on during suspend, as the start times of processes do.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: takes no argument and reads a clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Reads a `T` at `base + offset`.
#[inline(always)]
fn read<T: Integers>(base: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    read_into(base, offset, value.as_mut_ptr());
    // SAFETY: the helper wrote every byte, zeros if the read failed; any bits are a `T`.
    unsafe { value.assume_init() }
}

/// Reads a `T` at `base + offset`, where `typed` says that the verifier knows what `base` points
/// to: then it lets programs read without a helper, at a fifth of the cost. It follows that as a
/// constant, and drops the other way.
#[inline(always)]
fn follow<T: Integers>(typed: bool, base: u64, offset: u32) -> T {
    if typed {
        let member = (base + u64::from(offset)) as *const T;
        // SAFETY: the verifier checks that there is such a member. Should its page be gone, the
        // kernel lets the program read zeros.
        return unsafe { member.read_volatile() };
    }
    read(base, offset)
}

/// Reads a `T` at `base + offset` to where it is wanted: the stack has 512 bytes.
#[inline(always)]
fn read_into<T: Integers>(base: u64, offset: u32, to: *mut T) {
    let address = base + u64::from(offset);
    // SAFETY: `to` has room for a `T`. The helper checks `address`, and fills with
    // zeros when it cannot be read, so its status tells nothing more.
    unsafe { bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, address as *const c_void) };
}

/// The same number, of which the compiler knows nothing: it keeps the checks after it, which the
/// verifier needs.
#[inline(always)]
fn opaque(mut number: u64) -> u64 {
    // SAFETY: it does nothing; in an instruction, as two lines of code must not begin at one.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack)) };
    number
}

/// Types that any bits are valid for.
trait Integers {}
impl Integers for u8 {}
impl Integers for u16 {}
impl Integers for u32 {}
impl Integers for u64 {}
impl<const N: usize> Integers for [u8; N] {}

/// Loads one field of the read-only global `OFFSETS`. Read field by field, each is a
/// constant to the verifier; loading the whole would copy it to the stack.
macro_rules! offset {
    ($field:ident) => {{
        let offsets = (&raw const $crate::maps::OFFSETS).cast::<tracer_common::Offsets>();
        // SAFETY: `Global<T>` is a transparent wrapper; volatile, as the loader sets
        // the value after the compiler saw it.
        unsafe { core::ptr::read_volatile(&raw const (*offsets).$field) }
    }};
}
use offset;
