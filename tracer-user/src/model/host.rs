//! The host that an event comes from.

use serde::{Deserialize, Serialize};

/// A host, by an id that outlives its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Host {
    /// `/etc/machine-id`; where there is none, the id of this boot.
    pub id: String,
    /// Node name, as `uname -n` prints it.
    pub name: String,
}
