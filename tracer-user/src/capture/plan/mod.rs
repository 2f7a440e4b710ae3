//! From facts to hooks: which programs to try, in which order, and what each choice
//! leaves invisible. Pure, so it can be asked about kernels that are not here.

mod blind;
mod functions;
mod optional;
mod tracepoints;
mod types;

#[cfg(test)]
mod tests;

pub use self::types::{Attachment, HookSet, Part, Plan, Plans, Program, RuledOut};
use self::{
    functions::programs,
    optional::optional,
    tracepoints::{is_interrupted, tracepoints},
};
use super::{
    facts::Facts,
    preflight::{Obstacle, obstacles},
};

/// Decides what to try on the kernel that `facts` describe. `choice` limits it to one
/// hook set; none tries all, best first.
///
/// # Errors
/// Every [`Obstacle`] that stands in the way of all of them.
pub fn plan(facts: &Facts, choice: Option<HookSet>) -> Result<Plans, Vec<Obstacle>> {
    let obstacles = obstacles(facts);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut plans = Plans::default();
    for set in HookSet::ALL
        .into_iter()
        .filter(|set| choice.is_none_or(|choice| choice == *set))
    {
        let tracepoints = tracepoints(facts);
        match programs(facts, set) {
            Ok(functions) => {
                let mut without = Vec::new();
                let mut parts = Vec::new();
                for part in Part::OPTIONAL {
                    match optional(facts, set, part) {
                        Ok(more) => parts.extend(more),
                        Err(why) => without.push((part, why)),
                    }
                }
                for tracepoints in tracepoints {
                    plans.candidates.push(Plan {
                        set,
                        programs: [&tracepoints[..], &functions, &parts].concat(),
                        interrupted: is_interrupted(facts, &tracepoints),
                        without: without.clone(),
                    });
                }
            }
            Err(why) => plans.ruled_out.push(RuledOut { set, why }),
        }
    }
    Ok(plans)
}
