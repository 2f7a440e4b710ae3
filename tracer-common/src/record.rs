//! The records of the ring buffer and the counters beside it.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Bytes of a process name, `TASK_COMM_LEN` in the kernel, NUL-padded.
pub const COMM_LEN: usize = 16;

/// What a record reports. A newtype, because the kernel side could send any number.
#[repr(transparent)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u32);

impl Kind {
    /// An outbound connection is established: an [`Opened`].
    pub const CONNECT: Self = Self(0);
    /// An inbound connection is accepted: an [`Opened`].
    pub const ACCEPT: Self = Self(1);
    /// A connection ended: an [`Ended`].
    pub const CLOSE: Self = Self(2);
    /// An attempt failed: an [`Ended`].
    pub const FAIL: Self = Self(3);
    /// A socket listens: a [`Listening`].
    pub const LISTEN: Self = Self(4);
    /// A socket no longer listens: a [`Listening`].
    pub const UNLISTEN: Self = Self(5);
    /// A connection is there that nobody saw open: an [`Opened`].
    pub const EXISTING: Self = Self(6);
    /// A process runs another program: an [`Executed`].
    pub const EXEC: Self = Self(7);
    /// A process is over: an [`Exited`].
    pub const EXIT: Self = Self(8);
    /// A control group was made: a [`Cgroup`].
    pub const CGROUP: Self = Self(9);
    /// A process exchanged a message with a name server: a [`Message`].
    pub const MESSAGE: Self = Self(10);
    /// The address that a process dials was replaced by another: a [`Redirect`].
    pub const REDIRECT: Self = Self(11);
    /// What an open connection has carried so far: a [`Carried`].
    pub const TOTALS: Self = Self(12);
    /// A process made another one: a [`Forked`].
    pub const FORK: Self = Self(13);
    /// How many kinds there are; the kinds are `0..COUNT`.
    pub const COUNT: usize = 14;
}

/// Which side opened the connection.
#[repr(transparent)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction(pub u8);

impl Direction {
    /// Not known: the connection is older than the programs.
    pub const UNKNOWN: Self = Self(0);
    /// This end sent the SYN.
    pub const OUTBOUND: Self = Self(1);
    /// The other end sent the SYN.
    pub const INBOUND: Self = Self(2);
}

/// How the process of a record was learnt.
#[repr(transparent)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(pub u16);

impl Source {
    /// Not known; the process is all zero.
    pub const UNKNOWN: Self = Self(0);
    /// In the context of the task that connected, accepted or listened.
    pub const HOOK: Self = Self(1);
    /// The owner of the listening socket the connection arrived at.
    pub const LISTENER: Self = Self(2);
    /// In the context of the task that closed it.
    pub const CLOSE: Self = Self(3);
    /// It holds the socket, found by looking through the descriptors of all processes.
    pub const SCAN: Self = Self(4);
    /// In the context of the first task that read from it.
    pub const READ: Self = Self(5);
}

/// A connection or attempt that began less than so many nanoseconds ago is not examined: its
/// socket's state may be about to be set.
pub const SETTLED_NS: u64 = 100_000_000;

/// How many sockets the programs that look at some take in one run. The kernel follows each of them
/// before it loads such a program.
pub const SOCKETS: usize = 4;

/// Bits of [`Connection::flags`].
pub mod flags {
    /// The connection is older than the programs.
    pub const EXISTING: u8 = 1;
    /// At least one segment left this socket (`tcp_sock.segs_out` was not 0).
    pub const SENT: u8 = 1 << 1;
    /// Its end was missed: it was found to be over later, the totals are zero, and the error
    /// is, where it is not known.
    pub const FOUND_OVER: u8 = 1 << 2;
    /// It ended outside of any call of a process: by a segment that arrived, or a timer.
    pub const FROM_OUTSIDE: u8 = 1 << 3;
}

/// Values of [`Connection::failed`].
pub mod failed {
    /// The failure was told, with the error that is kept here.
    pub const TOLD: u8 = 1;
    /// It is to be told when the call returns, with the ends that are kept here.
    pub const UNTOLD: u8 = 2;
}

/// Bits of the global `HOOKS`: which facts a program of their own reports in the
/// caller's context. The others are inferred from changes of state.
pub mod hooks {
    /// An attempt begins: `tcp_connect`.
    pub const CONNECT: u32 = 1;
    /// A connection is accepted: `inet_csk_accept`.
    pub const ACCEPT: u32 = 1 << 1;
    /// What a call of connect() returns, or a step of it.
    pub const DIAL: u32 = 1 << 2;
}

/// First bytes of every record.
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When it happened: nanoseconds of `CLOCK_BOOTTIME`.
    pub time_ns: u64,
    /// What happened.
    pub kind: Kind,
    /// Zero.
    pub reserved: u32,
}

/// Who did it, as the kernel saw it (initial pid namespace).
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Start of the thread group leader: nanoseconds of `CLOCK_BOOTTIME`
    /// (`task_struct.start_boottime`). With `tgid` it names a process for good.
    pub start_ns: u64,
    /// Id of the task's cgroup in the v2 hierarchy (inode number of its folder).
    pub cgroup: u64,
    /// Process id.
    pub tgid: u32,
    /// User who owns the network namespace of its socket (`net.user_ns->owner`), or, where no socket
    /// is told of, its own, in the initial user namespace. 0 if that is root, or not known; not told in
    /// [`Message`].
    pub netns_owner: u32,
    /// Real user id.
    pub uid: u32,
    /// How this was learnt.
    pub source: Source,
    /// Which of the programs it ran: the low bits of the number of its execs, those of its
    /// ancestors included (`task_struct.self_exec_id`). With `tgid` and `start_ns` it names a
    /// program in a process.
    pub exec_id: u16,
    /// Name of the thread group leader (`task_struct.comm`), any bytes, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

/// The two ends of a connection, as the socket has them.
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Address of this end, network byte order; IPv4 uses the first four bytes.
    pub local_address: [u8; 16],
    /// Address of the other end, likewise.
    pub remote_address: [u8; 16],
    /// Port of this end, host byte order; 0 if none was assigned yet.
    pub local_port: u16,
    /// Port of the other end, host byte order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10), of the socket: an IPv6 socket may hold
    /// IPv4-mapped addresses.
    pub family: u16,
    /// Zero.
    pub reserved: u16,
    /// Inode number of the socket's network namespace (`ns_common.inum`).
    pub netns: u32,
    /// Index in that namespace of the interface that an IPv6 socket is bound to, host byte order;
    /// 0 if to none. The kernel binds whoever has a link-local address at either end.
    pub scope: u32,
}

/// What is kept of a connection while it lives, and sent when it opens and ends.
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Outbound: the attempt began; inbound: the socket was made; with
    /// [`flags::EXISTING`]: it was first seen. Nanoseconds of `CLOCK_BOOTTIME`.
    pub begun_ns: u64,
    /// The handshake was complete; likewise, 0 if it never was or is not known.
    pub established_ns: u64,
    /// It ended while nobody had accepted it; else 0.
    pub ended_ns: u64,
    /// The two ends.
    pub flow: Flow,
    /// The process of this end.
    pub process: Process,
    /// Who opened it.
    pub direction: Direction,
    /// See [`flags`].
    pub flags: u8,
    /// The last TCP state before `TCP_CLOSE` that is known, as in the kernel's
    /// `tcp_states.h`; 0 while nothing has happened to it.
    pub last_state: u8,
    /// 1 once `connect` or `accept` was reported. A byte of its own: another CPU may
    /// write its neighbours at the same time.
    pub reported: u8,
    /// 1 once it ended, while nobody had accepted it yet. Likewise.
    pub ended: u8,
    /// Not zero if this is no connection any more, but the memory of a failure, until
    /// the call of connect() that returns it: see [`failed`].
    pub failed: u8,
    /// The error that was told then; or, of an attempt that lives, the last one that its
    /// process was shown.
    pub failed_errno: u16,
    /// The first sequence numbers of the two ends, that of the client in the upper half: the same
    /// at both ends, whatever translates their addresses. 0 while not known.
    pub handshake: u64,
    /// Who pays for its place in the table: see [`share`](crate::share).
    pub payer: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a connection carried, from its `tcp_sock`.
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes sent, each byte once.
    pub sent_bytes: u64,
    /// Payload bytes received, each byte once.
    pub received_bytes: u64,
    /// Smoothed round-trip time, microseconds; 0 if never measured.
    pub srtt_us: u32,
    /// Segments sent again (`tcp_sock.total_retrans`).
    pub retransmits: u32,
}

/// A connection opened: [`Kind::CONNECT`] or [`Kind::ACCEPT`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What and when.
    pub header: Header,
    /// The connection.
    pub connection: Connection,
}

/// A connection or an attempt ended: [`Kind::CLOSE`] or [`Kind::FAIL`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What and when.
    pub header: Header,
    /// The connection.
    pub connection: Connection,
    /// What it carried.
    pub totals: Totals,
    /// The socket's error (`sock.sk_err`), or what connect() returned: a positive errno; 0 if none.
    pub errno: u32,
    /// Of an inbound attempt that was turned away: sequence number of its SYN, by which
    /// a repeated one is known. Else zero.
    pub sequence: u32,
}

/// An open connection was asked what it has carried so far: [`Kind::TOTALS`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What and when.
    pub header: Header,
    /// The connection.
    pub connection: Connection,
    /// What it has carried.
    pub totals: Totals,
}

/// A socket began or stopped to listen: [`Kind::LISTEN`] or [`Kind::UNLISTEN`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// What and when.
    pub header: Header,
    /// Its local end; the remote end is zero.
    pub flow: Flow,
    /// Who listens.
    pub process: Process,
    /// Largest length of its accept queue (`sock.sk_max_ack_backlog`).
    pub backlog: u32,
    /// Who pays for its place in the table: see [`share`](crate::share).
    pub payer: u32,
}

/// Bytes of an executable's path that are kept, a NUL after each name included.
pub const EXE_LEN: usize = 2048;
/// Bytes of arguments that are kept.
pub const ARGS_LEN: usize = 4096;

/// A process runs another program: [`Kind::EXEC`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What and when.
    pub header: Header,
    /// The process, under its new name.
    pub process: Process,
    /// Process id of its parent.
    pub parent: u32,
    /// How many bytes its arguments have; [`ARGS_LEN`] of them at most are in `args`.
    pub args_bytes: u32,
    /// How many bytes `exe` has; 0 if the path did not fit.
    pub exe_bytes: u32,
    /// Zero.
    pub reserved: u32,
    /// The file that is executed (`mm_struct.exe_file`): its name, those of the folders that it is
    /// in, the innermost first, each with a NUL after it.
    pub exe: [u8; EXE_LEN],
    /// The arguments, each with a NUL after it.
    pub args: [u8; ARGS_LEN],
}

/// A process made another one, which runs the same program: [`Kind::FORK`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forked {
    /// What and when.
    pub header: Header,
    /// The process whose program it is.
    pub process: Process,
    /// Start of the new process, as [`Process::start_ns`].
    pub child_start_ns: u64,
    /// Process id of the new process.
    pub child: u32,
    /// Process id of its parent, which may be another than `process` (`CLONE_PARENT`).
    pub parent: u32,
}

/// A process is over: [`Kind::EXIT`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// What and when.
    pub header: Header,
    /// The process.
    pub process: Process,
    /// As wait() tells it: the low seven bits a signal, the bits from 8 on an exit code.
    pub status: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bytes of a control group's path that are kept, the closing NUL included.
pub const CGROUP_PATH_LEN: usize = 512;

/// A control group was made: [`Kind::CGROUP`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// What and when.
    pub header: Header,
    /// Its id: inode number of its folder.
    pub id: u64,
    /// Id of its hierarchy (`cgroup_root.hierarchy_id`); 0 is that of v2.
    pub hierarchy: u32,
    /// Real uid of who made it and so chose its name, in the initial user namespace.
    pub maker: u32,
    /// Its path from the root of its hierarchy, NUL-terminated.
    pub path: [u8; CGROUP_PATH_LEN],
}

/// Bytes of a message that are kept.
pub const MESSAGE_LEN: usize = 1536;

/// A process exchanged a message with a name server, or over TCP a piece of one:
/// [`Kind::MESSAGE`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What and when.
    pub header: Header,
    /// Who.
    pub process: Process,
    /// Between which ends.
    pub flow: Flow,
    /// Address of the `struct sock`, which tells sockets apart while they live.
    pub sock: u64,
    /// 1 if it was sent, 0 if it was received.
    pub sent: u8,
    /// 1 over TCP, 0 over UDP.
    pub stream: u8,
    /// How many of its bytes are in `bytes`, the first ones.
    pub kept: u16,
    /// How many bytes it has.
    pub length: u32,
    /// The payload.
    pub bytes: [u8; MESSAGE_LEN],
}

/// The address that a process dials was replaced by another on the way into the kernel:
/// [`Kind::REDIRECT`].
#[repr(C)]
#[cfg_attr(feature = "decode", derive(FromBytes, KnownLayout, Immutable))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// What and when.
    pub header: Header,
    /// The ends of the attempt that is made.
    pub flow: Flow,
    /// What the process dialled, network byte order; IPv4 uses the first four bytes.
    pub dialled_address: [u8; 16],
    /// Likewise, host byte order.
    pub dialled_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub dialled_family: u16,
    /// Scope of the address, as [`Flow::scope`].
    pub dialled_scope: u32,
}

/// The time that is told of: what happens at `from_ns` or later, and before `until_ns`. User space
/// sets either to a moment that is yet to come, so that the programs on all CPUs go by the same one.
/// Nanoseconds of `CLOCK_BOOTTIME`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// [`Span::NEVER`] while user space makes sure of the programs: what they tell until then is
    /// not counted, and nobody's event.
    pub from_ns: u64,
    /// [`Span::NEVER`] until the stop.
    pub until_ns: u64,
}

impl Span {
    /// A moment that does not come.
    pub const NEVER: u64 = u64::MAX;
    /// What it is before user space sets it.
    pub const UNSET: Self = Self {
        from_ns: Self::NEVER,
        until_ns: Self::NEVER,
    };
}

/// The counters of one kind on one CPU. `seen = sent + ring_full + table_full`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events the programs decided to report.
    pub seen: u64,
    /// Not reported, as the ring buffer had no room.
    pub ring_full: u64,
    /// Not reported, as the table of connections or listeners had no room.
    pub table_full: u64,
}

macro_rules! layout {
    ($($type:ident: $size:expr $(, $field:ident @ $offset:expr)*;)*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size);
            assert!(align_of::<$type>() == 8);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };)*
    };
}

layout! {
    Header: 16, time_ns @ 0, kind @ 8, reserved @ 12;
    Process: 48, cgroup @ 8, tgid @ 16, netns_owner @ 20, uid @ 24, source @ 28, exec_id @ 30, comm @ 32;
    Connection: 144, flow @ 24, process @ 72, direction @ 120, flags @ 121, last_state @ 122, reported @ 123, ended @ 124, failed @ 125, failed_errno @ 126, handshake @ 128, payer @ 136, reserved @ 140;
    Totals: 24, received_bytes @ 8, srtt_us @ 16, retransmits @ 20;
    Opened: 160, connection @ 16;
    Carried: 184, connection @ 16, totals @ 160;
    Ended: 192, connection @ 16, totals @ 160, errno @ 184, sequence @ 188;
    Listening: 120, flow @ 16, process @ 64, backlog @ 112, payer @ 116;
    Executed: 6224, process @ 16, parent @ 64, args_bytes @ 68, exe_bytes @ 72, reserved @ 76, exe @ 80, args @ 2128;
    Forked: 80, process @ 16, child_start_ns @ 64, child @ 72, parent @ 76;
    Exited: 72, process @ 16, status @ 64, reserved @ 68;
    Cgroup: 544, id @ 16, hierarchy @ 24, maker @ 28, path @ 32;
    Message: 1664, process @ 16, flow @ 64, sock @ 112, sent @ 120, stream @ 121, kept @ 122, length @ 124, bytes @ 128;
    Redirect: 88, flow @ 16, dialled_address @ 64, dialled_port @ 80, dialled_family @ 82, dialled_scope @ 84;
    Counts: 24, ring_full @ 8, table_full @ 16;
    Span: 16, until_ns @ 8;
}

// Flow has no 8-byte field; its offsets inside the others are asserted above.
const _: () = {
    assert!(size_of::<Flow>() == 48);
    assert!(core::mem::offset_of!(Flow, remote_address) == 16);
    assert!(core::mem::offset_of!(Flow, local_port) == 32);
    assert!(core::mem::offset_of!(Flow, remote_port) == 34);
    assert!(core::mem::offset_of!(Flow, family) == 36);
    assert!(core::mem::offset_of!(Flow, netns) == 40);
    assert!(core::mem::offset_of!(Flow, scope) == 44);
};
