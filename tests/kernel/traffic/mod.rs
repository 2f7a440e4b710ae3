//! Connections of all kinds, held against what really happened.

mod ledger;
mod mixed;

use tracer_tests::suite::Test;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [ledger::tests(), mixed::tests()].concat()
}
