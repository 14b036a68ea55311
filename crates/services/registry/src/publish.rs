//! From the store to the log: at once by who made the change, later by the holder of the outbox lease.
//!
//! Must stay true: a record is marked only after the log has acknowledged it. Publishing again is harmless: readers keep
//! the highest version of an object.

use std::time::Duration;

use loa_contract::topics::ALL;
use loa_ports::log::{Append, LogError};
use loa_ports::store::{OutboxRecord, StoreError};
use loa_runtime::record::TRACEPARENT;
use loa_runtime::telemetry::traceparent;
use tonic::Status;

use crate::core::Core;

/// How long a stop waits for the log's word before it says that it is only stored.
pub(crate) const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);
/// How long other changes wait; the outbox does the rest.
const TRIED_FOR: Duration = Duration::from_secs(1);
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Who is waiting for the log's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledge {
    /// The reply is T0: it says OK only when the log has it.
    Must,
    /// It is enough that it is stored.
    May,
}

impl Core {
    /// Publishes what a change has stored, and marks it.
    pub(crate) async fn publish(&self, record: OutboxRecord, numbers: &[i64], who: Acknowledge) -> Result<(), Status> {
        let limit = if who == Acknowledge::Must { ACKNOWLEDGED_WITHIN } else { TRIED_FOR };
        match tokio::time::timeout(limit, self.append_until_taken(&record)).await {
            Ok(Ok(())) => {
                if let Err(error) = self.store.outbox_done(numbers).await {
                    tracing::warn!(%error, "a published record could not be marked; it is published again");
                }
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a record of the outbox is not taken by the log");
                Err(Status::internal("stored, but the log refuses it; see the log of this node"))
            }
            Err(_) if who == Acknowledge::Must => {
                Err(Status::unavailable("stored; in force as soon as the log is back; repeat the call to be told when"))
            }
            Err(_) => {
                tracing::warn!("the log does not answer; a change is published as soon as it is back");
                Ok(())
            }
        }
    }

    async fn append_until_taken(&self, record: &OutboxRecord) -> Result<(), LogError> {
        loop {
            match self.log.append(vec![to_append(record)?]).await {
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
        let left = self.store.outbox_left(stored_before_us, max).await?;
        if left.is_empty() {
            return Ok(0);
        }
        let records = left.iter().map(|(_, record)| to_append(record)).collect::<Result<_, _>>()?;
        self.log.append(records).await?;
        let numbers: Vec<i64> = left.iter().map(|(number, _)| *number).collect();
        self.store.outbox_done(&numbers).await?;
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

fn to_append(record: &OutboxRecord) -> Result<Append, LogError> {
    let topic = ALL.iter().find(|spec| spec.name == record.topic);
    let topic = topic.ok_or_else(|| LogError::Damaged { why: format!("no topic `{}`", record.topic) })?;
    let (partition, key, value) = (record.partition, record.key.clone(), record.value.clone());
    let headers = traceparent().map(|text| (TRACEPARENT.to_owned(), text.into()));
    Ok(Append { topic, partition, key, headers: headers.into_iter().collect(), value })
}
