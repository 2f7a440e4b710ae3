//! The program as a whole: its rights, its clock, its options, its answers.

mod clock;
mod doctor;
mod filters;
mod hosts;
mod lifecycle;
mod names;
mod pins;
mod privileges;
mod programs;
mod rights;
mod system;
mod tiers;

use tracer_tests::suite::Test;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [
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
    ]
    .concat()
}
