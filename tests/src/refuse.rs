//! A kernel that knows fewer kinds of BPF map than this one does.
//!
//! What it would answer is given in its place: a seccomp filter hands each request for a map
//! to a thread of ours, which reads the kind out of the caller's memory.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::fs::FileExt as _,
    },
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// `BPF_MAP_TYPE_RINGBUF` of the kernel's `bpf.h`.
pub const RING_BUFFER: u32 = 27;

/// `BPF_MAP_CREATE`, likewise. The kind is the first word of its attributes.
const MAP_CREATE: u32 = 0;

/// `SECCOMP_IOCTL_NOTIF_RECV` and `_SEND` of the kernel's `seccomp.h`.
const RECEIVE: libc::Ioctl = request(0, size_of::<libc::seccomp_notif>());
const SEND: libc::Ioctl = request(1, size_of::<libc::seccomp_notif_resp>());

const fn request(number: u64, size: usize) -> libc::Ioctl {
    (3 << 30 | (size as u64) << 16 | (b'!' as u64) << 8 | number) as libc::Ioctl
}

/// Does `work` on a thread for which, and for whose children, no map of this `kind` can be
/// made. Says how often one was refused.
pub fn without_maps_of<T: Send>(
    kind: u32,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, u32)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            sender
                .send(watch_map_creation())
                .context("hand over the seccomp filter")?;
            work()
        });
        let listener = receiver.recv().context("get the seccomp filter")??;
        let mut refused = 0;
        while !worker.is_finished() {
            let pace = Timespec::try_from(Duration::from_millis(10))?;
            let mut waited = [PollFd::new(&listener, PollFlags::IN)];
            match poll(&mut waited, Some(&pace)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Else the last one who could ask has gone.
                Ok(_) if waited[0].revents().contains(PollFlags::IN) => {
                    refused += u32::from(answer(listener.as_raw_fd(), kind)?);
                }
                Ok(_) => {}
                Err(error) => return Err(error).context("wait for a request"),
            }
        }
        let done = worker
            .join()
            .map_err(|_| anyhow!("the thread of such a kernel panicked"))??;
        Ok((done, refused))
    })
}

/// From now on this thread's requests for maps wait for an answer at the descriptor.
fn watch_map_creation() -> Result<OwnedFd> {
    // Offsets into `struct seccomp_data`; the half of an argument that has its low bits first.
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let load = |at| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let unless = |value: u32, skip| libc::sock_filter {
        jf: skip,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    };
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
    let mut filter = [
        load(NUMBER),
        unless(u32::try_from(libc::SYS_bpf)?, 3),
        load(FIRST_ARGUMENT),
        unless(MAP_CREATE, 1),
        answer(libc::SECCOMP_RET_USER_NOTIF),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is as long as it says, and outlives the call, which copies it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0);
    let fd = fd
        .ok_or_else(io::Error::last_os_error)
        .context("filter system calls")?;
    // SAFETY: the kernel just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Answers one request: as a kernel without such maps, or by letting it go to this one.
fn answer(listener: RawFd, kind: u32) -> Result<bool> {
    // SAFETY: plain data for which all zero is valid, and which the kernel wants to be zero.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request is of the size that its number says, and outlives the call.
    if unsafe { libc::ioctl(listener, RECEIVE, &raw mut asked) } < 0 {
        return Err(io::Error::last_os_error()).context("receive a request");
    }
    let mut wanted = [0; 4];
    std::fs::File::open(format!("/proc/{}/mem", asked.pid))
        .and_then(|memory| memory.read_exact_at(&mut wanted, asked.data.args[1]))
        .context("read which map is wanted")?;
    let refuse = u32::from_ne_bytes(wanted) == kind;
    let mut reply = libc::seccomp_notif_resp {
        id: asked.id,
        val: 0,
        error: 0,
        flags: 0,
    };
    if refuse {
        reply.error = -libc::EINVAL;
    } else {
        reply.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE)?;
    }
    // SAFETY: as above.
    let sent = unsafe { libc::ioctl(listener, SEND, &raw mut reply) };
    ensure!(
        sent == 0,
        "answer a request: {}",
        io::Error::last_os_error()
    );
    Ok(refuse)
}
