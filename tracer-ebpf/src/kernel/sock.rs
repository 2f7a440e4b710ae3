//! A typed view of `struct sock`, `inet_sock` and `tcp_sock`, which begin at the same address.

use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;

use tracer_common::{Connection, Flow, Totals};

use super::{Integers, follow, netns, offset, read, read_into};
use crate::maps::HOME_NETNS;

/// Whether `address`, a `struct sockaddr` in kernel memory of `length` bytes, is one of the
/// internet. A shorter one names nobody, whatever is in memory behind it.
#[inline(always)]
pub(crate) fn is_internet(address: u64, length: i32) -> bool {
    /// Bytes of a `struct sockaddr_in`.
    const V4_LENGTH: i32 = 16;
    /// `SIN6_LEN_RFC2133`.
    const V6_LENGTH: i32 = 24;
    length >= 2
        && match read::<u16>(address, 0) {
            AF_INET => length >= V4_LENGTH,
            AF_INET6 => length >= V6_LENGTH,
            _ => false,
        }
}

/// The `struct sock` of a `struct socket`.
#[inline(always)]
pub(crate) fn of_socket(socket: u64) -> Sock {
    Sock::at(read(socket, offset!(socket_sk)))
}

/// The `struct sock` of an open file, if it is a socket.
#[inline(always)]
pub(super) fn of_file(file: u64) -> Option<Sock> {
    /// `S_IFMT` and `S_IFSOCK` of the kernel's user-space interface.
    const KIND: u16 = 0o170_000;
    const SOCKET: u16 = 0o140_000;
    let inode: u64 = read(file, offset!(file_inode));
    if read::<u16>(inode, offset!(inode_mode)) & KIND != SOCKET {
        return None;
    }
    let socket: u64 = read(file, offset!(file_private_data));
    // A socket knows its file: what does not is something else.
    if read::<u64>(socket, offset!(socket_file)) != file {
        return None;
    }
    let sock = of_socket(socket);
    (sock.address != 0 && sock.is_internet() && sock.is_tcp()).then_some(sock)
}

/// TCP states, from the kernel's `include/net/tcp_states.h`.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const SYN_RECV: u8 = 3;
    pub(crate) const FIN_WAIT1: u8 = 4;
    pub(crate) const FIN_WAIT2: u8 = 5;
    pub(crate) const CLOSE: u8 = 7;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LAST_ACK: u8 = 9;
    pub(crate) const LISTEN: u8 = 10;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// Of the kernel's `linux/errqueue.h`.
const SO_EE_ORIGIN_ICMP: u8 = 2;
const SO_EE_ORIGIN_ICMP6: u8 = 3;
/// Bit of `SOCK_DONE` in `sk_flags` (`enum sock_flags`): set by `tcp_fin()` alone.
const SOCK_DONE: u64 = 1 << 1;
/// That of `SOCK_DEAD`.
const SOCK_DEAD: u64 = 1 << 0;

/// What an end did for its handshake.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// It sent the SYN.
    Client,
    /// It was sent one.
    Server,
    /// Both ends did both.
    Both,
}

/// A `struct sock` that a hook handed us.
#[derive(Clone, Copy)]
pub(crate) struct Sock {
    pub(crate) address: u64,
    /// Whether the verifier knows what is there.
    typed: bool,
}

impl Sock {
    /// Whatever is at `address`.
    #[inline(always)]
    pub(crate) fn at(address: u64) -> Self {
        Self {
            address,
            typed: false,
        }
    }

    /// What `pointer` points to, an argument whose type the verifier knows from the kernel's
    /// description, if it is a TCP socket.
    #[inline(always)]
    pub(crate) fn typed(pointer: u64) -> Option<Self> {
        // SAFETY: the verifier checks that it is a `struct sock`; the helper takes a null one.
        let address = unsafe { bpf_skc_to_tcp_sock(pointer as *mut c_void) } as u64;
        let typed = true;
        (address != 0).then_some(Self { address, typed })
    }

    #[inline(always)]
    fn get<T: Integers>(self, offset: u32) -> T {
        follow(self.typed, self.address, offset)
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        // The helper that gives it its type has asked.
        self.typed || self.get::<u16>(offset!(sock_protocol)) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        self.get(offset!(sock_state))
    }

    /// Whether it can be reached. A socket leaves the tables of sockets just before its
    /// change to `TCP_CLOSE` is announced (`tcp_set_state()`).
    #[inline(always)]
    pub(crate) fn is_hashed(self) -> bool {
        self.get::<u64>(offset!(sock_hashed)) != 0
    }

    /// Whether a connect() on this socket ever came so far as to choose a sequence number.
    #[inline(always)]
    pub(crate) fn has_dialled(self) -> bool {
        self.get::<u32>(offset!(tcp_write_seq)) != 0
    }

    /// Whether a listening socket turns the next SYN away: `sk_acceptq_is_full()`.
    #[inline(always)]
    pub(crate) fn is_queue_full(self) -> bool {
        let queued: u32 = self.get(offset!(sock_queued));
        queued > self.backlog()
    }

    /// Whether this end sent the SYN, where the counters of a live connection prove it:
    /// of its own sequence numbers that were acknowledged or are on their way, all but
    /// the SYN and the FIN are payload. So one more than payload is a SYN of its own; an
    /// accepted socket is made after its SYN-ACK and never counts that.
    #[inline(always)]
    pub(crate) fn has_dialled_out(self) -> bool {
        let state = self.state();
        let fin = match state {
            state::ESTABLISHED | state::CLOSE_WAIT => 0,
            state::FIN_WAIT2 => 1,
            _ => return false, // whether the FIN is out is not told by the state
        };
        let count = self.numbers_beside_payload();
        // Another CPU may be sending: count until two agree, or leave it.
        count == self.numbers_beside_payload() && count == 1 + fin && self.state() == state
    }

    #[inline(always)]
    fn numbers_beside_payload(self) -> u64 {
        let next: u32 = self.get(offset!(tcp_snd_nxt));
        let acked: u64 = self.get(offset!(tcp_bytes_acked));
        let first: u32 = self.get(offset!(tcp_snd_una));
        let sent: u64 = self.get(offset!(tcp_bytes_sent));
        let again: u64 = self.get(offset!(tcp_bytes_retrans));
        let under_way = u64::from(next.wrapping_sub(first));
        acked
            .wrapping_add(under_way)
            .wrapping_sub(sent.wrapping_sub(again))
    }

    /// Whether a process is within a call on it: what arrives or runs out meanwhile has to wait.
    #[inline(always)]
    pub(crate) fn is_owned(self) -> bool {
        self.get::<u32>(offset!(sock_owned)) != 0
    }

    /// Whether it waits to be accepted: no process has had it yet. What every process has let go of is
    /// dead (`sock_orphan()`).
    #[inline(always)]
    pub(crate) fn waits(self) -> bool {
        self.get::<u64>(offset!(sock_socket)) == 0
            && self.get::<u64>(offset!(sock_flags)) & SOCK_DEAD == 0
    }

    #[inline(always)]
    pub(crate) fn error(self) -> u32 {
        self.get(offset!(sock_err))
    }

    /// An error of an attempt that decides nothing yet, as connect() is at work itself
    /// (`tcp_v4_err()`). Whoever asks for `SO_ERROR` takes it away.
    #[inline(always)]
    pub(crate) fn soft_error(self) -> u32 {
        self.get(offset!(sock_err_soft))
    }

    /// The error that its process is about to be shown: its own, else the one of the ICMP
    /// message that came last, else a soft one.
    #[inline(always)]
    pub(crate) fn shown_error(self) -> u32 {
        match self.error() {
            0 => match self.icmp_error() {
                0 => self.soft_error(),
                error => error,
            },
            error => error,
        }
    }

    /// `ip_icmp_error()` puts it there for every attempt over IPv4, and then wakes the process;
    /// `sk_err_soft` is set after that.
    #[inline(always)]
    fn icmp_error(self) -> u32 {
        let (head, last) = (offset!(sock_error_queue), offset!(sock_error_last));
        let packet = self.get::<u64>(last);
        if packet == self.address + u64::from(head) {
            return 0; // the list is empty: it points at itself
        }
        let control = packet + u64::from(offset!(exterr_cb));
        match read::<u8>(control, offset!(exterr_origin)) {
            SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6 => read(control, offset!(exterr_errno)),
            _ => 0, // a timestamp, or the end of a transmission without a copy
        }
    }

    #[inline(always)]
    pub(crate) fn backlog(self) -> u32 {
        self.get(offset!(sock_backlog))
    }

    /// Own port in host byte order. `inet_sport`, not `skc_num`: the latter is
    /// already zero when the change to `TCP_CLOSE` is announced.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(self.get(offset!(inet_sport)))
    }

    /// Whether any segment was ever sent, a SYN included.
    #[inline(always)]
    pub(crate) fn has_sent(self) -> bool {
        self.get::<u32>(offset!(tcp_segs_out)) != 0
    }

    /// The listener that this socket, in its first change of state, was cloned from.
    ///
    /// `inet_csk_clone_lock()` copies the listener byte for byte and announces
    /// `SYN_RECV` before `tcp_create_openreq_child()` sets the lists up again, so the
    /// empty list `tsorted_sent_queue` still points at its head in the listener
    /// (Linux 4.15 and later). Names the exact socket, also among several that share
    /// a port. The caller looks the address up, so a wrong one is harmless.
    #[inline(always)]
    pub(crate) fn cloned_from(self) -> u64 {
        let queue = offset!(tcp_tsorted_sent_queue);
        read::<u64>(self.address, queue).wrapping_sub(u64::from(queue))
    }

    /// The first sequence numbers of both ends, that of the client in the upper half; of two that
    /// dialled each other, the lesser. While nobody else is at work on the socket.
    ///
    /// What was acknowledged and received since is counted, also what came with a SYN; a client's
    /// own SYN is counted with it, and a server's is not (see [`Self::has_dialled_out`]).
    #[inline(always)]
    pub(crate) fn handshake(self, role: Role) -> u64 {
        let acked = self.get::<u64>(offset!(tcp_bytes_acked)) as u32;
        let received = self.get::<u64>(offset!(tcp_bytes_received)) as u32;
        let own = self.get::<u32>(offset!(tcp_snd_una)).wrapping_sub(acked);
        let other = self.get::<u32>(offset!(tcp_rcv_nxt)).wrapping_sub(received);
        let other = other.wrapping_sub(1);
        let (first, second) = match role {
            Role::Client => (own, other),
            Role::Server => (other, own.wrapping_sub(1)),
            Role::Both if own < other => (own, other),
            Role::Both => (other, own),
        };
        u64::from(first) << 32 | u64::from(second)
    }

    /// Whether it was made of a SYN with payload (TCP Fast Open), and its handshake is under way.
    #[inline(always)]
    pub(crate) fn is_opened_fast(self) -> bool {
        self.state() == state::SYN_RECV && self.get::<u64>(offset!(tcp_fastopen_rsk)) != 0
    }

    /// Whether the attempt that ends was only promised: connect() left the SYN to the first write
    /// (`TCP_FASTOPEN_CONNECT`), and there was none. It has a port and a sequence number, and no
    /// error.
    #[inline(always)]
    pub(crate) fn was_deferred(self) -> bool {
        self.has_dialled() && self.local_port() != 0 && !self.has_sent() && self.error() == 0
    }

    /// Port of the other end, host byte order; 0 if there is none.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(self.get(offset!(sock_dport)))
    }

    /// Sequence number of the first byte that was not handed to the process.
    #[inline(always)]
    pub(crate) fn copied(self) -> u32 {
        self.get(offset!(tcp_copied_seq))
    }

    /// Writes both ends to `to`, whose addresses must be zero: an IPv4 address fills
    /// only their first four bytes. The family comes last: another CPU that sees one sees
    /// the rest.
    #[inline(always)]
    pub(crate) fn read_flow(self, to: &mut Flow) {
        let head = Head::of(self);
        let family = head.get::<u16>(offset!(sock_family));
        if family == AF_INET6 {
            read_into(
                self.address,
                offset!(sock_v6_saddr),
                &raw mut to.local_address,
            );
            read_into(
                self.address,
                offset!(sock_v6_daddr),
                &raw mut to.remote_address,
            );
            to.scope = head.get(offset!(sock_bound_dev_if));
        } else if family == AF_INET {
            let (local, remote) = (head.get(offset!(sock_saddr)), head.get(offset!(sock_daddr)));
            // SAFETY: the first four bytes of sixteen, aligned as the flow begins with them.
            unsafe {
                (&raw mut to.local_address).cast::<u32>().write(local);
                (&raw mut to.remote_address).cast::<u32>().write(remote);
            }
        }
        to.local_port = self.local_port();
        to.remote_port = u16::from_be(head.get(offset!(sock_dport)));
        self.read_netns(&mut to.netns);
        // SAFETY: an empty assembly, which the compiler takes for one that uses memory; a
        // valid place for a number.
        unsafe {
            asm!("");
            (&raw mut to.family).write_volatile(family);
        }
    }

    #[inline(always)]
    pub(crate) fn read_netns(self, to: &mut u32) {
        let net = self.get(offset!(sock_net));
        *to = follow(self.typed, net, offset!(net_inum));
    }

    /// The user who owns its network namespace, which has the inode number `netns`: see
    /// [`netns::owner`].
    #[inline(always)]
    pub(crate) fn netns_owner(self, netns: u32) -> u32 {
        if netns != 0 && netns == HOME_NETNS.load() {
            return 0;
        }
        netns::owner(self.typed, self.get(offset!(sock_net)))
    }

    /// The user who made it, in the initial user namespace (`sk_uid`); a connection that came in has its
    /// listener's until it is accepted. It may have been given away, to a user whom its owner may be as well. None where
    /// this kernel does not tell.
    #[inline(always)]
    pub(crate) fn owner(self) -> Option<u32> {
        // No structure has that member first.
        match offset!(sock_uid) {
            0 => None,
            uid => Some(self.get(uid)),
        }
    }

    /// Writes the ends of a call of connect() to `to`, whose addresses must be zero: the
    /// socket does not know yet whom it dials.
    #[inline(always)]
    pub(crate) fn read_dialled(self, address: u64, to: &mut Flow) {
        // `sockaddr_in` and `sockaddr_in6` of the kernel's user-space interface.
        const PORT: u32 = 2;
        const V4_ADDRESS: u32 = 4;
        const V6_ADDRESS: u32 = 8;
        const V6_SCOPE: u32 = 24;
        self.read_flow(to);
        to.family = read(address, 0);
        to.remote_port = u16::from_be(read(address, PORT));
        if to.family == AF_INET6 {
            read_into(address, V6_ADDRESS, &raw mut to.remote_address);
            // Who names none dials by the interface that the socket is bound to.
            let scope: u32 = read(address, V6_SCOPE);
            if scope != 0 {
                to.scope = scope;
            }
        } else {
            read_into(
                address,
                V4_ADDRESS,
                (&raw mut to.remote_address).cast::<[u8; 4]>(),
            );
        }
    }

    /// Whether this is where a connection lived and it is over: the memory holds a closed
    /// socket, or another one. May be asked of any address at any time.
    #[inline(always)]
    pub(crate) fn is_over(self, connection: &Connection) -> bool {
        !self.is_tcp()
            || self.state() == state::CLOSE
            || self.get::<u16>(offset!(sock_family)) != connection.flow.family
            || !self.is_at_ends_of(connection)
    }

    /// Whether its ports are those of a connection, as far as they are known. The own port is
    /// once it is established: where an attempt begins, a socket that was used before still has
    /// its old one.
    #[inline(always)]
    pub(crate) fn is_at_ends_of(self, connection: &Connection) -> bool {
        let flow = &connection.flow;
        flow.remote_port == u16::from_be(self.get(offset!(sock_dport)))
            && (connection.established_ns == 0
                || flow.local_port == 0
                || flow.local_port == self.local_port())
    }

    #[inline(always)]
    pub(crate) fn is_internet(self) -> bool {
        matches!(self.get::<u16>(offset!(sock_family)), AF_INET | AF_INET6)
    }

    /// The counters, made to mean payload: `bytes_sent` counts a retransmitted byte
    /// again, `bytes_received` counts the peer's FIN as one.
    #[inline(always)]
    pub(crate) fn totals(self) -> Totals {
        let sent: u64 = self.get(offset!(tcp_bytes_sent));
        let retransmits: u32 = self.get(offset!(tcp_total_retrans));
        // Both counters grow together (`__tcp_retransmit_skb()`).
        let again: u64 = if retransmits == 0 {
            0
        } else {
            self.get(offset!(tcp_bytes_retrans))
        };
        let received: u64 = self.get(offset!(tcp_bytes_received));
        let fin = received != 0 && self.get::<u64>(offset!(sock_flags)) & SOCK_DONE != 0;
        Totals {
            sent_bytes: sent.saturating_sub(again),
            received_bytes: received.saturating_sub(u64::from(fin)),
            srtt_us: self.get::<u32>(offset!(tcp_srtt_us)) >> 3,
            retransmits,
        }
    }
}

/// Bytes of a [`Head`].
const HEAD: usize = 24;

/// The beginning of a `struct sock`, read at once, as a call for each member costs more than
/// to read all. The kernel keeps there what it looks sockets up by.
struct Head {
    sock: Sock,
    words: MaybeUninit<[u64; HEAD / 8]>,
}

impl Head {
    #[inline(always)]
    fn of(sock: Sock) -> Self {
        // Zeros would be a call of a memset that goes byte by byte.
        let mut words = MaybeUninit::<[u64; HEAD / 8]>::uninit();
        if !sock.typed {
            read_into(sock.address, 0, words.as_mut_ptr().cast::<[u8; HEAD]>());
        }
        Self { sock, words }
    }

    /// The member at `offset`, which is aligned to its size: from here, or, where a kernel has
    /// it elsewhere, from there.
    #[inline(always)]
    fn get<T: Integers>(&self, offset: u32) -> T {
        if self.sock.typed || offset as usize + size_of::<T>() > HEAD {
            return self.sock.get(offset);
        }
        // SAFETY: within the words, which were read and are aligned to 8; any bits are a `T`.
        unsafe {
            let member = (&raw const self.words).cast::<u8>().add(offset as usize);
            member.cast::<T>().read_volatile()
        }
    }
}
