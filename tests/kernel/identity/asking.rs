//! Every way in which a program may send a question and receive its answer.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    ptr,
    sync::mpsc,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{expect, netns::Netns, tests, wait};

use super::resolver::{answer, question, start};

tests!("asking":
    every_way_of_asking_has_its_name,
    what_is_only_looked_at_teaches_nothing,
    two_names_of_one_address_are_both_told,
);

/// Threads that wait for datagrams meanwhile: more than a kretprobe has places for calls.
const WAITING: usize = 24;

/// How a question is sent.
#[derive(Clone, Copy, Debug)]
enum Send {
    /// By send(), or sendto() where the socket is not connected.
    Whole,
    /// By write().
    Write,
    /// By sendmsg(), in pieces of which the first ones have so many bytes.
    Pieces(&'static [usize]),
    /// By sendmmsg().
    Many,
}

/// How its answer is received.
#[derive(Clone, Copy, Debug)]
enum Receive {
    /// By recv(), which does not ask who sent it.
    Whole,
    /// By recvfrom(), which does.
    From,
    /// By read().
    Read,
    /// By recvmsg(), into pieces of which the first ones have so many bytes.
    Pieces(&'static [usize]),
    /// By recvmmsg().
    Many,
    /// By recv() with `MSG_TRUNC`, which gives the length that the answer has.
    Length,
    /// By recv(), after the call has looked at so many bytes of it, with these flags.
    AfterLook(usize, libc::c_int),
}

struct Way {
    is_connected: bool,
    send: Send,
    receive: Receive,
    /// The server sends the answer by two calls: some of it is in pages beside the packet.
    in_two: bool,
}

const fn way(is_connected: bool, send: Send, receive: Receive) -> Way {
    Way {
        is_connected,
        send,
        receive,
        in_two: false,
    }
}

const WAYS: &[Way] = &[
    way(true, Send::Whole, Receive::Whole),
    way(true, Send::Write, Receive::Read),
    way(true, Send::Pieces(&[12]), Receive::Whole),
    way(true, Send::Pieces(&[1, 11, 3]), Receive::From),
    way(true, Send::Many, Receive::Many),
    way(true, Send::Whole, Receive::Pieces(&[12])),
    way(true, Send::Whole, Receive::Pieces(&[2, 30, 1])),
    way(true, Send::Whole, Receive::Length),
    way(true, Send::Whole, Receive::AfterLook(512, 0)),
    way(true, Send::Whole, Receive::AfterLook(40, 0)),
    way(true, Send::Whole, Receive::AfterLook(12, 0)),
    way(true, Send::Whole, Receive::AfterLook(1, libc::MSG_TRUNC)),
    way(false, Send::Whole, Receive::From),
    way(false, Send::Whole, Receive::Whole),
    way(false, Send::Whole, Receive::Read),
    way(false, Send::Pieces(&[12]), Receive::Pieces(&[12])),
    way(false, Send::Pieces(&[3, 9]), Receive::Whole),
    way(false, Send::Many, Receive::Many),
    way(false, Send::Whole, Receive::AfterLook(12, 0)),
    Way {
        in_two: true,
        ..way(true, Send::Whole, Receive::Whole)
    },
    Way {
        in_two: true,
        ..way(false, Send::Whole, Receive::From)
    },
    Way {
        in_two: true,
        ..way(false, Send::Whole, Receive::Whole)
    },
    Way {
        in_two: true,
        ..way(true, Send::Pieces(&[12]), Receive::Pieces(&[12, 20]))
    },
];

impl Way {
    /// Asks for `name` and is told `address`.
    fn resolve(&self, server: &UdpSocket, name: &str, address: [u8; 4]) -> Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("make a socket")?;
        let to = server.local_addr()?;
        if self.is_connected {
            socket.connect(to).context("connect")?;
        }
        self.send
            .send(
                &socket,
                &question(7, name),
                (!self.is_connected).then_some(to),
            )
            .with_context(|| format!("{:?}", self.send))?;
        let (length, from) = server.recv_from(&mut [0; 512]).context("be asked")?;
        ensure!(length == question(7, name).len(), "a part of a question");
        let answer = answer(7, name, address);
        if self.in_two {
            server.connect(from).context("connect back")?;
            let (one, two) = answer.split_at(20);
            send_flags(server, one, libc::MSG_MORE)?;
            send_flags(server, two, 0)?;
        } else {
            server.send_to(&answer, from).context("answer")?;
        }
        let received = self
            .receive
            .receive(&socket)
            .with_context(|| format!("{:?}", self.receive))?;
        ensure!(received == answer, "{:?}: {received:?}", self.receive);
        Ok(())
    }
}

/// What a call says that transfers bytes.
fn done(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn send_flags(socket: &UdpSocket, bytes: &[u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the bytes are as many as it says.
    done(unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    })
}

fn receive_flags(socket: &UdpSocket, bytes: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: there is room for as many bytes as it says.
    done(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            flags,
        )
    })
}

/// `bytes` in pieces, of which the first ones have so many bytes.
fn pieces(bytes: &mut [u8], first: &[usize]) -> Vec<libc::iovec> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for length in first.iter().copied().chain([usize::MAX]) {
        let (piece, others) = rest.split_at_mut(length.min(rest.len()));
        pieces.push(libc::iovec {
            iov_base: piece.as_mut_ptr().cast(),
            iov_len: piece.len(),
        });
        rest = others;
    }
    pieces
}

/// A message of these pieces, that goes to `to` if it says so.
fn message(pieces: &mut [libc::iovec], to: Option<&mut libc::sockaddr_in>) -> libc::mmsghdr {
    // SAFETY: zeros are a valid value: no address, no pieces.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = pieces.as_mut_ptr();
    message.msg_hdr.msg_iovlen = pieces.len();
    if let Some(to) = to {
        message.msg_hdr.msg_name = ptr::from_mut(to).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    }
    message
}

fn raw(address: SocketAddr) -> libc::sockaddr_in {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(ip.octets()),
        },
        sin_zero: [0; 8],
    }
}

impl Send {
    fn send(self, socket: &UdpSocket, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        let fd = socket.as_raw_fd();
        let mut to = to.map(raw);
        let mut bytes = bytes.to_vec();
        let first = match self {
            Self::Pieces(first) => first,
            _ => &[],
        };
        let length = bytes.len();
        let mut pieces = pieces(&mut bytes, first);
        let mut message = message(&mut pieces, to.as_mut());
        // SAFETY: the bytes, the pieces and the address live until the calls are over.
        let sent = unsafe {
            match self {
                Self::Write => done(libc::write(fd, bytes.as_ptr().cast(), bytes.len()))?,
                Self::Many => {
                    done(libc::sendmmsg(fd, &raw mut message, 1, 0) as isize)?;
                    message.msg_len as usize
                }
                Self::Whole | Self::Pieces(_) => {
                    done(libc::sendmsg(fd, &raw const message.msg_hdr, 0))?
                }
            }
        };
        if sent != length {
            return Err(io::Error::other(format!("sent {sent} of {length} bytes")));
        }
        Ok(())
    }
}

impl Receive {
    fn receive(self, socket: &UdpSocket) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 512];
        let fd = socket.as_raw_fd();
        let length = match self {
            Self::Whole => receive_flags(socket, &mut bytes, 0)?,
            Self::Length => receive_flags(socket, &mut bytes, libc::MSG_TRUNC)?,
            Self::AfterLook(length, flags) => {
                receive_flags(socket, &mut vec![0; length], libc::MSG_PEEK | flags)?;
                receive_flags(socket, &mut bytes, 0)?
            }
            Self::From => socket.recv_from(&mut bytes)?.0,
            // SAFETY: there is room for as many bytes as it says.
            Self::Read => done(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) })?,
            Self::Pieces(first) => {
                let mut pieces = pieces(&mut bytes, first);
                let mut message = message(&mut pieces, None);
                // SAFETY: the bytes and the pieces live until the call is over.
                done(unsafe { libc::recvmsg(fd, &raw mut message.msg_hdr, 0) })?
            }
            Self::Many => {
                let mut pieces = pieces(&mut bytes, &[]);
                let mut message = message(&mut pieces, None);
                // SAFETY: likewise.
                let received =
                    unsafe { libc::recvmmsg(fd, &raw mut message, 1, 0, ptr::null_mut()) };
                done(received as isize)?;
                message.msg_len as usize
            }
        };
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Runs `work` while many threads wait for datagrams that nobody sends.
fn while_many_wait(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let sockets: Vec<_> = (0..WAITING)
        .map(|_| UdpSocket::bind("127.0.0.1:0").context("make a socket"))
        .collect::<Result<_>>()?;
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for socket in &sockets {
            let tell = tell.clone();
            scope.spawn(move || {
                // SAFETY: it takes nothing.
                let _ = tell.send(unsafe { libc::gettid() });
                socket.recv_from(&mut [0; 16])
            });
        }
        let waiting = told.iter().take(WAITING).try_for_each(|thread| {
            wait::until("a thread that waits", || {
                let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"))?;
                Ok(stat.contains(") S ").then_some(()))
            })
        });
        let result = waiting.and_then(|()| work());
        for socket in &sockets {
            socket.send_to(b"over", socket.local_addr()?)?;
        }
        result
    })
}

/// Where the server of this number is: loopback addresses have no name.
fn place(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 8, 10 + number as u8)
}

/// A namespace in which [`place`]s are.
fn namespace(places: usize) -> Result<Netns> {
    let netns = Netns::new()?;
    for number in 0..places {
        let address = place(number).to_string();
        netns.command("ip", &["address", "add", &address, "dev", "lo"])?;
    }
    Ok(netns)
}

/// The name that the connection of this process to `address` has.
fn name(events: &[Value], address: Ipv4Addr) -> Result<Option<String>> {
    let pattern =
        json!({"event": "connect", "connection": {"server": {"address": address.to_string()}}});
    let line = expect::one(&format!("a connection to {address}"), &pattern, events)?;
    let server = &line["connection"]["server"];
    ensure!(server["names"].is_null(), "several names: {line}");
    Ok(server["name"].as_str().map(str::to_owned))
}

fn every_way_of_asking_has_its_name() -> Result<()> {
    let tracer = start()?;
    let netns = namespace(WAYS.len())?;
    netns.run(|| {
        let listener = TcpListener::bind("0.0.0.0:0").context("listen")?;
        let port = listener.local_addr()?.port();
        while_many_wait(|| {
            for (number, way) in WAYS.iter().enumerate() {
                let server = UdpSocket::bind("127.0.0.1:53").context("take port 53")?;
                let address = place(number);
                way.resolve(&server, &format!("way{number}"), address.octets())?;
                drop(TcpStream::connect((address, port)).context("connect")?);
                drop(listener.accept().context("accept")?);
            }
            Ok(())
        })
    })?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let mut wrong = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        let (found, asked) = (name(&events, place(number))?, format!("way{number}.test"));
        if found.as_ref() != Some(&asked) {
            let Way {
                is_connected,
                send,
                receive,
                in_two,
            } = way;
            wrong.push(format!(
                "connected {is_connected}, {send:?}, {receive:?}, answer in two {in_two}: {found:?}"
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "not the name that was asked for:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// The answer stays where it is, and the process goes on without it.
fn what_is_only_looked_at_teaches_nothing() -> Result<()> {
    let tracer = start()?;
    let netns = namespace(1)?;
    netns.run(|| {
        let server = UdpSocket::bind("127.0.0.1:53").context("take port 53")?;
        let client = UdpSocket::bind("127.0.0.1:0").context("make a socket")?;
        client.connect(server.local_addr()?).context("connect")?;
        client.send(&question(7, "peeked")).context("ask")?;
        server.send_to(
            &answer(7, "peeked", place(0).octets()),
            client.local_addr()?,
        )?;
        for length in [1, 12, 40, 512] {
            client.peek(&mut vec![0; length]).context("look")?;
        }
        let listener = TcpListener::bind("0.0.0.0:0").context("listen")?;
        drop(TcpStream::connect((place(0), listener.local_addr()?.port())).context("connect")?);
        Ok(())
    })?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let found = name(&events, place(0))?;
    ensure!(found.is_none(), "it has a name: {found:?}");
    Ok(())
}

/// Also of attempts that fail; and once one of them has moved, the other is it.
fn two_names_of_one_address_are_both_told() -> Result<()> {
    let tracer = start()?;
    let netns = namespace(2)?;
    let port = netns.run(|| {
        let listener = TcpListener::bind("0.0.0.0:0").context("listen")?;
        let port = listener.local_addr()?.port();
        let way = way(true, Send::Whole, Receive::Whole);
        let server = UdpSocket::bind("127.0.0.1:53").context("take port 53")?;
        for name in ["shop", "blog"] {
            way.resolve(&server, name, place(0).octets())?;
        }
        drop(TcpStream::connect((place(0), port)).context("connect")?);
        drop(listener.accept().context("accept")?);
        ensure!(
            TcpStream::connect((place(0), 1)).is_err(),
            "nothing listens"
        );
        way.resolve(&server, "shop", place(1).octets())?;
        drop(TcpStream::connect((place(0), port)).context("connect")?);
        drop(listener.accept().context("accept")?);
        Ok(port)
    })?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let called = |kind: &str, port: u16| -> Vec<(Value, Value)> {
        let is_it = |event: &&Value| {
            let connection = &event["connection"];
            event["event"] == kind
                && connection["direction"] == "outbound"
                && connection["server"]["port"] == port
        };
        let lines = events.iter().filter(is_it);
        let servers = lines.map(|event| &event["connection"]["server"]);
        servers
            .map(|it| (it["name"].clone(), it["names"].clone()))
            .collect()
    };
    let both = (Value::Null, json!(["blog.test", "shop.test"]));
    let one = (json!("blog.test"), Value::Null);
    for kind in ["connect", "close"] {
        let found = called(kind, port);
        ensure!(found == [both.clone(), one.clone()], "{kind}: {found:?}");
    }
    let found = called("fail", 1);
    ensure!(found == [both], "the failure: {found:?}");
    Ok(())
}
