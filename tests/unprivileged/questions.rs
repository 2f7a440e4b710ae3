//! The questions, asked about recordings of a real system (`tests/recordings`): what is answered, and
//! that the documentation shows just that.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tracer_tests::tracer::{self, Run};

/// Where the recordings are.
fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

/// Runs `tracer` there with these words.
fn ask(words: &[&str]) -> Run {
    let mut tracer = tracer::command().expect("there is a tracer");
    tracer.current_dir(recordings()).args(words);
    tracer::output(&mut tracer).expect("it runs")
}

/// The answer as JSON, with this exit code.
fn answer(words: &[&str], code: i32) -> Value {
    let run = ask(&[words, &["-o", "json"]].concat());
    run.expect_code(code).expect("it answers");
    serde_json::from_str(run.text().expect("text")).expect("JSON")
}

/// What `line`, typed at a terminal of 118 columns, prints there; where the exit code is not 0,
/// with that below.
fn at_a_terminal(line: &str) -> String {
    let program = tracer::command().expect("there is a tracer");
    let program = program.get_program().to_string_lossy();
    let arguments = line.strip_prefix("tracer ").expect("a line of tracer");
    let line = format!("stty cols 118 rows 60; exec {program} {arguments}");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(recordings())
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .output()
        .expect("script runs");
    let mut text = String::from_utf8(output.stdout)
        .expect("text")
        .replace('\r', "");
    match output.status.code() {
        Some(0) => {}
        Some(code) => text.push_str(&format!("[exit code {code}]\n")),
        None => panic!("{line} ended by a signal"),
    }
    text
}

/// Blocks of this kind hold a line that is typed, after `$ `, and what it prints.
const BLOCK: &str = "```console\n";

/// The last line of a block that shows only the beginning.
const CUT: &str = "...\n";

/// `text` with what each of its blocks really prints. One that ends with [`CUT`] keeps its number of lines.
fn with_real_output(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BLOCK) {
        let (before, block) = rest.split_at(at + BLOCK.len());
        let end = block.find("```").expect("a block ends");
        let (block, after) = block.split_at(end);
        out.push_str(before);
        let typed = block.lines().next().unwrap_or_default();
        let line = typed.strip_prefix("$ ").expect("a block begins with $");
        let mut real = at_a_terminal(line);
        if block.ends_with(CUT) {
            let kept = block.lines().count() - 2;
            let lines: String = real.split_inclusive('\n').take(kept).collect();
            real = lines + CUT;
        }
        out.push_str(&format!("{typed}\n{real}"));
        rest = after;
    }
    out + rest
}

#[test]
fn the_documentation_shows_what_is_really_answered() {
    for name in [
        "README.md",
        "docs/commands.md",
        "docs/questions.md",
        "docs/troubleshooting.md",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(&path).expect("it is there");
        let real = with_real_output(&text);
        if std::env::var_os("TRACER_WRITE_DOCS").is_some() {
            std::fs::write(&path, real).expect("written");
        } else {
            assert!(
                text == real,
                "{name} shows something else: TRACER_WRITE_DOCS=1 writes this to it\n{real}"
            );
        }
    }
}

#[test]
fn every_question_has_its_run_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/questions.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let others = ["stream", "map", "doctor"];
    for question in super::COMMANDS.iter().filter(|it| !others.contains(it)) {
        assert!(
            text.contains(&format!("{BLOCK}$ tracer {question} ")),
            "no run of {question}"
        );
    }
}

#[test]
fn who_is_not_known_is_an_error_with_what_comes_nearest() {
    let run = ask(&["impact", "postgres", "--from", "before.jsonl"]);
    run.expect_code(1).expect("an error");
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("nothing in this map is called that"));
    assert!(run.stderr.contains("postgresql.service"), "{}", run.stderr);
}

#[test]
fn a_file_of_rules_that_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules");
    std::fs::write(&path, "# fine\nallow a -> b\nforbid c -> d\n").expect("written");
    let path = path.display().to_string();
    let run = ask(&["balance", "--policy", &path, "--from", "before.jsonl"]);
    run.expect_code(1).expect("an error");
    let error = &run.stderr;
    assert!(error.contains(&path) && error.contains("line 3"), "{error}");
    assert!(error.contains("neither allow nor deny"), "{error}");
}

#[test]
fn a_map_compared_with_itself_has_not_changed_and_is_all_back() {
    let same = answer(&["diff", "before.jsonl", "before.jsonl"], 0);
    assert_eq!(same["changes"], Value::Array(Vec::new()));
    assert_eq!(same["coverage"]["proven"], true);
    let back = answer(&["verify", "before.jsonl", "--from", "before.jsonl"], 0);
    assert_eq!(back["complete"], true);
}

/// The texts at these pointers of each value of a list.
fn table(list: &Value, pointers: &[&str]) -> Vec<Vec<String>> {
    let values = list.as_array().expect("a list").iter();
    let cell = |value: &Value, pointer: &str| match value.pointer(pointer) {
        Some(Value::String(text)) => text.trim_end_matches(".service").to_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    values
        .map(|value| pointers.iter().map(|it| cell(value, it)).collect())
        .collect()
}

/// Words to compare such a table with: a row a line.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

// What follows is worked out by hand from `tests/recordings/README.md`.

#[test]
fn who_depends_on_the_database() {
    let found = answer(
        &["impact", "postgresql.service", "--from", "before.jsonl"],
        0,
    );
    assert_eq!(
        table(&found["reached"], &["/distance", "/name", "/connections"]),
        rows(
            "1 app@1 22
             1 app@2 10
             1 report 4
             1 monitor 3
             2 haproxy 24
             3 nginx 24
             4 browser 24"
        )
    );
    let but_for = found["coverage"]["but_for"].as_array().expect("a list");
    assert!(but_for.iter().any(|it| it["what"] == "UDP"), "{found}");
    assert_eq!(found["coverage"]["verdict"], "proven_but_for");
}

#[test]
fn what_the_balancer_depends_on() {
    let found = answer(
        &[
            "impact",
            "haproxy.service",
            "--down",
            "--from",
            "before.jsonl",
        ],
        0,
    );
    assert_eq!(
        table(&found["reached"], &["/distance", "/name", "/connections"]),
        rows(
            "1 app@1 18
             1 app@2 6
             2 postgresql 32
             2 redis 30
             2 users 2
             3 auth 3"
        )
    );
}

#[test]
fn by_what_a_workload_runs() {
    let found = answer(
        &[
            "impact",
            "--exe",
            "*/shopd",
            "--depth",
            "1",
            "--from",
            "before.jsonl",
        ],
        0,
    );
    assert_eq!(table(&found["of"], &["/name"]), rows("app@1\napp@2"));
    assert_eq!(
        table(&found["reached"], &["/name", "/connections"]),
        rows("haproxy 24\nmonitor 6")
    );
}

#[test]
fn what_changed() {
    let found = answer(&["diff", "before.jsonl", "after.jsonl"], 3);
    let cells = ["/change", "/what", "/who/name", "/port", "/of"];
    let changes = found["changes"].as_array().expect("a list");
    let is_edge = |it: &&Value| it["what"] == "edge";
    let (edges, others): (Vec<_>, Vec<_>) = changes.iter().partition(is_edge);
    let others = Value::from(others.into_iter().cloned().collect::<Vec<_>>());
    let others: Vec<_> = table(&others, &cells)
        .into_iter()
        .map(|row| {
            row.into_iter()
                .filter(|it| !it.is_empty())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        others,
        rows(
            "gone workload auth
             gone workload cache
             gone workload report
             gone listener auth 8090
             moved workload app@2 executable
             moved listener redis 6380 port
             new workload analytics
             new workload relay
             new listener relay 2525"
        )
    );
    // As they are, or, of those that are gone, as they were.
    let edges: Vec<_> = edges
        .into_iter()
        .map(|it| {
            let link = it.get("after").unwrap_or(&it["before"]);
            let mut link = link.clone();
            link["change"] = it["change"].clone();
            link
        })
        .collect();
    assert_eq!(
        table(
            &edges.into(),
            &[
                "/change",
                "/client/name",
                "/server/name",
                "/port",
                "/connections"
            ]
        ),
        rows(
            "failing browser 10.88.0.13 8090 0
             failing users 10.88.0.13 8090 0
             gone auth users 8091 12
             gone mailer cache 6379 5
             gone monitor auth 8090 3
             gone monitor cache 6379 3
             gone report postgresql 5432 4
             moved app@1 redis 6380 21
             moved app@2 redis 6380 9
             moved monitor redis 6380 3
             new analytics postgresql 5432 4
             new monitor relay 2525 3
             recovered mailer relay 2525 6"
        )
    );
}

#[test]
fn what_is_known_does_not_count_as_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("allow");
    let allowed = "*.service # all of it\n10.88.0.0/16 -> *\n";
    std::fs::write(&path, allowed).expect("written");
    let path = path.display().to_string();
    let found = answer(
        &["diff", "before.jsonl", "after.jsonl", "--allow", &path],
        0,
    );
    assert_eq!(found["changes"], Value::Array(Vec::new()));
    assert_eq!(found["allowed"], 22);
}

#[test]
fn what_must_move_together() {
    let found = answer(&["groups", "--from", "before.jsonl"], 0);
    let groups: Vec<Vec<String>> = found["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| table(&it["members"], &["/name"]).concat())
        .collect();
    assert_eq!(
        groups,
        rows(
            "app@1 app@2 auth browser haproxy nginx postgresql redis report users
             10.88.0.16 cache mailer
             legacy"
        )
    );
    assert_eq!(
        table(&found["shared"], &["/name", "/why"]),
        rows("monitor monitoring")
    );
}

#[test]
fn what_a_division_cuts() {
    let words = ["groups", "--split", "plan.txt", "--from", "before.jsonl"];
    let found = answer(&words, 0);
    assert_eq!(
        table(
            &found["split"]["crossing"],
            &[
                "/from",
                "/to",
                "/client/name",
                "/server/name",
                "/port",
                "/connections"
            ]
        ),
        rows(
            "rest east browser nginx 8080 24
             east rest app@1 postgresql 5432 22
             east rest app@1 redis 6379 21
             east rest app@2 postgresql 5432 10
             east rest app@2 redis 6379 9
             rest east monitor app@1 8081 3
             rest east monitor app@2 8081 3
             rest east monitor haproxy 8082 3
             rest east monitor nginx 8080 3
             east rest app@1 users 8091 1
             east rest app@2 users 8091 1"
        )
    );
    // And as rules: a line for each edge, with the addresses of both ends.
    let run = ask(&[&words[..], &["-o", "nftables"]].concat());
    run.expect_code(0).expect("rules");
    let rules = run.text().expect("text");
    let accepts: Vec<_> = rules
        .lines()
        .filter(|it| it.contains("tcp dport"))
        .collect();
    assert_eq!(accepts.len(), 11, "{rules}");
    assert!(
        rules.contains("ip saddr 10.88.0.4 ip daddr 10.88.0.6 tcp dport 5432 accept"),
        "{rules}"
    );
}

#[test]
fn in_what_order_to_recover() {
    let words = [
        "recovery-order",
        "--start-up",
        "1s",
        "--from",
        "before.jsonl",
    ];
    let found = answer(&words, 0);
    let waves: Vec<Vec<String>> = found["waves"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|wave| {
            let steps = wave["steps"].as_array().expect("a list").iter();
            steps
                .map(|it| table(&it["members"], &["/name"]).concat().join("+"))
                .collect()
        })
        .collect();
    assert_eq!(
        waves,
        rows(
            "cache legacy postgresql redis users+auth
             app@1 app@2 mailer report
             haproxy
             nginx
             browser monitor"
        )
    );
    let step = |wave: usize, at: usize| &found["waves"][wave]["steps"][at];
    assert_eq!(
        table(
            &step(0, 4)["weakest"],
            &["/client/name", "/server/name", "/connections"]
        ),
        rows("users auth 3")
    );
    // It asks whether users are there as it starts, the database then and later, redis later.
    assert_eq!(
        table(&step(1, 0)["needs"], &["/server/name", "/when"]),
        rows("users start_up\npostgresql both\nredis steady")
    );
    assert_eq!(
        table(&step(1, 3)["needs"], &["/server/name", "/when"]),
        rows("postgresql each_run")
    );
    assert_eq!(table(&found["outside"], &["/name"]), rows("10.88.0.16"));
    let run = ask(&[&words[..], &["-o", "systemd"]].concat());
    let units = run.text().expect("text");
    assert!(
        units.contains("/etc/systemd/system/haproxy.service.d/after.conf")
            && units.contains("\nAfter=app@1.service app@2.service\n"),
        "{units}"
    );
    // systemd would refuse the whole cycle.
    assert!(units.contains("\nAfter=users.service\n"), "{units}");
    assert!(!units.contains("users.service.d/"), "{units}");
}

#[test]
fn what_is_idle() {
    let found = answer(&["idle", "--from", "before.jsonl"], 0);
    assert_eq!(
        table(&found["listeners"], &["/name", "/port", "/last_used"]),
        [["legacy", "6390", ""]]
    );
    assert_eq!(
        table(
            &found["unanswered"],
            &["/client/name", "/server/name", "/port", "/failed/refused"]
        ),
        rows("mailer 10.88.0.16 2525 6")
    );
    assert_eq!(
        found["too_short_for"],
        serde_json::json!(["hourly", "daily", "weekly", "monthly"])
    );
}

#[test]
fn what_fails_and_what_happened_before() {
    let found = answer(&["failures", "--from", "before.jsonl"], 0);
    assert_eq!(
        table(
            &found["edges"],
            &[
                "/client/name",
                "/server/name",
                "/state",
                "/failed/refused",
                "/connections"
            ]
        ),
        rows("mailer cache failed 8 5\nmailer 10.88.0.16 failed 6 0")
    );
    let cache = &found["edges"][0];
    assert!(cache["last_success"].as_str() < cache["failing_since"].as_str());
    assert_eq!(found["edges"][1].get("last_success"), None);
    // The newest first: its process ended after its listener went.
    assert_eq!(
        table(&cache["before"], &["/who/name", "/what"])[..2],
        rows("cache exit\ncache unlisten")
    );
}

#[test]
fn how_even_the_load_is_and_who_should_not_be_there() {
    let words = [
        "balance",
        "--policy",
        "policy.txt",
        "--from",
        "before.jsonl",
    ];
    let found = answer(&words, 3);
    let services = &found["services"];
    // 21 + 9 with what the monitor asks: 21 is 1.4 times the even share of 15.
    assert_eq!(
        table(services, &["/service", "/port", "/connections", "/skew"]),
        rows("app@ 8081 30 1.4")
    );
    assert_eq!(
        table(
            &services[0]["backends"],
            &["/name", "/connections", "/share", "/load"]
        ),
        rows("app@1 21 0.7 even\napp@2 9 0.3 even")
    );
    assert_eq!(
        table(
            &services[0]["clients"],
            &["/name", "/connections", "/backends"]
        ),
        rows("haproxy 24 2\nmonitor 6 2")
    );
    assert_eq!(
        table(&found["busiest"], &["/name", "/connections"])[..4],
        rows("app@1 44\nbrowser 39\nmonitor 27\nhaproxy 24")
    );
    assert_eq!(
        table(
            &found["violations"],
            &["/client/name", "/server/name", "/connections"]
        ),
        rows("report postgresql 4\nusers auth 3")
    );
    let processes = &found["violations"][0]["processes"];
    assert!(
        table(processes, &["/exe"])
            .iter()
            .all(|it| it[0].ends_with("/psql")),
        "{processes}"
    );
}

#[test]
fn what_is_back_after_the_change() {
    let found = answer(&["verify", "before.jsonl", "--from", "after.jsonl"], 3);
    assert_eq!(found["complete"], false);
    let cells = ["/client/name", "/server/name", "/port"];
    assert_eq!(
        table(&found["failing"], &cells),
        rows("browser 10.88.0.13 8090\nusers 10.88.0.13 8090")
    );
    assert_eq!(
        table(&found["missing"], &cells),
        rows(
            "monitor auth 8090
             monitor cache 6379
             report postgresql 5432
             auth users 8091"
        )
    );
    assert_eq!(
        table(&found["new"], &cells),
        rows("analytics postgresql 5432\nmonitor relay 2525")
    );
    // 24 worked when the recording ended, of which these 6 do not.
    assert_eq!(found["back"].as_array().expect("a list").len(), 18);
}

#[test]
fn what_filters_hide_is_not_proven_to_be_absent() {
    let words = ["impact", "postgresql.service", "--port", "5432"];
    let found = answer(&[&words[..], &["--from", "before.jsonl"]].concat(), 0);
    // Who dials those that dial it, at other ports, was not looked at.
    assert_eq!(
        table(&found["reached"], &["/name"]),
        rows("app@1\napp@2\nreport\nmonitor")
    );
    assert_eq!(found["coverage"]["proven"], false);
    assert_eq!(found["coverage"]["doubts"][0]["why"], "filtered");
}

#[test]
fn nothing_is_proven_of_a_time_in_which_nobody_watched() {
    let verdict = |words: &[&str]| {
        let ask = ["failures", "--from", "before.jsonl"];
        let found = answer(&[&ask[..], words].concat(), 0);
        let coverage = &found["coverage"];
        let why = coverage["doubts"][0]["why"].as_str().unwrap_or_default();
        (
            coverage["verdict"].as_str().unwrap_or_default().to_owned(),
            why.to_owned(),
        )
    };
    let fine = ("proven_but_for".to_owned(), String::new());
    let not = |why: &str| ("not_proven".to_owned(), why.to_owned());
    let within = "2026-11-24T00:21:53Z";
    assert_eq!(verdict(&["--since", within]), fine);
    assert_eq!(verdict(&["--until", within]), fine);
    // Nobody knows when within its second it began.
    assert_eq!(verdict(&["--since", "2026-11-24T00:21:52Z"]), fine);
    assert_eq!(
        verdict(&["--since", "2026-11-25T00:00:00Z"]),
        not("unwatched")
    );
    assert_eq!(
        verdict(&["--until", "2026-11-23T00:00:00Z"]),
        not("unwatched")
    );
    assert_eq!(verdict(&["--since", "2026-11-23T00:00:00Z"]), not("gap"));
    assert_eq!(verdict(&["--until", "2026-11-25T00:00:00Z"]), not("gap"));
}

#[test]
fn with_losses_or_gaps_nothing_is_proven() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(recordings().join("before.jsonl")).expect("a recording");
    let (all, stop) = text.trim_end().rsplit_once('\n').expect("lines");
    let lost = r#"{"v":1,"time":"TIME","event":"loss","host":HOST,"lost":{"close":{"ring_full":7}},"missed":0,"from":"TIME","to":"TIME"}"#;
    let last: Value = serde_json::from_str(stop).expect("JSON");
    let lost = lost
        .replace("TIME", last["time"].as_str().expect("a time"))
        .replace("HOST", &last["host"].to_string());
    // Without its last line, whose account would say that nothing was lost.
    let path = folder.path().join("lost.jsonl");
    std::fs::write(&path, format!("{all}\n{lost}\n")).expect("written");
    let path = path.display().to_string();
    // And the same twice in turn: nobody watched in between.
    let both = folder.path().join("gap.jsonl");
    let later = text.replace("\"time\":\"2026-", "\"time\":\"2027-");
    std::fs::write(&both, format!("{text}{later}")).expect("written");
    let gap = both.display().to_string();
    let cut = |name: &str, keeps: &dyn Fn(usize) -> bool| {
        let path = folder.path().join(name);
        let lines = text.lines().enumerate();
        let kept: Vec<&str> = lines.filter(|(at, _)| keeps(*at)).map(|it| it.1).collect();
        std::fs::write(&path, kept.join("\n") + "\n").expect("written");
        path.display().to_string()
    };
    let count = text.lines().count();
    let no_start = cut("no-start.jsonl", &|at| at > 0);
    let no_stop = cut("no-stop.jsonl", &|at| at + 1 < count);
    // As where the second of three files is not given.
    let hole = cut("hole.jsonl", &|at| !(300..330).contains(&at));
    for (path, doubt, words) in [
        (&path, "lost", "7 events of shop-1 were lost"),
        (&gap, "gap", "nobody watched shop-1 for"),
        (
            &no_start,
            "no_start",
            "shop-1 has no start before 2026-11-24",
        ),
        (&no_stop, "no_stop", "shop-1 has no stop after 2026-11-24"),
        (&hole, "absent", "events of shop-1 are not in the recording"),
    ] {
        for question in [
            &["impact", "postgresql.service"][..],
            &["groups"],
            &["recovery-order"],
            &["idle"],
            &["failures"],
            &["balance"],
        ] {
            let words_of = [question, &["--from", path]].concat();
            let found = answer(&words_of, 0);
            assert_eq!(found["coverage"]["proven"], false, "{question:?}");
            assert_eq!(found["coverage"]["doubts"][0]["why"], doubt, "{question:?}");
            let run = ask(&[&words_of[..], &["-o", "table"]].concat());
            let text = run.text().expect("text");
            assert!(
                text.contains("NOT PROVEN: ") && text.contains(words),
                "{text}"
            );
            assert!(!text.contains("Proven for that time"), "{text}");
        }
        let run = ask(&["diff", "before.jsonl", path, "-o", "table"]);
        assert!(run.text().expect("text").contains("NOT PROVEN: "));
        let run = ask(&["verify", "before.jsonl", "--from", path, "-o", "table"]);
        assert!(run.text().expect("text").contains("NOT PROVEN: "));
    }
}
