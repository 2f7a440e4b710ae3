//! The process that dials: a thread for each kind of thing that it does, until standard input ends.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::{
    Plan, Ports,
    talk::{self, Ending},
    truth::{self, Between, Deed, Failed, Life, Listened, Why, now},
};
use crate::{
    ledger::{Closer, Side},
    traffic,
};

/// Connections that are held at once.
const HELD: usize = 24;
/// Attempts that nobody answers, at once.
const UNANSWERED: usize = 24;
/// Of so many short connections one waits for the server, so that it never is far behind.
const AWAITED: u32 = 16;
/// Of a SYN that is not answered nobody knows when it came: it may lie in a queue when connect() returns, and when its
/// socket is closed. Far more than was seen.
const LATE_NS: i64 = 100_000_000;
/// The pause between two things of one kind, where there is no rate.
const PAUSE: Duration = Duration::from_millis(5);

/// What all threads share.
struct Client {
    /// Addresses given out so far.
    addresses: AtomicU32,
    /// No more is to begin.
    is_over: AtomicBool,
    pid: u32,
    ports: Ports,
}

/// Until standard input ends.
pub(crate) fn run_client((plan, folder): &(Plan, std::path::PathBuf)) -> Result<()> {
    let any = "0.0.0.0:0".parse()?;
    // It has the port, and does not listen.
    let dead = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
    dead.bind(&SocketAddr::into(any)).context("take a port")?;
    // Two in its queue, which nobody accepts, and nobody else gets an answer.
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
    deaf.bind(&SocketAddr::into(any)).context("take a port")?;
    deaf.listen(1).context("listen")?;
    let port = |socket: &Socket| anyhow::Ok(traffic::local(socket)?.port());
    let client = Client {
        addresses: AtomicU32::new(0),
        is_over: AtomicBool::new(false),
        pid: std::process::id(),
        ports: Ports {
            short: plan.at[0].port(),
            held: plan.at[1].port(),
            refused: port(&dead)?,
            deaf: port(&deaf)?,
        },
    };
    let mut queue = Vec::new();
    for _ in 0..2 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, client.ports.deaf);
        socket.connect(&to.into()).context("fill the queue")?;
        queue.push(socket);
    }
    println!("{}", serde_json::to_string(&client.ports)?);
    client.work(plan.rate, folder)
}

type Deeds = Result<Vec<Deed>>;

/// What a server that does not answer was asked.
#[derive(Clone, Copy)]
struct Asked {
    server: SocketAddrV4,
    client: Option<SocketAddrV4>,
    at: Between,
}

/// An attempt that goes on.
struct Attempt {
    socket: Socket,
    asked: Asked,
    /// When it was last seen to go on.
    looked: i64,
}

impl Client {
    fn work(&self, rate: u32, folder: &Path) -> Result<()> {
        let deeds = std::thread::scope(|scope| {
            let threads = [
                scope.spawn(|| self.short(rate)),
                scope.spawn(|| self.held()),
                scope.spawn(|| self.fail_at_once(rate / 20)),
                scope.spawn(|| self.unanswered()),
                scope.spawn(|| self.listeners()),
            ];
            // Nothing is ever written to it.
            let ended = io::copy(&mut io::stdin(), &mut io::sink());
            self.is_over.store(true, Ordering::Relaxed);
            let mut deeds = Vec::new();
            for thread in threads {
                let part = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
                deeds.extend(part?);
            }
            ended.context("wait for the end")?;
            anyhow::Ok(deeds)
        })?;
        truth::write(folder, &deeds)
    }

    /// An address of this host that nobody had before.
    fn address(&self) -> Ipv4Addr {
        let n = self.addresses.fetch_add(1, Ordering::Relaxed);
        // 127.1.0.0 and on.
        Ipv4Addr::from_bits(0x7f01_0000 + n)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Does `work` again and again, at most `rate` times in a second.
    fn at_rate(&self, rate: u32, mut work: impl FnMut(u32) -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        for n in 0.. {
            let due = begun + Duration::from_secs_f64(f64::from(n) / f64::from(rate.max(1)));
            loop {
                if self.is_over() {
                    return Ok(());
                }
                // Longer at once would keep the end waiting.
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(PAUSE));
            }
            work(n)?;
        }
        Ok(())
    }

    /// Connects to an address of its own.
    fn dial(&self, port: u16) -> Result<(Socket, Life)> {
        let server = SocketAddrV4::new(self.address(), port);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
        let (opened, done) = Between::of(|| socket.connect(&server.into()));
        done.with_context(|| format!("dial {server}"))?;
        let life = Life {
            side: Side::Client,
            server,
            client: own_end(&socket)?.context("an own end")?,
            pid: self.pid,
            opened,
            handshake: opened,
            ended: opened,
            sent: 0,
            received: 0,
            closed_by: Closer::Local,
            reset: false,
        };
        Ok((socket, life))
    }

    fn short(&self, rate: u32) -> Deeds {
        let mut deeds = Vec::new();
        self.at_rate(rate, |n| {
            let (socket, life) = self.dial(self.ports.short)?;
            let life = if n % AWAITED == AWAITED - 1 {
                let n = (n / AWAITED) as usize;
                let ending = Ending::AWAITED[n % Ending::AWAITED.len()];
                converse(&socket, ending, n % 100, life)?
            } else {
                talk::say(&socket, Ending::Storm.code(), 1)?;
                let ended = talk::reset(socket)?;
                let sent = 1;
                Life {
                    ended,
                    sent,
                    ..life
                }
            };
            deeds.push(Deed::Life(life));
            Ok(())
        })?;
        Ok(deeds)
    }

    /// As many as are held at once, the oldest of which makes room for the next.
    fn held(&self) -> Deeds {
        let mut deeds = Vec::new();
        let mut held = std::collections::VecDeque::new();
        let mut end = |(socket, life): (Socket, Life), n: u32| {
            let ended = match n % 2 {
                0 => talk::close_first(&socket)?,
                _ => talk::reset(socket)?,
            };
            deeds.push(Deed::Life(Life {
                ended,
                sent: 1,
                received: 1,
                ..life
            }));
            anyhow::Ok(())
        };
        let mut ends = 0;
        while !self.is_over() {
            let (socket, life) = self.dial(self.ports.held)?;
            talk::say(&socket, 0, 1)?;
            talk::hear(&socket, 1)?;
            held.push_back((socket, life));
            if held.len() > HELD
                && let Some(oldest) = held.pop_front()
            {
                end(oldest, ends)?;
                ends += 1;
            }
            std::thread::sleep(PAUSE);
        }
        for (n, oldest) in held.into_iter().enumerate() {
            end(oldest, n as u32)?;
        }
        Ok(deeds)
    }

    /// Refused, by this host itself; and nowhere to go.
    fn fail_at_once(&self, rate: u32) -> Deeds {
        let mut deeds = Vec::new();
        self.at_rate(rate, |n| {
            let address = self.address();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
            if n % 3 == 2 {
                // The namespace has no way to anything but itself.
                let [_, x, y, z] = address.octets();
                let server = SocketAddrV4::new([10, x, y, z].into(), 9);
                let (at, done) = Between::of(|| socket.connect(&server.into()));
                expect_error(&done, libc::ENETUNREACH)?;
                let failed = self.failed(Why::NoRoute, server, None, at.earliest, at);
                deeds.push(Deed::Failed(failed));
                return Ok(());
            }
            let server = SocketAddrV4::new(address, self.ports.refused);
            let (at, done) = Between::of(|| socket.connect(&server.into()));
            expect_error(&done, libc::ECONNREFUSED)?;
            let failed = |why| Deed::Failed(self.failed(why, server, None, at.earliest, at));
            deeds.extend([Why::Refused, Why::NotListening].map(failed));
            Ok(())
        })?;
        Ok(deeds)
    }

    fn failed(
        &self,
        why: Why,
        server: SocketAddrV4,
        client: Option<SocketAddrV4>,
        begun: i64,
        at: Between,
    ) -> Failed {
        Failed {
            why,
            server,
            client,
            pid: (why != Why::NotListening).then_some(self.pid),
            begun,
            at,
            again: None,
        }
    }

    /// Nobody answers: some are given up soon, others time out.
    fn unanswered(&self) -> Deeds {
        let mut deeds = Vec::new();
        let mut waiting: Vec<Attempt> = Vec::new();
        for n in 0_u32.. {
            let is_over = self.is_over();
            let mut left = Vec::new();
            for mut attempt in waiting {
                let looked = now();
                // Not by poll(), which knows the error before the kernel is done with the socket.
                if talk::is_over(&attempt.socket)? {
                    let error = attempt.socket.take_error().context("ask for an error")?;
                    let error = error.and_then(|error| error.raw_os_error());
                    ensure!(error == Some(libc::ETIMEDOUT), "timed out with {error:?}");
                    let at = Between::since(attempt.looked);
                    deeds.extend(self.unanswered_until(&attempt.asked, Why::TimedOut, at));
                } else if is_over {
                    deeds.extend(self.given_up(attempt));
                } else {
                    attempt.looked = looked;
                    left.push(attempt);
                }
            }
            waiting = left;
            if is_over {
                break;
            }
            let attempt = self.ask_in_vain()?;
            if n % 4 == 0 && waiting.len() < UNANSWERED {
                waiting.push(attempt);
            } else {
                deeds.extend(self.given_up(attempt));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(deeds)
    }

    /// Begins an attempt that times out when its first timer has run out, after a second.
    fn ask_in_vain(&self) -> Result<Attempt> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
        socket.set_nonblocking(true).context("do not wait")?;
        socket
            .set_tcp_user_timeout(Some(Duration::from_millis(1)))
            .context("set TCP_USER_TIMEOUT")?;
        let server = SocketAddrV4::new(self.address(), self.ports.deaf);
        let (at, done) = Between::of(|| socket.connect(&server.into()));
        expect_error(&done, libc::EINPROGRESS)?;
        let asked = Asked {
            server,
            client: own_end(&socket)?,
            at,
        };
        let looked = at.earliest;
        Ok(Attempt {
            socket,
            looked,
            asked,
        })
    }

    fn given_up(&self, attempt: Attempt) -> [Deed; 2] {
        let Attempt { socket, asked, .. } = attempt;
        let (at, ()) = Between::of(|| drop(socket));
        self.unanswered_until(&asked, Why::Abandoned, at)
    }

    /// Both ends of an attempt that ended so.
    fn unanswered_until(&self, asked: &Asked, why: Why, at: Between) -> [Deed; 2] {
        let Asked {
            server,
            client,
            at: asked,
        } = *asked;
        let begun = asked.earliest;
        let of_client = self.failed(why, server, client, begun, at);
        let late = Between {
            latest: asked.latest + LATE_NS,
            ..asked
        };
        let of_server = self.failed(Why::AcceptQueueFull, server, client, begun, late);
        // Its SYN comes again.
        let again = Some(at.latest + LATE_NS);
        [of_client, Failed { again, ..of_server }].map(Deed::Failed)
    }

    /// Sockets that listen for a while.
    fn listeners(&self) -> Deeds {
        let mut deeds = Vec::new();
        while !self.is_over() {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("make a socket")?;
            socket
                .bind(&SocketAddrV4::new(self.address(), 0).into())
                .context("bind")?;
            let at = own_end(&socket)?.context("an own end")?;
            let (begun, done) = Between::of(|| socket.listen(1));
            done.context("listen")?;
            std::thread::sleep(PAUSE);
            let (ended, ()) = Between::of(|| drop(socket));
            deeds.push(Deed::Listened(Listened {
                at,
                pid: self.pid,
                begun,
                ended,
            }));
        }
        Ok(deeds)
    }
}

/// The client's part of a connection on which it waits for the server.
fn converse(socket: &Socket, ending: Ending, question: usize, life: Life) -> Result<Life> {
    let answer = talk::answer(question);
    let mut words = vec![ending.code(), u8::try_from(question)?];
    words.resize(2 + question, 0x5a);
    io::Write::write_all(&mut &*socket, &words).context("ask")?;
    talk::hear(socket, answer)?;
    let life = Life {
        sent: words.len() as u64,
        received: answer as u64,
        ..life
    };
    Ok(match ending {
        Ending::Storm | Ending::ClientFirst => Life {
            ended: talk::close_first(socket)?,
            ..life
        },
        Ending::ServerFirst => {
            ensure!(!talk::hear_end(socket)?, "the server reset");
            Life {
                ended: talk::close_second(socket)?,
                closed_by: Closer::Remote,
                ..life
            }
        }
        Ending::ServerResets => {
            talk::say(socket, 0, 1)?;
            ensure!(talk::hear_end(socket)?, "the server did not reset");
            Life {
                ended: Between::since(0),
                closed_by: Closer::Remote,
                reset: true,
                sent: life.sent + 1,
                ..life
            }
        }
    })
}

fn own_end(socket: &Socket) -> Result<Option<SocketAddrV4>> {
    let own = socket.local_addr().context("ask for the own end")?;
    Ok(own.as_socket_ipv4())
}

fn expect_error(done: &io::Result<()>, wanted: i32) -> Result<()> {
    match done {
        Err(error) if error.raw_os_error() == Some(wanted) => Ok(()),
        Err(error) => bail!("error {wanted} was to come, not {error}"),
        Ok(()) => bail!("error {wanted} was to come, and there was none"),
    }
}
