//! What a server is called.

use std::sync::Arc;

use serde::Serialize;

/// How a name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// A name server gave the address when the very process that connects asked for the name.
    Dns,
    /// The same, when others in its network namespace asked.
    DnsOther,
    /// The host's own file of names, `/etc/hosts`.
    Hosts,
    /// The file that the user of tracer gave.
    File,
    /// Name servers were asked what the address is called.
    Reverse,
}

impl NameSource {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Dns,
        Self::DnsOther,
        Self::Hosts,
        Self::File,
        Self::Reverse,
    ];

    /// The one that has this word.
    pub fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == word)
    }

    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::DnsOther => "dns_other",
            Self::Hosts => "hosts",
            Self::File => "file",
            Self::Reverse => "reverse",
        }
    }
}

/// What the server at an address is called.
///
/// Names are what was asked for, or names in a file. Of `dns`, `dns_other` and `hosts`: lower case, no
/// dot at the end. At most 253 bytes, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it is.
    pub called: Called,
    /// How this is known.
    pub source: NameSource,
}

/// One name, or several of which it is not known which one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// It has this name.
    One {
        /// The name.
        name: Arc<str>,
        /// What it stands for, where name servers said that it is an alias.
        canonical: Option<Arc<str>>,
    },
    /// It may be any of these.
    OneOf {
        /// In their order, at least two.
        names: Vec<Arc<str>>,
        /// There were more.
        is_cut: bool,
    },
}

impl Name {
    /// The name, if there is but one.
    pub fn only(&self) -> Option<&Arc<str>> {
        match &self.called {
            Called::One { name, .. } => Some(name),
            Called::OneOf { .. } => None,
        }
    }

    /// All that it may be.
    pub fn all(&self) -> &[Arc<str>] {
        match &self.called {
            Called::One { name, .. } => std::slice::from_ref(name),
            Called::OneOf { names, .. } => names,
        }
    }
}
