//! Settlements, taken in: what is settled is free credit, what was given back waits.
//!
//! Must stay true: a settlement read again changes nothing; one about a chunk that left memory is taken after its rows
//! were read from the store.

use std::collections::BTreeSet;

use loa_domain::channel::Lane;
use loa_domain::ids::{ChunkKey, Shard};
use loa_ports::store::dispatch::BlockRow;

use super::Now;
use super::engine::Engine;
use super::row::{Row, Taking};
use super::settled::Settled;

impl Engine {
    /// Chunks of these settlements that are not in memory.
    pub(crate) fn missing<'a>(
        &self,
        shard: Shard,
        settled: impl IntoIterator<Item = &'a Settled>,
    ) -> BTreeSet<ChunkKey> {
        let Some(core) = self.shards.get(&shard) else { return BTreeSet::new() };
        let keys = settled.into_iter().map(|settled| settled.release.chunk);
        keys.filter(|key| !core.chunks.contains_key(key)).collect()
    }

    /// Takes one settlement; `false` if there is no such release.
    pub(crate) fn settle(&mut self, shard: Shard, settled: &Settled, now: Now) -> bool {
        let key = settled.release.chunk;
        let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) else { return false };
        let source = chunk.source;
        let Some(lane) = self.sources.get(&source).map(|source| source.lane) else { return false };
        let resend = self.campaigns.get(&source.campaign).is_some_and(|campaign| campaign.resend_in_doubt);
        let taking = Taking { resend_in_doubt: resend && lane == Lane::Urgent, now_us: now.us };
        let known = chunk.row(settled.release.release_no).is_some();
        let effect = chunk.settle(settled, taking, self.rules.tries_max);
        if effect.changed {
            self.changes.progress.insert((shard, key, settled.release.release_no));
            self.changes.touched.insert((shard, key));
            self.use_changed(source, lane, effect.used.0, effect.used.1);
            if !effect.decided.is_empty() {
                let decided = effect.decided;
                self.add_row(source, key, now, |no| Row { decided, ..Row::new(no, now.us) });
            }
            self.touch(shard, key, now);
        }
        known
    }

    /// Lets go of chunks that were read for settlements which changed nothing.
    pub(crate) fn settled_all(&mut self, shard: Shard, keys: impl IntoIterator<Item = ChunkKey>) {
        for key in keys {
            let pending = self.changes.touched.contains(&(shard, key));
            if !pending {
                self.evict(shard, key);
            }
        }
    }

    /// Takes a record of suppression.v1.
    pub(crate) fn block(&mut self, block: BlockRow) {
        let core = self.shards.get_mut(&block.shard);
        if core.is_some_and(|core| core.suppressed.apply(&block)) {
            self.changes.blocks.push(block);
        }
    }
}
