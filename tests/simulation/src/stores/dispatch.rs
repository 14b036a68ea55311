//! Release rows, cursors and offsets of dispatch.
//!
//! Must stay true: what a new owner reads of a shard is what the SQL adapter would give it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_domain::policy::Scope;
use loa_ports::lease::Fence;
use loa_ports::store::dispatch::{
    Accepted, BlockRow, Commit, CursorRow, DispatchStore, NewSingle, ReleaseRow, Retention, SingleChunk, StoredShard,
};
use loa_ports::store::{Offset, StoreError};

use super::Reached;

/// Dispatch's tables.
#[derive(Debug, Default)]
pub(crate) struct DispatchRows {
    pub(crate) rows: BTreeMap<ReleaseKey, ReleaseRow>,
    cursors: BTreeMap<(Shard, FreezeId, u16, AccountId), CursorRow>,
    finished: BTreeSet<(Shard, FreezeId)>,
    blocks: BTreeMap<(Shard, AddressHash, Scope), BlockRow>,
    offsets: BTreeMap<(String, u32), i64>,
}

impl DispatchRows {
    fn shard(&self, shard: Shard) -> StoredShard {
        let cursors: Vec<CursorRow> = self.cursors.values().filter(|cursor| cursor.shard == shard).cloned().collect();
        let of_shard = || self.rows.values().filter(|row| row.shard == shard);
        let mut wanted: BTreeSet<ChunkKey> =
            of_shard().filter(|row| row.progress.open).map(|row| row.key.chunk).collect();
        let within =
            |cursor: &CursorRow| ChunkKey { freeze: cursor.freeze, variant: cursor.variant, chunk: cursor.chunk };
        wanted.extend(cursors.iter().map(within));
        let offsets = self.offsets.iter().filter(|((_, partition), _)| *partition == shard.number());
        let offset = |((topic, partition), next): (&(String, u32), &i64)| Offset {
            topic: topic.clone(),
            partition: *partition,
            next: *next,
        };
        StoredShard {
            releases: of_shard().filter(|row| wanted.contains(&row.key.chunk)).cloned().collect(),
            cursors,
            finished: self.finished.iter().filter(|(of, _)| *of == shard).map(|(_, freeze)| *freeze).collect(),
            singles: Vec::new(),
            offsets: offsets.map(offset).collect(),
            blocks: self.blocks.values().filter(|block| block.shard == shard).copied().collect(),
        }
    }

    fn apply(&mut self, commit: &Commit) -> Result<(), StoreError> {
        if commit.rows.iter().any(|row| self.rows.contains_key(&row.key)) {
            return Err(StoreError::Conflict { what: "a release".to_owned() });
        }
        self.rows.extend(commit.rows.iter().map(|row| (row.key, row.clone())));
        for (key, progress) in &commit.progress {
            if let Some(row) = self.rows.get_mut(key) {
                row.progress = progress.clone();
            }
        }
        for cursor in &commit.cursors {
            let key = (cursor.shard, cursor.freeze, cursor.variant, cursor.account.clone());
            self.cursors.insert(key, cursor.clone());
        }
        for &(freeze, shard) in &commit.finished {
            self.finished.insert((shard, freeze));
            self.cursors.retain(|(of, known, _, _), _| (*of, *known) != (shard, freeze));
        }
        for block in &commit.blocks {
            let known = self.blocks.entry((block.shard, block.address, block.scope)).or_insert(*block);
            if known.position < block.position {
                *known = *block;
            }
        }
        self.put(&commit.offsets);
        Ok(())
    }

    fn put(&mut self, offsets: &[Offset]) {
        self.offsets.extend(offsets.iter().map(|offset| ((offset.topic.clone(), offset.partition), offset.next)));
    }
}

#[async_trait]
impl DispatchStore for Reached<DispatchRows> {
    async fn shard(&self, shard: Shard) -> Result<StoredShard, StoreError> {
        self.read(|tables| tables.own.shard(shard)).await
    }

    async fn releases(&self, chunks: &[ChunkKey]) -> Result<Vec<ReleaseRow>, StoreError> {
        self.read(|tables| {
            let wanted = tables.own.rows.values().filter(|row| chunks.contains(&row.key.chunk));
            wanted.cloned().collect()
        })
        .await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.leases.check(&commit.fence)?;
            tables.own.apply(commit)
        })
        .await
    }

    async fn single_chunks(&self, _: &[ChunkKey]) -> Result<Vec<SingleChunk>, StoreError> {
        self.read(|_| Vec::new()).await
    }

    async fn placed(&self, _: &[u64]) -> Result<Vec<u64>, StoreError> {
        self.read(|_| Vec::new()).await
    }

    async fn accept(&self, fence: &Fence, _: &[NewSingle], offsets: &[Offset]) -> Result<Vec<Accepted>, StoreError> {
        self.write(|tables| {
            tables.leases.check(fence)?;
            tables.own.put(offsets);
            Ok(Vec::new())
        })
        .await
    }

    async fn offsets(&self, topic: &str) -> Result<Vec<Offset>, StoreError> {
        self.read(|tables| {
            let of_topic = tables.own.offsets.iter().filter(|((known, _), _)| known == topic);
            let offset = |((topic, partition), next): (&(String, u32), &i64)| Offset {
                topic: topic.clone(),
                partition: *partition,
                next: *next,
            };
            of_topic.map(offset).collect()
        })
        .await
    }

    async fn retain(&self, _: &Retention) -> Result<u64, StoreError> {
        self.write(|_| Ok(0)).await
    }
}
