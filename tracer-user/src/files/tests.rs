//! What others may have put where a file is to be, with real files. Those of other users need root.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::geteuid;
use tempfile::TempDir;

use super::*;

const OLD: &str = "what was recorded before";
const STRANGER: u32 = 54_321;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn old_file(folder: &Path) -> PathBuf {
    let path = folder.join("events.jsonl");
    fs::write(&path, OLD).expect("written");
    path
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// Fails if `act` waits: for who opens the other end of a pipe.
fn at_once<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(act()));
    told.recv_timeout(Duration::from_secs(5)).expect("it waits")
}

/// Why `path` is not written to.
fn refused(path: &Path) -> String {
    let path = path.to_owned();
    let error = at_once(move || Output::open(&path).map(drop)).expect_err("it is refused");
    let text = error.to_string();
    assert!(text.contains("; "), "nothing to do about it: {text}");
    text
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn what_is_written_is_for_the_caller_alone() {
    let folder = folder();
    let path = folder.path().join("new.jsonl");
    let mut output = Output::open(&path).expect("there is none");
    output.write_all(b"a").expect("written");
    output.write_all(b"b").expect("written");
    assert_eq!(text(&path), "ab");
    assert_eq!(mode(&path), 0o600);
    // One that others could read before.
    let path = old_file(folder.path());
    set_mode(&path, 0o666);
    Output::open(&path)
        .expect("it is ours")
        .write_all(b"new")
        .expect("written");
    assert_eq!(text(&path), "new");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_run_that_is_refused_loses_nothing() {
    let folder = folder();
    let path = old_file(folder.path());
    drop(Output::open(&path).expect("it is ours"));
    assert_eq!(text(&path), OLD);
    let new = folder.path().join("new.jsonl");
    drop(Output::open(&new).expect("there is none"));
    assert!(!new.exists(), "an empty file is left");
}

#[test]
fn nothing_is_written_through_a_link() {
    let folder = folder();
    let path = old_file(folder.path());
    let link = folder.path().join("link");
    symlink(&path, &link).expect("a link");
    assert!(refused(&link).contains("symbolic link"));
    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("elsewhere"), &dangling).expect("a link");
    assert!(refused(&dangling).contains("symbolic link"));
    assert!(!folder.path().join("elsewhere").exists());
    fs::hard_link(&path, folder.path().join("twin")).expect("a second name");
    assert!(refused(&path).contains("hard links"));
    assert_eq!(text(&path), OLD);
}

#[test]
fn only_files_are_written_to_and_nothing_waits() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    assert!(refused(&pipe).contains("a pipe"));
    // Also with somebody at the other end, to whom all would be told.
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("opened");
    assert!(refused(&pipe).contains("a pipe"));
    drop(reader);
    assert!(refused(folder.path()).contains("a folder"));
    assert!(refused(Path::new("/")).contains("a folder"));
    assert!(refused(Path::new("/dev/null")).contains("a device"));
    let none = folder.path().join("none/events.jsonl");
    assert!(refused(&none).contains("name a file that is there"));
}

#[test]
fn two_do_not_write_to_one_file() {
    let folder = folder();
    let path = old_file(folder.path());
    let first = Output::open(&path).expect("it is ours");
    assert!(refused(&path).contains("another program"));
    drop(first);
    Output::open(&path).expect("nobody has it");
}

#[test]
fn a_folder_where_anybody_writes_is_none_to_write_to() {
    let folder = folder();
    set_mode(folder.path(), 0o777);
    let path = folder.path().join("events.jsonl");
    assert!(refused(&path).contains("others may write to its folder"));
    // As in /tmp.
    set_mode(folder.path(), 0o1777);
    Output::open(&path).expect("nobody else can replace it");
}

#[test]
fn what_a_stranger_put_there_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let tmp = folder();
    set_mode(tmp.path(), 0o1777);
    let path = old_file(tmp.path());
    set_mode(&path, 0o666);
    chown(&path, Some(STRANGER), None).expect("we are root");
    assert!(refused(&path).contains("belongs to user 54321"));
    assert_eq!(text(&path), OLD);

    let strangers = tmp.path().join("strangers");
    fs::create_dir(&strangers).expect("a folder");
    chown(&strangers, Some(STRANGER), None).expect("we are root");
    assert!(refused(&strangers.join("new")).contains("its folder belongs to user 54321"));

    // Into a folder of root's, but by a link that its owner may turn.
    let target = folder();
    let way = tmp.path().join("way");
    symlink(target.path(), &way).expect("a link");
    Output::open(&way.join("new")).expect("the link is root's");
    std::os::unix::fs::lchown(&way, Some(STRANGER), None).expect("we are root");
    assert!(refused(&way.join("new")).contains("symbolic link of user 54321"));
    // Links that lead to themselves come to an end.
    let round = tmp.path().join("round");
    symlink("round", &round).expect("a link");
    Output::open(&round.join("new")).expect_err("it never ends");
}

#[test]
fn what_is_read_is_a_file_of_a_bounded_size() {
    let folder = folder();
    let path = old_file(folder.path());
    assert_eq!(read_text(&path, 24).expect("it has 24"), OLD);
    let why = |path: &Path, max| {
        let path = path.to_owned();
        let error = at_once(move || read(&path, max)).expect_err("it is refused");
        assert!(error.to_string().contains("; "), "{error}");
        error.to_string()
    };
    assert!(why(&path, 23).contains("more than"));
    let sparse = folder.path().join("sparse");
    let file = fs::File::create(&sparse).expect("made");
    file.set_len(10 << 30).expect("a hole");
    assert!(why(&sparse, 1 << 20).contains("more than 1024 KiB"));
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    assert!(why(&pipe, 9).contains("a pipe"));
    assert!(why(Path::new("/dev/zero"), 9).contains("a device"));
    assert!(why(folder.path(), 9).contains("a folder"));
    assert!(why(&folder.path().join("none"), 9).contains("No such file"));
    fs::write(&path, b"\xff").expect("written");
    read_text(&path, 9).expect_err("it is no text");
    // What the kernel makes up says that it is empty.
    let status = read_text(Path::new("/proc/self/status"), 1 << 20).expect("a file");
    assert!(status.contains("Name:"));
}

#[test]
fn a_recording_may_come_by_a_pipe() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let writer = {
        let pipe = pipe.clone();
        thread::spawn(move || fs::write(pipe, OLD))
    };
    let read = at_once(move || {
        let file = open_recording(&pipe).expect("a pipe");
        std::io::read_to_string(file).expect("text")
    });
    assert_eq!(read, OLD);
    writer.join().expect("it ends").expect("written");
    open_recording(Path::new("/dev/zero")).expect_err("it never ends");
    open_recording(folder.path()).expect_err("a folder");
}

/// As by capabilities of tracer's file: what they open is not opened for a caller without them.
#[test]
fn rights_of_tracer_do_not_open_what_its_caller_may_not() {
    use rustix::thread::{Uid, capabilities, set_thread_res_uid};
    if !geteuid().is_root() {
        return;
    }
    let folder = folder();
    set_mode(folder.path(), 0o755);
    let secret = old_file(folder.path());
    set_mode(&secret, 0o600);
    let save = folder.path().join("save");
    let check = move || {
        // Setuid root: the effective user keeps all rights, the caller has none.
        let caller = Uid::from_raw(STRANGER);
        set_thread_res_uid(caller, Uid::ROOT, Uid::ROOT).expect("we are root");
        let before = capabilities(None).expect("they can be read");
        assert_eq!(text(&secret), OLD, "it is no secret from tracer");
        let error = read(&secret, 99).expect_err("it is one from its caller");
        assert!(error.to_string().contains("rights of who calls"), "{error}");
        open_recording(&secret).expect_err("likewise");
        Output::open(&save).expect_err("the folder is root's");
        assert!(!save.exists());
        // And has them back.
        assert_eq!(capabilities(None).expect("they can be read"), before);
        assert_eq!(text(&secret), OLD);
    };
    // Users and capabilities are of a thread.
    thread::spawn(check).join().expect("it holds");
}
