//! Against the kernel: namespaces of their own with rules of nftables. They need root, `ip`
//! and `nft`, and say so and do nothing where these are missing.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use rustix::{
    net::sockopt,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

use super::*;
use crate::{
    capture::Observers,
    model::{ConnectionId, Direction, Ends, specimens::events},
};

/// How long to wait for what the thread does.
const LONG: Duration = Duration::from_secs(30);

/// One that listens to what it may.
fn listening() -> Conntrack {
    let observers = Observers::alone();
    let ask = observers.map(|it| Box::new(move |socket| it.ask(socket)) as AskObservers);
    let mut conntrack = Conntrack::new();
    conntrack.listen("/proc".into(), ask).expect("threads");
    conntrack
}

/// Runs `test` on a thread of its own in a network namespace of its own, if that can be.
/// What listens is made before, so outside.
fn in_own_namespace(test: impl FnOnce(Conntrack) + Send + 'static) {
    let result = thread::spawn(|| {
        let translations = listening();
        // SAFETY: NEWNET changes nothing that memory safety rests on, and only this thread.
        if let Err(error) = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) } {
            println!("skipped: no network namespace can be made: {error}");
            return;
        }
        if let Err(why) =
            try_run("ip link set lo up").and_then(|()| try_run("nft add table inet t"))
        {
            println!("skipped: {why}");
            return;
        }
        let _resident = Resident::new();
        test(translations);
    })
    .join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// A process in the namespace of the thread that made it: only then it is one that lasts.
struct Resident(Child);

impl Resident {
    fn new() -> Self {
        let child = Command::new("sleep").arg("600").spawn();
        Self(child.expect("a process"))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command in the namespace of the calling thread.
fn try_run(command: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-c", command]).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command}: {}", error.trim()))
}

fn run(command: &str) {
    try_run(command).expect("a command that works");
}

fn current() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    let it = std::fs::metadata("/proc/thread-self/ns/net").expect("a namespace");
    u32::try_from(it.ino()).expect("its number")
}

/// Rules that send what goes to `10.9.9.9:80` and `[fd99::9]:80` to ports 8080 and 8081.
fn translate_locally() {
    run("ip addr add 10.1.1.1/32 dev lo; ip -6 addr add fd99::1/128 dev lo nodad");
    run("ip route add 10.9.9.9 dev lo src 10.1.1.1; ip -6 route add fd99::9 dev lo src fd99::1");
    run("nft 'add chain inet t out { type nat hook output priority -100 ; }'");
    run("nft add rule inet t out ip daddr 10.9.9.9 tcp dport 80 dnat ip to 127.0.0.1:8080");
    run("nft add rule inet t out ip daddr 10.9.9.9 udp dport 53 dnat ip to 127.0.0.1:5353");
    run("nft 'add rule inet t out ip6 daddr fd99::9 tcp dport 80 dnat ip6 to [fd99::1]:8081'");
}

/// Polls until `is_so`.
fn wait(translations: &mut Conntrack, what: &str, is_so: impl Fn(&Conntrack) -> bool) {
    let end = Instant::now() + LONG;
    while !is_so(translations) {
        let state = (
            translations.extent(),
            translations.troubles(),
            translations.outcome,
        );
        assert!(Instant::now() < end, "waiting for {what}: {state:?}");
        thread::sleep(Duration::from_millis(5));
        translations.poll();
    }
}

fn wait_listening(translations: &mut Conntrack, netns: u32) {
    wait(translations, "a look around", |it| it.outcome.is_some());
    assert_eq!(translations.blind(), []);
    translations.notice(netns, std::process::id());
    wait(translations, "to be listened to", |it| {
        it.listened.contains_key(&netns)
    });
}

fn connection(netns: u32, direction: Direction, ends: Ends, begun_ns: u64) -> Connection {
    let mut it = events::connect().connection;
    it.id = ConnectionId { begun_ns, salt: 0 };
    (it.netns, it.direction, it.ends, it.existing) = (netns, Some(direction), ends, false);
    it
}

/// Connects to `dialled`; the two sockets, and what the connection is at either end.
fn connect(
    netns: u32,
    listener: &TcpListener,
    dialled: SocketAddr,
) -> (TcpStream, TcpStream, Connection, Connection) {
    let begun_ns = now_ns();
    let client = TcpStream::connect(dialled).expect("a connection");
    let (server, _) = listener.accept().expect("its other end");
    let ends = |socket: &TcpStream| Ends {
        local: socket.local_addr().expect("an address"),
        remote: socket.peer_addr().expect("an address"),
    };
    let outbound = connection(netns, Direction::Outbound, ends(&client), begun_ns);
    let inbound = connection(netns, Direction::Inbound, ends(&server), begun_ns);
    (client, server, outbound, inbound)
}

fn expected(outbound: &Connection, inbound: &Connection) -> Option<Tracked> {
    Some(Tracked {
        client: outbound.ends.local,
        dialled: outbound.ends.remote,
        server: inbound.ends.local,
        server_sees: inbound.ends.remote,
    })
}

#[test]
fn who_answered_is_known_as_soon_as_the_connection_is() {
    in_own_namespace(|mut translations| {
        let netns = current();
        translate_locally();
        wait_listening(&mut translations, netns);
        for (own, dialled) in [
            ("127.0.0.1:8080", "10.9.9.9:80"),
            ("[fd99::1]:8081", "[fd99::9]:80"),
        ] {
            let listener = TcpListener::bind(own).expect("a listener");
            let dialled = dialled.parse().expect("an address");
            for _ in 0..100 {
                let (_client, _server, mut outbound, inbound) = connect(netns, &listener, dialled);
                // Once: nothing is waited for.
                translations.poll();
                let expected = expected(&outbound, &inbound);
                assert_eq!(translations.translated(&outbound), expected);
                assert_eq!(translations.translated(&inbound), expected);
                outbound.id.begun_ns = now_ns() + 1;
                assert_eq!(translations.translated(&outbound), None);
            }
        }
        assert_eq!(translations.troubles().overruns, 0);
    });
}

#[test]
fn what_is_not_translated_tcp_is_not_even_heard() {
    in_own_namespace(|mut translations| {
        let netns = current();
        translate_locally();
        wait_listening(&mut translations, netns);
        let listener = TcpListener::bind("10.1.1.1:8080").expect("a listener");
        for _ in 0..20 {
            let dialled = "10.1.1.1:8080".parse().expect("an address");
            let _ends = connect(netns, &listener, dialled);
            // This one is translated, but not TCP.
            let socket = UdpSocket::bind("10.1.1.1:0").expect("a socket");
            let _ = socket.send_to(&[0], "10.9.9.9:53");
        }
        assert_eq!(translations.hear_one(netns, 1000), 0);
        assert_eq!(translations.table.len_of(netns), 0);
    });
}

#[test]
fn what_was_there_before_and_what_was_lost_is_read() {
    in_own_namespace(|mut translations| {
        let netns = current();
        translate_locally();
        // And one whose source only is translated.
        run("nft 'add chain inet t post { type nat hook postrouting priority 100 ; }'");
        run("nft add rule inet t post ip daddr 10.1.1.1 tcp dport 8082 snat ip to 10.1.1.7");
        run("ip addr add 10.1.1.7/32 dev lo");
        let listener = TcpListener::bind("127.0.0.1:8080").expect("a listener");
        let masked = TcpListener::bind("10.1.1.1:8082").expect("a listener");
        let dialled = "10.9.9.9:80".parse().expect("an address");
        let before = connect(netns, &listener, dialled);
        let (_c, _s, mut out, mut inn) =
            connect(netns, &masked, "10.1.1.1:8082".parse().expect("an address"));
        assert_eq!(inn.ends.remote.ip(), IpAddr::from([10, 1, 1, 7]));
        wait_listening(&mut translations, netns);
        wait(&mut translations, "a dump", |it| {
            it.table.len_of(netns) == 2
        });
        (out.existing, inn.existing) = (true, true);
        let whole = expected(&out, &inn);
        assert_eq!(translations.translated(&out), whole);
        assert_eq!(translations.translated(&inn), whole);
        let (mut out, inn) = (before.2, before.3);
        out.existing = true;
        assert_eq!(translations.translated(&out), expected(&out, &inn));

        let sockets = Arc::clone(&translations.listened[&netns].sockets);
        {
            let socket = sockets.listener();
            let socket = socket.as_ref().expect("a socket");
            sockopt::set_socket_recv_buffer_size(socket, 0).expect("a small queue");
        }
        let all: Vec<_> = (0..100)
            .map(|_| connect(netns, &listener, dialled))
            .collect();
        wait(&mut translations, "a repair", |it| {
            it.table.len_of(netns) == 102
        });
        assert!(translations.troubles().overruns >= 1);
        for (_, _, outbound, inbound) in &all {
            let expected = expected(outbound, inbound);
            assert_eq!(translations.translated(outbound), expected);
        }
    });
}

#[test]
fn a_pod_is_translated_by_its_host() {
    in_own_namespace(|mut translations| {
        let host = current();
        let (pod_is, pod_was) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let pod = thread::spawn(move || {
            // SAFETY: as above.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace");
            let file = std::fs::File::open("/proc/thread-self/ns/net").expect("a namespace");
            let _resident = Resident::new();
            pod_is.send((file, current())).expect("a reader");
            let _ = finished.recv();
        });
        let (pod_file, pod_netns) = pod_was.recv().expect("a namespace");
        let path = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            std::os::fd::AsRawFd::as_raw_fd(&pod_file)
        );
        run(&format!(
            "ip link add cable type veth peer name far netns {path}"
        ));
        run("ip addr add 10.77.0.1/24 dev cable; ip link set cable up");
        run("nft 'add chain inet t pre { type nat hook prerouting priority -100 ; }'");
        run("nft add rule inet t pre ip daddr 10.9.9.9 tcp dport 80 dnat ip to 10.77.0.1:8080");
        wait_listening(&mut translations, host);
        let listener = TcpListener::bind("10.77.0.1:8080").expect("a listener");
        let dial = move || {
            move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&pod_file),
                Some(LinkNameSpaceType::Network),
            )
            .expect("to get in");
            run("ip link set lo up; ip addr add 10.77.0.2/24 dev far; ip link set far up");
            run("ip route add default via 10.77.0.1");
            let begun_ns = now_ns();
            let socket = TcpStream::connect((Ipv4Addr::new(10, 9, 9, 9), 80)).expect("to connect");
            (socket, begun_ns)
        };
        let (client, begun_ns) = thread::spawn(dial).join().expect("a connection");
        let (server, _) = listener.accept().expect("its other end");
        translations.poll();
        let ends = |socket: &TcpStream| Ends {
            local: socket.local_addr().expect("an address"),
            remote: socket.peer_addr().expect("an address"),
        };
        let outbound = connection(pod_netns, Direction::Outbound, ends(&client), begun_ns);
        let inbound = connection(host, Direction::Inbound, ends(&server), begun_ns);
        let expected = expected(&outbound, &inbound);
        assert_eq!(translations.translated(&outbound), expected);
        assert_eq!(translations.translated(&inbound), expected);

        // And the pod's own namespace, which is left when it is gone.
        wait_listening(&mut translations, pod_netns);
        drop((client, server, finish));
        pod.join().expect("an end");
        wait(&mut translations, "the end of a namespace", |it| {
            !it.listened.contains_key(&pod_netns)
        });
        assert!(translations.listened.contains_key(&host));
    });
}

#[test]
fn a_namespace_of_a_thread_is_found_by_who_has_a_socket_in_it() {
    in_own_namespace(|mut translations| {
        let (is, was) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            // SAFETY: as above.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace");
            is.send(current()).expect("a reader");
            let _ = finished.recv();
        });
        let netns = was.recv().expect("a namespace");
        wait_listening(&mut translations, netns);
        drop(finish);
        thread.join().expect("an end");
        wait(&mut translations, "its end", |it| {
            !it.listened.contains_key(&netns)
        });
        // One that is not there is asked for, and that is all.
        translations.notice(1, std::process::id());
        translations.poll();
    });
}

#[test]
fn who_may_not_is_told_so() {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let test = || {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        // Of this thread and those that it makes.
        set_capabilities(None, none).expect("fewer rights");
        let mut translations = listening();
        assert_eq!(translations.blind(), []);
        wait(&mut translations, "a look around", |it| {
            it.outcome.is_some()
        });
        let blind = translations.blind();
        assert_eq!(blind.is_empty(), translations.is_unused(), "{blind:?}");
        assert_eq!(translations.extent(), (0, 0));
        if let Some(blind) = blind.first() {
            assert_eq!(blind.id, Some(BlindId::Translations));
            assert!(blind.why.contains("CAP_NET_ADMIN"), "{blind:?}");
        }
    };
    thread::spawn(test).join().expect("a test that passes");
}

/// Prints what it costs the kernel that somebody listens, for each connection that is tracked
/// but not translated. The processor time of the one thread is all there is on `lo`.
#[test]
#[ignore = "a measurement"]
fn what_listening_costs() {
    in_own_namespace(|translations| {
        // It would listen too.
        drop(translations);
        translate_locally();
        let listener = TcpListener::bind("10.1.1.1:8080").expect("a listener");
        let dialled: SocketAddr = "10.1.1.1:8080".parse().expect("an address");
        let reset = |socket: TcpStream| {
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("an option");
        };
        let round = || {
            let begun = clock_gettime(ClockId::ThreadCPUTime);
            for _ in 0..2000 {
                let client = TcpStream::connect(dialled).expect("a connection");
                let (server, _) = listener.accept().expect("its other end");
                reset(client);
                reset(server);
            }
            let ended = clock_gettime(ClockId::ThreadCPUTime);
            let ns = (ended.tv_sec - begun.tv_sec) * 1_000_000_000 + ended.tv_nsec - begun.tv_nsec;
            ns / 2000
        };
        // In turn, as the time of a connection drifts with what the table holds.
        let mut rounds = Vec::new();
        for _ in 0..41 {
            let without = round();
            let socket = socket::listen().expect("a socket");
            let with = round();
            let heard = socket::hear(&socket, &mut [0; 4096]);
            assert!(matches!(heard, Heard::Nothing));
            drop(socket);
            rounds.push((with - without, without));
        }
        rounds.sort_unstable();
        let (more, without) = rounds[rounds.len() / 2];
        let quartiles = (rounds[10].0, rounds[30].0);
        println!("listening: {more} ns more of {without} ns, quartiles {quartiles:?}");

        let mut table = Table::new();
        let it = events::connect().connection;
        let time = |table: &mut Table, what| {
            let begun = Instant::now();
            for _ in 0..1_000_000 {
                let ends = std::hint::black_box(&it.ends);
                std::hint::black_box(table.translated(1, ends, Direction::Outbound, None));
            }
            println!(
                "a lookup in {what}: {} ps",
                begun.elapsed().as_nanos() / 1000
            );
        };
        time(&mut table, "an empty table");
        for port in 0..30_000 {
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let translation = Tracked {
                client,
                dialled: dialled_of(1),
                server: dialled_of(2),
                server_sees: client,
            };
            let entry = message::Entry {
                zone: 0,
                translation,
            };
            table.learn(1, &entry, 0);
        }
        time(&mut table, "a full one, in vain");
        let mut translations = listening();
        wait_listening(&mut translations, current());
        let begun = Instant::now();
        for _ in 0..100_000 {
            translations.poll();
        }
        println!(
            "a poll for nothing: {} ns",
            begun.elapsed().as_nanos() / 100_000
        );
    });
}

fn dialled_of(last: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, last), 80).into()
}
