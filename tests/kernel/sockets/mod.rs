//! Sockets, ways to use them and processes that are awkward to follow.

mod endings;
mod executables;
mod older;
mod processes;
mod reads;
mod sharing;
mod totals;
mod tuples;
mod ways;

use tracer_tests::suite::Test;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [
        tuples::tests(),
        endings::tests(),
        older::tests(),
        totals::tests(),
        sharing::tests(),
        processes::tests(),
        executables::tests(),
        ways::tests(),
        reads::tests(),
    ]
    .concat()
}
