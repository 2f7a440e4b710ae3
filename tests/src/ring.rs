//! Socket calls by io_uring, which no system call tracepoint sees.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _},
};

use anyhow::Result;
use io_uring::{IoUring, opcode, squeue, types::Fd};
use socket2::{SockAddr, Socket};

use crate::skip;

/// Skips the test where the kernel has no io_uring, or lets nobody use it.
pub fn need() -> Result<()> {
    match IoUring::new(1) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("io_uring", error),
    }
}

pub(crate) fn connect(socket: &Socket, to: &SockAddr) -> io::Result<()> {
    let fd = Fd(socket.as_raw_fd());
    submit(&opcode::Connect::new(fd, to.as_ptr().cast(), to.len()).build()).map(drop)
}

pub(crate) fn accept(socket: &Socket) -> io::Result<Socket> {
    let (address, size) = (std::ptr::null_mut(), std::ptr::null_mut());
    let accept = opcode::Accept::new(Fd(socket.as_raw_fd()), address, size);
    let fd = submit(&accept.flags(libc::SOCK_CLOEXEC).build())?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { Socket::from_raw_fd(fd) })
}

/// Submits one request and waits for its result.
fn submit(entry: &squeue::Entry) -> io::Result<i32> {
    let mut ring = IoUring::new(1)?;
    // SAFETY: what the entry points at outlives the call, which waits for its completion.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next();
    match completion.map_or(-libc::EIO, |done| done.result()) {
        result @ 0.. => Ok(result),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}
