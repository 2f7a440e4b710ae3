//! Standard output, written on a thread of its own: a reader that stops reading must
//! not keep signals, or the ring buffer, waiting.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{fcntl_getpipe_size, fcntl_setpipe_size},
    stdio::stdout,
};
use tokio::sync::{mpsc, oneshot};

use crate::signals;

/// Batches that may wait for the reader.
const QUEUE: usize = 128;
/// Room in a pipe to the reader, bytes, where the kernel gives it: by default a pipe has 64 KiB,
/// and on a busy host each takes a turn of the reader. As much as anybody may have
/// (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: usize = 1 << 20;
/// How much is written at a time, so that a slow reader's progress shows.
const CHUNK_BYTES: usize = 64 << 10;

/// The writing end.
pub struct Sink {
    queue: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
    /// Bytes that the reader has taken.
    written: Arc<AtomicU64>,
}

/// How the output ended.
#[derive(Debug)]
pub enum Flushed {
    /// All of it was written, or its reader went away.
    Done,
    /// The reader does not read, and what was left was thrown away.
    Stuck,
    /// It could not be written.
    Failed(io::Error),
}

/// A place in the queue.
pub type Permit<'a> = mpsc::Permit<'a, Vec<u8>>;

impl Sink {
    /// Starts the thread that writes to standard output.
    pub fn stdout() -> Self {
        // It may be no pipe, or its owner may have too much in pipes already.
        if fcntl_getpipe_size(stdout()).is_ok_and(|bytes| bytes < PIPE_BYTES) {
            let _ = fcntl_setpipe_size(stdout(), PIPE_BYTES);
        }
        let (queue, mut batches) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (tell, done) = oneshot::channel();
        let written = Arc::new(AtomicU64::new(0));
        let progress = Arc::clone(&written);
        // Not joined: it may hang in write() when the run is given up, and ends with
        // the process.
        thread::spawn(move || {
            let mut result = Ok(());
            while result.is_ok()
                && let Some(batch) = batches.blocking_recv()
            {
                result = write(&batch, &progress);
            }
            // Nobody waits for it if the run was given up.
            let _ = tell.send(result);
        });
        Self {
            queue,
            done,
            written,
        }
    }

    /// Waits for room; none once the output has ended.
    pub async fn room(&self) -> Option<Permit<'_>> {
        self.queue.reserve().await.ok()
    }

    /// Room, if there is some at once.
    pub fn room_now(&self) -> Option<Permit<'_>> {
        self.queue.try_reserve().ok()
    }

    /// How many bytes the reader has taken.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether nobody will read any more, so that it shows also when there is nothing to write.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed() || reader_is_gone()
    }

    /// Writes what is left. Gives up on a reader that takes nothing at all for `grace`, unless somebody `waits`.
    pub async fn finish(
        mut self,
        rest: Vec<u8>,
        grace: Duration,
        waits: impl Fn() -> bool,
    ) -> Flushed {
        match self.patiently(self.queue.reserve(), grace, &waits).await {
            Some(Ok(room)) => room.send(rest),
            // It ended, and has said why.
            Some(Err(_)) => {}
            None => return Flushed::Stuck,
        }
        // The thread ends when it has written what is in the queue of nobody.
        let (nobody, _) = mpsc::channel(1);
        self.queue = nobody;
        let (_, none) = oneshot::channel();
        let done = std::mem::replace(&mut self.done, none);
        match self.patiently(done, grace, &waits).await {
            None => Flushed::Stuck,
            Some(Ok(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => Flushed::Done,
            Some(Ok(Err(error))) => Flushed::Failed(error),
            Some(Ok(Ok(())) | Err(_)) => Flushed::Done,
        }
    }

    /// Waits for `what` as long as the reader takes anything, or somebody `waits`; none if neither.
    async fn patiently<T>(
        &self,
        what: impl Future<Output = T>,
        grace: Duration,
        waits: impl Fn() -> bool,
    ) -> Option<T> {
        let mut what = std::pin::pin!(what);
        loop {
            let before = self.written();
            if let Ok(result) = tokio::time::timeout(grace, &mut what).await {
                return Some(result);
            }
            if self.written() != before {
                // The stop goes on.
                signals::beat();
            } else if !waits() {
                return None;
            }
        }
    }
}

/// Writes all of `bytes`, also where standard output was made non-blocking by whoever
/// shares it.
fn write(mut bytes: &[u8], progress: &AtomicU64) -> io::Result<()> {
    while !bytes.is_empty() {
        let chunk = &bytes[..bytes.len().min(CHUNK_BYTES)];
        match rustix::io::write(stdout(), chunk) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                progress.fetch_add(written as u64, Ordering::Relaxed);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `bytes` to standard output at once, for commands with one result. A
/// reader that went away is none of our business.
///
/// # Errors
/// If they cannot be written.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    match write(bytes, &AtomicU64::new(0)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A pipe or socket without a reader shows an error condition.
fn reader_is_gone() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok()
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
