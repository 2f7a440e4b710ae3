//! Network namespaces of a test's own.
//!
//! A [`Netns`] lives as long as its value. Code gets in through [`Netns::run`] (a thread),
//! programs through [`Netns::enter`]. Its inode number is what tracer prints as
//! `connection.netns`, so a test can tell its events from the machine's.

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, process::CommandExt as _},
    },
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{skip, wait};

/// A network namespace, kept alive by an open handle.
#[derive(Clone, Debug)]
pub struct Netns {
    handle: Arc<OwnedFd>,
    inode: u64,
}

/// One row of a namespace's TCP table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// This end, IPv4-mapped addresses as IPv4.
    pub local: SocketAddr,
    /// The other end, likewise.
    pub remote: SocketAddr,
    /// The kernel's number of the state.
    pub state: u8,
}

/// After which a wait for the last connection says what it waits for.
const LONG: Duration = Duration::from_secs(10);

/// `TCP_TIME_WAIT` of the kernel's `tcp_states.h`.
pub const TIME_WAIT: u8 = 6;
/// `TCP_LISTEN`, likewise.
pub const LISTEN: u8 = 10;
const ESTABLISHED: u8 = 1;

impl Netns {
    /// Makes a new namespace with its `lo` up.
    pub fn new() -> Result<Self> {
        std::thread::spawn(|| {
            // SAFETY: NEWNET changes nothing that memory safety rests on, and only for this thread.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
                .context("make a network namespace")?;
            loopback_up().context("bring lo up")?;
            Self::current()
        })
        .join()
        .map_err(|_| anyhow!("the thread that made a network namespace panicked"))?
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        let file = File::open("/proc/thread-self/ns/net").context("open the network namespace")?;
        let inode = file.metadata().context("stat the network namespace")?.ino();
        Ok(Self {
            handle: Arc::new(file.into()),
            inode,
        })
    }

    /// The inode number, as tracer prints it.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The handle, for programs that name a namespace by `/proc/PID/fd/N`.
    pub fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.handle.as_raw_fd()
        )
    }

    /// Runs `work` on a thread inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(
                        self.handle.as_fd(),
                        Some(LinkNameSpaceType::Network),
                    )
                    .context("enter a network namespace")?;
                    work()
                })
                .join()
                .map_err(|_| anyhow!("a thread inside a network namespace panicked"))?
        })
    }

    /// Makes `command` start inside.
    pub fn enter(&self, command: &mut Command) {
        let handle = Arc::clone(&self.handle);
        // SAFETY: the closure only makes a system call; it neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(io::Error::from)
            });
        }
    }

    /// Sets one of the namespace's `net.*` settings, named as below `/proc/sys/net`.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| {
            let path = format!("/proc/sys/net/{name}");
            std::fs::write(&path, value).with_context(|| format!("write {value} to {path}"))
        })
    }

    /// The TCP table, IPv4 and IPv6.
    pub fn sockets(&self) -> Result<Vec<Row>> {
        self.run(|| {
            let mut rows = Vec::new();
            for name in ["tcp", "tcp6"] {
                let path = format!("/proc/thread-self/net/{name}");
                let text = match std::fs::read_to_string(&path) {
                    Ok(text) => text,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error).with_context(|| format!("read {path}")),
                };
                for line in text.lines().skip(1) {
                    rows.push(row(line).with_context(|| format!("read a row of {path}: {line}"))?);
                }
            }
            Ok(rows)
        })
    }

    /// Waits until something listens on `port`.
    pub fn wait_listening(&self, port: u16) -> Result<()> {
        wait::until(&format!("a listener on port {port}"), || {
            let found = self
                .sockets()?
                .iter()
                .any(|row| row.state == LISTEN && row.local.port() == port);
            Ok(found.then_some(()))
        })
    }

    /// Waits until no connection is left but those in `TIME_WAIT`: every end was closed
    /// and every FIN delivered.
    pub fn wait_settled(&self) -> Result<()> {
        let begun = Instant::now();
        let mut told = false;
        wait::until("the last connection of the namespace to end", || {
            let mut busy = self.sockets()?;
            busy.retain(|row| !matches!(row.state, LISTEN | TIME_WAIT));
            if !told && begun.elapsed() > LONG {
                told = true;
                println!("netns: still waiting for {busy:?}");
            }
            Ok(busy.is_empty().then_some(()))
        })
    }

    /// The same where so many connections stay open.
    pub fn wait_settled_but(&self, open: usize) -> Result<()> {
        wait::until("all but some connections to end", || {
            let mut busy = self.sockets()?;
            busy.retain(|row| !matches!(row.state, LISTEN | TIME_WAIT));
            let all_open = busy.iter().all(|row| row.state == ESTABLISHED);
            Ok((all_open && busy.len() == open).then_some(()))
        })
    }

    /// Makes `lo` acknowledge at once what it otherwise acknowledges by a timer 40 ms later.
    ///
    /// A FIN that comes to a process too busy to answer is such a case: the timer's interrupt
    /// then ends the other side, in the midst of whatever process it hits. Hosts were seen where
    /// no eBPF program runs in an interrupt that hits a task of their own process 1, and where
    /// nothing counts that; this keeps the suite's exact figures from depending on it. Needs the
    /// program `ip`; without it all stays as it was.
    pub fn acknowledge_at_once(&self) {
        let v4 = "dev lo table local proto kernel scope host src 127.0.0.1 quickack 1";
        for (family, change, target, rest) in [
            ("-4", "replace", "127.0.0.0/8", v4),
            ("-4", "replace", "127.0.0.1", v4),
            ("-6", "del", "::1", "dev lo table local"),
            (
                "-6",
                "add",
                "::1",
                "dev lo table local proto kernel quickack 1",
            ),
        ] {
            let mut args = vec![family, "route", change, "local", target];
            args.extend(rest.split(' '));
            // Best effort, see above.
            let _ = self.command("ip", &args);
        }
    }

    /// Two namespaces joined by a cable: `10.77.0.1` and `fd77::1` in the first,
    /// `10.77.0.2` and `fd77::2` in the second. Needs the program `ip`.
    pub fn pair() -> Result<(Self, Self)> {
        let (first, second) = (Self::new()?, Self::new()?);
        first.command(
            "ip",
            &[
                "link", "add", "cable", "type", "veth", "peer", "name", "far",
            ],
        )?;
        // `ip` names a namespace by a process in it or by a file.
        let other = second.path();
        first.command("ip", &["link", "set", "far", "netns", &other])?;
        for (netns, link, n) in [(&first, "cable", 1), (&second, "far", 2)] {
            netns.command(
                "ip",
                &["addr", "add", &format!("10.77.0.{n}/24"), "dev", link],
            )?;
            netns.command(
                "ip",
                &[
                    "addr",
                    "add",
                    &format!("fd77::{n}/64"),
                    "dev",
                    link,
                    "nodad",
                ],
            )?;
            netns.command("ip", &["link", "set", link, "up"])?;
        }
        let v6 = [0xfd77, 0, 0, 0, 0, 0, 0, 2];
        for address in [IpAddr::from([10, 77, 0, 2]), v6.into()] {
            first.wait_answered((address, 9).into())?;
        }
        Ok((first, second))
    }

    /// A namespace with a link to each of two others, alike on both: `fe80::1` is at the near end,
    /// interfaces 11 and 12, and `fe80::2` at the far ends, interfaces 21 and 22. Needs the program
    /// `ip`.
    pub fn links() -> Result<(Self, [Self; 2])> {
        let near = Self::new()?;
        let others = [Self::new()?, Self::new()?];
        for (n, far) in others.iter().enumerate() {
            let [own, other] = [11 + n, 21 + n].map(|index| index.to_string());
            let (link, path) = (format!("link{}", n + 1), far.path());
            let add = format!(
                "link add name {link} index {own} type veth peer name far index {other} netns {path}"
            );
            near.command("ip", &add.split(' ').collect::<Vec<_>>())?;
            for (netns, link, address) in
                [(&near, &*link, "fe80::1/64"), (far, "far", "fe80::2/64")]
            {
                for change in [
                    // No other address than ours.
                    format!("link set dev {link} addrgenmode none"),
                    format!("address add {address} dev {link} nodad"),
                    format!("link set dev {link} up"),
                ] {
                    netns.command("ip", &change.split(' ').collect::<Vec<_>>())?;
                }
            }
        }
        for index in [11, 12] {
            let far = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
            near.wait_answered(SocketAddrV6::new(far, 9, 0, index).into())?;
        }
        Ok((near, others))
    }

    /// So many namespaces at one switch, `10.88.0.1`, `10.88.0.2` and so on; and the switch, which
    /// is to live as long as they do. Needs the program `ip`.
    pub fn switch(count: usize) -> Result<(Self, Vec<Self>)> {
        let switch = Self::new()?;
        if let Err(error) = switch.command("ip", &["link", "add", "switch", "type", "bridge"]) {
            return skip::skip("bridge", error);
        }
        switch.command("ip", &["link", "set", "switch", "up"])?;
        let mut hosts = Vec::new();
        for n in 1..=count {
            let host = Self::new()?;
            let port = format!("port{n}");
            let args = ["link", "add", &port, "type", "veth", "peer", "name", "eth0"];
            switch.command("ip", &args)?;
            switch.command("ip", &["link", "set", "eth0", "netns", &host.path()])?;
            switch.command("ip", &["link", "set", &port, "master", "switch", "up"])?;
            let address = format!("10.88.0.{n}/24");
            host.command("ip", &["addr", "add", &address, "dev", "eth0"])?;
            host.command("ip", &["link", "set", "eth0", "up"])?;
            hosts.push(host);
        }
        for host in &hosts {
            for n in 1..=count as u8 {
                host.wait_answered(([10, 88, 0, n], 9).into())?;
            }
        }
        Ok((switch, hosts))
    }

    /// Waits until packets to an address are answered. A link that is up may be dead for
    /// seconds, and its neighbours unknown for longer.
    fn wait_answered(&self, address: SocketAddr) -> Result<()> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.run(|| {
            wait::until(&format!("an answer of {address}"), || {
                // UDP, which is nothing to tracer. The answer is that nobody is there.
                let socket = UdpSocket::bind((any, 0)).context("make a socket")?;
                let answer = socket
                    .connect(address)
                    .and_then(|()| socket.set_read_timeout(Some(Duration::from_millis(100))))
                    .and_then(|()| socket.send(&[0]))
                    .and_then(|_| socket.recv(&mut [0]));
                let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                Ok(answer.is_err_and(|error| refused(&error)).then_some(()))
            })
        })
    }

    /// Runs a program inside and waits for its success.
    pub fn command(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(args);
        self.enter(&mut command);
        let output = command.output().with_context(|| format!("run {program}"))?;
        if !output.status.success() {
            bail!(
                "{program} {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Brings `lo` of the calling thread's namespace up.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // SAFETY: `ifreq` is plain data for which all zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *slot = byte.cast_signed();
    }
    // SAFETY: the request is a valid `ifreq` whose name ends in NUL; this call fills its flags.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call before filled the flags of the union.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    // SAFETY: as above; this call only reads it.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let local = endpoint(fields.nth(1)?)?;
    let remote = endpoint(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    Some(Row {
        local,
        remote,
        state,
    })
}

/// `0100007F:1F90`: the address as 32-bit words in the machine's byte order, and the port.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    let address: IpAddr = if address.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let mut bytes = [0; 16];
        for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
            chunk.copy_from_slice(&word(at)?);
        }
        Ipv6Addr::from(bytes).to_canonical()
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_families() {
        let v4 =
            "   0: 0100007F:1F90 0200007F:0050 01 00000000:00000000 00:00000000 00000000 0 0 1";
        let v6 = "   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:0050 0A 0";
        let both = (row(v4).expect("IPv4"), row(v6).expect("IPv6"));
        assert_eq!(both.0.local, "127.0.0.1:8080".parse().expect("address"));
        assert_eq!(
            (both.0.remote, both.0.state),
            ("127.0.0.2:80".parse().expect("address"), 1)
        );
        assert_eq!(both.1.local, "127.0.0.1:8080".parse().expect("address"));
        assert_eq!(
            (both.1.remote, both.1.state),
            ("[::1]:80".parse().expect("address"), LISTEN)
        );
    }
}
