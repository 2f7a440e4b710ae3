//! Points in time.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

/// A wall-clock time: nanoseconds since 1970-01-01T00:00:00Z. Printed as RFC 3339, UTC,
/// with nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last second that prints as RFC 3339 has a four-digit year.
    const MAX_NS: u64 = 18_446_744_073_000_000_000;

    /// From nanoseconds since the epoch.
    pub fn from_ns(ns: u64) -> Self {
        Self(ns.min(Self::MAX_NS))
    }

    /// Nanoseconds since the epoch.
    pub fn as_ns(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(self.0)).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_nanoseconds() {
        let time = Timestamp::from_ns(1_795_309_323_123_456_789);
        assert_eq!(time.to_string(), "2026-11-22T01:02:03.123456789Z");
    }

    #[test]
    fn any_number_prints() {
        assert!(Timestamp::from_ns(u64::MAX).to_string().ends_with('Z'));
        assert_eq!(
            Timestamp::from_ns(0).to_string(),
            "1970-01-01T00:00:00.000000000Z"
        );
    }
}
