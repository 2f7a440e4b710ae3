//! One child process that does, socket call by socket call, what a test asks.
//!
//! For the tests where every step matters. A request and its answer are one JSON line each, on
//! the agent's standard input and output; it ends with its input.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    os::fd::FromRawFd as _,
    process::ChildStdout,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::{
    landlock,
    ledger::canonical,
    netns::Netns,
    passing::{self, Mailbox},
    ring,
    tracer::Helper,
    traffic, wait,
};

/// A socket inside an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot(u32);

/// How to listen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Listen {
    /// Where; port 0 for any.
    pub at: SocketAddr,
    /// Longest queue of connections that nobody has accepted.
    pub backlog: i32,
    /// Take IPv6 only.
    pub only_v6: bool,
    /// Drop every packet that arrives, the SYN first of all: nobody ever answers.
    pub deaf: bool,
    /// Share the port with other sockets that do.
    pub reuse_port: bool,
    /// Take payload that comes with a SYN.
    pub fast_open: bool,
    /// Speak MPTCP with those who do.
    pub mptcp: bool,
    /// Have no connection before its first payload is there (`TCP_DEFER_ACCEPT`).
    pub defer: bool,
}

impl Listen {
    /// Listens at an address as servers do.
    pub fn at(at: SocketAddr) -> Self {
        Self {
            at,
            backlog: 128,
            only_v6: false,
            deaf: false,
            reuse_port: false,
            fast_open: false,
            mptcp: false,
            defer: false,
        }
    }
}

/// By which of the kernel's ways to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// connect()
    Call,
    /// io_uring
    Ring,
    /// sendto() of so many bytes with `MSG_FASTOPEN`, and no connect().
    FastOpen(usize),
    /// connect() with `TCP_FASTOPEN_CONNECT`, and then send() of so many bytes; none if 0.
    Deferred(usize),
    /// connect() with only so many bytes of the address.
    Short(u32),
    /// connect() with `TCP_REPAIR`: as if the connection had been made elsewhere.
    Repair,
}

/// How to dial.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// Whom.
    pub to: SocketAddr,
    /// From which end, if not any.
    pub from: Option<SocketAddr>,
    /// Dial an IPv4 address through an IPv6 socket.
    pub mapped: bool,
    /// Return before it is decided.
    pub nonblocking: bool,
    /// Give up after so many SYNs sent again.
    pub retries: Option<u8>,
    /// Have connect() wait no longer than so many milliseconds (`SO_SNDTIMEO`).
    pub patience: Option<u64>,
    /// Drop every packet that arrives: no answer is heard. The port is shared with other sockets
    /// that do.
    pub deaf: bool,
    /// Use this socket again in place of a new one.
    pub again: Option<Slot>,
    /// The way.
    pub by: By,
    /// Offer MPTCP.
    pub mptcp: bool,
}

impl Dial {
    /// Dials an address as clients do.
    pub fn to(to: SocketAddr) -> Self {
        Self {
            to,
            from: None,
            mapped: false,
            nonblocking: false,
            retries: None,
            patience: None,
            deaf: false,
            again: None,
            by: By::Call,
            mptcp: false,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Name(Vec<u8>),
    Listen(Listen),
    Accept(Slot),
    Dial(Dial),
    Outcome(Slot),
    FirstWord(Slot),
    Send(Slot, usize),
    Receive(Slot, usize),
    ReceiveEnd(Slot),
    Shutdown(Slot),
    ShutdownBoth(Slot),
    Close(Slot),
    Reset(Slot),
    Dissolve(Slot),
    Deafen(Slot),
    UserTimeout(Slot, u32),
    ListenAgain(Slot, i32),
    AcceptByRing(Slot),
    OpenMailbox,
    Give(Slot, u32),
    Take,
    ForbidConnect,
    Fork,
    InThread(Vec<u8>, Box<Ask>),
}

/// What came of a request. What does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The socket that was made.
    pub slot: Option<Slot>,
    /// This end, IPv4-mapped addresses as IPv4.
    pub local: Option<SocketAddr>,
    /// The other end, likewise.
    pub remote: Option<SocketAddr>,
    /// The error, if it failed.
    pub errno: Option<i32>,
    /// Bytes received, or the pid of a new process.
    pub count: u64,
}

impl Answer {
    /// The socket, of an answer without error.
    pub fn socket(&self) -> Result<Slot> {
        ensure!(
            self.errno.is_none(),
            "the call failed with errno {:?}",
            self.errno
        );
        self.slot.context("an answer with a socket")
    }

    /// This end.
    pub fn local(&self) -> Result<SocketAddr> {
        self.local.context("an answer with an own end")
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    helper: Helper,
    output: BufReader<ChildStdout>,
    pid: u32,
    thread: Option<Vec<u8>>,
}

impl Agent {
    /// Starts one in a namespace.
    pub fn new(netns: &Netns) -> Result<Self> {
        let mut command = traffic::command("agent", &())?;
        netns.enter(&mut command);
        Self::start(&mut command)
    }

    /// Starts one by a command made from [`traffic::command`]`("agent", ..)`.
    pub fn start(command: &mut std::process::Command) -> Result<Self> {
        let mut helper = Helper::new(command.spawn().context("start an agent")?);
        let output = BufReader::new(helper.take_stdout().context("the agent's output")?);
        let pid = helper.pid();
        Ok(Self {
            helper,
            output,
            pid,
            thread: None,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The socket that it was started with as file descriptor 3, if `LISTEN_FDS` said so.
    pub fn inherited(&self) -> Slot {
        Slot(1)
    }

    /// Does everything from now on in threads of that name, each gone when it is done.
    pub fn use_threads(&mut self, name: &[u8]) {
        self.thread = Some(name.to_owned());
    }

    /// Whether the process waits in this system call.
    pub fn waits_in(pid: u32, call: libc::c_long) -> Result<bool> {
        let path = format!("/proc/{pid}/syscall");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(text.split(' ').next() == Some(&call.to_string()))
    }

    /// Renames the process, by any bytes but NUL.
    pub fn rename(&mut self, name: &[u8]) -> Result<()> {
        self.ask(&Ask::Name(name.to_owned())).map(drop)
    }

    /// Listens. Fails if that fails.
    pub fn listen(&mut self, how: Listen) -> Result<(Slot, SocketAddr)> {
        let answer = self.ask(&Ask::Listen(how))?;
        Ok((answer.socket()?, answer.local()?))
    }

    /// Waits for a connection and accepts it.
    pub fn accept(&mut self, slot: Slot) -> Result<Answer> {
        self.fine(&Ask::Accept(slot))
    }

    /// Does `then` once it waits in accept().
    pub fn accept_before<T>(
        &mut self,
        slot: Slot,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<(Answer, T)> {
        self.wait_before(&Ask::Accept(slot), libc::SYS_accept4, then)
    }

    /// Waits for a connection and accepts it by io_uring.
    pub fn accept_by_ring(&mut self, slot: Slot) -> Result<Answer> {
        self.fine(&Ask::AcceptByRing(slot))
    }

    /// Does `then` once it waits in an accept by io_uring.
    pub fn accept_by_ring_before<T>(
        &mut self,
        slot: Slot,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<(Answer, T)> {
        self.wait_before(&Ask::AcceptByRing(slot), libc::SYS_io_uring_enter, then)
    }

    /// Dials. A refusal is an answer with an errno.
    pub fn dial(&mut self, how: Dial) -> Result<Answer> {
        self.ask(&Ask::Dial(how))
    }

    /// Dials with success.
    pub fn connect(&mut self, to: SocketAddr) -> Result<Answer> {
        let answer = self.dial(Dial::to(to))?;
        answer.socket()?;
        Ok(answer)
    }

    /// Waits for the end of a non-blocking attempt and fetches its error.
    pub fn outcome(&mut self, slot: Slot) -> Result<Answer> {
        self.ask(&Ask::Outcome(slot))
    }

    /// Waits for the first word about a non-blocking attempt and fetches its error, though the
    /// kernel may still be trying.
    pub fn first_word(&mut self, slot: Slot) -> Result<Answer> {
        self.ask(&Ask::FirstWord(slot))
    }

    /// Sends so many bytes.
    pub fn send(&mut self, slot: Slot, bytes: usize) -> Result<()> {
        self.fine(&Ask::Send(slot, bytes)).map(drop)
    }

    /// Receives so many bytes.
    pub fn receive(&mut self, slot: Slot, bytes: usize) -> Result<()> {
        self.fine(&Ask::Receive(slot, bytes)).map(drop)
    }

    /// Receives to the end; a reset is an answer with an errno.
    pub fn receive_end(&mut self, slot: Slot) -> Result<Answer> {
        self.ask(&Ask::ReceiveEnd(slot))
    }

    /// Says that nothing more will be sent.
    pub fn shutdown(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::Shutdown(slot)).map(drop)
    }

    /// Ends both directions, and keeps the socket.
    pub fn shutdown_both(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::ShutdownBoth(slot)).map(drop)
    }

    /// Undoes a connection or an attempt by a connect() to no address, and keeps the socket.
    pub fn dissolve(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::Dissolve(slot)).map(drop)
    }

    /// Lets a socket hear nothing any more: whoever sends to it gets no answer.
    pub fn deafen(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::Deafen(slot)).map(drop)
    }

    /// How many milliseconds the other end may take to acknowledge (`TCP_USER_TIMEOUT`).
    pub fn user_timeout(&mut self, slot: Slot, milliseconds: u32) -> Result<()> {
        self.fine(&Ask::UserTimeout(slot, milliseconds)).map(drop)
    }

    /// Calls listen() once more.
    pub fn listen_again(&mut self, slot: Slot, backlog: i32) -> Result<()> {
        self.fine(&Ask::ListenAgain(slot, backlog)).map(drop)
    }

    /// Passes a copy of a socket to another process in the same namespace.
    pub fn pass(&mut self, slot: Slot, to: &mut Self) -> Result<Slot> {
        to.fine(&Ask::OpenMailbox)?;
        self.fine(&Ask::Give(slot, to.pid))?;
        to.fine(&Ask::Take)?.socket()
    }

    /// Closes a socket.
    pub fn close(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::Close(slot)).map(drop)
    }

    /// Closes a socket by a reset.
    pub fn reset(&mut self, slot: Slot) -> Result<()> {
        self.fine(&Ask::Reset(slot)).map(drop)
    }

    /// Has the process forbid itself every connect(), by Landlock. An answer with an errno where
    /// the kernel does not have that.
    pub fn forbid_connect(&mut self) -> Result<Answer> {
        self.ask(&Ask::ForbidConnect)
    }

    /// Goes on in a new process with the same sockets; the old one exits. Returns the new pid.
    pub fn fork(&mut self) -> Result<u32> {
        self.pid = u32::try_from(self.fine(&Ask::Fork)?.count)?;
        Ok(self.pid)
    }

    /// Ends it, and waits for its success.
    pub fn finish(self) -> Result<()> {
        self.helper.finish()
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        self.helper.kill()
    }

    fn fine(&mut self, ask: &Ask) -> Result<Answer> {
        let answer = self.ask(ask)?;
        if let Some(errno) = answer.errno {
            bail!("{ask:?}: {}", io::Error::from_raw_os_error(errno));
        }
        Ok(answer)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        self.request(ask)?;
        self.answer().with_context(|| format!("{ask:?}"))
    }

    /// Asks what must be waited for, and does `then` meanwhile.
    fn wait_before<T>(
        &mut self,
        ask: &Ask,
        call: libc::c_long,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<(Answer, T)> {
        self.request(ask)?;
        wait::until(&format!("an agent to wait in {ask:?}"), || {
            Ok(Self::waits_in(self.pid, call)?.then_some(()))
        })?;
        let done = then()?;
        let answer = self.answer()?;
        answer.socket()?;
        Ok((answer, done))
    }

    fn request(&mut self, ask: &Ask) -> Result<()> {
        let ask = match &self.thread {
            Some(name) => &Ask::InThread(name.clone(), Box::new(ask.clone())),
            None => ask,
        };
        let mut request = serde_json::to_vec(ask)?;
        request.push(b'\n');
        let input = self.helper.input().context("the agent's input")?;
        input
            .write_all(&request)
            .with_context(|| format!("ask an agent: {ask:?}"))
    }

    fn answer(&mut self) -> Result<Answer> {
        let line = traffic::line(&mut self.output)?;
        serde_json::from_str(&line).with_context(|| format!("an agent answered {line}"))
    }
}

// --- inside the agent -----------------------------------------------------------------------

/// The agent's own main.
pub(crate) fn run() -> Result<()> {
    // Not `io::stdin()`: its buffer would be lost to a forked process.
    let input =
        std::fs::File::from(rustix::io::dup(rustix::stdio::stdin()).context("take the input")?);
    let mut input = BufReader::new(input);
    let mut sockets = Sockets::default();
    if std::env::var_os("LISTEN_FDS").is_some() {
        // SAFETY: who says so has put a socket there, and nothing else here has it.
        sockets.add(unsafe { Socket::from_raw_fd(3) });
    }
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).context("read a request")? == 0 {
            return Ok(());
        }
        let ask = serde_json::from_str(&line).with_context(|| format!("parse {line}"))?;
        let answer =
            sockets
                .act(ask)
                .unwrap_or_else(|error| match error.downcast_ref::<io::Error>() {
                    Some(error) => Answer {
                        errno: error.raw_os_error().or(Some(0)),
                        ..Answer::default()
                    },
                    None => {
                        eprintln!("agent: {error:?}");
                        Answer {
                            errno: Some(0),
                            ..Answer::default()
                        }
                    }
                });
        let mut stdout = io::stdout().lock();
        serde_json::to_writer(&mut stdout, &answer)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
    }
}

#[derive(Default)]
struct Sockets {
    open: BTreeMap<Slot, Socket>,
    next: u32,
    mailbox: Option<Mailbox>,
}

impl Sockets {
    fn add(&mut self, socket: Socket) -> Slot {
        self.next += 1;
        self.open.insert(Slot(self.next), socket);
        Slot(self.next)
    }

    fn get(&self, slot: Slot) -> Result<&Socket> {
        self.open
            .get(&slot)
            .with_context(|| format!("no socket {slot:?}"))
    }

    fn take(&mut self, slot: Slot) -> Result<Socket> {
        self.open
            .remove(&slot)
            .with_context(|| format!("no socket {slot:?}"))
    }

    fn act(&mut self, ask: Ask) -> Result<Answer> {
        let mut answer = Answer::default();
        match ask {
            Ask::Name(name) => {
                rustix::thread::set_name(&CString::new(name)?).map_err(io::Error::from)?;
            }
            Ask::Listen(how) => {
                let socket = listen(how)?;
                answer.local = own(&socket);
                answer.slot = Some(self.add(socket));
            }
            Ask::Accept(slot) => {
                let (socket, remote) = self.get(slot)?.accept()?;
                answer = self.accepted(socket, &remote);
            }
            Ask::AcceptByRing(slot) => {
                let socket = ring::accept(self.get(slot)?)?;
                let remote = socket.peer_addr()?;
                answer = self.accepted(socket, &remote);
            }
            Ask::Dial(how) => answer = self.dial(how)?,
            Ask::Outcome(slot) | Ask::FirstWord(slot) => {
                let socket = self.get(slot)?;
                poll(&mut [PollFd::new(socket, PollFlags::OUT)], None).map_err(io::Error::from)?;
                if matches!(ask, Ask::Outcome(_)) {
                    wait::until("the end of an attempt", || decided(socket))?;
                }
                answer.errno = socket.take_error()?.and_then(|error| error.raw_os_error());
                answer.local = own(socket);
            }
            Ask::Send(slot, bytes) => self.get(slot)?.write_all(&vec![0x5a; bytes])?,
            Ask::Receive(slot, bytes) => self.get(slot)?.read_exact(&mut vec![0; bytes])?,
            Ask::ReceiveEnd(slot) => {
                answer.count = self.get(slot)?.read_to_end(&mut Vec::new())? as u64;
            }
            Ask::Shutdown(slot) => self.get(slot)?.shutdown(Shutdown::Write)?,
            Ask::ShutdownBoth(slot) => self.get(slot)?.shutdown(Shutdown::Both)?,
            Ask::Dissolve(slot) => {
                rustix::net::connect_unspec(self.get(slot)?).map_err(io::Error::from)?;
            }
            Ask::Deafen(slot) => deafen(self.get(slot)?)?,
            Ask::UserTimeout(slot, milliseconds) => {
                set(
                    self.get(slot)?,
                    libc::TCP_USER_TIMEOUT,
                    milliseconds.cast_signed(),
                )?;
            }
            Ask::ListenAgain(slot, backlog) => self.get(slot)?.listen(backlog)?,
            Ask::OpenMailbox => self.mailbox = Some(Mailbox::open(std::process::id())?),
            Ask::Give(slot, pid) => passing::give(self.get(slot)?, pid)?,
            Ask::Take => {
                let mailbox = self.mailbox.take().context("no mailbox")?;
                answer.slot = Some(self.add(mailbox.take()?));
            }
            Ask::Close(slot) => drop(self.take(slot)?),
            Ask::Reset(slot) => {
                let socket = self.take(slot)?;
                socket.set_linger(Some(Duration::ZERO))?;
            }
            Ask::ForbidConnect => landlock::forbid_connect()?,
            Ask::Fork => answer.count = u64::from(go_on_in_child()?),
            Ask::InThread(name, ask) => {
                let thread = std::thread::scope(|scope| {
                    let named = || {
                        rustix::thread::set_name(&CString::new(name)?).map_err(io::Error::from)?;
                        self.act(*ask)
                    };
                    scope.spawn(named).join()
                });
                return thread.unwrap_or_else(|_| bail!("a thread panicked"));
            }
        }
        Ok(answer)
    }

    fn accepted(&mut self, socket: Socket, remote: &SockAddr) -> Answer {
        Answer {
            local: own(&socket),
            remote: remote.as_socket().map(canonical),
            slot: Some(self.add(socket)),
            ..Answer::default()
        }
    }

    fn dial(&mut self, how: Dial) -> Result<Answer> {
        let slot = match how.again {
            Some(slot) => slot,
            None => {
                let domain = if how.mapped {
                    Domain::IPV6
                } else {
                    Domain::for_address(how.to)
                };
                let socket = Socket::new(domain, Type::STREAM, protocol(how.mptcp))?;
                if how.deaf {
                    socket.set_reuse_port(true)?;
                    deafen(&socket)?;
                }
                if let Some(from) = how.from {
                    socket.set_reuse_address(true)?;
                    socket.bind(&address(from, how.mapped))?;
                }
                if let Some(retries) = how.retries {
                    set(&socket, libc::TCP_SYNCNT, retries.into())?;
                }
                socket.set_write_timeout(how.patience.map(Duration::from_millis))?;
                socket.set_nonblocking(how.nonblocking)?;
                self.add(socket)
            }
        };
        let socket = self.get(slot)?;
        let errno = dial(socket, &address(how.to, how.mapped), how.by)
            .err()
            .map(|error| error.raw_os_error().unwrap_or(0));
        Ok(Answer {
            slot: Some(slot),
            local: own(socket),
            remote: Some(how.to),
            errno,
            count: 0,
        })
    }
}

fn own(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok()?.as_socket().map(canonical)
}

fn protocol(mptcp: bool) -> Option<Protocol> {
    mptcp.then_some(Protocol::MPTCP)
}

fn listen(how: Listen) -> Result<Socket> {
    let domain = Domain::for_address(how.at);
    let socket = Socket::new(domain, Type::STREAM, protocol(how.mptcp))?;
    if how.at.is_ipv6() {
        socket.set_only_v6(how.only_v6)?;
    }
    if how.deaf {
        deafen(&socket)?;
    }
    socket.set_reuse_port(how.reuse_port)?;
    socket.bind(&how.at.into())?;
    if how.fast_open {
        set(&socket, libc::TCP_FASTOPEN, how.backlog)?;
    }
    if how.defer {
        // Seconds: after that a connection without payload is had all the same.
        set(&socket, libc::TCP_DEFER_ACCEPT, 60)?;
    }
    socket.listen(how.backlog)?;
    Ok(socket)
}

/// Whether an attempt is over. An ICMP error that came while connect() still ran decides nothing,
/// though poll() tells of it from then on; and to read it could take the true error away with it.
fn decided(socket: &Socket) -> Result<Option<()>> {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).map_err(io::Error::from)?;
    let over = asked[0]
        .revents()
        .intersects(PollFlags::OUT | PollFlags::HUP);
    Ok(over.then_some(()))
}

/// What the calls take; through an IPv6 socket if `mapped`.
fn address(of: SocketAddr, mapped: bool) -> SockAddr {
    match of {
        SocketAddr::V4(v4) if mapped => {
            SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()).into()
        }
        other => other.into(),
    }
}

/// One instruction, "return 0": the socket's filter drops every packet.
fn deafen(socket: &Socket) -> io::Result<()> {
    let drop_all = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
    socket.attach_filter(&[drop_all])
}

fn dial(socket: &Socket, to: &SockAddr, by: By) -> io::Result<()> {
    match by {
        By::Call => socket.connect(to),
        By::Ring => ring::connect(socket, to),
        By::FastOpen(bytes) => socket
            .send_to_with_flags(&vec![0x5a; bytes], to, libc::MSG_FASTOPEN)
            .map(drop),
        By::Deferred(bytes) => {
            set(socket, libc::TCP_FASTOPEN_CONNECT, 1)?;
            socket.connect(to)?;
            (&*socket).write_all(&vec![0x5a; bytes])
        }
        By::Short(bytes) => {
            let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
            // SAFETY: an address of at least as many bytes, which outlives the call.
            match unsafe { libc::connect(fd, to.as_ptr().cast(), bytes.min(to.len())) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
        By::Repair => {
            set(socket, libc::TCP_REPAIR, 1)?;
            socket.connect(to)
        }
    }
}

/// Sets one of TCP's options.
fn set(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(4);
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the option's value is an int, as large as `size` says, and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The caller's process exits; its child returns, with the same sockets.
fn go_on_in_child() -> Result<u32> {
    let parent = std::process::id();
    // SAFETY: an agent has one thread, so the child's memory is whole.
    match unsafe { libc::fork() } {
        error if error < 0 => Err(io::Error::last_os_error().into()),
        0 => {
            // A process has closed its sockets by the time its children have another parent.
            while std::os::unix::process::parent_id() == parent {
                std::thread::yield_now();
            }
            Ok(std::process::id())
        }
        // SAFETY: ends the process at once; everything goes on in the child.
        _ => unsafe { libc::_exit(0) },
    }
}
