use super::*;
use crate::model::{
    AddressEvidence, ConnectionEvent, Ends, ListenerEvent, Phase, Reason, Translation,
    specimens::events,
};

fn filter(line: &str) -> Filter {
    Filter::new(&crate::cli::filter(line))
}

/// Which of the specimens `line` admits, in their order.
fn admitted(line: &str) -> Vec<&'static str> {
    let filter = filter(line);
    let specimens = [
        // nginx[812], 10.0.0.5:41532 → 10.0.0.9:5432
        ("connect", Body::Connect(events::connect())),
        // nginx[812], [2001:db8::5]:41532 → [2001:db8::9]:443
        ("accept", Body::Accept(events::accept())),
        // Neither process nor direction known.
        ("unknown", Body::Close(events::close_existing())),
        (
            "fail",
            Body::Fail(loopback(events::fail(Phase::Remote, Reason::Refused, None))),
        ),
        // nginx[812], 0.0.0.0:80
        ("listen", Body::Listen(events::listener())),
        ("local", Body::Unlisten(local_listener())),
    ];
    let admitted = specimens
        .into_iter()
        .filter(|(_, body)| filter.admits(&events::event(body.clone())))
        .map(|(name, _)| name);
    admitted.collect()
}

fn loopback(mut event: ConnectionEvent) -> ConnectionEvent {
    let local = "127.0.0.1:40000".parse().expect("an address");
    event.connection.ends = Ends {
        local,
        remote: "127.0.0.1:6379".parse().expect("an address"),
    };
    event.process = Some(events::process("redis-cli"));
    event
}

fn local_listener() -> ListenerEvent {
    let mut event = events::listener();
    event.listener.local = "[::1]:8080".parse().expect("an address");
    event.process = None;
    event
}

const ALL: [&str; 6] = ["connect", "accept", "unknown", "fail", "listen", "local"];

#[test]
fn without_options_everything_passes() {
    assert_eq!(admitted(""), ALL);
}

#[test]
fn start_loss_and_stop_always_pass() {
    let filter = filter(
        "--pid 1 --comm x --port 1 --net 192.0.2.1 --direction in --event accept --loopback only",
    );
    for body in [
        Body::Start(events::start()),
        Body::Loss(Box::new(events::loss())),
        Body::Stop(Box::new(events::stop(true))),
    ] {
        assert!(filter.admits(&events::event(body)));
    }
}

#[test]
fn processes_must_be_known() {
    assert_eq!(
        admitted("--pid 812"),
        ["connect", "accept", "fail", "listen"]
    );
    assert_eq!(admitted("--pid 813"), [""; 0]);
    assert_eq!(
        admitted("--comm *"),
        ["connect", "accept", "fail", "listen"]
    );
    assert_eq!(admitted("--comm redis*"), ["fail"]);
    assert_eq!(
        admitted("--comm {redis-cli,ng?nx}"),
        ["connect", "accept", "fail", "listen"]
    );
}

#[test]
fn a_port_is_the_servers_unless_nobody_knows_whose_it_is() {
    assert_eq!(admitted("--port 5432"), ["connect", "unknown"]);
    assert_eq!(admitted("--port 41532"), ["unknown"]);
    assert_eq!(admitted("--port 443"), ["accept"]);
    assert_eq!(
        admitted("--port 80,8080 --port 6379"),
        ["fail", "listen", "local"]
    );
}

#[test]
fn ports_of_one_end() {
    assert_eq!(admitted("--server-port 5432"), ["connect"]);
    assert_eq!(admitted("--server-port 443"), ["accept"]);
    assert_eq!(admitted("--server-port 41532"), [""; 0]);
    assert_eq!(admitted("--server-port 80,8080"), ["listen", "local"]);
    assert_eq!(admitted("--client-port 41532"), ["connect", "accept"]);
    assert_eq!(admitted("--client-port 443 --client-port 40000"), ["fail"]);
    // Who listens has no client yet.
    assert_eq!(admitted("--client-port 80,8080"), [""; 0]);
    assert_eq!(
        admitted("--server-port 5432 --client-port 41532"),
        ["connect"]
    );
    assert_eq!(admitted("--server-port 5432 --client-port 443"), [""; 0]);
    let process = Body::Exec(events::process_event(None));
    for line in ["--port 80", "--server-port 80", "--client-port 80"] {
        assert!(!filter(&format!("{line} --event exec")).admits(&events::event(process.clone())));
    }
}

/// Each option by itself, so that none is forgotten where it is asked whether there is any.
#[test]
fn every_option_is_one() {
    assert!(crate::cli::filter("--loopback show").admits_all());
    for line in [
        "--pid 1",
        "--comm x",
        "--workload x",
        "--port 1",
        "--server-port 1",
        "--client-port 1",
        "--net ::1",
        "--direction in",
        "--event close",
        "--loopback hide",
    ] {
        assert!(!crate::cli::filter(line).admits_all(), "{line}");
    }
}

#[test]
fn what_was_dialled_is_a_port_of_the_server() {
    let mut dialled = events::connect();
    let ends = dialled.connection.ends;
    let other = |port| std::net::SocketAddr::new(ends.remote.ip(), port);
    dialled.connection.translation = Some(Box::new(Translation {
        dialled: other(15432),
        server: other(25432),
        evidence: AddressEvidence::Conntrack,
    }));
    let event = events::event(Body::Connect(dialled));
    for (port, is_server) in [(5432, true), (15432, true), (25432, true), (41532, false)] {
        let admits = |option: &str| filter(&format!("--{option} {port}")).admits(&event);
        assert_eq!(admits("port"), is_server, "{port}");
        assert_eq!(admits("server-port"), is_server, "{port}");
        assert_eq!(admits("client-port"), !is_server, "{port}");
    }
}

#[test]
fn networks_of_either_end() {
    assert_eq!(admitted("--net 10.0.0.9"), ["connect", "unknown"]);
    assert_eq!(admitted("--net 10.0.0.77/24"), ["connect", "unknown"]);
    assert_eq!(admitted("--net ::ffff:10.0.0.9"), ["connect", "unknown"]);
    assert_eq!(
        admitted("--net ::ffff:10.0.0.0/104"),
        ["connect", "unknown"]
    );
    assert_eq!(admitted("--net 2001:db8::/32,::1"), ["accept", "local"]);
    assert_eq!(admitted("--net ::/0"), ["accept", "local"]);
}

#[test]
fn a_link_of_many() {
    let mut event = events::connect();
    event.connection.ends = Ends {
        local: "[fe80::5%2]:41532".parse().expect("an address"),
        remote: "[fe80::1%2]:5432".parse().expect("an address"),
    };
    let event = events::event(Body::Connect(event));
    for (net, admits) in [
        ("fe80::/10", true),
        ("fe80::1", true),
        ("fe80::1%2", true),
        ("fe80::%2/64", true),
        ("fe80::1%3", false),
        ("fe80::%3/64", false),
        ("fe80::7%2", false),
    ] {
        assert_eq!(
            filter(&format!("--net {net}")).admits(&event),
            admits,
            "{net}"
        );
    }
}

#[test]
fn directions_must_be_known() {
    assert_eq!(admitted("--direction out"), ["connect", "fail"]);
    assert_eq!(admitted("--direction in"), ["accept"]);
}

#[test]
fn kinds() {
    assert_eq!(
        admitted("--event connect,close --event unlisten"),
        ["connect", "unknown", "local"]
    );
}

#[test]
fn loopback_connections_and_listeners() {
    assert_eq!(admitted("--loopback show"), ALL);
    assert_eq!(admitted("--loopback only"), ["fail", "local"]);
    assert_eq!(
        admitted("--loopback hide"),
        ["connect", "accept", "unknown", "listen"]
    );
}

#[test]
fn all_options_must_match() {
    assert_eq!(
        admitted("--comm nginx --direction out --port 5432"),
        ["connect"]
    );
    assert_eq!(admitted("--comm nginx --direction in --port 5432"), [""; 0]);
}
