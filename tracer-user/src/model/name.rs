//! What a server is called.

use std::sync::Arc;

use serde::Serialize;

/// How a name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// A name server gave the address when a program asked for the name.
    Dns,
    /// The host's own file of names, `/etc/hosts`.
    Hosts,
    /// The file that the user of tracer gave.
    File,
    /// Name servers were asked what the address is called.
    Reverse,
}

impl NameSource {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Hosts => "hosts",
            Self::File => "file",
            Self::Reverse => "reverse",
        }
    }
}

/// The name of the server at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it was asked for as, or the name in the file. Of `dns` and `hosts`: lower case, no
    /// dot at the end. At most 253 bytes, without control characters.
    pub name: Arc<str>,
    /// What the name stands for, where name servers said that it is an alias.
    pub canonical: Option<Arc<str>>,
    /// How this is known.
    pub source: NameSource,
    /// The very process that connects asked for it; else it is what others asked for, or what
    /// a file says.
    pub own: bool,
}
