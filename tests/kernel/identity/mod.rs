//! Whose a connection is: processes, workloads, names, addresses.

mod asking;
mod owners;
mod pretenders;
mod resolver;
mod scope;
pub(crate) mod services;
mod translated;
mod workloads;

use tracer_tests::suite::Test;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    // Of the others no server has a name.
    let nameless = [
        pretenders::tests(),
        translated::tests(),
        workloads::tests(),
        owners::tests(),
    ];
    let named = [
        services::tests(),
        resolver::tests(),
        scope::tests(),
        asking::tests(),
    ];
    let nameless = nameless.into_iter().flatten().map(Test::without_dns);
    named.into_iter().flatten().chain(nameless).collect()
}
