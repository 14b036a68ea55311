//! Limits and times of one client connection.

use std::num::NonZeroU16;
use std::time::Duration;

/// Limits and times of one connection; the defaults suit a carrier that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Unanswered submits at most; agreed with the carrier, typically 10 to 100.
    pub window: NonZeroU16,
    /// How long a submit or an enquire_link waits for its answer; after it a submit is in doubt.
    pub response_timeout: Duration,
    /// How long the peer may be quiet before it is asked whether it lives.
    pub enquire_after: Duration,
    /// How long the bind waits for its answer.
    pub bind_timeout: Duration,
    /// How long unbind waits for its answer before the connection is closed anyway.
    pub unbind_timeout: Duration,
    /// Submits that may expire one after the other, with no answer between, before the peer counts as gone.
    pub expired_in_row_max: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            window: NonZeroU16::new(10).expect("10 is not 0"),
            response_timeout: Duration::from_secs(30),
            enquire_after: Duration::from_secs(30),
            bind_timeout: Duration::from_secs(10),
            unbind_timeout: Duration::from_secs(1),
            expired_in_row_max: 100,
        }
    }
}
