//! What the two ends say to each other, and how each knows that it is over.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::Socket;

use super::truth::{Between, now};
use crate::wait::DEADLINE;

/// How a connection ends. The client says it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client resets without waiting for anything.
    Storm,
    ClientFirst,
    ServerFirst,
    ServerResets,
}

impl Ending {
    /// Those of which the client waits for the server.
    pub(super) const AWAITED: [Self; 3] =
        [Self::ClientFirst, Self::ServerFirst, Self::ServerResets];

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Storm => 0,
            Self::ClientFirst => 1,
            Self::ServerFirst => 2,
            Self::ServerResets => 3,
        }
    }

    pub(super) fn of(code: u8) -> Result<Self> {
        let all = [
            Self::Storm,
            Self::ClientFirst,
            Self::ServerFirst,
            Self::ServerResets,
        ];
        let known = all.into_iter().find(|ending| ending.code() == code);
        known.with_context(|| format!("an ending called {code}"))
    }
}

/// After the question, how many bytes the server answers with.
pub(super) fn answer(question: usize) -> usize {
    question * 7 + 1
}

/// Sends bytes, the first of which is `code`.
pub(super) fn say(mut socket: &Socket, code: u8, size: usize) -> Result<()> {
    let mut bytes = vec![0x5a; size];
    if let Some(first) = bytes.first_mut() {
        *first = code;
    }
    socket.write_all(&bytes).context("say something")
}

/// Receives so many bytes.
pub(super) fn hear(mut socket: &Socket, size: usize) -> Result<()> {
    socket
        .read_exact(&mut vec![0; size])
        .context("hear something")
}

/// Waits for the end of the stream; true if it was a reset.
pub(super) fn hear_end(mut socket: &Socket) -> Result<bool> {
    match socket.read(&mut [0; 1]) {
        Ok(0) => Ok(false),
        Ok(_) => bail!("payload after the end"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
        Err(error) => Err(error).context("wait for the end of the stream"),
    }
}

/// Closes first and in order: over as soon as the other end has closed too.
pub(super) fn close_first(socket: &Socket) -> Result<Between> {
    let earliest = now();
    socket
        .shutdown(std::net::Shutdown::Write)
        .context("close first")?;
    ensure!(!hear_end(socket)?, "reset in place of an orderly end");
    Ok(Between::since(earliest))
}

/// Closes after the other end has: over as soon as that has acknowledged it.
pub(super) fn close_second(socket: &Socket) -> Result<Between> {
    let earliest = now();
    socket
        .shutdown(std::net::Shutdown::Write)
        .context("close second")?;
    let deadline = Instant::now() + DEADLINE;
    while !is_over(socket)? {
        ensure!(
            Instant::now() < deadline,
            "the last FIN is not acknowledged"
        );
        std::thread::yield_now();
    }
    Ok(Between::since(earliest))
}

/// Resets.
pub(super) fn reset(socket: Socket) -> Result<Between> {
    socket
        .set_linger(Some(Duration::ZERO))
        .context("set SO_LINGER")?;
    Ok(Between::of(|| drop(socket)).0)
}

/// Whether the kernel is done with it, though the process holds it.
pub(super) fn is_over(socket: &Socket) -> Result<bool> {
    /// Of the kernel's `tcp_states.h`.
    const TCP_CLOSE: u8 = 7;
    // The first member of `struct tcp_info` is the state; the kernel gives as much as there is room for.
    let mut state = [0_u8; 4];
    let mut size = state.len() as libc::socklen_t;
    // SAFETY: writes at most `size` bytes to `state`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            state.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error()).context("ask for the state of a connection");
    }
    Ok(state[0] == TCP_CLOSE)
}
