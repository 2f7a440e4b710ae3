//! The binary interface between tracer's eBPF programs and its user space.
//!
//! Owns the layout of what crosses the ring buffer ([`Opened`], [`Carried`], [`Ended`],
//! [`Listening`], [`Executed`], [`Exited`], [`Cgroup`], [`Message`], [`Redirect`]), of the
//! per-CPU counters ([`Counts`]), of the time that is told of ([`Span`]) and of the offsets user space hands to the kernel side ([`Offsets`]);
//! and who may have how much of a table ([`share`]). No I/O, no allocation, no
//! interpretation: a number becomes a meaning in `tracer-user`'s `capture`.
//!
//! Rules of the house:
//! - everything is `repr(C)`, has no padding the compiler chose, and is valid for
//!   any bit pattern: a tag is a newtype over an integer, never a Rust enum;
//! - sizes and offsets are asserted, so a drift does not compile; the object that user
//!   space embeds is checked against these sources by `cargo xtask build-ebpf --check`;
//! - byte order is the machine's, except where a field says otherwise.

#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![no_std]

mod observers;
mod offsets;
mod record;
pub mod share;

pub use observers::{OBSERVERS, Observer, Observers};
pub use offsets::{Need, Offsets};
pub use record::{
    ARGS_LEN, CGROUP_PATH_LEN, COMM_LEN, Carried, Cgroup, Connection, Counts, Direction, EXE_LEN,
    Ended, Executed, Exited, Flow, Forked, Header, Kind, Listening, MESSAGE_LEN, Message, Opened,
    Process, Redirect, SETTLED_NS, SOCKETS, Source, Span, Totals, failed, flags, hooks,
};
