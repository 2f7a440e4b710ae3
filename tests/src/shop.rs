//! A small application as people write them: over HTTP it is asked, and for each answer it asks
//! redis and PostgreSQL. It writes down what it did.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// Where everything is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shop {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where redis is.
    pub redis: SocketAddr,
    /// Where PostgreSQL is.
    pub postgres: SocketAddr,
    /// What it writes down, a line a connection.
    pub ledger: PathBuf,
}

/// What the shop did, by its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Connections that it accepted.
    pub accepted: u64,
    /// Connections to redis.
    pub redis: u64,
    /// Connections to PostgreSQL.
    pub postgres: u64,
    /// Attempts to connect with PostgreSQL that were refused.
    pub refused: u64,
    /// Attempts to connect with redis that were.
    pub uncached: u64,
}

/// What redis is told, and what it answers.
pub const PING: (&[u8], &[u8]) = (b"PING\r\n", b"+PONG\r\n");

impl Books {
    /// Reads what a shop wrote down.
    pub fn read(ledger: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(ledger).context("read the shop's ledger")?;
        let mut books = Self::default();
        for line in text.lines() {
            books.accepted += 1;
            books.redis += u64::from(line.contains("redis"));
            books.postgres += u64::from(line.contains("postgres"));
            books.refused += u64::from(line.contains("refused"));
            books.uncached += u64::from(line.contains("uncached"));
        }
        Ok(books)
    }
}

pub(crate) fn run(shop: &Shop) -> Result<()> {
    let ledger = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&shop.ledger)
        .context("open the ledger")?;
    let (shop, ledger) = (Arc::new(shop.clone()), Arc::new(ledger));
    let listener = TcpListener::bind(shop.listen).context("listen")?;
    for client in listener.incoming() {
        let (shop, ledger) = (Arc::clone(&shop), Arc::clone(&ledger));
        let client = client.context("accept")?;
        std::thread::spawn(move || {
            let mut line = String::from("accepted");
            let served = serve(&shop, client, &mut line);
            line.push('\n');
            // One write each, so that lines do not mix.
            let mut ledger: &File = &ledger;
            if let Err(error) = served.and(ledger.write_all(line.as_bytes()).map_err(Into::into)) {
                eprintln!("shop: {error:#}");
            }
        });
    }
    Ok(())
}

fn serve(shop: &Shop, mut client: TcpStream, line: &mut String) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 512];
        match client.read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(count) => request.extend_from_slice(&byte[..count]),
            // The client went away.
            Err(_) => return Ok(()),
        }
    }
    match TcpStream::connect(shop.redis) {
        Ok(mut redis) => {
            line.push_str(" redis");
            // It may be stopped meanwhile.
            let _ = redis.write_all(PING.0);
            let _ = redis.read_exact(&mut [0; PING.1.len()]);
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            line.push_str(" uncached");
        }
        Err(error) => return Err(error).context("connect with redis"),
    }
    let status = match TcpStream::connect(shop.postgres) {
        Ok(postgres) => {
            line.push_str(" postgres");
            match query(postgres) {
                Ok(()) => "200 OK",
                Err(_) => "502 Bad Gateway",
            }
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            line.push_str(" refused");
            "503 Service Unavailable"
        }
        Err(error) => return Err(error).context("connect with PostgreSQL"),
    };
    let answer = format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n");
    // The client may be gone by now.
    let _ = client.write_all(answer.as_bytes());
    Ok(())
}

/// One query, by PostgreSQL's own protocol, version 3.
fn query(mut postgres: TcpStream) -> Result<()> {
    let mut start = 196_608_u32.to_be_bytes().to_vec();
    start.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    postgres.write_all(&(start.len() as u32 + 4).to_be_bytes())?;
    postgres.write_all(&start)?;
    ready(&mut postgres)?;
    message(&mut postgres, b'Q', b"SELECT 41 + 1\0")?;
    ready(&mut postgres)?;
    message(&mut postgres, b'X', b"")
}

fn message(postgres: &mut TcpStream, kind: u8, body: &[u8]) -> Result<()> {
    let mut message = vec![kind];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    postgres.write_all(&message).context("write to PostgreSQL")
}

/// Reads until PostgreSQL says that it is ready for a query.
fn ready(postgres: &mut TcpStream) -> Result<()> {
    loop {
        let mut head = [0; 5];
        postgres.read_exact(&mut head)?;
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; len.saturating_sub(4).min(1 << 16) as usize];
        postgres.read_exact(&mut body)?;
        match head[0] {
            b'Z' => return Ok(()),
            b'E' => bail!("PostgreSQL: {}", String::from_utf8_lossy(&body)),
            _ => {}
        }
    }
}
