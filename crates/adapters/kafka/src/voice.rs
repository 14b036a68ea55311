//! What the client library says, in this process's log.
//!
//! Must stay true: a lost connection is a warning, since it mends itself; nothing of a record is ever in these lines.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::Notify;

/// What the library says when a producer has the number without which it sends nothing.
const HAS_NUMBER: &str = "-> Assigned";
/// The code of what it says of a connection that could not be opened or was lost.
const FAILED: &str = "FAIL";

/// The context of one client.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    /// What the client is for.
    what: &'static str,
    /// Told when a producer has its number.
    pub(crate) numbered: Arc<Notify>,
    /// Its last complaint.
    complaint: Arc<Mutex<Option<String>>>,
}

impl Voice {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, numbered: Arc::default(), complaint: Arc::default() }
    }

    fn complains(&self, reason: &str) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    /// The client's last complaint, which says more than the error of a call.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            _ => {
                // Heard at once; the same as an error is heard only when somebody polls, which may be too late.
                if code == FAILED {
                    self.complains(line.split_once("]: ").map_or(line, |(_thread, reason)| reason));
                }
                tracing::warn!(client, code, "{line}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(client = self.what, %error, "{reason}");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            return; // why they are down was said before
        }
        self.complains(reason);
    }
}

impl ConsumerContext for Voice {}
