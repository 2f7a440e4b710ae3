//! Runs: events from one source, to those who take them. The only place that knows more than one stage.
//!
//! A [`source`] is this host, watched, or what was recorded; it tells only events that were asked for. A
//! [`consumer`] makes something of them: lines, a map, a recording, a count. [`thread`] joins the two on a thread of
//! its own, as a source must not wait for whoever looks on; snapshots of a map go to those by a channel. The
//! commands say what is joined: [`stream`](fn@stream), [`map`](fn@map), [`ask`], [`follow`] and [`measure`].

mod consumer;
mod drive;
mod failures_follow;
mod map;
mod measure;
mod pace;
mod progress;
mod question;
mod screen;
mod source;
mod stop;
mod stream;
mod thread;
mod view;

pub use failures_follow::follow;
pub use map::map;
pub use measure::{Measured, measure};
pub use question::ask;
pub use stream::stream;

#[cfg(feature = "bench")]
pub(crate) use consumer::Batch;
