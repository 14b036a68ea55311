//! What memory says and the store does not yet; the next transaction.
//!
//! Must stay true: everything that one step changed stands in one transaction, with the offsets that led to it.

use std::collections::BTreeSet;

use loa_domain::ids::{ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_ports::lease::Fence;
use loa_ports::store::Offset;
use loa_ports::store::dispatch::{BlockRow, Commit, CursorRow, ReleaseRow, SingleChunk};

use super::chunk::Chunk;
use super::engine::Engine;
use super::row::Row;
use super::source::Source;
use super::{Now, SourceKey};

/// What is to be stored.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New rows.
    pub(super) rows: BTreeSet<(Shard, ChunkKey, u32)>,
    /// Rows whose progress changed.
    pub(super) progress: BTreeSet<(Shard, ChunkKey, u32)>,
    /// Chunks whose rows' `open` may have changed.
    pub(super) touched: BTreeSet<(Shard, ChunkKey)>,
    pub(super) cursors: BTreeSet<SourceKey>,
    pub(super) finished: BTreeSet<(FreezeId, Shard)>,
    pub(super) blocks: Vec<BlockRow>,
    pub(super) singles: Vec<SingleChunk>,
    pub(super) passed: BTreeSet<(Shard, ChunkKey)>,
}

impl Changes {
    /// Drops what was of a lost shard.
    pub(super) fn forget(&mut self, shard: Shard) {
        self.rows.retain(|&(of, _, _)| of != shard);
        self.progress.retain(|&(of, _, _)| of != shard);
        self.touched.retain(|&(of, _)| of != shard);
        self.cursors.retain(|key| key.shard != shard);
        self.finished.retain(|&(_, of)| of != shard);
        self.blocks.retain(|block| block.shard != shard);
        self.singles.retain(|single| single.shard != shard);
        self.passed.retain(|&(of, _)| of != shard);
    }

    fn is_empty(&self) -> bool {
        let Self { rows, progress, touched, cursors, finished, blocks, singles, passed } = self;
        let of_rows = rows.is_empty() && progress.is_empty() && touched.is_empty() && cursors.is_empty();
        of_rows && finished.is_empty() && blocks.is_empty() && singles.is_empty() && passed.is_empty()
    }

    fn shards(&self) -> BTreeSet<Shard> {
        let of_rows = self.rows.iter().chain(&self.progress).map(|&(shard, _, _)| shard);
        let of_chunks = self.touched.iter().map(|&(shard, _)| shard);
        let of_cursors = self.cursors.iter().map(|key| key.shard);
        let of_freezes = self.finished.iter().map(|&(_, shard)| shard);
        let of_blocks = self.blocks.iter().map(|block| block.shard);
        let of_singles = self.singles.iter().map(|single| single.shard);
        let of_passed = self.passed.iter().map(|&(shard, _)| shard);
        of_rows
            .chain(of_chunks)
            .chain(of_cursors)
            .chain(of_freezes)
            .chain(of_blocks)
            .chain(of_singles)
            .chain(of_passed)
            .collect()
    }
}

impl Engine {
    /// A topic of a shard was read up to this offset.
    pub(crate) fn read_up_to(&mut self, shard: Shard, topic: &'static str, next: i64) {
        if let Some(core) = self.shards.get_mut(&shard) {
            core.offsets.insert(topic, next);
        }
    }

    /// Whether something waits to be published for which a transaction must come first.
    pub(crate) fn has_new_rows(&self) -> bool {
        !self.changes.rows.is_empty() || !self.changes.singles.is_empty()
    }

    /// Whether a transaction is due at all.
    pub(crate) fn has_changes(&self) -> bool {
        self.shards.values().any(|core| !core.offsets.is_empty()) || !self.changes.is_empty()
    }

    /// The transaction that brings the store to what memory says; `None` if it is there.
    pub(crate) fn commit(&mut self) -> Option<Commit> {
        self.note_open();
        let mut shards = self.changes.shards();
        shards.extend(self.shards.iter().filter(|(_, core)| !core.offsets.is_empty()).map(|(&shard, _)| shard));
        if shards.is_empty() {
            return None;
        }
        let held = shards.iter().filter_map(|shard| self.shards.get(shard)).map(|core| core.held.clone()).collect();
        let new = |&(shard, key, no): &(Shard, ChunkKey, u32)| {
            self.row_of(shard, key, no).map(|(chunk, row)| self.stored(shard, key, chunk, row))
        };
        let progressed = self.changes.progress.difference(&self.changes.rows);
        let progress = |&(shard, key, no): &(Shard, ChunkKey, u32)| {
            self.row_of(shard, key, no).map(|(_, row)| (ReleaseKey { chunk: key, release_no: no }, row.progress()))
        };
        Some(Commit {
            fence: Fence { held },
            rows: self.changes.rows.iter().filter_map(new).collect(),
            progress: progressed.filter_map(progress).collect(),
            cursors: self.changes.cursors.iter().filter_map(|key| self.cursor_of(*key)).collect(),
            finished: self.changes.finished.iter().copied().collect(),
            blocks: self.changes.blocks.clone(),
            singles: self.changes.singles.clone(),
            passed: self.changes.passed.iter().filter_map(|&(_, key)| self.single_progress(key)).collect(),
            offsets: self.offsets(),
        })
    }

    fn note_open(&mut self) {
        for (shard, key) in std::mem::take(&mut self.changes.touched) {
            if let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) {
                self.changes.progress.extend(chunk.refresh_open().into_iter().map(|no| (shard, key, no)));
            }
        }
    }

    pub(super) fn row_of(&self, shard: Shard, key: ChunkKey, no: u32) -> Option<(&Chunk, &Row)> {
        let chunk = self.shards.get(&shard)?.chunks.get(&key)?;
        Some((chunk, chunk.row(no)?))
    }

    fn stored(&self, shard: Shard, key: ChunkKey, chunk: &Chunk, row: &Row) -> ReleaseRow {
        let source = self.sources.get(&chunk.source);
        let account = self.accounts.get(chunk.source.account);
        ReleaseRow {
            key: ReleaseKey { chunk: key, release_no: row.no },
            shard,
            campaign: chunk.source.campaign,
            channel: source.map_or(account.channel, |source| source.channel),
            account: account.id.clone(),
            lane: source.map_or(loa_domain::channel::Lane::Bulk, |source| source.lane),
            single: self.campaigns.get(&chunk.source.campaign).is_some_and(super::campaign::Campaign::is_notice),
            mask: row.mask,
            slice_length: row.slice_length,
            parts: row.parts,
            attempts: row.attempts.clone(),
            released_at_us: row.released_at_us,
            hand_over_by_us: row.hand_over_by_us,
            decided: row.decided.clone(),
            progress: row.progress(),
        }
    }

    fn cursor_of(&self, key: SourceKey) -> Option<CursorRow> {
        let freeze = self.campaigns.get(&key.campaign)?.freeze?;
        let (chunk, index) = self.sources.get(&key).map(Source::cursor)?;
        let account = self.accounts.get(key.account).id.clone();
        Some(CursorRow { freeze, variant: key.variant, shard: key.shard, account, chunk, index })
    }

    fn offsets(&self) -> Vec<Offset> {
        let of_shard = |(shard, core): (&Shard, &super::shard::ShardCore)| {
            let partition = shard.number();
            let offsets =
                core.offsets.iter().map(|(&topic, &next)| Offset { topic: topic.to_owned(), partition, next });
            offsets.collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// The transaction is durable: its rows may be published, and what is closed leaves memory.
    pub(crate) fn committed(&mut self, now: Now) {
        let changes = std::mem::take(&mut self.changes);
        self.shards.values_mut().for_each(|core| core.offsets.clear());
        self.singles_committed(&changes);
        let mut chunks: BTreeSet<(Shard, ChunkKey)> = BTreeSet::new();
        chunks.extend(changes.rows.iter().chain(&changes.progress).map(|&(shard, key, _)| (shard, key)));
        for (shard, key) in chunks {
            self.touch(shard, key, now);
            self.evict(shard, key);
        }
    }

    /// Lets go of a chunk of which nothing is under way, and of its recipients when nobody needs them soon.
    pub(super) fn evict(&mut self, shard: Shard, key: ChunkKey) {
        let Some(core) = self.shards.get_mut(&shard) else { return };
        let Some(chunk) = core.chunks.get(&key) else { return };
        let Some(source) = self.sources.get_mut(&chunk.source) else { return };
        if source.is_ahead(key) {
            return;
        }
        if !self.unpublished.contains(&(source.lane, shard, key)) && !source.due.contains(&key) {
            self.library.drop(key);
        }
        if chunk.is_closed() {
            let of = chunk.source;
            core.chunks.remove(&key);
            source.chunks -= 1;
            if source.chunks == 0 && source.plan.is_empty() {
                self.sources.remove(&of);
                self.of_campaign.get_mut(&of.campaign).map(|sources| sources.remove(&of));
            }
        }
    }
}
