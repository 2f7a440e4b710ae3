//! Runs: the stages joined. The only place that knows more than one of them.
//!
//! `live` is this host, watched; `stream` and `map` are what is made of events, whether they are
//! told now or were recorded; `ask` answers questions about what
//! was `seen`.

mod ask;
mod follow;
mod live;
mod lost;
mod map;
mod pace;
mod recorded;
mod screen;
mod seen;
mod stream;
mod watch;

pub use ask::ask;
pub use map::map;
pub use stream::stream;
