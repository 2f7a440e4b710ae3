//! The systemd unit in `deploy/` says what the program and its documents do.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path, process::Command};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(path).expect("it is there")
}

/// The value of the unit's setting.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next().expect("the unit sets it")
}

#[test]
fn the_unit_has_the_rights_that_a_run_keeps() {
    let unit = read("deploy/systemd/tracer.service");
    let page = read("docs/privileges.md");
    let (_, kept) = page.split_once("## What is given up").expect("a section");
    let (kept, _) = kept.split_once("Second, when all").expect("a first step");
    let named: BTreeSet<&str> = kept
        .split('`')
        .filter(|it| it.starts_with("CAP_"))
        .collect();
    let had: BTreeSet<&str> = setting(&unit, "CapabilityBoundingSet").split(' ').collect();
    assert_eq!(had, named);
}

#[test]
fn the_unit_records_every_kind_of_event() {
    let unit = read("deploy/systemd/tracer.service");
    let (_, asked) = setting(&unit, "ExecStart")
        .split_once("--event ")
        .expect("it says which");
    let mut asked: Vec<&str> = asked.split(',').collect();
    // These are always in a stream.
    asked.extend(["start", "loss", "stop"]);
    let help = super::run(&["stream", "--help"]).expect("help");
    let help = help.text().expect("text");
    let (_, kinds) = help
        .split_once("[possible values: start,")
        .expect("kinds of events");
    let (kinds, _) = kinds.split_once(']').expect("an end");
    let kinds: BTreeSet<&str> = kinds.split(',').map(str::trim).chain(["start"]).collect();
    assert_eq!(asked.into_iter().collect::<BTreeSet<_>>(), kinds);
}

/// Without another place standard error goes where standard output goes (`systemd.exec(5)`): into the recording.
#[test]
fn what_the_unit_records_is_the_stream_alone() {
    let unit = read("deploy/systemd/tracer.service");
    assert!(setting(&unit, "StandardOutput").starts_with("append:"));
    assert_eq!(setting(&unit, "StandardError"), "journal");
    // Half a line of a run that was killed is one line that cannot be read, not two runs that are one.
    assert_eq!(setting(&unit, "ExecStartPre"), "/bin/echo");
}

#[test]
fn systemd_takes_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tracer.service");
    let program = tracer_tests::tracer::command().expect("there is a tracer");
    let program = fs::canonicalize(program.get_program()).expect("its path");
    let program = program.to_str().expect("text");
    let unit = read("deploy/systemd/tracer.service");
    let installed = "/usr/local/bin/tracer";
    assert!(unit.contains(installed));
    fs::write(&path, unit.replace(installed, program)).expect("written");
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
    {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // Of other units and of this machine it may complain.
            assert!(!said.contains("tracer.service"), "{said}");
        }
        // libtest knows no skip at run time; unlike `eprintln!` it does not swallow this line.
        Err(error) => writeln!(
            std::io::stderr(),
            "skipped: systemd-analyze does not run: {error}"
        )
        .expect("written"),
    }
}
