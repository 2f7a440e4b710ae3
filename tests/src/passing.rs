//! Passing a socket to another process, by `SCM_RIGHTS` over a Unix socket.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::AsFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use anyhow::{Context as _, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::Socket;

/// Where a process waits for a socket. Datagrams: the giver need not wait for the taker.
#[derive(Debug)]
pub(crate) struct Mailbox(UnixDatagram);

/// In the abstract namespace, which network namespaces do not share.
fn address(pid: u32) -> Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("tracer-tests-{pid}")).context("name a mailbox")
}

impl Mailbox {
    /// The calling process's own.
    pub(crate) fn open(pid: u32) -> Result<Self> {
        UnixDatagram::bind_addr(&address(pid)?)
            .map(Self)
            .context("open a mailbox")
    }

    /// The socket that was given.
    pub(crate) fn take(&self) -> Result<Socket> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let mut byte = [0];
        let mut payload = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        recvmsg(&self.0, &mut payload, &mut ancillary, flags).context("take a socket")?;
        let given = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok(given.context("a message with a socket")?.into())
    }
}

/// Gives a copy of a socket to a process that has opened its mailbox.
pub(crate) fn give(socket: &Socket, pid: u32) -> Result<()> {
    let mailbox = UnixDatagram::unbound().context("make a Unix socket")?;
    mailbox
        .connect_addr(&address(pid)?)
        .context("find a mailbox")?;
    let fds = [socket.as_fd()];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let payload = [IoSlice::new(b"s")];
    sendmsg(&mailbox, &payload, &mut ancillary, SendFlags::empty()).context("give a socket")?;
    Ok(())
}
