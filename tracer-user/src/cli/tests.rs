use std::path::Path;

use clap::error::ErrorKind;

use super::{
    request::{Origin, Shown, Stream, Watch},
    *,
};
use crate::{
    capture::HookSet,
    filter::Loopback,
    map::GroupBy,
    model::{Direction, Kind},
    outputs::{answers::AnswerFormat, map::MapFormat},
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_ascii_whitespace())
}

fn request(line: &str) -> Request {
    parse(line).expect(line).request().expect(line)
}

fn stream(line: &str) -> Stream {
    match request(line) {
        Request::Stream(stream) => stream,
        other => panic!("{other:?}"),
    }
}

fn watch(origin: Origin) -> Watch {
    match origin {
        Origin::Live(watch) => *watch,
        other @ Origin::Recorded { .. } => panic!("{other:?}"),
    }
}

/// What the user is told about `line`.
fn refusal(line: &str) -> String {
    let error = parse(line).expect_err(line);
    assert!(error.use_stderr(), "{line}");
    error.to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn defaults() {
    let stream = stream("tracer stream");
    // A test has no terminal.
    assert_eq!(stream.format, Format::Json);
    assert!(!stream.strict && !stream.anonymise);
    assert!(stream.filter.admits_all());
    let watch = watch(stream.origin);
    assert_eq!(watch.duration, None);
    let (capture, defaults) = (watch.capture, crate::capture::Options::default());
    assert_eq!(capture.hooks, None);
    assert_eq!(
        (capture.ring_bytes, capture.connections),
        (16 << 20, 163_840)
    );
    // What doctor measures is what a stream costs.
    assert_eq!(
        (capture.ring_bytes, capture.connections, capture.rescan),
        (defaults.ring_bytes, defaults.connections, defaults.rescan)
    );
    assert!(capture.dns && !capture.kernel_log && !watch.costs);
}

#[test]
fn everything_at_once() {
    let stream = stream(
        "tracer -v stream -o json --for 1h --hooks kprobe --strict --ring 64K --connections 1 --kernel-log \
         --pid 1,2 --pid 3 --comm nginx* --comm {a,b} --port 80,443 --net 10.0.0.0/8,::1 --direction in \
         --event connect,fail --loopback hide",
    );
    assert_eq!(stream.format, Format::Json);
    assert!(stream.strict);
    let filter = stream.filter;
    assert_eq!((filter.pid, filter.port), (vec![1, 2, 3], vec![80, 443]));
    assert_eq!((filter.comm.len(), filter.net.len()), (2, 2));
    assert_eq!(filter.direction, Some(Direction::Inbound));
    assert_eq!(filter.event, [Kind::Connect, Kind::Fail]);
    assert_eq!(filter.loopback, Loopback::Hide);
    let watch = watch(stream.origin);
    assert_eq!(watch.duration, Some(Duration::from_secs(3600)));
    let capture = watch.capture;
    assert_eq!(capture.hooks, Some(HookSet::Kprobe));
    assert_eq!((capture.ring_bytes, capture.connections), (65_536, 1));
    assert!(capture.kernel_log);
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_is_done() {
    for (line, why) in [
        (
            "tracer stream --from a --for 1s",
            "--for says how long to watch this host",
        ),
        (
            "tracer map --from a --from live",
            "--from live cannot be mixed with recordings",
        ),
        (
            "tracer idle --from - --from -",
            "--from - can be given once",
        ),
        (
            "tracer diff live live --allow missing",
            "one of the two is to be a recording",
        ),
        ("tracer diff - -", "- can be given once"),
        ("tracer diff a b --for 1s", "both A and B are recordings"),
        (
            "tracer groups --from a -o nftables",
            "say which by --split FILE",
        ),
        (
            "tracer verify a --from b --wait 1s",
            "--wait watches this host",
        ),
        (
            "tracer failures --follow --from a",
            "--follow watches this host",
        ),
        ("tracer failures --follow -o csv", "-o table or -o json"),
    ] {
        let refused = parse(line).expect(line).request();
        let refusal = refused.expect_err(line).to_string();
        assert!(refusal.contains(why), "{line}: {refusal}");
    }
}

#[test]
fn whether_this_host_is_watched_shows() {
    for (line, watches) in [
        ("tracer stream", true),
        ("tracer stream --from a", false),
        ("tracer map", true),
        ("tracer map --from a --from b", false),
        ("tracer impact web --from a", false),
        ("tracer impact --package libssl3 --from a", true),
        ("tracer diff a b", false),
        ("tracer diff a live --for 1s", true),
        ("tracer diff live a --for 1s", true),
        ("tracer verify a --from b", false),
        ("tracer verify a", true),
        ("tracer failures --follow", true),
        ("tracer doctor", true),
        ("tracer completions bash", false),
    ] {
        assert_eq!(request(line).watches(), watches, "{line}");
    }
}

#[test]
fn the_time_to_wait_is_that_to_watch() {
    for (line, duration, until_yes) in [
        ("tracer verify a --wait 2s", Some(2), true),
        ("tracer verify a --for 1s", Some(1), false),
        ("tracer verify a", None, false),
    ] {
        let Request::Ask(ask) = request(line) else {
            panic!("{line}")
        };
        assert_eq!(ask.until_yes, until_yes, "{line}");
        let duration = duration.map(Duration::from_secs);
        assert_eq!(watch(ask.now.origin).duration, duration, "{line}");
    }
}

#[test]
fn what_is_alike_is_folded_unless_it_is_looked_at() {
    for (line, format, max_edges) in [
        ("tracer map --from a", MapFormat::Json, None),
        ("tracer map --from a -o dot", MapFormat::Dot, Some(500)),
        ("tracer map --from a -o dot --focus x", MapFormat::Dot, None),
        (
            "tracer map --from a -o dot --max-edges 7 --focus x",
            MapFormat::Dot,
            Some(7),
        ),
        (
            "tracer map --from a -o csv --max-edges 7",
            MapFormat::Csv,
            Some(7),
        ),
    ] {
        let Request::Map(map) = request(line) else {
            panic!("{line}")
        };
        assert_eq!(map.shown, Shown::Printed { format, max_edges }, "{line}");
    }
}

/// Each word of a value is parsed as what goes by that name.
#[test]
fn values_go_by_their_names() {
    for it in Loopback::ALL {
        let line = format!("tracer stream --loopback {}", it.name());
        assert_eq!(stream(&line).filter.loopback, it);
    }
    for it in Format::ALL {
        let line = format!("tracer stream -o {}", it.name());
        assert_eq!(stream(&line).format, it);
    }
    for it in crate::enrich::Arguments::ALL {
        let line = format!("tracer stream --args {}", it.name());
        assert_eq!(watch(stream(&line).origin).arguments, it);
    }
    for it in HookSet::ALL {
        let line = format!("tracer stream --hooks {}", it.name());
        assert_eq!(watch(stream(&line).origin).capture.hooks, Some(it));
    }
    for it in GroupBy::ALL {
        let line = format!("tracer map --from a --group-by {}", it.name());
        assert!(matches!(request(&line), Request::Map(map) if map.input.options.group_by == it));
    }
    for (question, formats) in [
        ("impact web", "table json csv dot mermaid"),
        ("recovery-order", "table json csv systemd compose"),
        ("groups --split a", "table json csv nftables networkpolicy"),
        ("idle", "table json csv"),
    ] {
        for it in AnswerFormat::ALL {
            let line = format!("tracer {question} -o {}", it.name());
            let parsed = parse(&line).map(|it| it.request().expect("they go together"));
            match formats.split(' ').any(|word| word == it.name()) {
                true => {
                    let format = |request| matches!(request, Request::Ask(ask) if ask.format == it);
                    assert!(parsed.is_ok_and(format), "{line}");
                }
                false => assert!(parsed.is_err(), "{line}"),
            }
        }
    }
}

#[test]
fn ring_sizes() {
    for (size, bytes) in [
        ("65536", 1 << 16),
        ("64K", 1 << 16),
        ("16m", 1 << 24),
        ("1G", 1 << 30),
    ] {
        assert_eq!(
            watch(stream(&format!("tracer stream --ring {size}")).origin)
                .capture
                .ring_bytes,
            bytes,
            "{size}"
        );
    }
    for (size, why) in [
        ("5000", "powers of two"),
        ("0", "powers of two"),
        ("2048", "smaller than a memory page"),
        ("2G", "at most 1G"),
        ("99999999999999999999", "not a size"),
        ("18446744073709551615G", "not a size"),
        ("K", "not a size"),
        ("+4K", "not a size"),
        ("4KiB", "not a size"),
        ("16MÄ", "not a size"),
    ] {
        let refusal = refusal(&format!("tracer stream --ring {size}"));
        assert!(
            refusal.contains(why) && refusal.contains("--ring <SIZE>"),
            "{refusal}"
        );
    }
}

#[test]
fn refusals_say_what_to_write_instead() {
    for (line, what, instead) in [
        (
            "tracer stream --for 10",
            "--for <DURATION>",
            "write for example 30s",
        ),
        (
            "tracer stream --net 10.0.0/8",
            "--net <CIDR>",
            "write for example 10.0.0.0/8",
        ),
        (
            "tracer stream --event open",
            "--event <KIND>",
            "start, existing, connect, accept, totals, close, fail, listen, unlisten, exec, exit",
        ),
        (
            "tracer stream --event exit,open",
            "--event <KIND>",
            "possible values",
        ),
        (
            "tracer stream --direction up",
            "--direction <in|out>",
            "in, out",
        ),
        (
            "tracer stream --connections 0",
            "--connections <N>",
            "1..=16777216",
        ),
        ("tracer stream --port 0", "--port <N>", "1..=65535"),
        (
            "tracer stream --comm [",
            "--comm <GLOB>",
            "unclosed character class",
        ),
        (
            "tracer stream --hooks lsm",
            "--hooks <SET>",
            "auto, fentry, kprobe, tracepoint",
        ),
        ("tracer strem", "strem", "stream"),
    ] {
        let refusal = refusal(line);
        assert!(
            refusal.contains(what) && refusal.contains(instead),
            "{refusal}"
        );
    }
    assert_eq!(parse("tracer").expect_err("no command").exit_code(), 2);
}

#[test]
fn every_command_has_help_with_an_example() {
    let mut command = Cli::command();
    let mut pages = vec![command.render_long_help().to_string()];
    for sub in command
        .get_subcommands_mut()
        .filter(|sub| sub.get_name() != "help")
    {
        pages.push(sub.render_long_help().to_string());
    }
    assert_eq!(pages.len(), 13);
    for page in pages {
        assert!(
            page.contains("Example") && page.contains("\n  tracer "),
            "{page}"
        );
    }
    for line in ["tracer --help", "tracer stream -h", "tracer --version"] {
        let shown = parse(line).expect_err(line);
        assert!(matches!(
            shown.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ));
        assert!(!shown.use_stderr());
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(completions(shell)).expect("UTF-8");
        assert!(script.contains("stream") && script.contains("doctor"));
    }
}

/// What else there is can be asked for by another front end.
#[test]
fn nobody_else_knows_the_parser() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let cli = source.join("cli");
    let mut folders = vec![source];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.extend((path != cli).then_some(path));
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).expect("a text");
                assert!(!text.contains("clap::"), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 100, "{files}");
}
