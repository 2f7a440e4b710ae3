//! The API of Docker, which Podman speaks too, on a unix socket: `GET /containers/ID/json`.
//!
//! hyper speaks the HTTP, and nothing more is needed. bollard, made for this API, brings half a
//! hundred crates to say one sentence, and reads answers of any length.
//!
//! Containers of the administrator are asked for at the sockets of the administrator, those of a user at
//! that user's. We connect with the rights that we have: a user's socket is only one that the user owns,
//! made and could replace, so that nothing is reached that the user could not reach. To take on the
//! rights of the user instead would put a thread of ours into that user's hands, who may then signal it.

use std::{
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use lru::LruCache;
use tokio::{net::UnixStream, sync::Semaphore, task::JoinSet};

use super::{
    docker,
    facts::Facts,
    files::{self, Whose},
};

/// How long a runtime may take for an answer, from the first word to the last.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long one is left alone that did not answer.
const REST: Duration = Duration::from_secs(30);
/// How long an answer may be, bytes.
const MAX_BYTES: usize = 1 << 20;
/// How long the head of an answer may be, bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How many runtimes are remembered; those that were not asked for longest go first.
const RUNTIMES: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// How many questions may wait for one of them. It is asked one at a time.
const QUEUE: usize = 32;
/// How many are asked at once.
const AT_ONCE: usize = 8;

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

/// Whose a runtime is, and what it is.
type Which = (Option<u32>, &'static str);

/// Asks runtimes on this host. To be used within a tokio runtime.
#[derive(Debug)]
pub(super) struct Engines {
    root: PathBuf,
    engines: Mutex<LruCache<Which, Arc<Engine>>>,
    at_once: Arc<Semaphore>,
}

impl Engines {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            engines: Mutex::new(LruCache::new(RUNTIMES)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks for the container `id`, one by [`super::files::is_id`], the runtimes of its owner: of the
    /// administrator if there is no `owner`. `hint` is the runtime that it is said to run it. Those that
    /// are asked do not wait for each other.
    pub(super) async fn ask(&self, id: &Arc<str>, hint: Option<&str>, owner: Option<u32>) -> Reply {
        let mut asked = JoinSet::new();
        for (runtime, socket) in sockets(owner) {
            if hint.is_none_or(|hint| hint == runtime) {
                let engine = self.engine(runtime, socket, owner);
                let (id, at_once) = (Arc::clone(id), Arc::clone(&self.at_once));
                asked.spawn(async move { engine.ask(&id, &at_once).await });
            }
        }
        let mut reply = Reply::Unknown;
        while let Some(one) = asked.join_next().await {
            match one {
                Ok(Reply::Facts(facts)) => return Reply::Facts(facts),
                Ok(Reply::Unknown) => {}
                Ok(Reply::Silence) | Err(_) => reply = Reply::Silence,
            }
        }
        reply
    }

    fn engine(&self, runtime: &'static str, socket: PathBuf, owner: Option<u32>) -> Arc<Engine> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = engines.get_or_insert((owner, runtime), || {
            Arc::new(Engine {
                runtime,
                root: self.root.clone(),
                socket,
                whose: owner.map_or(Whose::System, Whose::User),
                places: Semaphore::new(QUEUE),
                rest: tokio::sync::Mutex::new(None),
            })
        });
        Arc::clone(engine)
    }
}

/// Which runtime of this owner listens where, below the root of the host.
fn sockets(owner: Option<u32>) -> [(&'static str, PathBuf); 2] {
    let folder = owner.map_or_else(|| "run".to_owned(), |uid| format!("run/user/{uid}"));
    let below = |name: &str| PathBuf::from(format!("{folder}/{name}"));
    [
        ("docker", below("docker.sock")),
        ("podman", below("podman/podman.sock")),
    ]
}

/// One of them.
#[derive(Debug)]
struct Engine {
    runtime: &'static str,
    root: PathBuf,
    /// Below `root`.
    socket: PathBuf,
    whose: Whose,
    /// Who may wait.
    places: Semaphore,
    /// Held by who asks; if it did not answer, when it may be asked again.
    rest: tokio::sync::Mutex<Option<Instant>>,
}

impl Engine {
    async fn ask(&self, id: &str, at_once: &Semaphore) -> Reply {
        let Ok(_place) = self.places.try_acquire() else {
            return Reply::Silence;
        };
        let mut rest = self.rest.lock().await;
        if rest.is_some_and(|until| Instant::now() < until) {
            return Reply::Silence;
        }
        let Ok(_turn) = at_once.acquire().await else {
            return Reply::Silence;
        };
        let answer = tokio::time::timeout(PATIENCE, self.get(id)).await;
        match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(bytes) => match bytes.and_then(|bytes| docker::parse(&bytes, id)) {
                Some(mut facts) => {
                    facts.runtime = Some(self.runtime.into());
                    Reply::Facts(facts)
                }
                None => Reply::Unknown,
            },
            Err(error) => {
                let socket = self.socket.display();
                tracing::debug!(%error, %socket, "a runtime does not answer");
                *rest = Some(Instant::now() + REST);
                Reply::Silence
            }
        }
    }

    /// One question and its answer; none if there is no such runtime or container.
    async fn get(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        // That nobody is there costs nothing to find out again.
        let Some(socket) = files::socket(&self.root, &self.socket, self.whose) else {
            return Ok(None);
        };
        let stream = UnixStream::connect(socket.path()).await?;
        // Who listens is who began to: the file may have been given away since.
        if stream.peer_cred()?.uid() != socket.owner {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        exchange(stream, id).await
    }
}

async fn exchange(stream: UnixStream, id: &str) -> io::Result<Option<Vec<u8>>> {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    // It ends with this, however this ends: a runtime that goes on is not listened to.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
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
}
