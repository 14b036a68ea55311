//! What the engine wants read of audience's chunks, and what it holds of them.
//!
//! Recipients are needed to build a record, and only then: they are read a few chunks ahead of the cursor, and again for
//! repetitions.
//!
//! Must stay true: the number of chunks held has a limit; one that was pushed out is read again when its turn comes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, Shard};

use super::data::ChunkData;
use super::engine::Engine;
use super::source::Source;
use super::timers::Timer;
use super::{Now, SECOND_US, SourceKey};

/// Chunks with recipients in memory, at most; about 30 kB each.
const HELD_MAX: usize = 1_024;
/// Chunks read ahead of a cursor in one call.
const AHEAD: usize = 4;
/// A failed read is tried again after so long.
const FAILED_WAIT_US: i64 = SECOND_US;

/// Something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fetch {
    /// Which chunks a variant has in a shard: number, account, size.
    Heads { campaign: CampaignId, freeze: FreezeId, variant: u16, shard: Shard },
    /// Chunks with their recipients.
    Chunks { first: ChunkKey, count: u32, shard: Shard },
    /// A chunk of single sends, from the own store.
    Single { key: ChunkKey, shard: Shard },
}

impl Fetch {
    /// The shard it is for.
    pub(crate) fn shard(self) -> Shard {
        match self {
            Self::Heads { shard, .. } | Self::Chunks { shard, .. } | Self::Single { shard, .. } => shard,
        }
    }

    fn keys(self) -> impl Iterator<Item = ChunkKey> {
        let (first, count) = match self {
            Self::Heads { freeze, variant, .. } => (ChunkKey { freeze, variant, chunk: 0 }, 0),
            Self::Chunks { first, count, .. } => (first, count),
            Self::Single { key, .. } => (key, 1),
        };
        (0..count).map(move |add| ChunkKey { chunk: first.chunk + add, ..first })
    }
}

/// A chunk without its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number within the variant.
    pub chunk: u32,
    /// The account it is routed to.
    pub account: AccountId,
    /// How many recipients it holds.
    pub size: u16,
}

/// Chunks held and reads under way.
#[derive(Debug, Default)]
pub(crate) struct Library {
    held: HashMap<ChunkKey, Arc<ChunkData>>,
    /// In order of arrival; may name chunks that are gone.
    order: VecDeque<ChunkKey>,
    coming: HashSet<ChunkKey>,
    wanted: VecDeque<Fetch>,
}

impl Library {
    pub(crate) fn get(&self, key: ChunkKey) -> Option<&Arc<ChunkData>> {
        self.held.get(&key)
    }

    pub(crate) fn put(&mut self, data: Arc<ChunkData>) {
        let key = data.key;
        self.coming.remove(&key);
        if self.held.insert(key, data).is_none() {
            self.order.push_back(key);
        }
        while self.held.len() > HELD_MAX || self.order.len() > 2 * HELD_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.held.remove(&oldest);
        }
    }

    pub(crate) fn drop(&mut self, key: ChunkKey) {
        self.held.remove(&key);
    }

    pub(crate) fn want(&mut self, fetch: Fetch) {
        self.coming.extend(fetch.keys());
        self.wanted.push_back(fetch);
    }

    /// Asks for one chunk, if it is not here and not coming.
    pub(crate) fn want_chunk(&mut self, key: ChunkKey, shard: Shard, single: bool) {
        if self.held.contains_key(&key) || self.coming.contains(&key) {
            return;
        }
        self.want(if single { Fetch::Single { key, shard } } else { Fetch::Chunks { first: key, count: 1, shard } });
    }

    /// Asks for the next chunks of a source that are neither here nor coming: at once if it stands at one of them, else once
    /// they are half of those ahead, since a call that brings one chunk costs as much as one that brings several.
    pub(crate) fn want_ahead(&mut self, source: &Source, shard: Shard, single: bool) {
        let missing = source.plan.iter().take(AHEAD).map(|planned| planned.key);
        let mut missing =
            missing.filter(|key| !self.held.contains_key(key) && !self.coming.contains(key)).collect::<VecDeque<_>>();
        let stands_still = missing.front() == source.plan.front().map(|planned| &planned.key);
        let ends_soon = source.plan.len() <= AHEAD;
        if !stands_still && !ends_soon && missing.len() < AHEAD / 2 {
            return;
        }
        if single {
            return missing.into_iter().for_each(|key| self.want_chunk(key, shard, true));
        }
        while let Some(first) = missing.pop_front() {
            let mut count = 1;
            while missing.front().is_some_and(|next| next.freeze == first.freeze && next.chunk == first.chunk + count) {
                missing.pop_front();
                count += 1;
            }
            self.want(Fetch::Chunks { first, count, shard });
        }
    }

    /// Forgets what is for a shard that is owned no more.
    pub(crate) fn forget(&mut self, shard: Shard) {
        self.wanted.retain(|fetch| fetch.shard() != shard);
        self.held.retain(|_, data| data.shard != shard);
        // A read under way may answer yet: its chunks are then not expected any more.
        self.coming.clear();
        self.coming.extend(self.wanted.iter().flat_map(|fetch| fetch.keys()));
    }
}

impl Engine {
    /// The next thing to read.
    pub(crate) fn next_fetch(&mut self) -> Option<Fetch> {
        self.library.wanted.pop_front()
    }

    /// Recipients have come.
    pub(crate) fn fetched(&mut self, shard: Shard, chunks: Vec<ChunkData>, now: Now) {
        if !self.shards.contains_key(&shard) {
            return;
        }
        for data in chunks {
            let (key, account) = (data.key, self.accounts.number(&data.account));
            self.library.put(Arc::new(data));
            // First in line: what was read is used before it could be pushed out.
            let waiting = self.waiting_for(shard, key, account);
            waiting.into_iter().for_each(|source| self.enqueue(source, true, now));
            self.touch(shard, key, now);
        }
    }

    /// The sources that may go on with a chunk.
    fn waiting_for(&self, shard: Shard, key: ChunkKey, account: super::AccountNo) -> Option<SourceKey> {
        let core = self.shards.get(&shard)?;
        if let Some(chunk) = core.chunks.get(&key) {
            return Some(chunk.source);
        }
        let single = self.singles.get(&key).map(|single| single.notice);
        let campaign = single.or_else(|| self.campaign_of(key.freeze))?;
        Some(SourceKey { campaign, variant: key.variant, shard, account })
    }

    /// A read failed, or did not bring what was asked for.
    pub(crate) fn fetch_failed(&mut self, fetch: Fetch, now: Now) {
        self.timers.set(now.us + FAILED_WAIT_US, Timer::Fetch(fetch));
    }

    pub(crate) fn fetch_again(&mut self, fetch: Fetch) {
        if self.shards.contains_key(&fetch.shard()) {
            self.library.want(fetch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::source::Planned;
    use loa_domain::channel::{Channel, Lane};
    use uuid::Uuid;

    fn key(chunk: u32) -> ChunkKey {
        ChunkKey { freeze: FreezeId(Uuid::nil()), variant: 0, chunk }
    }

    #[test]
    fn reads_ahead_in_runs_and_nothing_twice() {
        let shard = Shard::new(1).unwrap();
        let mut source = Source::new(Channel::Sms, Lane::Bulk);
        source.plan = [3, 4, 5, 9, 10].into_iter().map(|chunk| Planned { key: key(chunk), size: 500 }).collect();
        let mut library = Library::default();
        library.want_ahead(&source, shard, false);
        library.want_ahead(&source, shard, false);
        let wanted: Vec<_> = library.wanted.drain(..).collect();
        assert_eq!(
            wanted,
            [Fetch::Chunks { first: key(3), count: 3, shard }, Fetch::Chunks { first: key(9), count: 1, shard }]
        );
    }

    fn data(chunk: u32) -> Arc<ChunkData> {
        Arc::new(ChunkData {
            key: key(chunk),
            shard: Shard::new(0).unwrap(),
            account: AccountId::new("viet").unwrap(),
            msisdns: vec![],
            mailboxes: vec![],
            slots: vec![],
            parts: vec![],
            hashes: vec![],
            expires_us: vec![],
            content_hash: None,
            traceparent: None,
        })
    }

    #[test]
    fn what_stands_at_the_cursor_is_asked_for_alone() {
        let shard = Shard::new(1).unwrap();
        let mut source = Source::new(Channel::Sms, Lane::Bulk);
        source.plan = (0..9).map(|chunk| Planned { key: key(chunk), size: 500 }).collect();
        let mut library = Library::default();
        (0..4).for_each(|chunk| library.put(data(chunk)));
        // The oldest is pushed out first, and that is the one at the cursor.
        library.drop(key(0));
        library.want_ahead(&source, shard, false);
        assert_eq!(library.wanted.drain(..).collect::<Vec<_>>(), [Fetch::Chunks { first: key(0), count: 1, shard }]);
        library.put(data(0));
        source.plan.pop_front();
        library.want_ahead(&source, shard, false);
        assert!(library.wanted.is_empty(), "the fourth ahead is asked for with the fifth");
        source.plan.pop_front();
        library.want_ahead(&source, shard, false);
        assert_eq!(library.wanted.drain(..).collect::<Vec<_>>(), [Fetch::Chunks { first: key(4), count: 2, shard }]);
    }

    #[test]
    fn holds_a_limited_number() {
        let (mut library, max) = (Library::default(), u32::try_from(HELD_MAX).unwrap());
        (0..max + 10).for_each(|chunk| library.put(data(chunk)));
        assert_eq!(library.held.len(), HELD_MAX);
        assert!(library.get(key(0)).is_none() && library.get(key(max)).is_some(), "the oldest went first");
    }
}
