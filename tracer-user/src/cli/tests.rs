use clap::error::ErrorKind;

use super::*;
use crate::{
    filter::Loopback,
    model::{Direction, Kind},
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_ascii_whitespace())
}

fn stream(line: &str) -> StreamOptions {
    match parse(line).expect(line).command {
        Command::Stream(options) => options,
        other => panic!("{other:?}"),
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
    let options = stream("tracer stream");
    assert_eq!(options.format, None);
    assert_eq!(options.live.duration, None);
    assert_eq!(options.live.hooks, Hooks::Auto);
    assert_eq!(
        (options.live.ring_bytes, options.live.connections),
        (16 << 20, 163_840)
    );
    assert!(!options.strict && !options.live.kernel_log);
    assert_eq!(options.filter.loopback, Loopback::Show);
}

#[test]
fn everything_at_once() {
    let options = stream(
        "tracer -v stream -o json --for 1h --hooks kprobe --strict --ring 64K --connections 1 --kernel-log \
         --pid 1,2 --pid 3 --comm nginx* --comm {a,b} --port 80,443 --net 10.0.0.0/8,::1 --direction in \
         --event connect,fail --loopback hide",
    );
    assert_eq!(options.format, Some(Format::Json));
    assert_eq!(options.live.duration, Some(Duration::from_secs(3600)));
    assert_eq!(options.live.hooks, Hooks::Kprobe);
    assert_eq!(
        (options.live.ring_bytes, options.live.connections),
        (65_536, 1)
    );
    assert!(options.strict && options.live.kernel_log);
    let filter = options.filter;
    assert_eq!((filter.pid, filter.port), (vec![1, 2, 3], vec![80, 443]));
    assert_eq!((filter.comm.len(), filter.net.len()), (2, 2));
    assert_eq!(filter.direction, Some(Direction::Inbound));
    assert_eq!(filter.event, [Kind::Connect, Kind::Fail]);
    assert_eq!(filter.loopback, Loopback::Hide);
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
            stream(&format!("tracer stream --ring {size}"))
                .live
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
        let script = String::from_utf8(Cli::completions(shell)).expect("UTF-8");
        assert!(script.contains("stream") && script.contains("doctor"));
    }
}
