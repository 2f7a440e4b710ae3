//! The wall clock of this host.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// The current time.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_ns(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
