//! Attempts that come to nothing: one `fail` each, with its reason, and nothing else.
//!
//! What some hook set cannot see, the run's own `start` line must say: see
//! [`Failure::excuse`]. Then nothing may be told of it; otherwise it must be told, once and
//! right.

mod abandoned;
mod afterwards;
mod attempt;
mod failure;
mod inbound;
mod listeners;
mod local;
mod network;
mod place;
mod seen;

use tracer_tests::suite::Test;

pub(crate) use self::{
    attempt::*,
    failure::*,
    inbound::overflow,
    local::told_by_state,
    network::{cross, route_through, wall},
    place::*,
    seen::*,
};

/// The tests of this folder.
pub(crate) fn tests() -> Vec<Test> {
    [
        local::tests(),
        network::tests(),
        abandoned::tests(),
        inbound::tests(),
        afterwards::tests(),
        listeners::tests(),
    ]
    .concat()
}
