//! What tracer would keep alive: an observer changes nothing, so whatever others are done with is gone,
//! though tracer looked at it, and though nobody reads what it says.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::fd::AsFd as _,
    path::PathBuf,
    process::ChildStdout,
};

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    netns::Netns,
    skip, tests,
    tracer::{Process, stream_command},
    traffic, wait,
};

tests!("pins":
    a_namespace_goes_with_its_last_process,
    a_namespace_goes_with_its_last_descriptor,
    a_namespace_goes_with_its_last_mount,
    files_and_folders_are_not_kept_open,
);

/// Connections of which tracer cannot say all to who does not read: about 5 KB each.
const UNREAD: usize = 3000;

/// A tracer whose output nobody reads any more, and which waits for that.
struct Unread {
    process: Process,
    _output: BufReader<ChildStdout>,
}

/// Lets tracer know that connections are tracked on this host, or skips.
fn track(netns: &Netns) -> Result<()> {
    skip::need("nft")?;
    let rules = "add table ip t; add chain ip t c { type nat hook output priority -100; }";
    match netns.command("nft", &[rules]) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("nft", format!("{error:#}")),
    }
}

fn unread() -> Result<Unread> {
    let mut process = Process::spawn(&mut stream_command(&["-o", "json"])?, false)?;
    let mut output = BufReader::with_capacity(1, process.take_stdout().context("its output")?);
    ensure!(
        traffic::readable(output.get_ref().as_fd())?,
        "no start line"
    );
    output
        .read_line(&mut String::new())
        .context("read the start line")?;
    match rustix::pipe::fcntl_setpipe_size(output.get_ref(), 4096) {
        // It holds more than that already, which is as good.
        Ok(_) | Err(rustix::io::Errno::BUSY) => {}
        Err(error) => return Err(error).context("shrink the pipe"),
    }
    Ok(Unread {
        process,
        _output: output,
    })
}

/// Waits until a socket of the namespace hears of what is tracked there.
fn wait_heard(netns: &Netns) -> Result<()> {
    wait::until("tracer to listen in the namespace", || {
        netns.run(|| {
            let sockets = fs::read_to_string("/proc/thread-self/net/netlink")
                .context("read the netlink sockets")?;
            let hears = |line: &str| {
                let mut fields = line.split_ascii_whitespace().skip(1);
                // `NETLINK_NETFILTER`, and the group of new entries.
                fields.next() == Some("12") && fields.nth(1) == Some("00000001")
            };
            Ok(sockets.lines().any(hears).then_some(()))
        })
    })
}

/// A namespace that tracer listens to and that `keep` keeps in its own way: when what that returns is
/// dropped, and the connections there are over, its device at our end must go.
fn goes_with<T>(keep: impl FnOnce(&Netns) -> Result<T>) -> Result<()> {
    let (near, far) = Netns::pair()?;
    track(&near)?;
    let tracer = unread()?;
    let kept = keep(&far)?;
    wait_heard(&far)?;
    // More than the pipe and what waits for it hold: from then on tracer reads no events.
    let (mut server, mut client) = (Agent::new(&near)?, Agent::new(&near)?);
    let (listener, at) = server.listen(Listen::at(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    for _ in 0..UNREAD {
        let dialled = client.dial(Dial::to(at))?;
        let accepted = server.accept(listener)?.socket()?;
        client.close(dialled.slot.context("a socket")?)?;
        server.close(accepted)?;
    }
    drop(far);
    drop(kept);
    wait::until("the device to go with its namespace", || {
        let devices = near.run(|| fs::read_to_string("/proc/thread-self/net/dev").context("read"));
        Ok((!devices?.contains("cable")).then_some(()))
    })?;
    drop(tracer.process);
    Ok(())
}

fn a_namespace_goes_with_its_last_process() -> Result<()> {
    goes_with(Agent::new)
}

fn a_namespace_goes_with_its_last_descriptor() -> Result<()> {
    goes_with(|far| {
        // Found by a process that is gone, and kept by a descriptor.
        let mut agent = Agent::new(far)?;
        wait_heard(far)?;
        agent.kill()?;
        Ok(far.clone())
    })
}

/// Removes a mount when it is dropped.
struct Mount {
    place: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

fn a_namespace_goes_with_its_last_mount() -> Result<()> {
    goes_with(|far| {
        let folder = tempfile::tempdir().context("make a folder")?;
        let place = folder.path().join("netns");
        fs::write(&place, "").context("make a file")?;
        mount_bind(far.path(), &place).context("mount a namespace")?;
        Ok(Mount {
            place,
            _folder: folder,
        })
    })
}

/// Everything that tracer has open, but what it was started with and what has no place in a file system.
fn files_and_folders_are_not_kept_open() -> Result<()> {
    let netns = Netns::new()?;
    track(&netns)?;
    let mut process = Process::spawn(&mut stream_command(&["-v", "-o", "json"])?, true)?;
    process.wait_until_watching()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let dialled = client.dial(Dial::to(at))?;
    server.accept(listener)?;
    client.close(dialled.slot.context("a socket")?)?;
    wait_heard(&netns)?;
    let mine = PathBuf::from(format!("/proc/{}", process.pid()));
    let own = fs::read_link("/proc/self/ns/net")?;
    // It looks at files while it works: what matters is that it lets go of them.
    wait::until("tracer to have nothing open that others may want", || {
        let mut kept = Vec::new();
        for entry in fs::read_dir(mine.join("fd"))?.flatten() {
            if let Ok(path) = fs::read_link(entry.path()) {
                kept.push(path);
            }
        }
        for thread in fs::read_dir(mine.join("task"))?.flatten() {
            if let Ok(netns) = fs::read_link(thread.path().join("ns/net"))
                && netns != own
            {
                kept.push(netns);
            }
        }
        kept.retain(|path| {
            let text = path.to_string_lossy();
            (text.starts_with('/') && text != "/dev/null") || text.starts_with("net:")
        });
        kept.retain(|path| *path != own);
        Ok(kept.is_empty().then_some(()))
    })
}
