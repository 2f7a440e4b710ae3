//! Type information that is written by hand.

use super::*;

/// Writes BTF by hand: enough of it for the questions above.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at as u32
    }

    fn add(
        &mut self,
        name: &str,
        kind: u32,
        vlen: u32,
        size_or_type: u32,
        trailer: &[u32],
    ) -> &mut Self {
        let name = self.name(name);
        for word in [name, kind << 24 | vlen, size_or_type]
            .iter()
            .chain(trailer)
        {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self
    }

    fn build(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&[1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [HEADER_LEN as u32, 0, types, types, strings] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// `struct sock { int a; struct { int b; }; volatile-int c[3]; }; int f(int, int);`
fn sample() -> Vec<u8> {
    let mut b = Builder::default();
    let (a, inner, c) = (b.name("a"), b.name("b"), b.name("c"));
    b.add("int", KIND_INT, 0, 4, &[32]); // 1
    b.add("", KIND_STRUCT, 1, 4, &[inner, 1, 0]); // 2
    b.add("", KIND_VOLATILE, 0, 1, &[]); // 3
    b.add("", KIND_ARRAY, 0, 0, &[3, 1, 3]); // 4
    b.add("sock", KIND_STRUCT, 3, 20, &[a, 1, 0, 0, 2, 32, c, 4, 64]); // 5
    b.add("", KIND_FUNC_PROTO, 2, 1, &[0, 1, 0, 1]); // 6
    b.add("f", KIND_FUNC, 1, 6, &[]); // 7
    b.build()
}

#[test]
fn finds_members_also_in_anonymous_structures() {
    let btf = Btf::parse(sample()).expect("sample parses");
    assert_eq!(btf.member("sock", "a"), Ok(Member { offset: 0, size: 4 }));
    assert_eq!(btf.member("sock", "b"), Ok(Member { offset: 4, size: 4 }));
    assert_eq!(
        btf.member("sock", "c"),
        Ok(Member {
            offset: 8,
            size: 12
        })
    );
    assert!(matches!(
        btf.member("sock", "d"),
        Err(BtfError::NoMember(..))
    ));
    assert!(matches!(
        btf.member("socket", "a"),
        Err(BtfError::NoType(_))
    ));
    assert_eq!(btf.parameters("f"), Ok(2));
    assert!(matches!(btf.parameters("g"), Err(BtfError::NoType(_))));
}

#[test]
fn refuses_names_that_disagree() {
    let mut b = Builder::default();
    let a = b.name("a");
    b.add("int", KIND_INT, 0, 4, &[32]);
    b.add("sock", KIND_STRUCT, 1, 4, &[a, 1, 0]);
    b.add("sock", KIND_STRUCT, 1, 8, &[a, 1, 32]);
    let btf = Btf::parse(b.build()).expect("parses");
    assert!(matches!(
        btf.member("sock", "a"),
        Err(BtfError::Ambiguous(..))
    ));
}

#[test]
fn unknown_kinds_are_named() {
    let mut b = Builder::default();
    b.add("int", 30, 0, 4, &[]);
    assert_eq!(Btf::parse(b.build()).err(), Some(BtfError::UnknownKind(30)));
}

#[test]
fn damaged_bytes_never_panic() {
    let good = sample();
    for cut in 0..good.len() {
        let _ = Btf::parse(good[..cut].to_vec()).map(|btf| btf.member("sock", "c.x"));
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok(btf) = Btf::parse(bad) {
                let _ = (
                    btf.member("sock", "b"),
                    btf.member("sock", "c"),
                    btf.parameters("f"),
                );
            }
        }
    }
}

/// Each structure of the name may have used up what all of them have together.
#[test]
fn work_is_bounded_for_all_structures_of_a_name_together() {
    let mut b = Builder::default();
    let a = b.name("a");
    b.add("int", KIND_INT, 0, 4, &[32]); // 1
    // 2: contains itself eight times over, anonymously
    b.add("", KIND_STRUCT, 8, 4, &[0, 2, 0].repeat(8));
    b.add("sock", KIND_STRUCT, 1, 4, &[a, 1, 0]);
    for _ in 0..50_000 {
        b.add("sock", KIND_STRUCT, 1, 4, &[0, 2, 0]);
    }
    let btf = Btf::parse(b.build()).expect("parses");
    assert_eq!(btf.member("sock", "a"), Err(ENDLESS));
}

/// Took time by the square of its size.
#[test]
fn a_long_name_of_many_types_is_not_measured_for_each() {
    let mut b = Builder::default();
    let long = b.name(&"s".repeat(2_000_000));
    for _ in 0..200_000 {
        let info = KIND_PTR << 24;
        b.types
            .extend([long, info, 0].iter().flat_map(|word| word.to_ne_bytes()));
    }
    b.add("sock", KIND_STRUCT, 0, 4, &[]);
    let mut btf = Btf::parse(b.build()).expect("parses");
    btf.look_for(["sock", "tcp_sock"].into_iter());
    assert_eq!(btf.found["sock"].len(), 1);
}

#[test]
fn types_that_contain_themselves_end() {
    let mut b = Builder::default();
    b.add("", KIND_STRUCT, 1, 4, &[0, 1, 0]); // 1: contains itself, anonymously
    let a = b.name("loop");
    b.add("sock", KIND_STRUCT, 2, 4, &[0, 1, 0, a, 3, 0]); // 2
    b.add("", KIND_CONST, 0, 3, &[]); // 3: qualifies itself
    let btf = Btf::parse(b.build()).expect("parses");
    assert!(btf.member("sock", "x").is_err());
    assert!(btf.member("sock", "loop").is_err());
}
