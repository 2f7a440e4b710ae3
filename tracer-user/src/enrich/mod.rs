//! Model → model: what others know about the processes in an event, and about the servers
//! they connect to.
//!
//! The identity of a process comes from the kernel, at the time of the event. This only
//! adds to it, and only what is certain to be of the same process. Names of servers say how they
//! are known.

pub mod names;
mod processes;

pub use processes::Processes;
