//! `tracer doctor`: what this kernel and these privileges allow, which hooks will be
//! used, what stays invisible, and how to fix each. Tries for real, then lets go.

use std::time::Duration;

use crate::{
    capture::{self, CaptureError, Facts, HookSet, Obstacle, Options, preflight},
    cli::request::Doctor,
    exit::Exit,
    model::Blind,
    outputs::{
        self, Format,
        wire::report::{CostReport, ObstacleReport, Report, SetReport},
    },
    run::{self, Measured},
    sink,
};
use anyhow::{Context, Result};

impl From<&Obstacle> for ObstacleReport {
    fn from(obstacle: &Obstacle) -> Self {
        Self {
            what: obstacle.what.clone(),
            why: obstacle.why.to_owned(),
            fix: obstacle.fix.clone(),
        }
    }
}

/// Runs the examination and prints it. Ends as `tracer stream` would: 0, 69 or 77.
///
/// # Errors
/// If the report cannot be written.
pub async fn run(request: Doctor) -> Result<Exit> {
    let facts = Facts::gather();
    let (mut report, exit) = examine(&facts, request.hooks);
    if let Some(duration) = request.cost.filter(|_| exit == Exit::Done) {
        let cost = measure(request.hooks, duration).await;
        report.cost = Some(cost.context("measuring the cost")?);
    }
    let mut out = Vec::new();
    match request.format {
        Format::Json => {
            outputs::pretty_json(&report, &mut out);
        }
        // What the kernel says of a program may quote anything.
        Format::Text => out.extend_from_slice((outputs::lines(&text(&report)) + "\n").as_bytes()),
    }
    sink::print(&out).context("writing the report")?;
    Ok(exit)
}

fn examine(facts: &Facts, hooks: Option<HookSet>) -> (Report, Exit) {
    let obstacles = preflight::obstacles(facts);
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: facts.release.clone(),
        arch: facts.arch.clone(),
        hooks: None,
        sets: Vec::new(),
        obstacles: obstacles.iter().map(ObstacleReport::from).collect(),
        blind: Vec::new(),
        limits: preflight::limits(facts)
            .iter()
            .map(ObstacleReport::from)
            .collect(),
        cost: None,
    };
    if !obstacles.is_empty() {
        let exit = if obstacles.iter().any(Obstacle::is_privilege) {
            Exit::NotPermitted
        } else {
            Exit::Unsupported
        };
        return (report, exit);
    }
    let mut denied = false;
    let asked = |set: &HookSet| hooks.is_none_or(|hooks| hooks == *set);
    for set in HookSet::ALL.into_iter().filter(asked) {
        match try_set(facts, set) {
            Ok(blind) => {
                if report.hooks.is_none() {
                    report.hooks = Some(set.name());
                    report.blind = blind;
                }
                report.sets.push(SetReport {
                    hooks: set.name(),
                    loads: true,
                    why: None,
                });
            }
            Err(error) => {
                denied |= error.is_privilege();
                report.sets.push(SetReport {
                    hooks: set.name(),
                    loads: false,
                    why: Some(why(error)),
                });
            }
        }
    }
    let exit = if report.hooks.is_some() {
        Exit::Done
    } else if denied {
        Exit::NotPermitted
    } else {
        Exit::Unsupported
    };
    (report, exit)
}

/// Watches for a while, as `tracer stream` would, without printing.
async fn measure(hooks: Option<HookSet>, duration: Duration) -> Result<CostReport> {
    let Measured {
        watched,
        events,
        process,
        mut programs,
    } = run::measure(hooks, duration).await?;
    programs.retain(|cost| cost.runs > 0);
    programs.sort_by_key(|cost| std::cmp::Reverse(cost.run_ns));
    Ok(CostReport {
        watched_ns: u64::try_from(watched.as_nanos())?,
        events,
        process,
        programs,
    })
}

fn try_set(facts: &Facts, set: HookSet) -> Result<Vec<Blind>, CaptureError> {
    capture::rehearse(
        facts,
        &Options {
            hooks: Some(set),
            ..Options::default()
        },
    )
}

/// Why one hook set does not load, without the advice that goes with it elsewhere.
fn why(error: CaptureError) -> String {
    match error {
        CaptureError::NoHooks { ruled_out, failed } => {
            let ruled_out = ruled_out.into_iter().map(|set| set.why);
            let failed = failed.into_iter().map(|set| set.why);
            ruled_out.chain(failed).collect::<Vec<_>>().join("; ")
        }
        error => error.to_string(),
    }
}

fn text(report: &Report) -> String {
    use std::fmt::Write as _;

    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!(
        "tracer {} on Linux {} ({})",
        report.version, report.kernel, report.arch
    ));
    line("");
    match report.hooks {
        Some(hooks) => line(&format!(
            "✓ `tracer stream` works here, with the hook set `{hooks}`"
        )),
        None => line("✗ `tracer stream` does not work here"),
    }
    for obstacle in &report.obstacles {
        line(&format!(
            "\n✗ {}\n    why: {}\n    fix: {}",
            obstacle.what, obstacle.why, obstacle.fix
        ));
    }
    if !report.sets.is_empty() {
        line("\nHook sets, best first:");
        for set in &report.sets {
            let mut row = String::new();
            // Writing to a string cannot fail.
            let _ = write!(
                row,
                "  {} {:<11}",
                if set.loads { "✓" } else { "✗" },
                set.hooks
            );
            row.push_str(set.why.as_deref().unwrap_or("loads"));
            line(&row);
        }
    }
    if !report.blind.is_empty() {
        line("\nWhat stays invisible with it:");
        for blind in &report.blind {
            line(&format!("  - {}\n      because {}", blind.what, blind.why));
        }
    }
    if !report.limits.is_empty() {
        line("\nWhat is missing, at a cost:");
        for limit in &report.limits {
            line(&format!(
                "  - {}\n      why: {}\n      fix: {}",
                limit.what, limit.why, limit.fix
            ));
        }
    }
    if let Some(cost) = &report.cost {
        line("");
        for row in cost_rows(cost) {
            line(&row);
        }
    }
    out
}

fn cost_rows(cost: &CostReport) -> Vec<String> {
    let share = |nanoseconds: u64| {
        let share = 100.0 * nanoseconds as f64 / cost.watched_ns.max(1) as f64;
        format!("{share:.4} %")
    };
    let mut rows = vec![
        format!(
            "Cost of {} events in {:.1} s, in shares of one processor:",
            cost.events,
            cost.watched_ns as f64 / 1e9
        ),
        format!(
            "  {:<28}{:>12}",
            "tracer itself",
            share(cost.process.cpu_ns)
        ),
    ];
    rows.extend(cost.programs.iter().map(|program| {
        let mut row = format!(
            "  {:<28}{:>12}{:>12} runs of {} ns",
            program.program,
            share(program.run_ns),
            program.runs,
            program.run_ns / program.runs.max(1)
        );
        if program.skipped > 0 {
            row.push_str(&format!(", skipped {} times", program.skipped));
        }
        row
    }));
    rows
}
