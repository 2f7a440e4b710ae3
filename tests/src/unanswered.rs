//! A process whose memory cannot be looked at for as long as it wants.
//!
//! One of its threads reads a file that is mapped, on a file system that it answers for itself (FUSE),
//! through `/proc/self/mem`: the kernel waits for the answer, which does not come, and has locked the
//! memory for reading. Another thread then wants to change the memory: it waits for the first, and
//! whoever comes after it waits as well, such as who reads `/proc/PID/cmdline`.
//!
//! It takes the rights to mount, which any user has in a user namespace.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{Signal, set_parent_process_death_signal},
};

use crate::{skip, traffic::fork, wait};

/// Where the kernel hands over what a file system is asked.
const DEVICE: &str = "/dev/fuse";
/// Size of the one file there is.
const FILE_BYTES: usize = 4096;

/// Skips the test where there is no such file system.
pub fn need() -> Result<()> {
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("FUSE", error),
    }
}

/// Waits until the memory of `pid` is locked.
pub fn wait_until_locked(pid: u32) -> Result<()> {
    wait::until("the memory of a process to be locked", || {
        let folder = format!("/proc/{pid}/task");
        let threads = std::fs::read_dir(&folder).context("its threads")?;
        // The second one is the one that waits for the first, and no signal wakes it.
        let names = threads.flatten().map(|thread| thread.file_name());
        let second = names.filter(|it| it != pid.to_string().as_str()).max();
        let Some(second) = second else {
            return Ok(None);
        };
        let stat = Path::new(&folder).join(second).join("stat");
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        Ok(state.starts_with('D').then_some(()))
    })
}

/// Locks the memory of this process, which has one thread and makes a folder below `place`, until it is
/// killed.
pub(crate) fn lock_memory(place: &Path) -> Result<()> {
    /// All threads have the memory that they need.
    static READY: AtomicBool = AtomicBool::new(false);
    let begin = || {
        while !READY.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let file = file_of_nobody(place)?;
    // SAFETY: maps a file of that size anew; nobody writes it.
    let mapped = unsafe {
        let none = std::ptr::null_mut();
        let file = file.as_raw_fd();
        libc::mmap(
            none,
            FILE_BYTES,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file,
            0,
        )
    };
    let why = io::Error::last_os_error();
    ensure!(mapped != libc::MAP_FAILED, "map the file: {why}");
    let mapped = mapped as u64;
    let memory = File::open("/proc/self/mem").context("open the own memory")?;
    std::thread::spawn(move || {
        begin();
        // Returns when nobody answers for the file system any more.
        let _ = memory.read_exact_at(&mut [0], mapped);
    });
    std::thread::spawn(move || {
        begin();
        // By then the other one waits.
        std::thread::sleep(Duration::from_millis(200));
        // SAFETY: new memory, of which nobody makes use.
        unsafe {
            let none = std::ptr::null_mut();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(none, FILE_BYTES, libc::PROT_READ, flags, -1, 0)
        };
    });
    READY.store(true, Ordering::Release);
    // This one can be killed, and who answers for the file system goes with it.
    rustix::io::read(rustix::stdio::stdin(), &mut [0]).context("wait to be told")?;
    Ok(())
}

/// A file that is never read to the end.
fn file_of_nobody(place: &Path) -> Result<File> {
    let folder = place.join("unanswered");
    std::fs::create_dir_all(&folder).context("make a folder")?;
    // SAFETY: a number; this process has one thread.
    let made = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
    ensure!(made, "a mount namespace: {}", io::Error::last_os_error());
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("keep mounts to itself")?;
    let device = File::options().read(true).write(true).open(DEVICE)?;
    let data = format!(
        "fd={},rootmode=40755,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let data = std::ffi::CString::new(data)?;
    mount(
        "unanswered",
        &folder,
        "fuse",
        MountFlags::empty(),
        data.as_c_str(),
    )
    .context("mount the file system")?;
    let device = OwnedFd::from(device);
    let server = device.try_clone()?;
    fork(move || {
        // Its parent is the first thread of this process, which waits for nothing that this answers.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        serve(File::from(server))
    })?;
    // Otherwise the file system would not end with who answers for it.
    drop(device);
    File::open(folder.join("file")).context("open the file")
}

/// Answers what it takes to open the file, and nothing of what is in it.
fn serve(mut device: File) -> Result<()> {
    let mut asked = vec![0; 1 << 20];
    loop {
        let bytes = device.read(&mut asked).context("hear what is asked")?;
        let word = |at: usize| {
            let bytes = asked.get(at..at + 4).and_then(|it| it.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        // `struct fuse_in_header` of the kernel's user-space interface.
        let (operation, node) = (word(4), word(16));
        let unique = &asked[8..16];
        ensure!(bytes >= 40, "a question of {bytes} bytes");
        const LOOKUP: u32 = 1;
        const FORGET: u32 = 2;
        const GETATTR: u32 = 3;
        const OPEN: u32 = 14;
        const READ: u32 = 15;
        const INIT: u32 = 26;
        const INTERRUPT: u32 = 36;
        const BATCH_FORGET: u32 = 42;
        let answer = match operation {
            READ | FORGET | INTERRUPT | BATCH_FORGET => continue,
            // Version 7.31, and no more than is asked for.
            INIT => numbers(&[7, 31, 4096, 0, 0, 4096, 1, 1], 64),
            LOOKUP => {
                // Node 2, for an hour; then what it is.
                let mut answer = numbers(&[2, 0, 0, 0, 3600, 0, 3600, 0, 0, 0], 40);
                answer.extend(attributes(false));
                answer
            }
            GETATTR => {
                let mut answer = numbers(&[3600, 0, 0, 0], 16);
                answer.extend(attributes(node == 1));
                answer
            }
            OPEN => vec![0; 16],
            _ => {
                reply(&mut device, unique, -libc::ENOSYS, &[])?;
                continue;
            }
        };
        reply(&mut device, unique, 0, &answer)?;
    }
}

fn numbers(numbers: &[u32], bytes: usize) -> Vec<u8> {
    let mut out: Vec<u8> = numbers.iter().flat_map(|it| it.to_ne_bytes()).collect();
    out.resize(bytes, 0);
    out
}

/// `struct fuse_attr`.
fn attributes(is_folder: bool) -> Vec<u8> {
    let (node, mode) = match is_folder {
        true => (1, libc::S_IFDIR | 0o755),
        false => (2, libc::S_IFREG | 0o644),
    };
    let mut out = numbers(&[node, 0, FILE_BYTES as u32, 0, 8, 0], 60);
    out.extend(numbers(&[mode, 1, 0, 0, 0, 4096], 28));
    out
}

fn reply(device: &mut File, unique: &[u8], error: i32, answer: &[u8]) -> Result<()> {
    let mut out = numbers(&[16 + u32::try_from(answer.len())?], 4);
    out.extend(error.to_ne_bytes());
    out.extend(unique);
    out.extend(answer);
    device.write_all(&out).context("answer")
}
