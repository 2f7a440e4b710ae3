//! Against the kernel: whatever keeps a network namespace. Needs root, and says so and does nothing
//! without.

use std::{
    fs::File,
    net::UdpSocket,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    mount::{UnmountFlags, mount_bind, unmount},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

use super::*;

/// How long the kernel may take to be done with what was let go.
const LONG: Duration = Duration::from_secs(30);

/// An observer of the network namespace that the calling thread is in: one more reference.
fn observe() -> Option<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with};
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(netlink::NETFILTER);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).ok()?;
    // Any group of netfilter will do: `NFNLGRP_NFTABLES`.
    bind(&socket, &netlink::SocketAddrNetlink::new(0, 1 << 6)).ok()?;
    Some(socket)
}

/// The file of a new network namespace, its number, and an observer; none if there can be none.
fn namespace() -> Option<(OwnedFd, u32, OwnedFd)> {
    let made = thread::spawn(|| {
        // SAFETY: NEWNET changes nothing that memory safety rests on, and only this thread.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.ok()?;
        let file: OwnedFd = File::open("/proc/thread-self/ns/net").ok()?.into();
        let number = u32::try_from(rustix::fs::fstat(&file).ok()?.st_ino).ok()?;
        Some((file, number, observe()?))
    });
    let made = made.join().expect("a thread that ends");
    if made.is_none() {
        println!("skipped: no network namespace can be made");
    }
    made
}

fn enter(file: &OwnedFd) {
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("to get in");
}

/// How many observers a namespace has, and how many references keep it.
fn kept(observers: &Observers, socket: &OwnedFd, netns: u32) -> (usize, u32) {
    let mut all = observers.ask(socket.as_raw_fd()).expect("an answer");
    all.retain(|it| it.netns == netns);
    let references = all.iter().map(|it| it.references).max();
    (all.len(), references.unwrap_or_default())
}

/// Waits until so many observers are all that keeps a namespace: others on this host may observe it
/// as well.
fn wait_kept_by_observers(observers: &Observers, socket: &OwnedFd, netns: u32) {
    let end = Instant::now() + LONG;
    loop {
        let (count, references) = kept(observers, socket, netns);
        if count > 0 && count as u32 == references {
            return;
        }
        assert!(
            Instant::now() < end,
            "{references} keep it, {count} observe it"
        );
        thread::yield_now();
    }
}

/// `keep` keeps the namespace of a file in its own way until what it returns is dropped.
fn check<T>(keep: impl FnOnce(&OwnedFd) -> T) {
    let Some(observers) = Observers::alone() else {
        println!("skipped: no program can be loaded");
        return;
    };
    let Some((file, netns, socket)) = namespace() else {
        return;
    };
    let is_kept = || {
        let (count, references) = kept(&observers, &socket, netns);
        references > count as u32
    };
    assert!(is_kept(), "the descriptor keeps it");
    let kept = keep(&file);
    drop(file);
    for _ in 0..100 {
        assert!(is_kept(), "it is kept");
    }
    drop(kept);
    wait_kept_by_observers(&observers, &socket, netns);
}

/// Runs the rest when it is dropped.
struct Until<F: FnMut()>(F);

impl<F: FnMut()> Drop for Until<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn a_process_keeps_its_namespace() {
    check(|file| {
        let file = file.try_clone().expect("a descriptor");
        let mut command = Command::new("sleep");
        command.arg("600");
        // SAFETY: the closure only makes a system call; it neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                let kind = Some(LinkNameSpaceType::Network);
                Ok(move_into_link_name_space(file.as_fd(), kind)?)
            });
        }
        let mut child = command.spawn().expect("a process");
        Until(move || {
            let _ = child.kill();
            let _ = child.wait();
        })
    });
}

#[test]
fn a_thread_keeps_its_namespace() {
    check(|file| {
        let file = file.try_clone().expect("a descriptor");
        let (is_in, was) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        thread::spawn(move || {
            enter(&file);
            drop(file);
            is_in.send(()).expect("a reader");
            let _ = left.recv();
        });
        was.recv().expect("a thread inside");
        leave
    });
}

#[test]
fn a_mount_of_another_mount_namespace_keeps_it() {
    check(|file| {
        let place = tempfile::NamedTempFile::new().expect("a file");
        let path = place.path().to_owned();
        let from = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let (is_in, was) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        thread::spawn(move || {
            // SAFETY: NEWNS changes nothing that memory safety rests on, and only this thread;
            // files it has in common with none.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }
                .expect("a mount namespace");
            let flags = rustix::mount::MountPropagationFlags::PRIVATE
                | rustix::mount::MountPropagationFlags::REC;
            rustix::mount::mount_change("/", flags).expect("a mount tree of its own");
            mount_bind(from, &path).expect("a mount");
            is_in.send(()).expect("a reader");
            let _ = left.recv();
            unmount(&path, UnmountFlags::DETACH).expect("no mount");
        });
        was.recv().expect("a mount");
        (leave, place)
    });
}

#[test]
fn a_socket_of_somebody_else_keeps_it() {
    check(|file| {
        let file = file.try_clone().expect("a descriptor");
        let made = thread::spawn(move || {
            enter(&file);
            UdpSocket::bind("0.0.0.0:0").expect("a socket")
        });
        made.join().expect("a socket")
    });
}

#[test]
fn all_observers_are_found_wherever_one_begins() {
    let (Some(observers), Some((file, netns, socket))) = (Observers::alone(), namespace()) else {
        println!("skipped: no program can be loaded");
        return;
    };
    let more = thread::spawn(move || {
        enter(&file);
        let more: Option<Vec<OwnedFd>> = (0..200).map(|_| observe()).collect();
        more.expect("sockets")
    });
    let more = more.join().expect("a thread that ends");
    for begin in more.iter().step_by(20).chain([&socket]) {
        let end = Instant::now() + LONG;
        // Others come and go, and then some are missing; twice there is none.
        while kept(&observers, begin, netns).0 < more.len() + 1 {
            assert!(Instant::now() < end, "some are not found");
        }
    }
    wait_kept_by_observers(&observers, &socket, netns);
    drop(more);
    wait_kept_by_observers(&observers, &socket, netns);
    // What is no socket leads nowhere.
    let file = File::open("/proc/self/ns/net").expect("a file");
    for fd in [file.as_raw_fd(), 1 << 20] {
        assert_eq!(observers.ask(fd).expect("an answer"), []);
    }
}
