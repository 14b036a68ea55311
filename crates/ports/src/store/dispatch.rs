//! Dispatch's store: release rows, cursors, suppression entries, single sends.
//!
//! A release row is one decision about some indices of a chunk: offered to a gateway (`mask`), or never to be sent
//! (`decided`). What an index is waiting for is told by the newest row that names it.
//!
//! Must stay true: [`DispatchStore::commit`] is one transaction that begins with the fence of every shard it touches, and
//! the read offsets are stored with what they produced; a row is durable before its record is published.

use async_trait::async_trait;
use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_domain::mask::Mask;
use loa_domain::policy::Scope;
use loa_domain::state::{Reason, RecipientState, Returned};

use crate::lease::Fence;
use crate::store::{Offset, StoreError};

/// One release row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Chunk and number.
    pub key: ReleaseKey,
    /// The shard of the chunk's people.
    pub shard: Shard,
    /// The campaign, or the notice of single sends.
    pub campaign: CampaignId,
    /// The route's channel.
    pub channel: Channel,
    /// The route's account.
    pub account: AccountId,
    /// Its lane.
    pub lane: Lane,
    /// The chunk holds single sends.
    pub single: bool,
    /// Indices offered to the gateways.
    pub mask: Mask,
    /// Recipients of a slice: slice k is the k-th run of so many set bits.
    pub slice_length: u16,
    /// Parts of all indices offered.
    pub parts: u32,
    /// Tries so far, one per set bit of the mask; empty = none of any.
    pub attempts: Vec<u8>,
    /// When it was decided, microseconds since 1970.
    pub released_at_us: i64,
    /// After this time nothing of it is handed over.
    pub hand_over_by_us: i64,
    /// Indices that are never sent.
    pub decided: Vec<Decided>,
    /// What became of it so far.
    pub progress: Progress,
}

/// An index that is not sent, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Index within the chunk.
    pub index: u16,
    /// Skipped, cancelled or rejected.
    pub state: RecipientState,
    /// Why.
    pub reason: Reason,
}

/// What became of a release row; the only part that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Settled by the claimant: handed over, refused for good, or in doubt by its own word.
    pub settled: Mask,
    /// In doubt by another's word, which the claimant's own may still override.
    pub in_doubt: Mask,
    /// Given back; an index that a later row names is no longer waiting.
    pub returned: Vec<ReturnedIndex>,
    /// The words about `decided` are on outcomes.v1.
    pub told: bool,
    /// Somebody who takes the shard over must look at the row: something is unsettled, waiting or untold.
    pub open: bool,
}

/// An index that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnedIndex {
    /// Index within the chunk.
    pub index: u16,
    /// Why.
    pub why: Returned,
    /// Tries used up so far.
    pub attempts: u8,
    /// Not released again before this time, microseconds since 1970.
    pub not_before_us: i64,
}

/// Where the rows of a route end: everything before (chunk, index) is in rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The freeze.
    pub freeze: FreezeId,
    /// The variant.
    pub variant: u16,
    /// The shard.
    pub shard: Shard,
    /// The account.
    pub account: AccountId,
    /// The chunk with the next index.
    pub chunk: u32,
    /// The next index.
    pub index: u16,
}

/// An entry of the suppression list, set or lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRow {
    /// The shard of the address.
    pub shard: Shard,
    /// The address.
    pub address: AddressHash,
    /// What is blocked.
    pub scope: Scope,
    /// The entry is taken back.
    pub lifted: bool,
    /// The change's place among all changes of the list; the highest counts.
    pub position: u64,
    /// When it was changed, microseconds since 1970.
    pub at_us: i64,
}

/// A chunk of single sends; audience does not have it, so it stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleChunk {
    /// Its key; the freeze is the chunk's own.
    pub key: ChunkKey,
    /// The shard of its people.
    pub shard: Shard,
    /// The notice.
    pub notice: CampaignId,
    /// The route's account.
    pub account: AccountId,
    /// How many recipients it holds.
    pub size: u16,
    /// How far it is.
    pub progress: SingleProgress,
    /// The last of its recipients' deadlines, microseconds since 1970.
    pub expires_us: i64,
    /// The chunk as dispatch encodes it.
    pub body: Vec<u8>,
    /// Keyed hashes of its members' (caller, idempotency key), in order of index.
    pub members: Vec<u64>,
}

/// How far a chunk of single sends is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SingleProgress {
    /// The next index to release; the chunk's size when all are in rows.
    pub passed: u16,
    /// Their acceptance is on outcomes.v1.
    pub told: bool,
}

/// What a new owner of a shard reads.
#[derive(Debug, Clone, Default)]
pub struct StoredShard {
    /// Every cursor of the shard.
    pub cursors: Vec<CursorRow>,
    /// Freezes whose chunks of this shard are all in rows.
    pub finished: Vec<FreezeId>,
    /// All rows of each chunk that has an open row or that a cursor stands within.
    pub releases: Vec<ReleaseRow>,
    /// Chunks of single sends that are not all in rows or not told of.
    pub singles: Vec<SingleChunk>,
    /// Read offsets of this shard.
    pub offsets: Vec<Offset>,
    /// Suppression entries, those that were lifted lately too.
    pub blocks: Vec<BlockRow>,
}

/// One transaction over some shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Every touched shard's lease.
    pub fence: Fence,
    /// New rows.
    pub rows: Vec<ReleaseRow>,
    /// Progress of rows that stand.
    pub progress: Vec<(ReleaseKey, Progress)>,
    /// Cursors as they are now.
    pub cursors: Vec<CursorRow>,
    /// Freezes whose chunks of a shard are all in rows.
    pub finished: Vec<(FreezeId, Shard)>,
    /// Suppression entries set or lifted, in order.
    pub blocks: Vec<BlockRow>,
    /// New chunks of single sends.
    pub singles: Vec<SingleChunk>,
    /// How far chunks of single sends are.
    pub passed: Vec<(ChunkKey, SingleProgress)>,
    /// What was read up to here.
    pub offsets: Vec<Offset>,
}

impl Commit {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self { fence: self.fence.clone(), ..Self::default() }
    }
}

/// A single send as it is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSingle {
    /// Who asks.
    pub caller: String,
    /// Their idempotency key.
    pub key: String,
    /// SHA-256 of the request.
    pub body_hash: [u8; 32],
    /// The message id: keyed hash of (caller, key).
    pub id: u64,
    /// The notice.
    pub notice: CampaignId,
    /// The local day it counts for, in days since 1970.
    pub day: i64,
    /// Messages of the notice a day, at most.
    pub daily_ceiling: u32,
    /// When it was taken in, microseconds since 1970.
    pub at_us: i64,
}

/// What the intake of a single send came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Taken in.
    New,
    /// Taken in before, with the same body; when that was, microseconds since 1970.
    Repeat {
        /// When it was first taken in.
        first_at_us: i64,
    },
    /// The key was used with another body.
    OtherBody,
    /// The notice's ceiling of that day is reached.
    CeilingReached,
}

/// What may be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Campaigns that are over: their rows whose `hand_over_by` is before this time go.
    pub over: Vec<CampaignId>,
    /// That time, microseconds since 1970.
    pub rows_before_us: i64,
    /// Single sends (ids, chunks, rows) that expired before this time go, and entries that were lifted before it.
    pub singles_before_us: i64,
}

/// The rows of dispatch.
#[async_trait]
pub trait DispatchStore: Send + Sync + std::fmt::Debug {
    /// What a new owner of the shard needs.
    async fn shard(&self, shard: Shard) -> Result<StoredShard, StoreError>;

    /// All rows of these chunks, for words about chunks that are no longer in memory.
    async fn releases(&self, chunks: &[ChunkKey]) -> Result<Vec<ReleaseRow>, StoreError>;

    /// One transaction: fence, then everything in it.
    async fn commit(&self, commit: &Commit) -> Result<(), StoreError>;

    /// Chunks of single sends by key; unknown ones are left out.
    async fn single_chunks(&self, keys: &[ChunkKey]) -> Result<Vec<SingleChunk>, StoreError>;

    /// Those of the ids that stand in a chunk already.
    async fn placed(&self, ids: &[u64]) -> Result<Vec<u64>, StoreError>;

    /// Takes single sends in, in order, with the offsets of the requests they came from: one transaction.
    async fn accept(
        &self,
        fence: &Fence,
        singles: &[NewSingle],
        offsets: &[Offset],
    ) -> Result<Vec<Accepted>, StoreError>;

    /// Read offsets of a topic.
    async fn offsets(&self, topic: &str) -> Result<Vec<Offset>, StoreError>;

    /// Deletes what is no longer needed, in bites; returns how many rows went.
    async fn retain(&self, retention: &Retention) -> Result<u64, StoreError>;
}
