use super::{super::holds::Holds, *};

fn holds() -> Arc<Shared> {
    Holds::start(None, None).expect("no thread").shared()
}

#[test]
fn only_the_file_of_that_namespace_is_opened() {
    let own = Path::new("/proc/self/ns/net");
    let number = number_at(own).expect("the own namespace");
    assert!(namespace_at(own, number).is_some());
    assert!(namespace_at(own, number + 1).is_none());
    // Of the right number, but no namespace: to open a pipe would wait for a writer.
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(CWD, &pipe, Mode::RWXU).expect("a pipe");
    let its = rustix::fs::stat(&pipe).expect("a pipe").st_ino;
    assert!(namespace_at(&pipe, number_or_any(its)).is_none());
}

fn number_or_any(inode: u64) -> u32 {
    number(inode).unwrap_or(1)
}

#[test]
fn mounts_that_keep_a_namespace() {
    let line = b"310 25 0:4 net:[4026532281] /run/netns/blue\\040one rw shared:2 - nsfs nsfs rw";
    let path = PathBuf::from("/run/netns/blue one");
    assert_eq!(kept_by(line), Some((4_026_532_281, path)));
    for other in [
        "24 1 0:22 / /sys rw,nosuid - sysfs sysfs rw",
        "310 25 0:4 mnt:[4026532281] /run/mnt rw - nsfs nsfs rw",
        "310 25 0:4 net:[4026532281",
        "310 25 0:4 net:[99999999999] /x rw - nsfs nsfs rw",
        "",
    ] {
        assert_eq!(kept_by(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn escapes_are_undone_and_others_stay() {
    let cases = [
        ("a\\040b\\134", "a b\\"),
        ("a\\04", "a\\04"),
        ("\\999", "\\999"),
        ("\\777", "\\777"),
        ("", ""),
    ];
    for (from, to) in cases {
        assert_eq!(unescape(from.as_bytes()), to.as_bytes(), "{from}");
    }
}

#[test]
fn the_own_namespace_is_found() {
    let own = number_at(Path::new("/proc/self/ns/net")).expect("the own namespace");
    let (reporter, _reports) = sync_channel(1);
    let found = Worker::new("/proc".into(), holds(), reporter).find();
    assert!(found.contains_key(&own));
}

#[test]
fn the_thread_ends_with_who_asks() {
    let (reporter, reports) = sync_channel(1);
    let (asks, asked) = sync_channel(1);
    drop((reports, asks));
    // It does not hang.
    let ended = Worker::new("/nowhere".into(), holds(), reporter).run(&asked);
    assert!(ended.is_err());
}
