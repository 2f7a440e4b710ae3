//! Files that the user names: read or written with the rights of who asks, and never what others
//! may have put in their place.
//!
//! tracer has rights that its caller need not have: as root, or by capabilities of its file. Those are
//! for watching. A file that an option names is opened [as the caller](caller), so that the kernel
//! itself refuses what the caller may not read or write, and no message can quote it.

mod caller;
mod error;
mod folder;
mod output;
mod read;

#[cfg(test)]
mod tests;

pub use error::{FileError, Refusal};
pub use output::Output;
pub use read::{is_one_of, open_recording, read, read_text};
