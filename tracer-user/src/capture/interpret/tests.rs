//! Records that are read by hand.

use std::net::IpAddr;

use super::{
    super::{checks, decode},
    ending::state,
    processes::MAX_INTERNED,
    *,
};
use crate::model::{Closer, Reason};

#[test]
fn only_ends_of_a_link_have_the_scope_of_their_socket() {
    let of = |family: i32, local: &str, remote: &str| {
        let octets = |text: &str| match text.parse().expect("an address") {
            IpAddr::V4(v4) => {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&v4.octets());
                octets
            }
            IpAddr::V6(v6) => v6.octets(),
        };
        let ends = ends(&abi::Flow {
            local_address: octets(local),
            remote_address: octets(remote),
            local_port: 1,
            remote_port: 2,
            family: family as u16,
            reserved: 0,
            netns: 1,
            scope: 3,
        });
        [ends.local, ends.remote].map(|it| it.to_string())
    };
    let v6 = |local, remote| of(libc::AF_INET6, local, remote);
    assert_eq!(v6("fe80::1", "fe80::2"), ["[fe80::1%3]:1", "[fe80::2%3]:2"]);
    // A socket may be bound to an interface, whatever it talks to.
    assert_eq!(v6("::", "fe80::2"), ["[::]:1", "[fe80::2%3]:2"]);
    assert_eq!(
        v6("2001:db8::1", "fd00::2"),
        ["[2001:db8::1]:1", "[fd00::2]:2"]
    );
    assert_eq!(
        v6("::ffff:10.0.0.1", "::ffff:169.254.0.1"),
        ["10.0.0.1:1", "169.254.0.1:2"]
    );
    assert_eq!(
        of(libc::AF_INET, "10.0.0.1", "169.254.0.1"),
        ["10.0.0.1:1", "169.254.0.1:2"]
    );
}

#[test]
fn what_was_found_over_says_why_if_that_is_known() {
    let examples = checks::examples();
    let mut ended = examples
        .iter()
        .map(|bytes| decode::RecordBytes::from(&bytes[..]))
        .find_map(|bytes| match decode::decode(&bytes).ok()? {
            Record::Fail(ended) if !is_turned_away(ended) => Some(*ended),
            _ => None,
        })
        .expect("an example of it");
    ended.connection.flags = flags::FOUND_OVER | flags::SENT;
    for (errno, reason) in [
        (0, Reason::Other),
        (110, Reason::TimedOut),
        (111, Reason::Refused),
    ] {
        ended.errno = errno;
        assert_eq!(failure(&ended).reason, reason, "{errno}");
    }
}

#[test]
fn an_executable_is_told_as_by_proc() {
    let bytes = checks::examples();
    let bytes = bytes
        .iter()
        .map(|bytes| decode::RecordBytes::from(&bytes[..]));
    let mut executed = bytes
        .into_iter()
        .find_map(|bytes| match decode::decode(&bytes).ok()? {
            Record::Exec(executed) => Some(*executed),
            _ => None,
        })
        .expect("an example of it");
    let mut told = |names: &[u8], length: usize| {
        executed.exe = [0; abi::EXE_LEN];
        executed.exe[..names.len()].copy_from_slice(names);
        executed.exe_bytes = length as u32;
        executable(&executed)
    };
    let longest = [&[b'x'; 255][..], b"\0", &[b'y'; 255], b"\0"].concat();
    for (names, path) in [
        (&b"curl\0bin\0usr\0"[..], "/usr/bin/curl"),
        (b"memfd:x\0", "/memfd:x"),
        (b"gone (deleted)\0", "/gone"),
        (b"\xff\0a b\0", "/a b/\u{fffd}"),
        (
            &longest,
            &format!("/{}/{}", "y".repeat(255), "x".repeat(255)),
        ),
    ] {
        assert_eq!(told(names, names.len()).as_deref(), Some(path));
    }
    // It did not fit; and what the kernel side does not send.
    for length in [0, 3, abi::EXE_LEN + 1, usize::MAX] {
        assert_eq!(told(b"curl\0", length), None, "{length}");
    }
}

#[test]
fn what_ends_from_outside_is_nobodys_doing_here_though_its_error_was_taken() {
    let examples = checks::examples();
    let example = |is: fn(&Record<'_>) -> Option<abi::Ended>| {
        let mut records = examples
            .iter()
            .map(|bytes| decode::RecordBytes::from(&bytes[..]));
        let found = records.find_map(|bytes| is(&decode::decode(&bytes).ok()?));
        found.expect("an example of it")
    };
    let mut failed = example(|record| match record {
        Record::Fail(ended) if !is_turned_away(ended) => Some(**ended),
        _ => None,
    });
    let mut closed = example(|record| match record {
        Record::Close(ended) => Some(**ended),
        _ => None,
    });
    (failed.errno, closed.errno) = (0, 0);
    closed.connection.last_state = state::ESTABLISHED;
    for (more, reason, closer) in [
        (0, Reason::Abandoned, Some(Closer::Local)),
        (flags::FROM_OUTSIDE, Reason::Other, None),
    ] {
        failed.connection.flags = flags::SENT | more;
        closed.connection.flags = more;
        assert_eq!(failure(&failed).reason, reason);
        assert_eq!(closed_by(&closed), closer);
    }
}

#[test]
fn a_process_is_one_value_and_the_table_of_them_is_bounded() {
    let mut interpreter = Interpreter::new(Host {
        id: "6f1c0b6e".to_owned(),
        name: "web-1".to_owned(),
    });
    let number = |tgid| abi::Process {
        start_ns: 7,
        cgroup: 1,
        tgid,
        netns_owner: 0,
        uid: 33,
        source: abi::Source::HOOK,
        exec_id: 3,
        comm: *b"nginx\0\0\0\0\0\0\0\0\0\0\0",
    };
    for tgid in 1..=3 * MAX_INTERNED as u32 {
        let (known, _) = interpreter.process(&number(tgid));
        let known = known.expect("a process");
        let (again, _) = interpreter.process(&number(tgid));
        assert!(Arc::ptr_eq(&known, &again.expect("the same")));
        // With a socket of a namespace that a user owns.
        let (theirs, _) = interpreter.process(&abi::Process {
            netns_owner: 1000,
            ..number(tgid)
        });
        let theirs = theirs.expect("a process");
        assert_eq!((known.netns_owner, theirs.netns_owner), (None, Some(1000)));
        assert_eq!(known.pid, tgid);
        assert!(interpreter.processes.len() <= MAX_INTERNED);
    }
    assert_eq!(interpreter.met(), 6 * MAX_INTERNED as u64);
}
