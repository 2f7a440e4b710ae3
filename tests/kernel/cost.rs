//! What a connection costs in instructions, with tracer and beside other tools.
//!
//! For test machines with one processor, whose clock counts instructions: there a storm takes as
//! many nanoseconds as it takes instructions, of the traffic, the kernel and the tool together. It
//! prints a table and concludes nothing. Run by name:
//! `cargo xtask vm --suite bookworm --hooks kprobe -- cost::`.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::{
    expect::{self, KINDS},
    skip,
    storm::Storm,
    suite::setting,
    tests, tracer, wait,
};

tests!("cost": instructions_of_a_connection);

/// What runs beside the storm: a name, the program, its arguments.
type Arm = (&'static str, Option<&'static str>, &'static [&'static str]);

const TRACER: Option<&str> = Some("tracer");

const ARMS: [Arm; 9] = [
    ("nothing", None, &[]),
    (
        "tracer, next to nothing printed",
        TRACER,
        &["--event", "listen,unlisten"],
    ),
    ("tracer --event close", TRACER, &["--event", "close"]),
    ("tracer", TRACER, &[]),
    ("tcpconnect", Some("tcpconnect"), &[]),
    ("tcplife", Some("tcplife"), &[]),
    ("tcpstates", Some("tcpstates"), &[]),
    ("tcptracer", Some("tcptracer"), &[]),
    ("nothing, once more", None, &[]),
];

/// For a tool that does not say when it is ready, and for the last lines of any.
const SETTLE: Duration = Duration::from_secs(2);

fn instructions_of_a_connection() -> Result<()> {
    if std::env::var_os("TRACER_CLOCK").is_none_or(|clock| clock != "instructions") {
        return skip::not_here(
            "clock of instructions",
            "only virtual machines with one processor have one",
        );
    }
    let count = setting("TRACER_COST", 10_000)?;
    let folder = tempfile::tempdir().context("make a folder for the output")?;
    let mut base = None;
    println!("instructions a connection, of {count}:");
    for (name, program, args) in ARMS {
        if let Some(program) = program.filter(|program| Some(*program) != TRACER)
            && skip::need(program).is_err()
        {
            println!("{name:<34} is not here");
            continue;
        }
        let cost = run(program, args, &folder.path().join("output"), count)?;
        let base = *base.get_or_insert(cost);
        println!("{name:<34} {cost:>8.0} {:>+8.0}", cost - base);
    }
    Ok(())
}

/// How many it took.
fn run(program: Option<&str>, args: &[&str], output: &Path, count: u32) -> Result<f64> {
    let storm = Storm::new()?;
    let running = program
        .map(|program| start(program, args, output))
        .transpose()?;
    let begun = Instant::now();
    storm.blow(1, count)?;
    let took = begun.elapsed();
    std::thread::sleep(SETTLE);
    storm.finish()?;
    if let Some(child) = running {
        stop(child, program == TRACER, output, count)?;
    }
    Ok(took.as_nanos() as f64 / f64::from(count))
}

fn start(program: &str, args: &[&str], output: &Path) -> Result<Child> {
    let mut command = if Some(program) == TRACER {
        tracer::stream_command(args)?
    } else {
        Command::new(program)
    };
    let file = File::create(output).context("make the output")?;
    let child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    if Some(program) == TRACER {
        wait::until("the first line", || {
            let size = std::fs::metadata(output).context("stat the output")?.len();
            Ok((size > 0).then_some(()))
        })?;
    }
    std::thread::sleep(SETTLE);
    Ok(child)
}

/// Ends it. It must have done its work.
fn stop(mut child: Child, is_tracer: bool, output: &Path, count: u32) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("a process id")?, Signal::INT).context("end it")?;
    child.wait().context("wait for its end")?;
    let text = std::fs::read_to_string(output).context("read the output")?;
    if is_tracer {
        let totals = expect::sums(text.lines())?;
        for kind in KINDS {
            ensure!(totals[kind].lost() == 0, "{kind}: {:?}", totals[kind]);
        }
        ensure!(
            totals["close"].seen >= 2 * u64::from(count),
            "{:?}",
            totals["close"]
        );
    } else {
        let lines = text.lines().count();
        ensure!(
            lines >= count as usize / 2,
            "{lines} lines of {count} connections"
        );
    }
    Ok(())
}
