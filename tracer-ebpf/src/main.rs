//! tracer's eBPF programs.
//!
//! Data runs one way: a hook in `probes/` reads the kernel through `kernel/`,
//! keeps what a connection needs for its end in `maps`, and reports through
//! `emit`. Programs come in three hook sets (fentry, kprobe, tracepoint); user
//! space loads one of them. The bodies are shared: an entry in `probes/` only
//! takes arguments from its context.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod cgroup;
mod emit;
mod kernel;
mod life;
mod maps;
mod names;
mod probes;
mod process;
mod redirect;
mod room;
mod share;
mod span;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Unreachable: the verifier refuses a program that could come here.
    loop {}
}
