//! Loads and attaches the programs of a plan. Nothing is pinned: the kernel takes all
//! of it away when this process ends, however it ends.

use std::{
    collections::HashMap,
    io,
    sync::{LazyLock, Mutex},
    thread,
};

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness, Pod, VerifierLogLevel,
    programs::{
        BtfTracePoint, FEntry, FExit, Iter, KProbe, ProgramError, RawTracePoint, TracePoint,
    },
};
use tracer_common::Offsets;

use super::{
    facts::Types,
    home,
    options::Options,
    plan::{Attachment, HookSet, Part, Plan, Plans, Program},
    span,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "there is no eBPF object for this architecture yet: arguments of kernel functions lie elsewhere on each"
);

/// The eBPF programs, compiled from `tracer-ebpf` by `cargo xtask build-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../tracer-ebpf/object/tracer-x86_64.o");

/// One hook set that was tried and did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub set: HookSet,
    /// The program that did not load or attach, and the kernel's words.
    pub why: String,
}

/// Programs that are attached.
pub(super) struct Attached {
    pub(super) ebpf: Ebpf,
    pub(super) plan: Plan,
}

/// Why no programs are attached.
pub(super) enum AttachError {
    /// The maps, which all hook sets share, cannot be made.
    Maps { denied: bool, why: String },
    /// None of the hook sets works.
    Hooks(Vec<Failed>),
}

/// Newtype for the right to be copied to the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodOffsets(Offsets);

// SAFETY: `Offsets` is `repr(C)` of `u32`s only: no padding, no pointers.
unsafe impl Pod for PodOffsets {}

/// Reads the object and makes its maps. It keeps references to what it writes into them.
pub(super) type Loader = EbpfLoader<'static>;

/// Makes a loader, beside all else that a start has to do: aya reads and sorts the types of the whole kernel for
/// each one that it makes, whether they are wanted or not. Here they are not, as the object has no CO-RE
/// relocations, and that takes as long as a good part of the programs. So there is one for all plans, too.
pub(super) struct MakesLoader(Option<thread::JoinHandle<Loader>>);

impl MakesLoader {
    pub(super) fn begin() -> Self {
        let thread = thread::Builder::new().name("loader".to_owned());
        Self(thread.spawn(make_loader).ok())
    }

    fn wait(self) -> Loader {
        let made = self.0.and_then(|thread| thread.join().ok());
        made.unwrap_or_else(make_loader)
    }
}

fn make_loader() -> Loader {
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .verifier_log_level(VerifierLogLevel::DISABLE);
    loader
}

/// The types of the kernel's functions; none if it does not tell them.
type OfFunctions<'a> = dyn Fn() -> Option<&'a Btf> + Sync + 'a;

/// Threads that load programs. The verifier needs most of its time for a few of them, so more would wait.
const LOADERS: usize = 2;

/// A value that a loader keeps. There is one loader in a run, and no more than some attempts.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Tries the candidates of `plans` in order and keeps the first that loads whole and passes `check`.
///
/// # Errors
/// If the maps cannot be made; else what failed of each candidate, if none works.
pub(super) fn attach(
    plans: &Plans,
    types: &Types,
    options: &Options,
    loader: MakesLoader,
    mut check: impl FnMut(&mut Ebpf) -> Result<(), String>,
) -> Result<Attached, AttachError> {
    let mut failed = Vec::new();
    let mut refused: Vec<(HookSet, Program)> = Vec::new();
    let btf = LazyLock::new(|| Btf::parse(&types.functions, Endianness::default()).ok());
    let log_level: u8 = if options.kernel_log { u8::MAX } else { 0 };
    let mut loader = loader.wait();
    loader
        .override_global("OFFSETS", kept(PodOffsets(types.offsets)), true)
        .override_global("HOME_NETNS", kept(home::netns()), true)
        .override_global("WAKE_BYTES", kept(u64::from(options.ring_bytes / 4)), true)
        .override_global("ROOM", kept(options.connections), true)
        .override_global(aya_log::LEVEL, kept(log_level), true)
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("CONNECTIONS", options.connections);
    for plan in &plans.candidates {
        // What is refused in one set may load in another, where `HOOKS` has other bits.
        let fails_again = |(set, program)| plan.set == set && plan.programs.contains(&program);
        if refused.iter().copied().any(fails_again) {
            continue;
        }
        let mut plan = plan.clone();
        loop {
            let hooks = plan.hooks();
            // What a kernel refuses of the typed programs may be this.
            let typed_task = u32::from(types.typed_task && plan.is_typed());
            // Makes the maps and readies the programs; none is loaded yet.
            let mut ebpf = loader
                .override_global("HOOKS", kept(hooks), true)
                .override_global("TYPED_TASK", kept(typed_task), true)
                .load(OBJECT)
                .map_err(|error| AttachError::Maps {
                    denied: is_denied(&error),
                    why: chain(&error),
                })?;
            span::reset(&mut ebpf).map_err(|error| AttachError::Maps {
                denied: is_denied(&error),
                why: chain(&error),
            })?;
            let (part, why) = match attach_all(&mut ebpf, &plan, &|| btf.as_ref()) {
                Ok(()) => match check(&mut ebpf) {
                    Ok(()) => return Ok(Attached { ebpf, plan }),
                    Err(wrong) => (Part::Life, wrong),
                },
                Err((program, why)) => {
                    refused.extend((program.part == Part::Life).then_some((plan.set, program)));
                    (program.part, why)
                }
            };
            tracing::debug!(set = plan.set.name(), ?part, %why, "a program does not load");
            match plan.without(part, why.clone()) {
                Some(less) => plan = less,
                None => {
                    failed.push(Failed { set: plan.set, why });
                    break;
                }
            }
        }
    }
    Err(AttachError::Hooks(failed))
}

/// The object with one program loaded that is attached nowhere.
#[cfg(test)]
pub(super) fn load_one(types: &Types, name: &str) -> Result<Ebpf, String> {
    let offsets = PodOffsets(types.offsets);
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global("OFFSETS", &offsets, true)
        .map_max_entries("EVENTS", 4096)
        .map_max_entries("CONNECTIONS", 1)
        .load(OBJECT)
        .map_err(|error| chain(&error))?;
    let program = ebpf.program_mut(name).ok_or("no such program")?;
    load(program, Attachment::OnDemand, &|| None).map_err(|error| reason(&error))?;
    Ok(ebpf)
}

/// Loads all programs of a plan; then attaches them in order. Tells which one was refused, and why.
fn attach_all(
    ebpf: &mut Ebpf,
    plan: &Plan,
    btf: &OfFunctions<'_>,
) -> Result<(), (Program, String)> {
    load_all(ebpf, plan, btf)?;
    let at_once = |it: &&Program| it.part != Part::Redirect;
    for program in plan.programs.iter().filter(at_once) {
        let found = find(ebpf, program).map_err(|why| (of_life(program), why))?;
        attach_program(found, program.attachment).map_err(|error| refused(program, &error))?;
    }
    Ok(())
}

/// Loads them side by side, the likeliest to be refused first. The kernel needs most of a start to
/// prove them safe, and takes no lock for that from one who may load them at all (`bpf_check()`).
fn load_all(ebpf: &mut Ebpf, plan: &Plan, btf: &OfFunctions<'_>) -> Result<(), (Program, String)> {
    let life = plan.programs.iter().filter(|it| it.part == Part::Life);
    let parts = plan.programs.iter().filter(|it| it.part != Part::Life);
    let mut object: HashMap<_, _> = ebpf.programs_mut().collect();
    let mut work = Vec::new();
    for program in life.rev().chain(parts) {
        match object.remove(program.name) {
            Some(found) => work.push((program, found)),
            // One program may go to several places.
            None if work.iter().any(|(other, _)| other.name == program.name) => {}
            None => return Err((of_life(program), missing(program))),
        }
    }
    let work = Mutex::new(work.into_iter().enumerate());
    // The first in order, whichever thread is the faster one.
    let first_refused = Mutex::new(None::<(usize, (Program, String))>);
    let take_turns = || {
        while first_refused.lock().is_ok_and(|refused| refused.is_none())
            && let Some((place, (program, found))) =
                work.lock().ok().and_then(|mut work| work.next())
        {
            if let Err(error) = load(found, program.attachment, btf)
                && let Ok(mut first) = first_refused.lock()
                && first.as_ref().is_none_or(|(other, _)| place < *other)
            {
                *first = Some((place, refused(program, &error)));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..LOADERS {
            // If a thread cannot be started, the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, take_turns);
        }
        take_turns();
    });
    match first_refused.into_inner() {
        Ok(Some((_, refused))) => Err(refused),
        _ => Ok(()),
    }
}

fn refused(program: &Program, error: &ProgramError) -> (Program, String) {
    let why = format!("{}: {}", program.name, reason(error));
    (*program, why)
}

/// Attaches the redirect probes, which no other program depends on.
///
/// # Errors
/// What the kernel said of which program.
pub(super) fn attach_redirect(ebpf: &mut Ebpf, plan: &Plan) -> Result<(), String> {
    let programs = plan.programs.iter().filter(|it| it.part == Part::Redirect);
    for program in programs {
        let found = find(ebpf, program)?;
        attach_program(found, program.attachment)
            .map_err(|error| format!("{}: {}", program.name, reason(&error)))?;
    }
    Ok(())
}

/// Without a program in it, whatever its part, it is not the object this binary was built for: then
/// nothing is to be left out.
fn of_life(program: &Program) -> Program {
    Program {
        part: Part::Life,
        ..*program
    }
}

fn find<'a>(
    ebpf: &'a mut Ebpf,
    program: &Program,
) -> Result<&'a mut aya::programs::Program, String> {
    ebpf.program_mut(program.name)
        .ok_or_else(|| missing(program))
}

fn missing(program: &Program) -> String {
    format!("the embedded eBPF object has no {}", program.name)
}

fn load(
    program: &mut aya::programs::Program,
    to: Attachment,
    btf: &OfFunctions<'_>,
) -> Result<(), ProgramError> {
    // Without BTF there is no plan at all.
    let btf = || btf().ok_or(ProgramError::NotLoaded);
    match to {
        Attachment::Fentry(function) => <&mut FEntry>::try_from(program)?.load(function, btf()?),
        Attachment::Fexit(function) => <&mut FExit>::try_from(program)?.load(function, btf()?),
        Attachment::Kprobe(_) | Attachment::Kretprobe(_) => {
            <&mut KProbe>::try_from(program)?.load()
        }
        Attachment::RawTracepoint(_) | Attachment::OnDemand => {
            <&mut RawTracePoint>::try_from(program)?.load()
        }
        Attachment::TypedTracepoint(name) => {
            <&mut BtfTracePoint>::try_from(program)?.load(name, btf()?)
        }
        Attachment::Tracepoint(..) => <&mut TracePoint>::try_from(program)?.load(),
        Attachment::Iterator(over) => <&mut Iter>::try_from(program)?.load(over, btf()?),
    }
}

fn attach_program(
    program: &mut aya::programs::Program,
    to: Attachment,
) -> Result<(), ProgramError> {
    match to {
        Attachment::Fentry(_) => <&mut FEntry>::try_from(program)?.attach().map(drop),
        Attachment::Fexit(_) => <&mut FExit>::try_from(program)?.attach().map(drop),
        Attachment::Kprobe(function) | Attachment::Kretprobe(function) => {
            <&mut KProbe>::try_from(program)?
                .attach(function, 0)
                .map(drop)
        }
        Attachment::RawTracepoint(name) => <&mut RawTracePoint>::try_from(program)?
            .attach(name)
            .map(drop),
        Attachment::TypedTracepoint(_) => {
            <&mut BtfTracePoint>::try_from(program)?.attach().map(drop)
        }
        Attachment::Tracepoint(category, name) => <&mut TracePoint>::try_from(program)?
            .attach(category, name)
            .map(drop),
        // A scan attaches it for as long as it takes.
        Attachment::Iterator(_) | Attachment::OnDemand => Ok(()),
    }
}

/// The kernel's reason in one line; the verifier's log goes to tracer's log.
fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        tracing::debug!(%verifier_log, "the verifier refused a program");
        return format!("the kernel refused to load it: {io_error}");
    }
    chain(error)
}

/// Whether the kernel's answer at the root of `error` is `EPERM` or `EACCES`.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
