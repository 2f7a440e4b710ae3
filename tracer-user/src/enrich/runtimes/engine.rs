//! The API of Docker, which Podman speaks too, on a unix socket: `GET /containers/ID/json`.
//!
//! hyper speaks the HTTP, and nothing more is needed. bollard, made for this API, brings half a
//! hundred crates to say one sentence, and reads answers of any length.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use lru::LruCache;
use tokio::net::UnixStream;

use super::{docker, facts::Facts};

/// How long a runtime may take to answer.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long one is left alone that did not answer.
const REST: Duration = Duration::from_secs(30);
/// How long an answer may be, bytes.
const MAX_BYTES: usize = 1 << 20;
/// How long the head of an answer may be, bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How many sockets that do not answer are remembered.
const RESTING: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A runtime knows the container.
    Facts(Facts),
    /// All that are there said that they do not know it.
    Unknown,
    /// One did not answer, so it might know it.
    Silence,
}

/// Asks runtimes on this host.
#[derive(Debug)]
pub(super) struct Engines {
    root: PathBuf,
    tokio: tokio::runtime::Runtime,
    /// When those that did not answer may be asked again.
    resting: LruCache<PathBuf, Instant>,
}

impl Engines {
    /// # Errors
    /// If the kernel gives no `epoll` instance.
    pub(super) fn new(root: PathBuf) -> io::Result<Self> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            root,
            tokio,
            resting: LruCache::new(RESTING),
        })
    }

    /// Asks for the container `id`, one by [`super::files::is_id`]: the runtimes of the host, and
    /// those of the user `uid`, of whose containers it must be. `hint` is the runtime that it is
    /// said to run it.
    pub(super) fn ask(&mut self, id: &str, hint: Option<&str>, uid: Option<u32>) -> Reply {
        let mut silence = false;
        for (runtime, socket) in sockets(uid) {
            if hint.is_some_and(|hint| hint != runtime) {
                continue;
            }
            let path = self.root.join(socket);
            let now = Instant::now();
            if self.resting.get(&path).is_some_and(|until| now < *until) {
                silence = true;
                continue;
            }
            match self.exchange(&path, id) {
                Ok(Some(bytes)) => {
                    if let Some(mut facts) = docker::parse(&bytes, id) {
                        facts.runtime = Some(runtime.into());
                        return Reply::Facts(facts);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, socket = %path.display(), "a runtime does not answer");
                    self.resting.put(path, Instant::now() + REST);
                    silence = true;
                }
            }
        }
        if silence {
            Reply::Silence
        } else {
            Reply::Unknown
        }
    }

    /// One question and its answer; none if there is no such runtime or container.
    fn exchange(&self, socket: &Path, id: &str) -> io::Result<Option<Vec<u8>>> {
        let answer = async {
            let limit = tokio::time::timeout(PATIENCE, get(socket, id)).await;
            limit.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match self.tokio.block_on(answer) {
            // Nobody there, which costs nothing to find out again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }
}

/// Which runtime listens where, below the root of the host.
fn sockets(uid: Option<u32>) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("docker", "run/docker.sock".to_owned()),
        ("podman", "run/podman/podman.sock".to_owned()),
    ];
    if let Some(uid) = uid {
        out.push(("docker", format!("run/user/{uid}/docker.sock")));
        out.push(("podman", format!("run/user/{uid}/podman/podman.sock")));
    }
    out
}

async fn get(socket: &Path, id: &str) -> io::Result<Option<Vec<u8>>> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let request = Request::get(format!("/containers/{id}/json"))
            .header(HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(io::Error::other(format!("it answered {other}"))),
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok(Some(body.map_err(io::Error::other)?.to_bytes().to_vec()))
    };
    let answer = answer.await;
    // One question a connection: a runtime that ends does not wait for us.
    driver.abort();
    let _ = driver.await;
    answer
}
