//! What the client library says, in this process's log.
//!
//! Must stay true: a lost connection is a warning, since it mends itself; nothing of a record is ever in these lines.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use tokio::sync::Notify;

/// What the library says when a producer has the number without which it sends nothing.
const HAS_NUMBER: &str = "-> Assigned";

/// The context of one client.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    /// What the client is for.
    what: &'static str,
    /// Told when a producer has its number.
    pub(crate) numbered: Arc<Notify>,
}

impl Voice {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, numbered: Arc::default() }
    }
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, code: &str, line: &str) {
        let client = self.what;
        match level {
            RDKafkaLogLevel::Debug => {
                if code == "IDEMPSTATE" && line.ends_with(HAS_NUMBER) {
                    self.numbered.notify_one();
                }
                tracing::trace!(client, code, "{line}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => tracing::debug!(client, code, "{line}"),
            _ => tracing::warn!(client, code, "{line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(client = self.what, %error, "{reason}");
    }
}

impl ConsumerContext for Voice {}
