//! Files that options name: whatever others put in their place, and whatever tracer itself may read.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::XattrFlags;
use tracer_tests::tracer::{self, Run, output, public_copy, unprivileged};

const NOBODY: u32 = 65_534;
const OLD: &str = "what was recorded before";

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/before.jsonl")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn save(path: &Path) -> Run {
    let mut command = tracer::command().expect("there is a tracer");
    command.args(["map", "-o", "json", "--from"]);
    command.arg(recording()).arg("--save").arg(path);
    output(&mut command).expect("it runs and ends")
}

/// What cannot be read as a recording leaves no file where there was none, and what is there as it is.
#[test]
fn what_is_no_recording_is_not_saved() {
    let folder = folder();
    let saved = folder.path().join("saved.jsonl");
    let text_file = folder.path().join("notes.txt");
    write(&text_file, "no recording\n");
    let missing = folder.path().join("missing.jsonl");
    for bad in [&text_file, &missing] {
        for old in [None, Some(OLD)] {
            if let Some(old) = old {
                write(&saved, old);
            }
            let mut command = tracer::command().expect("there is a tracer");
            command.args(["map", "-o", "json", "--from"]).arg(bad);
            let run = output(command.arg("--save").arg(&saved)).expect("it runs and ends");
            run.expect_code(1).expect("it is refused");
            let bad = bad.file_name().and_then(|it| it.to_str()).expect("a name");
            assert!(run.stderr.contains(bad), "{}", run.stderr);
            assert_eq!(saved.exists(), old.is_some(), "{}", run.stderr);
            if let Some(old) = old {
                assert_eq!(text(&saved), old);
                fs::remove_file(&saved).expect("it is ours");
            }
        }
    }
}

fn refused(path: &Path, why: &str) {
    let run = save(path);
    run.expect_code(1).expect("it is refused");
    assert!(run.stderr.contains("--save"), "{}", run.stderr);
    assert!(run.stderr.contains(why), "{}", run.stderr);
    assert!(run.stderr.contains("; "), "what to do? {}", run.stderr);
    assert!(run.stdout.is_empty());
}

#[test]
fn a_recording_is_for_its_owner_alone() {
    let folder = folder();
    let new = folder.path().join("new.jsonl");
    save(&new).expect_code(0).expect("it is saved");
    assert_eq!(mode(&new), 0o600);
    let old = folder.path().join("old.jsonl");
    write(&old, OLD);
    fs::set_permissions(&old, fs::Permissions::from_mode(0o666)).expect("it is ours");
    save(&old).expect_code(0).expect("it is saved");
    assert_eq!(mode(&old), 0o600);
    assert_eq!(text(&old), text(&new));
    assert!(!text(&old).contains(OLD));
}

#[test]
fn nothing_is_saved_where_others_want_it() {
    let folder = folder();
    let victim = folder.path().join("victim");
    write(&victim, OLD);
    let link = folder.path().join("link");
    symlink(&victim, &link).expect("a link");
    refused(&link, "symbolic link");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    refused(&pipe, "a pipe");
    refused(folder.path(), "a folder");
    refused(Path::new("/dev/null"), "a device");
    fs::hard_link(&victim, folder.path().join("twin")).expect("a second name");
    refused(&victim, "hard links");
    assert_eq!(text(&victim), OLD);
    if is_root() {
        let strangers = folder.path().join("strangers");
        write(&strangers, OLD);
        fs::set_permissions(&strangers, fs::Permissions::from_mode(0o666)).expect("it is ours");
        chown(&strangers, Some(NOBODY), None).expect("we are root");
        refused(&strangers, "belongs to user 65534");
        assert_eq!(text(&strangers), OLD);
    }
}

/// Whoever calls by `sudo` can do what root does: a file in their home is where they want it.
#[test]
fn a_folder_of_somebody_else_is_refused_but_to_who_called_sudo() {
    if !is_root() {
        return;
    }
    let folder = folder();
    chown(folder.path(), Some(NOBODY), None).expect("we are root");
    let path = folder.path().join("new.jsonl");
    refused(&path, "its folder belongs to user 65534");
    let mut command = tracer::command().expect("there is a tracer");
    command.env("SUDO_UID", NOBODY.to_string());
    command.args(["map", "-o", "json", "--from"]);
    command.arg(recording()).arg("--save").arg(&path);
    let run = output(&mut command).expect("it runs and ends");
    run.expect_code(0).expect("it is saved");
    assert_eq!(fs::metadata(&path).expect("it is there").uid(), 0);
}

/// As without the rights to watch: the old recording is worth more than an empty one.
#[test]
fn a_watch_that_is_refused_costs_no_recording() {
    if !is_root() {
        return;
    }
    let (folder, copy) = public_copy().expect("a copy");
    let own = folder.path().join("own");
    fs::create_dir(&own).expect("a folder");
    chown(&own, Some(NOBODY), Some(NOBODY)).expect("we are root");
    let old = own.join("old.jsonl");
    write(&old, OLD);
    chown(&old, Some(NOBODY), Some(NOBODY)).expect("we are root");
    let new = own.join("new.jsonl");
    for path in [&old, &new] {
        let mut command = Command::new(&copy);
        unprivileged(
            command
                .args(["map", "-o", "json", "--for", "1s", "--save"])
                .arg(path),
        );
        let run = output(&mut command).expect("it runs and ends");
        run.expect_code(77).expect("it may not watch");
    }
    assert_eq!(text(&old), OLD);
    assert!(!new.exists(), "an empty file is left");
}

/// A file of capabilities as `setcap` makes it (capabilities(7), `struct vfs_cap_data`, version 2).
fn give_rights(path: &Path, capabilities: u32) -> bool {
    const VERSION_2: u32 = 0x0200_0000;
    const EFFECTIVE: u32 = 1;
    let words = [VERSION_2 | EFFECTIVE, capabilities, 0, 0, 0];
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    rustix::fs::setxattr(path, "security.capability", &bytes, XattrFlags::empty()).is_ok()
}

/// By the rights of its file tracer reads all that there is; its caller does not.
#[test]
fn what_the_caller_may_not_read_is_never_quoted() {
    const DAC_OVERRIDE: u32 = 1 << 1;
    const DAC_READ_SEARCH: u32 = 1 << 2;
    if !is_root() {
        return;
    }
    let (folder, copy) = public_copy().expect("a copy");
    if !give_rights(&copy, DAC_OVERRIDE | DAC_READ_SEARCH) {
        return;
    }
    let secret = folder.path().join("secret");
    write(&secret, "root-only-words-of-a-key\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let secret = secret.to_str().expect("a path");
    let recording = folder.path().join("recording.jsonl");
    fs::copy(self::recording(), &recording).expect("a copy");
    fs::set_permissions(&recording, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let from = recording.to_str().expect("a path");
    let run = |args: &[&str]| {
        let mut command = Command::new(&copy);
        unprivileged(command.args(args));
        output(&mut command).expect("it runs and ends")
    };
    for args in [
        &["stream", "--names", secret, "--for", "1s"][..],
        &["stream", "--roles", secret, "--for", "1s"],
        &["stream", "--from", secret],
        &["balance", "--from", from, "--policy", secret],
        &["groups", "--from", from, "--split", secret],
    ] {
        let run = run(args);
        assert_ne!(run.status.code(), Some(0), "{args:?}");
        let told = run.stderr.clone() + run.text().expect("text");
        assert!(!told.contains("root-only"), "{args:?}: {told}");
        assert!(told.contains("rights of who calls"), "{args:?}: {told}");
    }
    // Nor written where the caller may not.
    let save = folder.path().join("saved.jsonl");
    let saved = run(&[
        "map",
        "-o",
        "json",
        "--from",
        from,
        "--save",
        save.to_str().expect("a path"),
    ]);
    saved.expect_code(1).expect("the folder is root's");
    assert!(!save.exists());
}

#[test]
fn what_is_no_file_of_rules_is_refused_at_once() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let large = folder.path().join("large");
    let file = fs::File::create(&large).expect("made");
    file.set_len(10 << 30).expect("a hole");
    for (path, why) in [
        (&*pipe, "a pipe"),
        (folder.path(), "a folder"),
        (Path::new("/dev/zero"), "a device"),
        (&*large, "more than"),
        (&*folder.path().join("none"), "No such file"),
    ] {
        let mut command = tracer::command().expect("there is a tracer");
        command.args(["groups", "--from"]).arg(recording());
        command.arg("--split").arg(path);
        let run = output(&mut command).expect("it runs and ends");
        assert_ne!(run.status.code(), Some(0), "{}", path.display());
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}
