//! The entries: one file per hook family, in the life order of a connection. Each
//! takes its arguments from its context and calls the shared body in `life`.

mod accept;
mod arrive;
mod cgroup;
mod close;
mod connect;
mod dial;
mod names;
mod process;
mod redirect;
mod scan;
mod state;
