//! A model of the store: applies transactions, and gives a shard as a new owner would read it.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_domain::policy::Scope;
use loa_ports::store::Offset;
use loa_ports::store::dispatch::{BlockRow, Commit, CursorRow, ReleaseRow, SingleChunk, StoredShard};

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) rows: BTreeMap<ReleaseKey, ReleaseRow>,
    cursors: BTreeMap<(FreezeId, u16, Shard, AccountId), CursorRow>,
    pub(super) finished: BTreeSet<(FreezeId, Shard)>,
    offsets: BTreeMap<(String, u32), i64>,
    blocks: BTreeMap<(Shard, AddressHash, Scope), BlockRow>,
    pub(super) singles: BTreeMap<ChunkKey, SingleChunk>,
}

impl Store {
    pub(super) fn apply(&mut self, commit: Commit) {
        for row in commit.rows {
            let shard_is_held = commit.fence.held.iter().any(|held| held.number == row.shard.number());
            assert!(shard_is_held, "a row without a fence");
            assert!(self.rows.insert(row.key, row).is_none(), "a row was made twice");
        }
        for (key, progress) in commit.progress {
            self.rows.get_mut(&key).expect("progress of a row that is stored").progress = progress;
        }
        for cursor in commit.cursors {
            self.cursors.insert((cursor.freeze, cursor.variant, cursor.shard, cursor.account.clone()), cursor);
        }
        for (freeze, shard) in commit.finished {
            self.cursors.retain(|key, _| (key.0, key.2) != (freeze, shard));
            self.finished.insert((freeze, shard));
        }
        for block in commit.blocks {
            self.blocks.insert((block.shard, block.address, block.scope), block);
        }
        for single in commit.singles {
            assert!(self.singles.insert(single.key, single).is_none(), "a chunk was made twice");
        }
        for (key, progress) in commit.passed {
            self.singles.get_mut(&key).expect("progress of a chunk that is stored").progress = progress;
        }
        self.offsets.extend(commit.offsets.into_iter().map(|offset| ((offset.topic, offset.partition), offset.next)));
        self.check();
    }

    /// An index is in at most one unsettled release, and rows number from 1.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<ChunkKey, u32> = BTreeMap::new();
        for (key, row) in &self.rows {
            assert_eq!(key.release_no, last.insert(key.chunk, key.release_no).unwrap_or(0) + 1, "{key:?}");
            let progress = &row.progress;
            let heard = progress
                .settled
                .union(&progress.in_doubt)
                .union(&progress.returned.iter().map(|back| back.index).collect());
            for index in row.mask.difference(&heard).iter() {
                assert!(
                    seen.insert((key.chunk, index)),
                    "index {index} is in two unsettled releases of {:?}",
                    key.chunk
                );
            }
        }
    }

    pub(super) fn shard(&self, shard: Shard) -> StoredShard {
        let cursors: Vec<_> = self.cursors.values().filter(|cursor| cursor.shard == shard).cloned().collect();
        let within = |row: &ReleaseRow| {
            cursors.iter().any(|cursor| {
                cursor.freeze == row.key.chunk.freeze
                    && cursor.variant == row.key.chunk.variant
                    && cursor.chunk == row.key.chunk.chunk
            })
        };
        let open: BTreeSet<ChunkKey> =
            self.rows.values().filter(|row| row.progress.open || within(row)).map(|row| row.key.chunk).collect();
        let releases =
            self.rows.values().filter(|row| row.shard == shard && open.contains(&row.key.chunk)).cloned().collect();
        let offsets = self.offsets.iter().filter(|((_, partition), _)| *partition == shard.number());
        let offsets =
            offsets.map(|((topic, partition), &next)| Offset { topic: topic.clone(), partition: *partition, next });
        StoredShard {
            releases,
            offsets: offsets.collect(),
            cursors,
            finished: self.finished.iter().filter(|(_, of)| *of == shard).map(|&(freeze, _)| freeze).collect(),
            singles: self
                .singles
                .values()
                .filter(|single| {
                    single.shard == shard && (single.progress.passed < single.size || !single.progress.told)
                })
                .cloned()
                .collect(),
            blocks: self.blocks.values().filter(|block| block.shard == shard).copied().collect(),
        }
    }

    pub(super) fn offset(&self, topic: &str, shard: Shard) -> usize {
        usize::try_from(self.offsets.get(&(topic.to_owned(), shard.number())).copied().unwrap_or(0)).unwrap()
    }

    pub(super) fn releases_of(&self, keys: &BTreeSet<ChunkKey>) -> Vec<ReleaseRow> {
        self.rows.values().filter(|row| keys.contains(&row.key.chunk)).cloned().collect()
    }
}
