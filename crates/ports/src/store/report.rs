//! The ledger's store: chunks with a small state blob each, keys, totals, offsets.
//!
//! Must stay true: what a flush writes (blobs, totals, offsets) is one transaction under the fence of its shards, so
//! reading goes on exactly where the state stands.

use std::sync::Arc;

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey};
use loa_domain::state::RecipientState;

use super::{Offset, StoreError};
use crate::lease::Fence;

/// What never changes of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkFacts {
    /// Which.
    pub key: ChunkKey,
    /// Its campaign or notice.
    pub campaign: CampaignId,
    /// Its shard, 0 to 63.
    pub shard: u32,
    /// Its account.
    pub account: String,
    /// Loa-domain `Channel` code.
    pub channel: u8,
    /// Its recipients' address hashes, by index. Ascending for frozen chunks; by arrival for single sends.
    /// Held once by who keeps the chunk and who writes it: ten million people's are 80 MB until they are written.
    pub keys: Arc<[AddressHash]>,
}

/// A chunk's state, encoded by the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkState {
    /// Which.
    pub key: ChunkKey,
    /// The blob.
    pub blob: Vec<u8>,
}

/// Totals of one (campaign, variant, shard), encoded by the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalsRow {
    /// Campaign or notice.
    pub campaign: CampaignId,
    /// Variant.
    pub variant: u16,
    /// Shard.
    pub shard: u32,
    /// Loa-domain `Channel` code.
    pub channel: u8,
    /// The encoded counts.
    pub counts: Vec<u8>,
    /// When it was written, microseconds since 1970.
    pub at_us: i64,
}

/// A chunk in which an address may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHit {
    /// Its facts with all keys.
    pub facts: ChunkFacts,
    /// Its state blob; empty if nothing is known yet.
    pub blob: Vec<u8>,
}

/// Who asked for a single send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleRow {
    /// Its chunk.
    pub key: ChunkKey,
    /// Index in the chunk.
    pub index: u16,
    /// Who asked.
    pub caller: String,
    /// Under which key.
    pub idempotency_key: String,
}

/// A request of requests.v1 that is not answered to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRow {
    /// Its chunk.
    pub key: ChunkKey,
    /// Index in the chunk.
    pub index: u16,
    /// Its shard.
    pub shard: u32,
    /// The request's id.
    pub idempotency_key: String,
    /// The message id.
    pub message_id: u64,
    /// The partition of results.v1 that its sender reads.
    pub partition: u32,
    /// The sender's record key.
    pub record_key: Vec<u8>,
    /// When it was taken in, microseconds since 1970.
    pub accepted_at_us: i64,
    /// What its sender was told last; `Open` = that it was accepted.
    pub told: Option<RecipientState>,
}

/// Words about a campaign that the log dropped before the ledger had read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapRow {
    /// The campaign that may have lost words.
    pub campaign: CampaignId,
    /// The topic.
    pub topic: String,
    /// The shard, which is the partition.
    pub shard: u32,
    /// The first offset that was missed.
    pub from: i64,
    /// The first offset that there was.
    pub next: i64,
    /// When it was noticed, microseconds since 1970.
    pub at_us: i64,
}

/// What one flush writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flush {
    /// Chunks seen for the first time (or grown: single sends).
    pub chunks: Vec<ChunkFacts>,
    /// Changed states.
    pub states: Vec<ChunkState>,
    /// Changed totals.
    pub totals: Vec<TotalsRow>,
    /// Single sends seen for the first time.
    pub singles: Vec<SingleRow>,
    /// Requests to be answered, new ones and those whose answer went on.
    pub replies: Vec<ReplyRow>,
    /// Requests that are answered to their end.
    pub replied: Vec<(ChunkKey, u16)>,
    /// Gaps that were noticed.
    pub gaps: Vec<GapRow>,
    /// Shards whose chunks of that campaign are all known from now on.
    pub loaded: Vec<(CampaignId, u32)>,
    /// Where reading goes on.
    pub offsets: Vec<Offset>,
}

/// The ledger's store.
#[async_trait]
pub trait ReportStore: Send + Sync + std::fmt::Debug {
    /// Writes a flush under the fence.
    async fn flush(&self, fence: &Fence, flush: &Flush) -> Result<(), StoreError>;

    /// Everything of a shard: facts and states of all chunks of campaigns that are not forgotten.
    async fn load_shard(&self, shard: u32) -> Result<Vec<ChunkHit>, StoreError>;

    /// Campaigns whose chunks of that shard are all known.
    async fn loaded(&self, shard: u32) -> Result<Vec<CampaignId>, StoreError>;

    /// Where reading goes on.
    async fn offsets(&self) -> Result<Vec<Offset>, StoreError>;

    /// Totals of a campaign, all variants and shards.
    async fn totals(&self, campaign: CampaignId) -> Result<Vec<TotalsRow>, StoreError>;

    /// Chunks of the shard in which the address may stand: its hash is between the first and the last key.
    async fn find(&self, shard: u32, hash: AddressHash) -> Result<Vec<ChunkHit>, StoreError>;

    /// Chunks of a campaign in order, `max` from after the given one; for exports.
    async fn chunks(
        &self,
        campaign: CampaignId,
        after: Option<ChunkKey>,
        max: u32,
    ) -> Result<Vec<ChunkHit>, StoreError>;

    /// Single sends of some chunks.
    async fn singles(&self, keys: &[ChunkKey]) -> Result<Vec<SingleRow>, StoreError>;

    /// Requests of the shard that are not answered to their end.
    async fn replies(&self, shard: u32) -> Result<Vec<ReplyRow>, StoreError>;

    /// Gaps of a campaign.
    async fn gaps(&self, campaign: CampaignId) -> Result<Vec<GapRow>, StoreError>;
}
