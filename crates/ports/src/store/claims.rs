//! Claims: which process hands a slice over, or gives it back. One store for all gateways of a channel.
//!
//! A claim is a row per slice, inserted on conflict do nothing with the writer's incarnation and a nonce (the number of the
//! attempt). After a COMMIT without answer the same claims are inserted again: a row with our incarnation and nonce is ours.
//!
//! Must stay true: a slice has one claim for ever; nothing is written to a carrier before a durable `begun`; a watermark
//! never goes back, and is stored with the `settled` marks of what lies below it.

use async_trait::async_trait;
use bytes::Bytes;
use loa_domain::ids::{CampaignId, FreezeId, Incarnation, SliceKey};
use loa_domain::state::Returned;

use super::{Offset, StoreError};

/// Claims of one insert, at most.
pub const CLAIMS_PER_INSERT_MAX: usize = 500;
/// Bytes of a stored settlement, at most.
pub const SETTLEMENT_BYTES_MAX: usize = 2_048;

/// What a claim says its writer does with the slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Hands it over: nothing was written to a carrier before this was durable.
    Begun,
    /// Gives it back without having handed anything over.
    Returning(Returned),
}

/// A claim to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The slice.
    pub slice: SliceKey,
    /// Its campaign (or notice), so that claims can be forgotten once that is over.
    pub campaign: CampaignId,
    /// What the writer does.
    pub intent: Intent,
}

/// The claim that stands after an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub incarnation: Incarnation,
    /// The number of the attempt that inserted it.
    pub nonce: u64,
    /// What its writer does.
    pub intent: Intent,
    /// The encoded settlement, once the row is marked settled.
    pub settlement: Option<Bytes>,
}

/// A mark: the slice is settled, and this was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The slice.
    pub slice: SliceKey,
    /// The encoded settlement, at most [`SETTLEMENT_BYTES_MAX`] where its codes allow.
    pub settlement: Bytes,
}

/// A freeze that has claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedFreeze {
    /// The freeze.
    pub freeze: FreezeId,
    /// Its campaign or notice.
    pub campaign: CampaignId,
    /// When its first claim was written, microseconds since 1970.
    pub first_claim_at_us: i64,
    /// Since when its campaign is over, as far as was noted; 0 = not noted.
    pub over_at_us: i64,
}

/// The claims and watermarks of one channel.
#[async_trait]
pub trait Claims: Send + Sync + std::fmt::Debug {
    /// Inserts claims in one transaction; answers with the claim that stands for each, in order.
    async fn claim(
        &self,
        writer: Incarnation,
        nonce: u64,
        now_us: i64,
        claims: &[Claim],
    ) -> Result<Vec<Standing>, StoreError>;

    /// Marks slices settled and raises the watermarks of `reader`, in one transaction. A lower watermark than the stored
    /// one changes nothing.
    async fn mark(&self, marks: &[Mark], reader: &str, watermarks: &[Offset]) -> Result<(), StoreError>;

    /// The watermarks of a reader.
    async fn watermarks(&self, reader: &str) -> Result<Vec<Offset>, StoreError>;

    /// Slices that are begun and not marked settled, at most `max`: after a crash, what may be in doubt.
    async fn unsettled(&self, max: u32) -> Result<Vec<SliceKey>, StoreError>;

    /// Freezes that have claims.
    async fn freezes(&self) -> Result<Vec<ClaimedFreeze>, StoreError>;

    /// Notes since when a freeze's campaign is over, unless noted before.
    async fn note_over(&self, freeze: FreezeId, at_us: i64) -> Result<(), StoreError>;

    /// Forgets up to `max` claims of a freeze, and the freeze with its last one; how many claims were forgotten.
    async fn forget(&self, freeze: FreezeId, max: u32) -> Result<u64, StoreError>;
}
