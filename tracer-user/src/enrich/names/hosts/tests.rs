use std::fs;

use super::*;

const INTERVAL_S: u64 = INTERVAL_NS / 1_000_000_000;

fn name(names: &HashMap<IpAddr, Arc<str>>, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().expect("an address");
    names.get(&address).map(ToString::to_string)
}

#[test]
fn the_first_name_of_the_first_line_counts() {
    let names = parse(
        b"# static\n127.0.0.1\tlocalhost\n127.0.1.1 me\n::1 ip6-localhost\nff02::1 ip6-allnodes\n\
          0.0.0.0 ads.test\n:: ads.test\n\
          10.0.0.1   Db.Test. db # the database\n10.0.0.1 other\r\n10.0.0.2 crlf.test\r\n\
          10.0.0.3\n10.0.0.4 # nothing\nnonsense x\n10.0.0.5 \xff\n10.0.0.6 esc\x1b[m\n\
          fe80::1%eth0 scoped\n2001:db8::1 six\n::ffff:10.0.0.7 mapped\n10.0.0.8 last",
    );
    for (address, expected) in [
        ("10.0.0.1", Some("db.test")),
        ("10.0.0.2", Some("crlf.test")),
        ("2001:db8::1", Some("six")),
        ("10.0.0.7", Some("mapped")),
        ("10.0.0.8", Some("last")),
        ("127.0.0.1", None),
        ("0.0.0.0", None),
        ("10.0.0.5", None),
    ] {
        assert_eq!(name(&names, address).as_deref(), expected, "{address}");
    }
    assert_eq!(names.len(), 5);
    let long = format!("10.0.0.1 {}\n", "x".repeat(254));
    assert!(parse(long.as_bytes()).is_empty());
    let many: String = (0..20_000_u32)
        .map(|number| {
            format!(
                "{} a\n",
                std::net::Ipv4Addr::from_bits(0x0a00_0000 + number)
            )
        })
        .collect();
    assert_eq!(parse(many.as_bytes()).len(), MAX_ADDRESSES);
}

#[test]
fn the_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    let mut hosts = Hosts::new(Some(path.clone()));
    let mut at = |now_s: u64| {
        hosts.refresh(now_s * 1_000_000_000);
        let address: IpAddr = "10.0.0.1".parse().expect("an address");
        hosts.name(address).map(ToString::to_string)
    };
    assert_eq!(at(0), None);
    fs::write(&path, "10.0.0.1 one\n").expect("written");
    assert_eq!(at(INTERVAL_S - 1), None, "looked at too soon");
    assert_eq!(at(INTERVAL_S).as_deref(), Some("one"));
    assert_eq!(at(2 * INTERVAL_S).as_deref(), Some("one"));
    // Replaced, as editors do: another file, maybe with the same times.
    fs::write(folder.path().join("new"), "10.0.0.1 two\n").expect("written");
    fs::rename(folder.path().join("new"), &path).expect("renamed");
    assert_eq!(at(3 * INTERVAL_S).as_deref(), Some("two"));
    fs::remove_file(&path).expect("removed");
    assert_eq!(at(4 * INTERVAL_S), None);
    fs::create_dir(&path).expect("a folder");
    assert_eq!(at(5 * INTERVAL_S), None);
}
