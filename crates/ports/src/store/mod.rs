//! Stores: one trait per role, one failure vocabulary for all.
//!
//! Must stay true: a call that fails with [`StoreError::Uncertain`] may have taken effect; the caller drops its memory of
//! what it touched, reads it again and goes on from there.

pub mod audience;
pub mod claims;
pub mod dispatch;
pub mod registry;

pub mod report;

use async_trait::async_trait;
use bytes::Bytes;

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer; nothing was changed. Try again.
    #[error("the store is not reachable: {why}")]
    Away {
        /// What was noticed.
        why: String,
    },
    /// A COMMIT had no answer: it may or may not be there. Reload, then go on.
    #[error("the store did not say whether it committed: {why}")]
    Uncertain {
        /// What was noticed.
        why: String,
    },
    /// A lease named by the fence is somebody else's by now. Stop working in its name.
    #[error("the lease {kind} {number} was taken over by another node")]
    Fenced {
        /// The lease's kind.
        kind: String,
        /// The lease's number.
        number: u32,
    },
    /// The row is not as the caller saw it (version, key).
    #[error("{what} was changed by somebody else")]
    Conflict {
        /// What was to be changed.
        what: String,
    },
    /// What is stored cannot be understood.
    #[error("the store holds something unreadable: {why}")]
    Damaged {
        /// What was found.
        why: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without more ado.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Uncertain { .. })
    }
}

/// The database's own clock, so that a process can tell whether its machine's is right.
#[async_trait]
pub trait StoreClock: Send + Sync + std::fmt::Debug {
    /// The database's wall time, microseconds since 1970 UTC, read by the database while it answers.
    async fn database_now_us(&self) -> Result<i64, StoreError>;

    /// Whether that is this machine's own clock, which cannot judge itself.
    fn is_of_this_machine(&self) -> bool {
        false
    }
}

/// The next offset to read of a partition; stored with the state that reading produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read.
    pub next: i64,
}

/// A record that a transaction wants on the log, stored beside what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The compaction key.
    pub key: Bytes,
    /// The encoded record.
    pub value: Bytes,
}

/// What is left to publish. The one who stored it publishes at once and marks it; what is left after 1 s is published by
/// the holder of the `outbox` lease.
#[async_trait]
pub trait Outbox: Send + Sync + std::fmt::Debug {
    /// Records stored before `stored_before_us` and not yet marked, oldest first, with their numbers.
    async fn outbox_left(&self, stored_before_us: i64, max: u32) -> Result<Vec<(i64, OutboxRecord)>, StoreError>;

    /// Marks records as published.
    async fn outbox_done(&self, numbers: &[i64]) -> Result<(), StoreError>;
}
