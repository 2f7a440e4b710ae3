//! `cargo xtask vm`, and the machines that `cargo xtask test` boots: a Debian
//! kernel in QEMU whose first process is the kernel suite. Needs no privileges.

mod cpio;
mod image;
mod kernel;
mod modules;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tracer_test_scopes::{Scope, VARIABLE};

use crate::cargo;
use crate::process::{self, Ending};
use crate::tally::{self, Tally};
use kernel::Kernel;
pub(crate) use kernel::{Run, SUITES, Suite};

const QEMU: &str = "qemu-system-x86_64";

/// A plain one: what newer ones add is slower to emulate than to do without. And none with
/// `cmpxchg16b`: a machine was seen to panic right behind one, probably as QEMU 7.2 leaves false
/// flags there. Kernels have another way for processors that lack it.
const PROCESSOR: &str = "Nehalem,-cx16";

/// What makes an emulated machine faster, as there is nobody to protect it against and its ciphers
/// need no test, and what keeps a busy host from making it believe that its timer is broken.
const EMULATED: &str = "mitigations=off audit=0 no_timer_check cryptomgr.notests";

/// How long a machine may take to its verdict. Emulation is slow, and slower on a busy host.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often a machine is booted at most.
const BOOTS: usize = 3;

/// What the console says when one emulated processor still runs the breakpoint by which the
/// kernel changes its code, after the other has taken it back: switching a tracepoint on while
/// it is busy does that now and then. Real processors do not.
const STUMBLED: &str = "Oops: int3: 0000";

/// What the console says when an emulated processor never came back while the others wait for it:
/// seen once in some hundred boots, two seconds after the beginning.
const STUCK: &str = "BUG: soft lockup";

/// With what the suite begins: until then nothing of ours runs.
const BEGUN: &str = "running ";

/// How much of the console is shown again when there was no verdict.
const TAIL_LINES: usize = 40;

/// The hook sets that tracer can be made to use.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hooks {
    Auto,
    Fentry,
    Kprobe,
    Tracepoint,
}

impl Hooks {
    /// The word that `tracer --hooks` takes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Boot a Debian kernel in QEMU and run the kernel suite in it
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Debian suite whose kernel to boot
    #[arg(long, value_enum, default_value = "bookworm")]
    suite: Suite,
    /// Hooks that tracer must use
    #[arg(long, value_enum, default_value = "auto")]
    hooks: Hooks,
    /// Emulated processors; with more than one, time there is the host's, not their own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    processors: u8,
    /// A setting of the suite, such as TRACER_MIXED=60: see tests/kernel/main.rs
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<String>,
    /// Arguments for the test program, such as a part of a test's name
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The kernel hands to its first process what it does not know itself.
fn setting(text: &str) -> Result<String, String> {
    let fits = text.split_once('=').is_some_and(|(name, value)| {
        let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        name.starts_with("TRACER_")
            && name.chars().all(word)
            && value.chars().all(|c| c.is_ascii_graphic() && c != '"')
    });
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a setting is TRACER_NAME=VALUE, without spaces and quotes".to_owned())
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(reason) = unavailable() {
        bail!("boot a virtual machine: {reason}");
    }
    let tracer = cargo::build_tracer()?;
    let init = cargo::build_tests(Some("kernel"))?
        .pop()
        .context("cargo built no test program named kernel")?
        .path;
    let machine = Machine::prepare(options.suite, &init, &tracer)?;
    println!("{} with {}", machine.release(), options.hooks.name());
    let orders = Orders {
        processors: options.processors,
        scope: options
            .suite
            .runs(Hooks::Auto)
            .first()
            .map_or(&[], |run| run.scope),
        settings: &options.settings,
        arguments: &options.arguments,
    };
    let verdict = machine.boot(options.hooks, orders, |line| println!("{line}"))?;
    Ok(
        if matches!(verdict, Verdict::Ran(tally) if tally.failed == 0) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}

/// Why no machine can be booted here, with what to do about it; `None` if one can.
pub(crate) fn unavailable() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        Some("virtual machines are x86-64 only, as the programs built here must run in them".into())
    } else if process::find(QEMU).is_none() {
        Some(format!(
            "{QEMU} is missing: run `apt-get install qemu-system-x86`"
        ))
    } else if !cargo::can_link_statically() {
        Some(
            "no static C library (libc.a) to build the first process with: install the static \
              C library of your distribution (libc6-dev, glibc-static)"
                .into(),
        )
    } else {
        None
    }
}

/// The folder where kernels, images and consoles are kept.
fn folder() -> PathBuf {
    cargo::root().join("target/vm")
}

/// Fetches the kernel of `suite` if it is not there yet.
///
/// Apart from [`Machine::prepare`], because what fails here is the network, not us.
pub(crate) fn fetch(suite: Suite) -> Result<()> {
    suite.kernel(&folder().join(suite.name())).map(drop)
}

/// What a machine says in the end.
pub(crate) enum Verdict {
    /// The suite ran.
    Ran(Tally),
    /// tracer does not use these hooks on this kernel; why.
    RuledOut(String),
}

/// What a machine has, and what its suite is told.
#[derive(Clone, Copy)]
pub(crate) struct Orders<'a> {
    /// Emulated ones.
    pub(crate) processors: u8,
    /// The themes to run, unless tests are named.
    pub(crate) scope: &'a [Scope],
    /// `NAME=VALUE` each.
    pub(crate) settings: &'a [String],
    /// Of the test program.
    pub(crate) arguments: &'a [String],
}

/// A machine that is ready to boot, as often as wanted.
pub(crate) struct Machine {
    suite: Suite,
    kernel: Kernel,
    image: PathBuf,
}

impl Machine {
    /// Puts a machine together: `init` will be its first process.
    pub(crate) fn prepare(suite: Suite, init: &Path, tracer: &Path) -> Result<Self> {
        let folder = folder().join(suite.name());
        let kernel = suite.kernel(&folder)?;
        let image = folder.join("image.cpio");
        // Another machine may be reading the image that is there: QEMU maps it.
        let unfinished = folder.join(format!("image.{}", std::process::id()));
        image::write(&unfinished, init, tracer, &kernel.modules)?;
        std::fs::rename(&unfinished, &image)
            .with_context(|| format!("put {} in place", image.display()))?;
        Ok(Self {
            suite,
            kernel,
            image,
        })
    }

    /// Its kernel, as `uname -r` says.
    pub(crate) fn release(&self) -> &str {
        &self.kernel.release
    }

    /// Boots, hands every line of the console to `line`, and returns the verdict.
    ///
    /// The verdict is what the machine says, never how QEMU ends. One whose emulated processor
    /// failed is booted again.
    pub(crate) fn boot(
        &self,
        hooks: Hooks,
        orders: Orders<'_>,
        mut line: impl FnMut(&str),
    ) -> Result<Verdict> {
        for _ in 1..BOOTS {
            let mut emulation = Emulation::default();
            let ended = self.boot_once(hooks, orders, |text| {
                line(text);
                emulation.read(text)
            });
            let Some(failure) = emulation.failure.filter(|_| ended.is_err()) else {
                return ended;
            };
            line(&format!("xtask: booting again: {failure}"));
        }
        self.boot_once(hooks, orders, |text| {
            line(text);
            ControlFlow::Continue(())
        })
    }

    fn boot_once(
        &self,
        hooks: Hooks,
        orders: Orders<'_>,
        mut line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Verdict> {
        let (suite, hooks_name) = (self.suite.name(), hooks.name());
        let log = folder().join(match orders.processors {
            1 => format!("{suite}-{hooks_name}.log"),
            n => format!("{suite}-{hooks_name}-{n}.log"),
        });
        let mut console = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let mut tail = Vec::new();
        let mut verdict = None;
        let mut ruled_out = None;
        let ending = process::watch(&mut self.qemu(hooks, orders), LIMIT, |raw| {
            let text = printable(raw);
            // The console is kept for people; a full disk must not decide the verdict.
            let _ = writeln!(console, "{text}");
            let next = line(&text);
            ruled_out = tally::ruled_out(&text).or(ruled_out.take());
            verdict = tally::verdict(&text).or(verdict);
            tail.push(text);
            if tail.len() > TAIL_LINES {
                tail.remove(0);
            }
            if verdict.is_some() {
                ControlFlow::Break(())
            } else {
                next
            }
        })?;
        if let Some(tally) = verdict {
            return Ok(ruled_out.map_or(Verdict::Ran(tally), Verdict::RuledOut));
        }
        let cause = match ending {
            Ending::Late => format!("no verdict after {} s", LIMIT.as_secs()),
            Ending::Exited(status) => format!("the machine ended without a verdict ({status})"),
        };
        bail!(
            "{cause}; the whole console is in {}, and it ends so:\n    {}",
            log.display(),
            tail.join("\n    ")
        );
    }

    fn qemu(&self, hooks: Hooks, orders: Orders<'_>) -> Command {
        let mut command = Command::new(process::find(QEMU).unwrap_or_else(|| QEMU.into()));
        command
            .args(processors(orders.processors))
            .args(["-cpu", PROCESSOR, "-m", "1024"])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(&self.image)
            .arg("-append")
            .arg(command_line(hooks, orders));
        command
    }
}

/// What the console says of the emulated processors.
#[derive(Default)]
struct Emulation {
    /// Whether the suite has begun.
    begun: bool,
    /// How they failed.
    failure: Option<&'static str>,
}

impl Emulation {
    /// Breaks where the machine will not go on.
    fn read(&mut self, line: &str) -> ControlFlow<()> {
        self.begun |= line.starts_with(BEGUN);
        if line.contains(STUMBLED) {
            self.failure = Some("the emulated processor ran a breakpoint that was gone");
        } else if !self.begun && line.contains(STUCK) {
            self.failure = Some("an emulated processor was stuck before the suite began");
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The emulated processors and their clock.
///
/// One processor has a clock that counts its instructions, and leaps over the time in which there
/// is nothing to do: waiting takes no time, and a busy host makes the machine slow without
/// making it late. Several can run at the same time, but only by the host's clock (QEMU 7.2
/// counts for several, and then they wait for each other for ever).
fn processors(count: u8) -> Vec<String> {
    let (threads, clock): (_, &[&str]) = match count {
        0 | 1 => ("single", &["-icount", "shift=0,sleep=off"]),
        _ => ("multi", &[]),
    };
    let accelerator = format!("tcg,thread={threads}");
    let count = count.max(1).to_string();
    ["-accel", &accelerator, "-smp", &count]
        .iter()
        .chain(clock)
        .map(|&word| word.to_owned())
        .collect()
}

/// The kernel's command line. What the kernel does not know becomes the first
/// process's environment, and what follows `--` its arguments.
fn command_line(hooks: Hooks, orders: Orders<'_>) -> OsString {
    let Orders {
        processors,
        scope,
        settings,
        arguments,
    } = orders;
    let mut line = format!(
        "console=ttyS0 quiet panic=-1 {EMULATED} \
         PATH=/usr/sbin:/usr/bin RUST_BACKTRACE=1 TRACER=/bin/tracer TRACER_HOOKS={} \
         {VARIABLE}={}",
        hooks.name(),
        tracer_test_scopes::join(scope)
    );
    if processors == 1 {
        line.push_str(" TRACER_CLOCK=instructions");
    }
    for setting in settings {
        line.push_str(&format!(" {setting}"));
    }
    if !arguments.is_empty() {
        line.push_str(" --");
        for argument in arguments {
            if argument.contains(char::is_whitespace) {
                line.push_str(&format!(" \"{argument}\""));
            } else {
                line.push_str(&format!(" {argument}"));
            }
        }
    }
    line.into()
}

/// `text` without what would move a terminal's cursor or colour it.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // `ESC [ … letter`, or one more character.
            if characters.next() == Some('[') {
                characters.by_ref().find(|end| ('@'..='~').contains(end));
            }
        } else if character == '\t' || !character.is_control() {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_line_is_cleaned() {
        assert_eq!(
            printable("\u{1b}c\u{1b}[?7l\u{1b}[2J\u{1b}[0mtest \u{1b}[32mok\u{1b}[m\r"),
            "test ok"
        );
        assert_eq!(printable("a\tb\u{7}c"), "a\tbc");
        assert_eq!(printable("cut \u{1b}["), "cut ");
    }

    #[test]
    fn orders_reach_the_first_process() {
        let line = |settings: &[&str], arguments: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            let (settings, arguments): (Vec<String>, Vec<String>) =
                (owned(settings), owned(arguments));
            let orders = Orders {
                processors: 1,
                scope: &[Scope::Traffic],
                settings: &settings,
                arguments: &arguments,
            };
            let line = command_line(Hooks::Kprobe, orders);
            line.to_string_lossy().into_owned()
        };
        let told = line(&["TRACER_MIXED=60"], &["--exact", "two words"]);
        assert!(told.contains(" TRACER_HOOKS=kprobe"), "{told}");
        assert!(
            told.ends_with(" TRACER_MIXED=60 -- --exact \"two words\""),
            "{told}"
        );
        assert!(!line(&[], &[]).contains("--"));
    }

    /// What happens once the suite runs may be our doing.
    #[test]
    fn a_machine_boots_again_only_if_it_was_stuck_before_the_suite_began() {
        let lockup = "[   42.1] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [migration/1:20]";
        let mut booting = Emulation::default();
        assert!(booting.read("[    1.0] rcu: something").is_continue());
        assert!(booting.read(lockup).is_break());
        assert!(booting.failure.is_some());
        let mut begun = Emulation::default();
        assert!(begun.read("running 24 tests").is_continue());
        assert!(begun.read(lockup).is_continue());
        assert!(begun.failure.is_none());
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(setting("TRACER_MIXED=60").as_deref(), Ok("TRACER_MIXED=60"));
        for bad in [
            "",
            "TRACER_MIXED",
            "MIXED=60",
            "TRACER_MIXED=6 0",
            "TRACER_A=\"",
            "panic=1",
        ] {
            setting(bad).expect_err(bad);
        }
    }
}
