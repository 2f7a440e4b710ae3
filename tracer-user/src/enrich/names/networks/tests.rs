use super::*;

#[test]
fn the_smallest_network_names_an_address() {
    let networks = Networks::parse(
        b"# ours\n\n10.0.0.0/8 office # all of it\n10.1.0.0/16\tlab\r\n10.1.2.3 printer\n\
          10.0.0.0/8 office\n2001:db8::/32 six\n2001:db8::1/128 one\n::ffff:192.168.0.0/112 home\n\
          127.0.0.0/8 self\n100.64.0.0/10 Stra\xc3\x9fe",
    )
    .expect("a file");
    for (address, expected) in [
        ("10.2.0.1", Some("office")),
        ("10.1.0.1", Some("lab")),
        ("10.1.2.3", Some("printer")),
        ("::ffff:10.1.2.3", Some("printer")),
        ("192.168.7.7", Some("home")),
        ("2001:db8::2", Some("six")),
        ("2001:db8::1", Some("one")),
        ("127.0.0.1", Some("self")),
        ("100.64.0.1", Some("Straße")),
        ("11.0.0.1", None),
        ("::1", None),
    ] {
        let parsed = address.parse().expect("an address");
        let name = networks.name(parsed).map(|name| &**name);
        assert_eq!(name, expected, "{address}");
    }
    let all = Networks::parse(b"0.0.0.0/0 four\n::/0 six\n").expect("a file");
    let name = |address: &str| all.name(address.parse().expect("an address")).cloned();
    assert_eq!(name("8.8.8.8").as_deref(), Some("four"));
    assert_eq!(name("2001::1").as_deref(), Some("six"));
    let none = Networks::default();
    assert_eq!(none.name("8.8.8.8".parse().expect("an address")), None);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let long = format!("10.0.0.0/8 {}", "x".repeat(254));
    for (file, expected) in [
        (
            &b"10.0.0.0/8 a\nten b\n"[..],
            "line 2: \"ten\" is no network: expected one like 10.0.0.0/8 or 2001:db8::/32, or an address",
        ),
        (
            b"\x1b[m a",
            "line 1: \"\\u{1b}[m\" is no network: expected one like 10.0.0.0/8 or 2001:db8::/32, or an address",
        ),
        (
            b"10.0.0.0/33 a",
            "line 1: \"10.0.0.0/33\" is no network: expected one like 10.0.0.0/8 or 2001:db8::/32, or an address",
        ),
        (
            b"# x\n\n10.0.0.1/8 a",
            "line 3: 10.0.0.1/8 is an address within a network: write 10.0.0.0/8 for all of it",
        ),
        (
            b"10.0.0.0/8",
            "line 1: 10.0.0.0/8 has no name: expected `CIDR NAME`",
        ),
        (
            b"10.0.0.0/8 # a",
            "line 1: 10.0.0.0/8 has no name: expected `CIDR NAME`",
        ),
        (
            b"10.0.0.0/8 a b",
            "line 1: \"b\" after the name: expected `CIDR NAME`",
        ),
        (
            b"10.0.0.0/8 a\x07",
            "line 1: the name \"a\\u{7}\" has control characters",
        ),
        (b"10.0.0.0/8 \xff", "line 1: not UTF-8"),
        (long.as_bytes(), "line 1: the name has more than 253 bytes"),
        (
            b"10.0.0.0/8 a\n10.0.0.0/8 b",
            "line 2: 10.0.0.0/8 has the name \"a\" already",
        ),
    ] {
        let error = Networks::parse(file).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
    let many: String = (0..70_000_u32)
        .map(|number| format!("{} a\n", std::net::Ipv4Addr::from_bits(number)))
        .collect();
    let error = Networks::parse(many.as_bytes()).expect_err("too many");
    assert_eq!(error.to_string(), "line 65537: more than 65536 networks");
}
