//! The process that is dialled: one thread for short connections, one after the other, and one for those that are held.

use std::{
    io::{self, Read as _},
    net::SocketAddrV4,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::Socket;

use super::{
    talk::{self, Ending},
    truth::{self, Between, Deed, Life, now},
};
use crate::{
    ledger::{Closer, Side},
    traffic,
};

/// Until standard input ends and no connection waits.
pub(crate) fn run_server(folder: &Path) -> Result<()> {
    let any = "0.0.0.0:0".parse()?;
    let (short, held) = (listen(any)?, listen(any)?);
    let at = [traffic::local(&short)?, traffic::local(&held)?];
    println!("{}", serde_json::to_string(&at)?);
    let deeds = std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| serve_short(&short)),
            scope.spawn(|| serve_held(&held)),
        ];
        let mut deeds = Vec::new();
        for thread in threads {
            let part = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            deeds.extend(part?);
        }
        anyhow::Ok(deeds)
    })?;
    truth::write(folder, &deeds)
}

fn listen(at: std::net::SocketAddr) -> Result<Socket> {
    let socket = traffic::listen(at)?;
    socket.listen(65_535).context("make room for more")?;
    Ok(socket)
}

/// A connection that was accepted.
struct Accepted {
    socket: Socket,
    client: SocketAddrV4,
    server: SocketAddrV4,
    opened: Between,
}

impl Accepted {
    fn life(&self, ended: Between, closed_by: Closer) -> Life {
        Life {
            side: Side::Server,
            server: self.server,
            client: self.client,
            pid: std::process::id(),
            opened: self.opened,
            handshake: self.opened,
            ended,
            sent: 0,
            received: 0,
            closed_by,
            reset: false,
        }
    }
}

fn accept(listener: &Socket) -> Result<Option<Accepted>> {
    let (opened, accepted) = Between::of(|| listener.accept());
    let (socket, client) = match accepted {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error).context("accept"),
    };
    let server = socket.local_addr().context("ask for the own end")?;
    Ok(Some(Accepted {
        client: client.as_socket_ipv4().context("an IPv4 client")?,
        server: server.as_socket_ipv4().context("an IPv4 server")?,
        socket,
        opened,
    }))
}

fn serve_short(listener: &Socket) -> Result<Vec<Deed>> {
    let mut deeds = Vec::new();
    loop {
        while let Some(accepted) = accept(listener)? {
            let server = accepted.server;
            let life = serve(accepted).with_context(|| format!("serve at {server}"))?;
            deeds.push(Deed::Life(life));
        }
        if wait_for([listener].into_iter())? {
            return Ok(deeds);
        }
    }
}

/// Waits for something to read; true if that is the end of standard input and nothing else.
fn wait_for<'a>(sockets: impl Iterator<Item = &'a Socket>) -> Result<bool> {
    let stdin = io::stdin();
    let mut waited = vec![PollFd::new(&stdin, PollFlags::IN)];
    waited.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
    match poll(&mut waited, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error).context("wait for a connection"),
    }
    let mut ready = waited.iter().map(|fd| !fd.revents().is_empty());
    Ok(ready.next() == Some(true) && !ready.any(|is_ready| is_ready))
}

fn serve(accepted: Accepted) -> Result<Life> {
    let mut head = [0; 2];
    let heard = match (&accepted.socket).read(&mut head) {
        Ok(heard) => heard,
        // The client of a storm resets without waiting.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 1,
        Err(error) => return Err(error).context("hear the ending"),
    };
    match Ending::of(head[0])? {
        Ending::Storm => {
            ensure!(heard == 1, "{heard} bytes of a storm");
            // What is left of an error was taken by the first read, if that was not in time for the byte.
            talk::hear_end(&accepted.socket)?;
            Ok(reset_by_client(&accepted, 1, 0))
        }
        ending => {
            if heard == 1 {
                talk::hear(&accepted.socket, 1)?;
                bail!("half a header");
            }
            let question = usize::from(head[1]);
            talk::hear(&accepted.socket, question)?;
            talk::say(&accepted.socket, 0, talk::answer(question))?;
            finish(accepted, ending, question)
        }
    }
}

/// One that the client has reset: when, only the client knows.
fn reset_by_client(accepted: &Accepted, received: u64, sent: u64) -> Life {
    Life {
        received,
        sent,
        reset: true,
        ..accepted.life(Between::since(0), Closer::Remote)
    }
}

fn finish(accepted: Accepted, ending: Ending, question: usize) -> Result<Life> {
    let life = accepted.life(accepted.opened, Closer::Local);
    let life = Life {
        sent: talk::answer(question) as u64,
        received: 2 + question as u64,
        ..life
    };
    let socket = accepted.socket;
    Ok(match ending {
        Ending::ClientFirst | Ending::Storm => {
            ensure!(!talk::hear_end(&socket)?, "the client reset");
            Life {
                ended: talk::close_second(&socket)?,
                closed_by: Closer::Remote,
                ..life
            }
        }
        Ending::ServerFirst => Life {
            ended: talk::close_first(&socket)?,
            ..life
        },
        Ending::ServerResets => {
            talk::hear(&socket, 1).context("wait until the client has heard all")?;
            Life {
                ended: talk::reset(socket)?,
                received: life.received + 1,
                ..life
            }
        }
    })
}

/// Connections that the client holds; it closes first.
fn serve_held(listener: &Socket) -> Result<Vec<Deed>> {
    let mut deeds = Vec::new();
    let mut held: Vec<Accepted> = Vec::new();
    loop {
        while let Some(accepted) = accept(listener)? {
            talk::hear(&accepted.socket, 1)?;
            talk::say(&accepted.socket, 0, 1)?;
            accepted
                .socket
                .set_nonblocking(true)
                .context("watch a held connection")?;
            held.push(accepted);
        }
        let mut open = Vec::new();
        for accepted in held {
            match (&accepted.socket).read(&mut [0; 1]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => open.push(accepted),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    deeds.push(Deed::Life(reset_by_client(&accepted, 1, 1)));
                }
                Ok(0) => {
                    let mut life = accepted.life(Between::since(now()), Closer::Remote);
                    (life.sent, life.received) = (1, 1);
                    life.ended = talk::close_second(&accepted.socket)?;
                    deeds.push(Deed::Life(life));
                }
                Ok(_) => bail!("payload of a held connection"),
                Err(error) => return Err(error).context("watch a held connection"),
            }
        }
        held = open;
        let sockets = held.iter().map(|accepted| &accepted.socket);
        if wait_for([listener].into_iter().chain(sockets))? && held.is_empty() {
            return Ok(deeds);
        }
    }
}
