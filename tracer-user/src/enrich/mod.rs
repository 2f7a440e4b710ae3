//! Model → model: what others know about the processes in an event.
//!
//! The identity of a process comes from the kernel, at the time of the event. This only
//! adds to it, and only what is certain to be of the same process. `workload` chooses what
//! an operator would name it by.

mod processes;
pub mod workload;

pub use processes::Processes;
