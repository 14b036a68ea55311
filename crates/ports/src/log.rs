//! The log: append, read, end, trim. What Kafka and the embedded file have in common, and no more.
//!
//! No consumer groups and no transactions, so both adapters behave alike; who reads what is decided by leases, and offsets
//! stand with the state they produced.
//!
//! Must stay true: records of one partition are read in the order of their offsets, from any stored offset, by any number
//! of readers; an acknowledged append survives a kill -9 and a power cut.

use async_trait::async_trait;
use bytes::Bytes;
use loa_contract::topics::TopicSpec;

/// A record to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// The topic.
    pub topic: &'static TopicSpec,
    /// The partition, below `topic.partitions`.
    pub partition: u32,
    /// The object a compacted topic keeps the newest record of; empty elsewhere.
    pub key: Bytes,
    /// Context that is not part of the record: `traceparent`, CloudEvents attributes.
    pub headers: Vec<(String, Bytes)>,
    /// The encoded record.
    pub value: Bytes,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition it stands in.
    pub partition: u32,
    /// Its offset in the partition; offsets ascend, with gaps after compaction.
    pub offset: i64,
    /// When it was appended, microseconds since 1970.
    pub at_us: i64,
    /// Its key.
    pub key: Bytes,
    /// Its headers.
    pub headers: Vec<(String, Bytes)>,
    /// The encoded record.
    pub value: Bytes,
}

/// Where a reader starts in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The offset of the next record to read.
    pub offset: i64,
}

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log does not answer; what was appended may or may not be there. Try again; appending again is harmless.
    #[error("the log is not reachable: {why}")]
    Away {
        /// What was noticed.
        why: String,
    },
    /// The record is over a limit; never try again.
    #[error("a record of {bytes} bytes for `{topic}` is over RECORD_BYTES_MAX = {max}")]
    TooLarge {
        /// The topic.
        topic: &'static str,
        /// Its size with key and headers.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// No such partition.
    #[error("`{topic}` has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: &'static str,
        /// What was asked.
        partition: u32,
    },
    /// The stored offset is outside of the log: records were lost to retention, or the topic was made anew and begins at its
    /// start again. Rebuild from rows and claims.
    #[error("log gap: `{topic}` partition {partition} begins at {start}, and {wanted} was to be read")]
    Gap {
        /// The topic.
        topic: &'static str,
        /// The partition.
        partition: u32,
        /// The first offset there is.
        start: i64,
        /// The offset asked for.
        wanted: i64,
    },
    /// What is stored cannot be read.
    #[error("the log is damaged: {why}")]
    Damaged {
        /// What was found.
        why: String,
    },
}

impl LogError {
    /// Whether the same call may succeed later.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// The log.
#[async_trait]
pub trait Log: Send + Sync + std::fmt::Debug {
    /// Appends and answers when all are durable, with their offsets in order. Within a partition the order is that of the
    /// call, and calls that were awaited one after the other stand one after the other.
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError>;

    /// A reader of some partitions of one topic; none of them moves for anybody else.
    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError>;

    /// The offset after the last record of a partition, asked of the log itself (not of a cache): what
    /// was acknowledged before the question is below the answer.
    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError>;

    /// The ends of all partitions of a topic, in order.
    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError>;

    /// The first offset of each partition, in order.
    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError>;

    /// Drops what is older than the topic keeps, at that wall time. Called by the holder of the `retention` lease.
    async fn retain(&self, now_us: i64) -> Result<(), LogError>;
}

/// Reads on.
#[async_trait]
pub trait Reader: Send {
    /// The next records in order of each partition, at most `records_max` and about 4 MiB; waits for the first one, woken
    /// by notification. Cancel-safe: a dropped call loses nothing.
    async fn next(&mut self, records_max: usize) -> Result<Vec<Record>, LogError>;

    /// Begins (or restarts) reading a partition at an offset.
    fn assign(&mut self, position: Position);

    /// Stops reading a partition; nothing of it is returned by later calls.
    fn unassign(&mut self, partition: u32);

    /// The offset up to which everything of the partition was returned (exclusive): also advances over compacted gaps.
    fn position(&self, partition: u32) -> Option<i64>;
}
