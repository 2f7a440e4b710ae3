//! The entries: one file per hook family. Each takes its arguments from its context and calls the shared
//! body: of connections in `life`, else in the file of the same name beside it.

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
