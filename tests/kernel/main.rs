//! The suite that needs privileges: tracer against the kernel it runs on.
//!
//! Each file has the tests of one theme. The same executable is process 1 of the test
//! machines ([`tracer_tests::init`]) and every process that makes traffic
//! ([`tracer_tests::traffic`]).
//!
//! Settings, by environment: `TRACER` and `TRACER_HOOKS` (what to test), `TRACER_LEDGER`,
//! `TRACER_STORM`, `TRACER_HELD` and `TRACER_INTERRUPTS` (how many connections), `TRACER_MIXED`
//! (how many seconds of mixed traffic), `TRACER_MOMENTS`, `TRACER_MOMENTS_RATE` (how many recordings of each kind, in how
//! many connections a second), `TRACER_SEED`, `TRACER_KEEP` (their moments, and a folder for those that are
//! wrong), `TRACER_CLOCK` (`instructions` on a machine whose clock
//! counts those), `TRACER_REQUIRE` (features whose absence is a failure),
//! `TRACER_SCOPE` (which themes, see below).

use std::process::ExitCode;

use tracer_tests::{init, suite, tracer, traffic};

mod asking;
mod clock;
mod cost;
mod doctor;
mod endings;
mod executables;
mod existing;
mod failures;
mod filters;
mod hiding;
mod hosts;
mod identity;
mod ledger;
mod lifecycle;
mod listeners;
mod loss;
mod mixed;
mod moments;
mod names;
mod older;
mod pins;
mod pretenders;
mod privileges;
mod processes;
mod programs;
mod reads;
mod resolver;
mod rights;
mod scope;
mod services;
mod sharing;
mod sockets;
mod storm;
mod system;
mod tiers;
mod totals;
mod translated;
mod watch;
mod ways;
mod workloads;
mod world;

fn main() -> ExitCode {
    // First: these may be process 1 of a pid namespace, and must not take that for a machine.
    if let Some(code) = traffic::run_if_asked() {
        return code;
    }
    init::run_if_first();
    tracer::hear_signals();
    if init::is_test_machine() {
        match tracer::ruled_out() {
            Ok(None) => {}
            Ok(Some(why)) => return suite::ruled_out(&why),
            Err(error) => eprintln!("cannot ask the doctor: {error:#}"),
        }
    }
    let scope = std::env::var("TRACER_SCOPE")
        .unwrap_or_else(|_| "traffic,storm,start,failures,sockets,identity,general".to_owned());
    // Asked for by name, a test runs whatever the scope.
    let has = |part| std::env::args().len() > 1 || scope.split(',').any(|it| it == part);
    let mut themes = Vec::new();
    if has("traffic") {
        themes.extend([ledger::tests(), mixed::tests()]);
    }
    if has("storm") {
        themes.push(storm::tests());
    }
    if has("start") {
        themes.extend([
            nameless(existing::tests()),
            nameless(loss::tests()),
            nameless(hiding::tests()),
            nameless(moments::tests()),
        ]);
    }
    if has("failures") {
        themes.extend([nameless(failures::tests()), nameless(listeners::tests())]);
    }
    if has("sockets") {
        themes.extend([
            nameless(sockets::tests()),
            nameless(endings::tests()),
            nameless(older::tests()),
            nameless(totals::tests()),
            nameless(sharing::tests()),
            nameless(processes::tests()),
            nameless(executables::tests()),
            nameless(ways::tests()),
            nameless(reads::tests()),
        ]);
    }
    if has("identity") {
        themes.extend([
            services::tests(),
            nameless(pretenders::tests()),
            resolver::tests(),
            scope::tests(),
            asking::tests(),
            nameless(translated::tests()),
            nameless(workloads::tests()),
            nameless(identity::tests()),
        ]);
    }
    if has("general") {
        themes.extend([
            doctor::tests(),
            lifecycle::tests(),
            privileges::tests(),
            rights::tests(),
            clock::tests(),
            names::tests(),
            pins::tests(),
            programs::tests(),
            filters::tests(),
            hosts::tests(),
            tiers::tests(),
            system::tests(),
        ]);
    }
    // Asked for by name alone: it takes long, and finds nothing wrong.
    if has("cost") {
        themes.push(cost::tests());
    }
    suite::run(themes.into_iter().flatten().collect())
}

/// Of whom no server has a name.
fn nameless(tests: Vec<suite::Test>) -> Vec<suite::Test> {
    tests.into_iter().map(suite::Test::without_dns).collect()
}
