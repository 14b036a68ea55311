//! Leases: who owns a shard, a partition, a bind, an import. Rows in the role's store, no group protocol.
//!
//! A node raises its beat each second. Who sees a beat unchanged for 4 s on its own monotonic clock takes over by
//! `set node = me, epoch = epoch + 1 where epoch = seen`. Every transaction of an owner begins with
//! `seq = seq + 1 where epoch = mine`: no row means stop.
//!
//! Must stay true: of two owners that both believe to own, only the one with the newest epoch can commit.

use async_trait::async_trait;

use crate::store::StoreError;

/// A lease row as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// `shard`, `partition:<account>`, `bind:<account>`, `outbox`, `schedule`, `retention`, `freeze`…
    pub kind: String,
    /// Number.
    pub number: u32,
    /// Owner; empty = free.
    pub node: String,
    /// Raised by each take-over.
    pub epoch: i64,
}

/// A node row as seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: String,
    /// Where its gRPC is reached; empty if not served.
    pub endpoint: String,
    /// Raised each second while it lives.
    pub beat: i64,
}

/// The proof of ownership that an owner's transaction carries: (kind, number, epoch) rows, all checked first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fence {
    /// What the transaction is done in the name of.
    pub held: Vec<Held>,
}

/// One lease held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// Kind.
    pub kind: String,
    /// Number.
    pub number: u32,
    /// The epoch under which it was taken.
    pub epoch: i64,
}

impl Fence {
    /// The proof of one lease.
    pub fn of(held: Held) -> Self {
        Self { held: vec![held] }
    }
}

/// Lease rows of one role's store.
#[async_trait]
pub trait Leases: Send + Sync + std::fmt::Debug {
    /// Raises the node's beat, creating its row.
    async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError>;

    /// Every node's row.
    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError>;

    /// The rows of a kind, creating free ones for the numbers 0 to `count - 1` that are missing.
    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError>;

    /// Takes the row if its epoch is still `seen`: the new epoch, or `None` if somebody was faster.
    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError>;

    /// Frees what is held, if the epoch is still the holder's; for graceful stops.
    async fn free(&self, held: &[Held]) -> Result<(), StoreError>;
}
