use super::*;

/// A /proc of our own making.
struct Fake {
    dir: tempfile::TempDir,
    proc: Proc,
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let proc = Proc::new(dir.path());
        Self { dir, proc }
    }

    fn write(&self, pid: u32, name: &str, content: impl AsRef<[u8]>) {
        let dir = self.dir.path().join(pid.to_string());
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join(name), content).expect("a file");
    }
}

fn stat_line(comm: &[u8]) -> Vec<u8> {
    let mut line = b"812 (".to_vec();
    line.extend_from_slice(comm);
    line.extend_from_slice(
        b") S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2000 184\n",
    );
    line
}

/// Where the tick begins that it started in, as the kernel's clock has it.
fn start_ns(stat: &Stat) -> u64 {
    (stat.start_ticks * tick_ns()).saturating_add_signed(-boot_offset_ns())
}

#[test]
fn reads_itself() {
    let proc = Proc::new("/proc");
    let pid = std::process::id();
    let stat = proc.stat(pid).expect("stat");
    assert!(stat.start_ticks > 0 && stat.started_at(start_ns(&stat)));
    assert_eq!(
        stat.ppid,
        Some(std::os::unix::process::parent_id()).filter(|it| *it != 0)
    );
    let exe = std::env::current_exe().expect("an executable");
    let entry = proc.open(pid).expect("an entry");
    assert_eq!(entry.exe().as_deref(), exe.to_str());
    let args: Vec<String> = std::env::args().collect();
    assert_eq!(entry.args().as_deref(), Some(&args[..]));
}

#[test]
fn a_process_that_is_not_there_is_none() {
    let fake = Fake::new();
    assert!(fake.proc.open(812).is_none());
    fs::create_dir(fake.dir.path().join("812")).expect("a directory");
    let entry = fake.proc.open(812).expect("an entry");
    assert!(entry.stat().is_none() && entry.exe().is_none());
    assert!(entry.args().is_none());
}

#[test]
fn the_name_may_hold_anything() {
    for comm in [
        "nginx",
        "",
        "a) S 1 2 (b",
        "))) ((",
        "two\nlines",
        "\t",
        "0 0 0 0 0",
        "(sd-pam)",
    ] {
        let stat = parse_stat(&stat_line(comm.as_bytes())).expect("a stat line");
        assert_eq!(
            stat,
            Stat {
                comm: comm.to_owned(),
                ppid: Some(1),
                start_ticks: 98_765
            }
        );
    }
    let stat = parse_stat(&stat_line(b"a\xff\xfe)")).expect("a stat line");
    assert_eq!(stat.comm, "a\u{fffd}\u{fffd})");
}

#[test]
fn no_cut_or_flip_of_a_stat_line_does_harm() {
    let line = stat_line(b"ng)in(x");
    for end in 0..line.len() {
        // What is left may still be read, up to the last byte of the start time.
        let _ = parse_stat(&line[..end]);
    }
    for at in 0..line.len() {
        for byte in 0..=u8::MAX {
            let mut line = line.clone();
            line[at] = byte;
            let _ = parse_stat(&line);
        }
    }
    for odd in [
        "",
        ")",
        "(",
        ")(",
        "1 (a",
        "1 a)",
        "1 (a)",
        "1 (a) S",
        "1 (a) S x",
        "1 (a) S -1 2 3",
    ] {
        assert_eq!(parse_stat(odd.as_bytes()), None, "{odd}");
    }
}

#[test]
fn the_first_process_has_no_parent() {
    let line = String::from_utf8(stat_line(b"init"))
        .expect("UTF-8")
        .replace(" S 1 ", " S 0 ");
    assert_eq!(parse_stat(line.as_bytes()).expect("a stat line").ppid, None);
}

#[test]
fn start_times_are_compared_as_ticks() {
    let stat = Stat {
        comm: String::new(),
        ppid: None,
        start_ticks: 250,
    };
    let start = start_ns(&stat);
    assert!(stat.started_at(start) && stat.started_at(start + tick_ns() - 1));
    assert!(!stat.started_at(start - 1) && !stat.started_at(start + tick_ns()));
}

#[test]
fn offsets_of_a_time_namespace() {
    let text = |offset: &str| format!("monotonic  5  6\nboottime   {offset}\n");
    assert_eq!(parse_boot_offset(&text("0 0")), Some(0));
    assert_eq!(
        parse_boot_offset(&text("1000000 7")),
        Some(1_000_000_000_000_007)
    );
    assert_eq!(parse_boot_offset(&text("-2 1")), Some(-1_999_999_999));
    for odd in ["", "1", "x 1", "9223372036854775807 0"] {
        assert_eq!(parse_boot_offset(&text(odd)), None, "{odd}");
    }
    assert_eq!(parse_boot_offset(""), None);
}

fn args(bytes: &[u8]) -> Option<Vec<String>> {
    {
        let kept = bytes.get(..MAX_ARGS_BYTES).unwrap_or(bytes);
        parse_args(kept, bytes.len() > MAX_ARGS_BYTES)
    }
    .map(|args| args.to_vec())
}

#[test]
fn arguments() {
    assert_eq!(args(b""), None);
    assert_eq!(args(b"\0\0\0"), None);
    assert_eq!(
        args(b"nginx: worker process"),
        Some(vec!["nginx: worker process".to_owned()])
    );
    assert_eq!(
        args(b"a\0\0b c\0\xff\0"),
        Some(["a", "", "b c", "\u{fffd}"].map(str::to_owned).to_vec())
    );
    assert_eq!(args(b"a\0\0\0"), Some(vec!["a".to_owned()]));
}

#[test]
fn arguments_are_bounded() {
    let exact = "a\0".repeat(MAX_ARGS);
    assert_eq!(
        args(exact.as_bytes()).map(|args| args.concat()),
        Some("a".repeat(MAX_ARGS))
    );
    let many = args("a\0".repeat(MAX_ARGS + 1).as_bytes()).expect("arguments");
    assert_eq!(
        (many.len(), many.last().map(String::as_str)),
        (MAX_ARGS, Some("a…"))
    );

    let fake = Fake::new();
    fake.write(812, "cmdline", "x".repeat(1_000_000));
    let long = fake
        .proc
        .open(812)
        .and_then(|it| it.args())
        .expect("arguments");
    assert_eq!(long[0], "x".repeat(MAX_ARGS_BYTES) + "…");
    // A character that the limit cuts in two must not panic.
    fake.write(812, "cmdline", "x".to_owned() + &"é".repeat(MAX_ARGS_BYTES));
    assert!(
        fake.proc
            .open(812)
            .and_then(|it| it.args())
            .expect("arguments")[0]
            .ends_with("\u{fffd}…")
    );
}

#[test]
fn executables() {
    let fake = Fake::new();
    fake.write(812, "stat", "");
    let link = fake.dir.path().join("812/exe");
    for (target, expected) in [
        ("/usr/sbin/nginx", "/usr/sbin/nginx"),
        ("/usr/sbin/nginx (deleted)", "/usr/sbin/nginx"),
        ("/memfd:x (deleted)", "/memfd:x"),
        ("/odd\n\u{1b}name", "/odd\n\u{1b}name"),
    ] {
        std::os::unix::fs::symlink(target, &link).expect("a link");
        assert_eq!(
            fake.proc.open(812).and_then(|it| it.exe()).as_deref(),
            Some(expected)
        );
        fs::remove_file(&link).expect("a link");
    }
}
