//! The suite that needs privileges: tracer against the kernel it runs on.
//!
//! Each folder is a [`Scope`], and each file in it has the tests of one theme. The same executable is process 1 of the test
//! machines ([`tracer_tests::init`]) and every process that makes traffic
//! ([`tracer_tests::traffic`]).
//!
//! Settings, by environment: `TRACER` and `TRACER_HOOKS` (what to test), `TRACER_LEDGER`,
//! `TRACER_STORM`, `TRACER_HELD` and `TRACER_INTERRUPTS` (how many connections), `TRACER_MIXED`
//! (how many seconds of mixed traffic), `TRACER_MOMENTS`, `TRACER_MOMENTS_RATE` (how many recordings of each kind, in how
//! many connections a second), `TRACER_SEED`, `TRACER_KEEP` (their moments, and a folder for those that are
//! wrong), `TRACER_CLOCK` (`instructions` on a machine whose clock
//! counts those), `TRACER_REQUIRE` (features whose absence is a failure),
//! `TRACER_SCOPE` (which folders, with commas between).

use std::process::ExitCode;

use tracer_test_scopes::Scope;
use tracer_tests::{
    init,
    suite::{self, Test},
    tracer,
};

mod cost;
mod failures;
mod general;
mod identity;
mod sockets;
mod start;
mod storm;
mod traffic;
mod watch;
mod world;

fn main() -> ExitCode {
    // First: these may be process 1 of a pid namespace, and must not take that for a machine.
    if let Some(code) = tracer_tests::traffic::run_if_asked() {
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
    let variable = std::env::var(tracer_test_scopes::VARIABLE).ok();
    // Asked for by name, a test runs whatever the scope.
    let scopes = match std::env::args().len() {
        0 | 1 => tracer_test_scopes::named(variable.as_deref()),
        _ => Ok(Scope::ALL.to_vec()),
    };
    match scopes {
        Ok(scopes) => suite::run(scopes.into_iter().flat_map(tests).collect()),
        Err(why) => {
            eprintln!("{}: {why}", tracer_test_scopes::VARIABLE);
            ExitCode::FAILURE
        }
    }
}

fn tests(scope: Scope) -> Vec<Test> {
    match scope {
        Scope::Traffic => traffic::tests(),
        Scope::Storm => storm::tests(),
        Scope::Start => nameless(start::tests()),
        Scope::Failures => nameless(failures::tests()),
        Scope::Sockets => nameless(sockets::tests()),
        Scope::Identity => identity::tests(),
        Scope::General => general::tests(),
        Scope::Cost => cost::tests(),
    }
}

/// Of whom no server has a name.
fn nameless(tests: Vec<Test>) -> Vec<Test> {
    tests.into_iter().map(Test::without_dns).collect()
}
