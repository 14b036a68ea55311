//! From the store to the log: at once by who made the change, later by the holder of the outbox lease.
//!
//! Must stay true: a record is marked only after the log has acknowledged it; publishing again is harmless, since readers
//! keep the highest position of an address and scope.

use std::time::Duration;

use loa_contract::topics::ALL;
use loa_ports::log::{Append, LogError};
use loa_ports::store::{OutboxRecord, StoreError};
use loa_runtime::record::TRACEPARENT;
use loa_runtime::telemetry::traceparent;
use tonic::Status;

use crate::core::Core;

/// How long a call waits for the log's word before it says that the change is only stored.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

impl Core {
    /// Publishes what a change has stored, and marks it. OK means: the log has it, the change is in force (T0).
    pub(crate) async fn publish(&self, stored: Vec<(i64, OutboxRecord)>) -> Result<(), Status> {
        let (numbers, records): (Vec<i64>, Vec<OutboxRecord>) = stored.into_iter().unzip();
        match tokio::time::timeout(ACKNOWLEDGED_WITHIN, self.append_until_taken(&records)).await {
            Ok(Ok(())) => {
                if let Err(error) = self.outbox.outbox_done(&numbers).await {
                    tracing::warn!(%error, "published records could not be marked; they are published again");
                }
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a record of the outbox is not taken by the log");
                Err(Status::internal("stored, but the log refuses it; see the log of this node"))
            }
            Err(_) => {
                Err(Status::unavailable("stored; in force as soon as the log is back; repeat the call to be told when"))
            }
        }
    }

    async fn append_until_taken(&self, records: &[OutboxRecord]) -> Result<(), LogError> {
        loop {
            match self.log.append(to_append(records)?).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_away() => {
                    tracing::debug!(%error, "publishing again");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Publishes what is left of changes older than a time; how many there were.
    pub(crate) async fn publish_left(&self, stored_before_us: i64, max: u32) -> Result<usize, LeftError> {
        let left = self.outbox.outbox_left(stored_before_us, max).await?;
        if left.is_empty() {
            return Ok(0);
        }
        let (numbers, records): (Vec<i64>, Vec<OutboxRecord>) = left.into_iter().unzip();
        self.log.append(to_append(&records)?).await?;
        self.outbox.outbox_done(&numbers).await?;
        Ok(numbers.len())
    }
}

/// What is left could not be published.
#[derive(Debug)]
pub(crate) enum LeftError {
    Store(StoreError),
    Log(LogError),
}

impl From<StoreError> for LeftError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LogError> for LeftError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl std::fmt::Display for LeftError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
        }
    }
}

fn to_append(records: &[OutboxRecord]) -> Result<Vec<Append>, LogError> {
    records.iter().map(one).collect()
}

fn one(record: &OutboxRecord) -> Result<Append, LogError> {
    let topic = ALL.iter().find(|spec| spec.name == record.topic);
    let topic = topic.ok_or_else(|| LogError::Damaged { why: format!("no topic `{}`", record.topic) })?;
    let (partition, key, value) = (record.partition, record.key.clone(), record.value.clone());
    let headers = traceparent().map(|text| (TRACEPARENT.to_owned(), text.into()));
    Ok(Append { topic, partition, key, headers: headers.into_iter().collect(), value })
}
