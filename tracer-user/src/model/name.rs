//! What a server is called, and what kind of address it has.

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
}

impl NameSource {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Hosts => "hosts",
            Self::File => "file",
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

/// What kind of network an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// The host itself: `127.0.0.0/8`, `::1`.
    Loopback,
    /// A network of one's own: RFC 1918, `fc00::/7`.
    Private,
    /// The same link: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// Where a cloud tells its machines who they are, and often gives them credentials:
    /// `169.254.169.254` and its like.
    Metadata,
    /// Between a provider and its customers: `100.64.0.0/10`.
    Shared,
    /// Many hosts at once.
    Multicast,
    /// No host: for documentation, for the future, or none at all.
    Reserved,
    /// The Internet.
    Public,
}

impl AddressClass {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Public => "public",
        }
    }
}
