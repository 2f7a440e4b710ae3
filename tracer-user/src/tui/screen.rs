//! The terminal. Nothing here waits for it: keys come from a thread, and another one writes, so
//! that neither a user who stops the output (Ctrl-S) nor a slow line keeps the caller's loop, which
//! also hears signals, from going on. A frame for which the terminal is not ready yet is
//! left out, and the next one makes up for it.

use std::{
    fs::File,
    io::{self, IsTerminal, PipeReader, PipeWriter, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    thread::{self, ThreadId},
    time::Duration,
};

use crossterm::{
    cursor::{Hide, Show},
    event::{self, Event, KeyCode, KeyEvent, KeyModifiers},
    queue,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc},
};

use super::{app::App, theme::Theme};
use crate::outputs::colour_for_stdout;

/// Keys that may wait. Who holds one down must not fill memory.
const KEYS: usize = 64;
/// How long to look for more keys once there was one.
const LOOK: Duration = Duration::from_millis(1);
/// At the end, how long the terminal may take nothing before it is left as it is.
const GRACE: Duration = Duration::from_millis(500);

/// What happened at the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key, for [`App::press`].
    Key(KeyEvent),
    /// The terminal has another size, or is ready again: time for [`Screen::draw`].
    Redraw,
}

/// The terminal, taken over until this is dropped. There can be one at a time.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Frame>>,
    frame: Frame,
    theme: Theme,
    keys: mpsc::Receiver<KeyEvent>,
    resized: Signal,
    writer: Writer,
    /// A frame was left out.
    late: bool,
    /// Closed when this is dropped, which ends the thread that reads keys.
    _reading: PipeWriter,
}

impl Screen {
    /// Takes the terminal over: no echo, no lines, a screen of its own. Standard output must be one.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// If there is no terminal, or it cannot be taken over.
    pub fn open() -> io::Result<Self> {
        let resized = signal(SignalKind::window_change())?;
        let (stop, reading) = io::pipe()?;
        let tty = tty()?;
        let (to, keys) = mpsc::channel(KEYS);
        let frame = Frame::default();
        let terminal = Terminal::new(CrosstermBackend::new(frame.clone()))?;
        let writer = Writer::start()?;
        enable_raw_mode()?;
        restore_on_panic();
        // From here on `drop` undoes it.
        let mut screen = Self {
            terminal,
            frame,
            theme: Theme::new(colour_for_stdout()),
            keys,
            resized,
            writer,
            late: false,
            _reading: reading,
        };
        queue!(screen.frame, EnterAlternateScreen, Hide)?;
        screen.send();
        // Not joined: it may hang in read(), and ends with the process.
        thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read_keys(&tty, &stop, &to))?;
        Ok(screen)
    }

    /// Waits for what happens next; none when the terminal is gone. Nothing is lost if the wait is
    /// given up, so it can be one branch of a `select!`.
    pub async fn key(&mut self) -> Option<Input> {
        tokio::select! {
            key = self.keys.recv() => {
                let key = key?;
                if key.code == KeyCode::Char('l') && key.modifiers == KeyModifiers::CONTROL {
                    // What others wrote to the terminal is wiped off by taking it over again.
                    self.late = false;
                    self.forget();
                    return Some(Input::Redraw);
                }
                Some(Input::Key(key))
            }
            _ = self.resized.recv() => Some(Input::Redraw),
            () = self.writer.state.ready.notified(), if self.late => {
                self.late = false;
                Some(Input::Redraw)
            }
        }
    }

    /// Draws `app`, if the terminal has taken the frame before.
    ///
    /// # Errors
    /// If the terminal could not be written to, now or before.
    pub fn draw(&mut self, app: &mut App) -> io::Result<()> {
        if let Some(error) = lock(&self.writer.state.error).take() {
            return Err(error);
        }
        if self.writer.state.busy.load(Ordering::Acquire) {
            self.late = true;
            return Ok(());
        }
        let theme = self.theme;
        self.terminal
            .draw(|frame| app.draw(frame.buffer_mut(), theme))?;
        self.send();
        Ok(())
    }

    /// Has the next frame drawn in full.
    fn forget(&mut self) {
        // Not `Terminal::clear`, which asks the terminal where its cursor is and waits for the
        // answer. A swap empties the frame that the next one is compared with.
        self.terminal.swap_buffers();
        // Writing to memory does not fail.
        let _ = queue!(self.frame, Clear(ClearType::All));
    }

    fn send(&mut self) {
        let bytes = std::mem::take(&mut *lock(&self.frame.0));
        self.writer.send(bytes);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if RESTORE.disarm() {
            lock(&self.frame.0).clear();
            // Writing to memory does not fail.
            let _ = queue!(self.frame, LeaveAlternateScreen, Show);
            self.send();
            self.writer.finish();
            let _ = disable_raw_mode();
        }
    }
}

/// What a frame is written to. The terminal's backend keeps one, which cannot be got at, so the
/// bytes are shared.
#[derive(Clone, Debug, Default)]
struct Frame(Arc<Mutex<Vec<u8>>>);

impl Write for Frame {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that writes frames to standard output.
#[derive(Debug)]
struct Writer {
    queue: Option<blocking::Sender<Vec<u8>>>,
    done: blocking::Receiver<()>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A frame is being written.
    busy: AtomicBool,
    /// It was written.
    ready: Notify,
    /// It was not.
    error: Mutex<Option<io::Error>>,
}

impl Writer {
    fn start() -> io::Result<Self> {
        // Not bounded by itself: but for the first and the last one, nothing is sent while a frame
        // is being written.
        let (queue, frames) = blocking::channel::<Vec<u8>>();
        let (tell, done) = blocking::channel();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                while let Ok(frame) = frames.recv() {
                    if let Err(error) = write(&frame) {
                        *lock(&shared.error) = Some(error);
                    }
                    shared.busy.store(false, Ordering::Release);
                    shared.ready.notify_one();
                }
                // Nobody waits for it if the terminal was given up.
                let _ = tell.send(());
            })?;
        Ok(Self {
            queue: Some(queue),
            done,
            state,
        })
    }

    fn send(&self, frame: Vec<u8>) {
        if let Some(queue) = self.queue.as_ref().filter(|_| !frame.is_empty()) {
            self.state.busy.store(true, Ordering::Release);
            // The thread ends with the queue, not before.
            let _ = queue.send(frame);
        }
    }

    /// Waits until all is written, but not for ever.
    fn finish(&mut self) {
        self.queue = None;
        let _ = self.done.recv_timeout(GRACE);
    }
}

fn write(mut bytes: &[u8]) -> io::Result<()> {
    // Not through the standard library's buffer, which would keep the end of a frame back.
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where keys come from: standard input, unless that is something to read from.
fn tty() -> io::Result<OwnedFd> {
    // The same choice that crossterm makes.
    if io::stdin().is_terminal() {
        return io::stdin().as_fd().try_clone_to_owned();
    }
    Ok(File::open("/dev/tty")?.into())
}

/// Reads keys until the terminal or whoever wants them is gone.
fn read_keys(tty: &OwnedFd, stop: &PipeReader, to: &mpsc::Sender<KeyEvent>) {
    loop {
        let mut ready = [
            PollFd::new(tty, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        // crossterm reads the end of a terminal again and again, for ever: do not let it.
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if !ready[1].revents().is_empty() || ready[0].revents().intersects(gone) {
            return;
        }
        // With no time at all crossterm does not look.
        while let Ok(true) = event::poll(LOOK) {
            match event::read() {
                Ok(Event::Key(key)) => {
                    if to.blocking_send(key).is_err() {
                        return;
                    }
                }
                // Its size is asked for when a frame is drawn.
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Which thread has a terminal to give back.
struct Restore(Mutex<Option<ThreadId>>);

static RESTORE: Restore = Restore(Mutex::new(None));

impl Restore {
    fn arm(&self) {
        *lock(&self.0) = Some(thread::current().id());
    }

    /// Whether there was one to give back.
    fn disarm(&self) -> bool {
        lock(&self.0).take().is_some()
    }

    /// The same for this thread only: others may panic, and the view goes on.
    fn disarm_mine(&self) -> bool {
        let mut owner = lock(&self.0);
        let mine = *owner == Some(thread::current().id());
        if mine {
            *owner = None;
        }
        mine
    }
}

/// Sees to it that what a panic prints can be read: first the terminal, then the message.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if RESTORE.disarm_mine() {
                let mut bytes = Vec::new();
                // Writing to memory does not fail; a terminal that is gone needs no care.
                let _ = queue!(bytes, LeaveAlternateScreen, Show);
                let _ = write(&bytes);
                let _ = disable_raw_mode();
            }
            before(panic);
        }));
    });
    RESTORE.arm();
}

/// What is behind these locks is whole at any time, also where somebody panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
