//! The netlink sockets: one that hears of new entries, and one that reads those there are.
//! Both are of the network namespace in which the calling thread is when they are made, and
//! stay so.
//!
//! What it costs the kernel: as soon as somebody listens, each new connection of the namespace
//! that conntrack tracks is described in a message (`ctnetlink_conntrack_event()`), in the
//! context of the packet, also those that are not translated: ctnetlink knows no condition.
//! The filter then throws away what is not translated TCP, before it is queued and before
//! anybody wakes up: so user space pays for translated connections only. The test
//! `what_listening_costs` measures it: on Linux 6.18 a connection over `lo` and back, 20 us of
//! processor time, takes 0.1 us more (the median of 41; half of them between -0.5 and 0.6).
//! Where `net.netfilter.nf_conntrack_events` is 2, as is usual since 5.19, an entry gets the
//! room for events only as long as somebody listens. Only the beginning of entries is asked for; what ends is
//! recognised otherwise (see `table`), as hearing of the ends too would double the cost.
//!
//! A listener that falls behind costs no packet: without `NETLINK_BROADCAST_ERROR`, which is
//! not set, the kernel drops the message and goes on. The socket then says `ENOBUFS` once.

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recv, send, socket_with, sockopt,
    },
};

use super::{
    holds::Sockets,
    message::{
        CTA_PROTO_NUM, CTA_STATUS, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, DST_NAT, Entry, HEADERS,
        IPPROTO_TCP, Message, SRC_NAT, dump_request, messages,
    },
};

/// `NFNLGRP_CONNTRACK_NEW` is group 1, so the first bit.
const GROUP_NEW: u32 = 1;
/// What may wait in a socket, bytes. The kernel counts about 1 KiB for a message.
const QUEUE_BYTES: usize = 2 << 20;
/// The kernel fills at most 32 KiB of a dump at once (`netlink_recvmsg()`).
pub(super) const BUFFER_BYTES: usize = 32 << 10;
/// How long a dump may take to its next part.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many entries of a dump are handed on at once.
const BATCH: usize = 512;

/// A socket that hears of translated TCP connections when their first packet has passed.
/// Reads do not block.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN over the namespace; else if the kernel has no such thing.
pub(super) fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = open(flags)?;
    // The first one may go beyond the host's limit.
    if sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, QUEUE_BYTES);
    }
    // Before it hears anything. A kernel that refuses costs us time, nothing else.
    if let Err(error) = attach_filter(&socket) {
        tracing::debug!(%error, "the kernel takes no filter on a netlink socket");
    }
    bind(&socket, &SocketAddrNetlink::new(0, GROUP_NEW))?;
    Ok(socket)
}

/// A socket for [`dump`].
///
/// # Errors
/// If the kernel has no such sockets, or this process may have no more.
pub(super) fn asker() -> io::Result<OwnedFd> {
    let socket = open(SocketFlags::CLOEXEC)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// The network namespace of a socket, as a file.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN over the namespace.
pub(super) fn namespace(socket: &OwnedFd) -> io::Result<OwnedFd> {
    /// `SIOCGSKNS` of the kernel's `include/uapi/linux/sockios.h`.
    const GET_NAMESPACE: libc::Ioctl = 0x894c;
    // SAFETY: the request takes no argument and returns a new descriptor.
    let file = unsafe { libc::ioctl(socket.as_raw_fd(), GET_NAMESPACE) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Reads the translated TCP connections that are there, and gives them to `each` by some
/// hundred, until it says that it has enough. The kernel goes through the table of the whole
/// host, twice: it can choose by one value of the status only.
///
/// # Errors
/// If the kernel refuses (`EPERM`, `EINVAL` where it has no ctnetlink), or does not go on; if
/// the namespace was let go.
pub(super) fn dump(sockets: &Sockets, mut each: impl FnMut(Vec<Entry>) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    for (status, mask) in [(DST_NAT, DST_NAT), (SRC_NAT, SRC_NAT | DST_NAT)] {
        sockets.dump(|it| Ok(send(it, &dump_request(status, mask), SendFlags::empty())?))?;
        let mut batch = Vec::new();
        let mut is_chosen = true;
        'parts: loop {
            let (length, _) =
                sockets.dump(|it| Ok(recv(it, &mut buffer[..], RecvFlags::empty())?))?;
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                match message {
                    Message::Entry(entry) => batch.push(entry),
                    // UDP is here too. So this only means that a second look may be for nothing.
                    Message::Other => {}
                    Message::Done | Message::Failed(0) => break 'parts,
                    Message::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
            is_chosen &= batch.iter().all(|entry| {
                let is_dst = entry.translation.dialled != entry.translation.server;
                is_dst == (status == DST_NAT)
            });
            if batch.len() >= BATCH && !each(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
        if !batch.is_empty() && !each(batch) {
            return Ok(());
        }
        if !is_chosen {
            // A kernel that does not choose has told all.
            return Ok(());
        }
    }
    Ok(())
}

/// What one read of a listening socket gave.
pub(super) enum Heard {
    /// So many bytes of the buffer.
    Bytes(usize),
    /// Messages were lost since the last one.
    Overrun,
    /// Nothing more, for now.
    Nothing,
}

/// Reads the next message of a listening socket into `buffer`; does not block.
pub(super) fn hear(socket: impl AsFd, buffer: &mut [u8]) -> Heard {
    match recv(socket, buffer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => Heard::Bytes(length),
        Err(Errno::NOBUFS) => Heard::Overrun,
        Err(_) => Heard::Nothing,
    }
}

fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    let protocol = Some(netlink::NETFILTER);
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        protocol,
    )?)
}

/// Lets through answers, and of the events those of TCP connections that are translated.
fn attach_filter(socket: &OwnedFd) -> io::Result<()> {
    let program = filter();
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>());
    // SAFETY: the option value is a valid `sock_fprog` of that length, whose program outlives
    // the call; the kernel copies it and writes to neither.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length.map_err(io::Error::other)?,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The program of the filter, in classic BPF. Where an attribute is missing it accepts: then
/// user space looks.
fn filter() -> [libc::sock_filter; 24] {
    /// Index of the instruction that accepts, and of the one that refuses.
    const ACCEPT: u8 = 22;
    const REFUSE: u8 = 23;
    /// `SKF_AD_OFF + SKF_AD_NLATTR`: A becomes where the attribute of type X is, from offset A
    /// on; 0 if nowhere. The second one looks into the attribute at A.
    const FIND: u32 = (-0x1000_i32 + 12).cast_unsigned();
    const FIND_INSIDE: u32 = (-0x1000_i32 + 16).cast_unsigned();
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const LOAD_AT_X: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_IND;
    const LOAD_BYTE_AT_X: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    const SET_A: u32 = libc::BPF_LD | libc::BPF_IMM;
    const SET_X: u32 = libc::BPF_LDX | libc::BPF_IMM;
    const A_TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_ANY: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

    // Jumps are from the next instruction on.
    let to = |at: u8, target: u8| target - at - 1;
    let step = |code: u32, k: u32| (code, 0, 0, k);
    let first = u32::try_from(HEADERS).unwrap_or_default();
    [
        // The sequence number: events have none.
        step(LOAD, 8),
        (IF_EQUAL, 0, to(1, ACCEPT), 0),
        step(SET_A, first),
        step(SET_X, CTA_STATUS.into()),
        step(LOAD, FIND),
        (IF_EQUAL, to(5, ACCEPT), 0, 0),
        step(A_TO_X, 0),
        step(LOAD_AT_X, 4),
        (IF_ANY, 0, to(8, REFUSE), SRC_NAT | DST_NAT),
        step(SET_A, first),
        step(SET_X, CTA_TUPLE_ORIG.into()),
        step(LOAD, FIND),
        (IF_EQUAL, to(12, ACCEPT), 0, 0),
        step(SET_X, CTA_TUPLE_PROTO.into()),
        step(LOAD, FIND_INSIDE),
        (IF_EQUAL, to(15, ACCEPT), 0, 0),
        step(SET_X, CTA_PROTO_NUM.into()),
        step(LOAD, FIND_INSIDE),
        (IF_EQUAL, to(18, ACCEPT), 0, 0),
        step(A_TO_X, 0),
        step(LOAD_BYTE_AT_X, 4),
        (IF_EQUAL, to(21, ACCEPT), to(21, REFUSE), IPPROTO_TCP.into()),
        step(RETURN, u32::MAX),
        step(RETURN, 0),
    ]
    .map(|(code, jt, jf, k)| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    })
}
