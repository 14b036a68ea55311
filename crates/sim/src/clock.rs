//! The simulators' clock: they stand for other people's machines, so it is the real one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 UTC.
#[allow(clippy::disallowed_methods, reason = "a simulator stands for another machine, which has its own clock")]
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
