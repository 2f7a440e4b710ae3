//! The entries: one file per hook family, in the life order of a connection. Each
//! takes its arguments from its context and calls the shared body in `life`.

mod accept;
mod arrive;
mod close;
mod connect;
mod dial;
mod process;
mod scan;
mod state;
