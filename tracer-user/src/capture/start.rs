//! From options to programs at work: the plans are tried, best first.

use aya::{
    Ebpf,
    maps::{Map, MapError},
};

use super::{
    attach::{self, AttachError, Attached},
    canary,
    error::CaptureError,
    facts::Facts,
    options::Options,
    plan::{self, Part},
    preflight,
};
use crate::model::Blind;

/// Finds out whether a capture with these options would start, and what it would not
/// see: attaches, and lets go again.
///
/// # Errors
/// As [`Capture::start`].
pub fn rehearse(facts: &Facts, options: &Options) -> Result<Vec<Blind>, CaptureError> {
    Ok(try_hooks(facts, options, Ahead::begin())?.plan.blind())
}

/// What takes its time and needs nothing else of a start, each on a thread of its own.
pub(super) struct Ahead {
    loader: attach::MakesLoader,
    stage: Option<canary::Stage>,
}

impl Ahead {
    pub(super) fn begin() -> Self {
        Self {
            loader: attach::MakesLoader::begin(),
            stage: canary::Stage::prepare().ok(),
        }
    }
}

/// Attaches the first plan that works.
///
/// # Errors
/// If none does.
pub(super) fn try_hooks(
    facts: &Facts,
    options: &Options,
    ahead: Ahead,
) -> Result<Attached, CaptureError> {
    let mut plans = plan::plan(facts, options.hooks).map_err(CaptureError::Obstacles)?;
    if !options.dns {
        plans.leave_out(Part::Names, "--no-dns");
    }
    let Ahead { loader, mut stage } = ahead;
    let check = |ebpf: &mut Ebpf| canary::sing(ebpf, facts, &mut stage);
    let Ok(types) = &facts.types else {
        // Without them there is no plan either.
        return Err(CaptureError::Obstacles(preflight::obstacles(facts)));
    };
    attach::attach(&plans, types, options, loader, check).map_err(|error| match error {
        AttachError::Maps { denied, why } => CaptureError::Maps { denied, why },
        AttachError::Hooks(failed) => CaptureError::NoHooks {
            ruled_out: plans.ruled_out.clone(),
            failed,
        },
    })
}

/// Takes a map out of the object.
///
/// # Errors
/// If it is not there, or of another type.
pub(super) fn take_map<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<T, CaptureError> {
    let found = ebpf.take_map(map).ok_or(CaptureError::NoMap(map))?;
    T::try_from(found).map_err(|source| CaptureError::Map { map, source })
}
