//! What was there before tracer, what finds no room, and every moment at which a run begins or ends.

mod existing;
mod hiding;
mod loss;
mod moments;

use tracer_tests::suite::Test;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [
        existing::tests(),
        loss::tests(),
        hiding::tests(),
        moments::tests(),
    ]
    .concat()
}
