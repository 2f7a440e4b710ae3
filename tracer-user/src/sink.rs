//! Standard output, written on a thread of its own: a reader that stops reading must
//! not keep signals, or the ring buffer, waiting.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

/// Batches that may wait for the reader.
const QUEUE: usize = 16;
/// How long the reader may take for what is left when the run is over.
const GRACE: Duration = Duration::from_secs(2);

/// The writing end.
pub struct Sink {
    queue: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

/// How the output ended.
#[derive(Debug)]
pub enum Flushed {
    /// All of it was written, or its reader went away.
    Done,
    /// The reader did not read, and what was left was thrown away.
    Stuck,
    /// It could not be written.
    Failed(io::Error),
}

/// A place in the queue.
pub type Permit<'a> = mpsc::Permit<'a, Vec<u8>>;

impl Sink {
    /// Starts the thread that writes to standard output.
    pub fn stdout() -> Self {
        let (queue, mut batches) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (tell, done) = oneshot::channel();
        let thread = thread::spawn(move || {
            let mut written = Ok(());
            while let Some(batch) = batches.blocking_recv() {
                let mut out = io::stdout().lock();
                written = out.write_all(&batch).and_then(|()| out.flush());
                if written.is_err() {
                    break;
                }
            }
            // Nobody waits for it if the run was given up.
            let _ = tell.send(written);
        });
        Self {
            queue,
            done,
            thread,
        }
    }

    /// Waits for room; none once the output has ended.
    pub async fn room(&self) -> Option<Permit<'_>> {
        self.queue.reserve().await.ok()
    }

    /// Whether nobody will read any more, so that it shows also when there is nothing to write.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed() || reader_is_gone()
    }

    /// Writes what is left and ends the thread. Gives up on a reader that does not read.
    pub async fn finish(self, rest: Vec<u8>) -> Flushed {
        let Self {
            queue,
            done,
            thread,
        } = self;
        let all = async {
            // An error means that the thread has ended; it tells why.
            let _ = queue.send(rest).await;
            drop(queue);
            done.await
        };
        let result = tokio::time::timeout(GRACE, all).await;
        let Ok(written) = result else {
            // The thread hangs in write(); it ends with the process.
            drop(thread);
            return Flushed::Stuck;
        };
        let _ = thread.join();
        match written {
            Ok(Ok(())) | Err(_) => Flushed::Done,
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Flushed::Done,
            Ok(Err(error)) => Flushed::Failed(error),
        }
    }
}

/// A pipe or socket without a reader shows an error condition.
fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )
    .is_ok()
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
