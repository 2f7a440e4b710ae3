//! Which host this is.

use std::fs;

use crate::model::Host;

/// Longer ids than any of these files holds.
const MAX_ID_LEN: usize = 64;

/// Reads `/etc/machine-id`, or the id of this boot where a host has none.
pub fn this_host() -> Host {
    let id = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|id| !id.is_empty() && id.len() <= MAX_ID_LEN)
        .unwrap_or_else(|| "unknown".to_owned());
    Host {
        id,
        name: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    }
}
