//! Chunks, states and totals of the ledger.
//!
//! Must stay true: a flush is one transaction under the fence of its shards.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey};
use loa_ports::lease::Fence;
use loa_ports::store::report::{ChunkFacts, ChunkHit, Flush, GapRow, ReplyRow, ReportStore, SingleRow, TotalsRow};
use loa_ports::store::{Offset, StoreError};

use super::Reached;

/// The ledger's tables.
#[derive(Debug, Default)]
pub(crate) struct ReportRows {
    pub(crate) chunks: BTreeMap<ChunkKey, ChunkFacts>,
    pub(crate) states: BTreeMap<ChunkKey, Vec<u8>>,
    totals: BTreeMap<(CampaignId, u16, u32), TotalsRow>,
    loaded: BTreeSet<(CampaignId, u32)>,
    gaps: Vec<GapRow>,
    offsets: BTreeMap<(String, u32), i64>,
}

impl ReportRows {
    fn hits(&self, wanted: impl Fn(&ChunkFacts) -> bool) -> Vec<ChunkHit> {
        let wanted = self.chunks.values().filter(|facts| wanted(facts));
        let blob = |key| self.states.get(key).cloned().unwrap_or_default();
        wanted.map(|facts| ChunkHit { facts: facts.clone(), blob: blob(&facts.key) }).collect()
    }

    fn apply(&mut self, flush: &Flush) {
        self.chunks.extend(flush.chunks.iter().map(|facts| (facts.key, facts.clone())));
        self.states.extend(flush.states.iter().map(|state| (state.key, state.blob.clone())));
        let place = |row: &TotalsRow| (row.campaign, row.variant, row.shard);
        self.totals.extend(flush.totals.iter().map(|row| (place(row), row.clone())));
        self.loaded.extend(flush.loaded.iter().copied());
        self.gaps.extend(flush.gaps.iter().cloned());
        let offset = |offset: &Offset| ((offset.topic.clone(), offset.partition), offset.next);
        self.offsets.extend(flush.offsets.iter().map(offset));
    }
}

#[async_trait]
impl ReportStore for Reached<ReportRows> {
    async fn flush(&self, fence: &Fence, flush: &Flush) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.leases.check(fence)?;
            tables.own.apply(flush);
            Ok(())
        })
        .await
    }

    async fn load_shard(&self, shard: u32) -> Result<Vec<ChunkHit>, StoreError> {
        self.read(|tables| tables.own.hits(|facts| facts.shard == shard)).await
    }

    async fn loaded(&self, shard: u32) -> Result<Vec<CampaignId>, StoreError> {
        self.read(|tables| {
            let of_shard = tables.own.loaded.iter().filter(|(_, of)| *of == shard);
            of_shard.map(|(campaign, _)| *campaign).collect()
        })
        .await
    }

    async fn offsets(&self) -> Result<Vec<Offset>, StoreError> {
        self.read(|tables| {
            let offset = |((topic, partition), next): (&(String, u32), &i64)| Offset {
                topic: topic.clone(),
                partition: *partition,
                next: *next,
            };
            tables.own.offsets.iter().map(offset).collect()
        })
        .await
    }

    async fn totals(&self, campaign: CampaignId) -> Result<Vec<TotalsRow>, StoreError> {
        self.read(|tables| tables.own.totals.values().filter(|row| row.campaign == campaign).cloned().collect()).await
    }

    async fn find(&self, shard: u32, hash: AddressHash) -> Result<Vec<ChunkHit>, StoreError> {
        self.read(|tables| tables.own.hits(|facts| facts.shard == shard && facts.keys.contains(&hash))).await
    }

    async fn chunks(&self, campaign: CampaignId, _: Option<ChunkKey>, max: u32) -> Result<Vec<ChunkHit>, StoreError> {
        self.read(|tables| {
            let mut hits = tables.own.hits(|facts| facts.campaign == campaign);
            hits.truncate(max as usize);
            hits
        })
        .await
    }

    async fn singles(&self, _: &[ChunkKey]) -> Result<Vec<SingleRow>, StoreError> {
        self.read(|_| Vec::new()).await
    }

    async fn replies(&self, _: u32) -> Result<Vec<ReplyRow>, StoreError> {
        self.read(|_| Vec::new()).await
    }

    async fn gaps(&self, campaign: CampaignId) -> Result<Vec<GapRow>, StoreError> {
        self.read(|tables| tables.own.gaps.iter().filter(|gap| gap.campaign == campaign).cloned().collect()).await
    }
}
