//! This host, as this process sees it: which one it is, what time it is, and what tracer itself takes of it.

mod clock;
mod cost;
mod identity;
pub mod memory;

pub use self::{clock::now, cost::own_cost, identity::this_host};
