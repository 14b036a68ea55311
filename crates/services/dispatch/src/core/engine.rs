//! The engine: owned shards, campaigns, accounts, sources, and what is to be stored and said.
//!
//! Must stay true: losing a shard leaves nothing of it behind, so it can be read again from the store at any moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::HashKey;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, Shard};
use loa_ports::lease::Held;
use loa_ports::store::dispatch::{ReleaseRow, StoredShard};

use super::account::Accounts;
use super::campaign::{Campaign, Gate};
use super::changes::Changes;
use super::chunk::Chunk;
use super::fetch::Library;
use super::row::Row;
use super::shard::ShardCore;
use super::singles::SinglePlace;
use super::source::{Place, Source};
use super::suppressed::Suppressed;
use super::timers::{Timer, Timers};
use super::turns::Ring;
use super::{AccountNo, Now, Rules, SourceKey};

/// The state machine of dispatch in one process.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) rules: Rules,
    pub(super) hash_key: HashKey,
    pub(super) accounts: Accounts,
    pub(super) campaigns: HashMap<CampaignId, Campaign>,
    pub(super) freezes: HashMap<FreezeId, CampaignId>,
    pub(super) shards: BTreeMap<Shard, ShardCore>,
    pub(super) sources: HashMap<SourceKey, Source>,
    pub(super) of_campaign: HashMap<CampaignId, BTreeSet<SourceKey>>,
    pub(super) rings: HashMap<(AccountNo, Lane), Ring>,
    pub(super) over: VecDeque<SourceKey>,
    pub(super) library: Library,
    pub(super) timers: Timers,
    pub(super) changes: Changes,
    /// Chunks with rows whose record is to be published: what is urgent does not stand behind bulk.
    pub(super) unpublished: BTreeSet<(Lane, Shard, ChunkKey)>,
    /// Chunks with rows whose words are to be published.
    pub(super) untold: BTreeSet<(Shard, ChunkKey)>,
    /// Chunks of single sends that are not all in rows, or not told of.
    pub(super) singles: BTreeMap<ChunkKey, SinglePlace>,
    /// Those of them whose acceptance is to be published.
    pub(super) unaccepted: BTreeSet<(Shard, ChunkKey)>,
    /// This machine's clock is wrong: no bulk is released by its hours.
    pub(super) holds_bulk: bool,
    /// Stored rows wait while the log takes others: nothing but urgent is released.
    pub(super) log_is_behind: bool,
}

impl Engine {
    /// An engine that owns nothing and knows nothing.
    pub(crate) fn new(rules: Rules, hash_key: HashKey) -> Self {
        Self {
            rules,
            hash_key,
            accounts: Accounts::default(),
            campaigns: HashMap::new(),
            freezes: HashMap::new(),
            shards: BTreeMap::new(),
            sources: HashMap::new(),
            of_campaign: HashMap::new(),
            rings: HashMap::new(),
            over: VecDeque::new(),
            library: Library::default(),
            timers: Timers::default(),
            changes: Changes::default(),
            unpublished: BTreeSet::new(),
            untold: BTreeSet::new(),
            singles: BTreeMap::new(),
            unaccepted: BTreeSet::new(),
            holds_bulk: false,
            log_is_behind: false,
        }
    }

    /// Whether this machine's clock may be trusted with bulk.
    pub(crate) fn hear_clock(&mut self, agrees: bool) {
        self.holds_bulk = !agrees;
    }

    /// Whether rows that are stored wait while the log takes others: only urgent ones are cut then.
    pub(crate) fn hear_log(&mut self, is_busy: bool) {
        self.log_is_behind = is_busy && !self.unpublished.is_empty();
    }

    /// Takes a shard over as the store has it.
    pub(crate) fn gain(&mut self, shard: Shard, held: Held, stored: StoredShard, now: Now) {
        self.lose(shard);
        let mut core = ShardCore::new(held);
        core.suppressed = Suppressed::new(stored.blocks);
        core.finished = stored.finished.into_iter().collect();
        for cursor in stored.cursors {
            let account = self.accounts.number(&cursor.account);
            core.cursors.insert((cursor.freeze, cursor.variant, account), (cursor.chunk, cursor.index));
        }
        self.shards.insert(shard, core);
        self.restore(stored.releases, now);
        self.add_singles(shard, stored.singles, now);
        let started: Vec<_> = self.campaigns.keys().copied().collect();
        started.into_iter().for_each(|campaign| self.want_plans(campaign, shard));
    }

    /// suppression.v1 was read to its end: releases may begin.
    pub(crate) fn set_ready(&mut self, shard: Shard, now: Now) {
        let Some(core) = self.shards.get_mut(&shard) else { return };
        core.ready = true;
        let sources: Vec<_> = self.sources.keys().filter(|key| key.shard == shard).copied().collect();
        sources.into_iter().for_each(|key| self.enqueue(key, false, now));
    }

    /// suppression.v1 has a hole: nothing may be released.
    pub(crate) fn set_unready(&mut self, shard: Shard) {
        if let Some(core) = self.shards.get_mut(&shard) {
            core.ready = false;
        }
    }

    /// Settlements were lost: every unsettled row's record is published again, so that gateways answer from their claims.
    pub(crate) fn publish_again(&mut self, shard: Shard, now: Now) {
        let Some(core) = self.shards.get_mut(&shard) else { return };
        core.chunks.values_mut().flat_map(|chunk| &mut chunk.rows).for_each(|row| row.again_at_us = i64::MIN);
        let keys: Vec<_> = core.chunks.keys().copied().collect();
        keys.into_iter().for_each(|key| self.touch(shard, key, now));
    }

    /// Forgets a shard.
    pub(crate) fn lose(&mut self, shard: Shard) {
        let Some(core) = self.shards.remove(&shard) else { return };
        for ((account, lane), used) in core.in_use {
            self.accounts.get_mut(account).use_changed(lane, used, 0);
        }
        self.sources.retain(|key, _| key.shard != shard);
        self.of_campaign.values_mut().for_each(|sources| sources.retain(|key| key.shard != shard));
        self.rings.values_mut().for_each(|ring| ring.retain(|key| key.shard != shard));
        self.over.retain(|key| key.shard != shard);
        self.unpublished.retain(|&(_, of, _)| of != shard);
        self.untold.retain(|&(of, _)| of != shard);
        self.singles.retain(|_, single| single.shard != shard);
        self.unaccepted.retain(|&(of, _)| of != shard);
        self.library.forget(shard);
        self.changes.forget(shard);
    }

    /// The leases in whose name it works.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Shard, &Held)> {
        self.shards.iter().map(|(&shard, core)| (shard, &core.held))
    }

    /// Whether the shard is owned.
    pub(crate) fn owns(&self, shard: Shard) -> bool {
        self.shards.contains_key(&shard)
    }

    /// Chunks of stored rows, into memory.
    pub(crate) fn restore(&mut self, rows: Vec<ReleaseRow>, now: Now) {
        let mut chunks: BTreeMap<(Shard, ChunkKey), (SourceKey, Vec<Row>)> = BTreeMap::new();
        for row in rows {
            let account = self.accounts.number(&row.account);
            let (shard, key) = (row.shard, row.key.chunk);
            let source = SourceKey { campaign: row.campaign, variant: key.variant, shard, account };
            let known = self.shards.get(&shard).is_none_or(|core| core.chunks.contains_key(&key));
            if known {
                continue;
            }
            self.source(source, row.channel, row.lane);
            chunks.entry((shard, key)).or_insert_with(|| (source, Vec::new())).1.push(Row::stored(row));
        }
        for ((shard, key), (source, rows)) in chunks {
            self.put_chunk(shard, key, Chunk::new(source, rows));
            self.touch(shard, key, now);
        }
    }

    /// The source, made if it is not there.
    pub(super) fn source(&mut self, key: SourceKey, channel: Channel, lane: Lane) -> &mut Source {
        self.of_campaign.entry(key.campaign).or_default().insert(key);
        self.sources.entry(key).or_insert_with(|| Source::new(channel, lane))
    }

    pub(super) fn put_chunk(&mut self, shard: Shard, key: ChunkKey, chunk: Chunk) {
        let (source, used) = (chunk.source, chunk.in_use());
        let Some(core) = self.shards.get_mut(&shard) else { return };
        core.chunks.insert(key, chunk);
        let Some(known) = self.sources.get_mut(&source) else { return };
        known.chunks += 1;
        let lane = known.lane;
        self.use_changed(source, lane, 0, used);
    }

    /// Parts in use changed; kept per shard too, so that a lost shard gives back exactly its own.
    pub(super) fn use_changed(&mut self, source: SourceKey, lane: Lane, before: u64, after: u64) {
        let Some(core) = self.shards.get_mut(&source.shard) else { return };
        let used = core.in_use.entry((source.account, lane)).or_default();
        *used = (*used + after).saturating_sub(before);
        self.accounts.get_mut(source.account).use_changed(lane, before, after);
    }

    /// Looks at a chunk: what is due, what is to be published, and when to look again.
    pub(super) fn touch(&mut self, shard: Shard, key: ChunkKey, now: Now) {
        let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) else { return };
        if chunk.unpublished(now.us).next().is_some() {
            let lane = self.sources.get(&chunk.source).map_or(Lane::Bulk, |source| source.lane);
            self.unpublished.insert((lane, shard, key));
        }
        if chunk.rows.iter().any(|row| row.is_untold() && !row.telling) {
            self.untold.insert((shard, key));
        }
        let next = chunk.next_wake_us(now.us);
        if next != chunk.wake_at_us {
            chunk.wake_at_us = next;
            if let Some(at_us) = next {
                self.timers.set(at_us, Timer::Chunk(shard, key));
            }
        }
        let (source, due, waits) = (chunk.source, chunk.has_due(now.us), !chunk.waiting.is_empty());
        let Some(known) = self.sources.get_mut(&source) else { return };
        if due {
            known.due.insert(key);
        } else {
            known.due.remove(&key);
        }
        if due || (waits && self.is_over(source.campaign, now)) {
            self.enqueue(source, false, now);
        }
    }

    fn is_over(&self, campaign: CampaignId, now: Now) -> bool {
        let campaign = self.campaigns.get(&campaign);
        campaign.is_some_and(|campaign| matches!(campaign.gate(&self.rules, now.us), Gate::Over(..)))
    }

    /// Puts a source where its campaign's gate sends it.
    pub(super) fn enqueue(&mut self, key: SourceKey, first: bool, now: Now) {
        let Some(campaign) = self.campaigns.get(&key.campaign) else { return };
        let gate = campaign.gate(&self.rules, now.us);
        let ready = self.shards.get(&key.shard).is_some_and(|core| core.ready);
        let Some(source) = self.sources.get_mut(&key) else { return };
        match gate {
            Gate::Over(..) if source.place != Place::Over => {
                source.place = Place::Over;
                self.over.push_back(key);
            }
            Gate::Open { .. } if source.place == Place::Nowhere && ready && source.has_work() => {
                source.place = Place::Ring;
                let ring = self.rings.entry((key.account, source.lane)).or_default();
                if first { ring.push_front(key) } else { ring.push_back(key) }
            }
            Gate::Over(..) | Gate::Open { .. } | Gate::Still => {}
        }
    }

    pub(super) fn campaign_of(&self, freeze: FreezeId) -> Option<CampaignId> {
        self.freezes.get(&freeze).copied()
    }

    /// Lets what is due at this time happen.
    pub(super) fn fire(&mut self, now: Now) {
        while let Some((at_us, timer)) = self.timers.pop(now.us) {
            match timer {
                Timer::Campaign(campaign) => self.gate_changed(campaign, now),
                Timer::Fetch(fetch) => self.fetch_again(fetch),
                Timer::Chunk(shard, key) => {
                    let chunk = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key));
                    if let Some(chunk) = chunk.filter(|chunk| chunk.wake_at_us == Some(at_us)) {
                        chunk.wake_at_us = None;
                        self.touch(shard, key, now);
                    }
                }
            }
        }
    }

    /// When to run again, if nothing else happens.
    pub(crate) fn next_wake_us(&self) -> Option<i64> {
        self.timers.next_us()
    }
}

/// What tests look at.
#[cfg(test)]
impl Engine {
    /// Account, lane, credit, parts in use as counted, and as computed from the rows.
    pub(crate) fn credits(&self) -> Vec<(String, Lane, u64, u64, u64)> {
        let mut all = Vec::new();
        for (number, account) in self.accounts.iter() {
            for &lane in Lane::ALL {
                let chunks = self.shards.values().flat_map(|core| core.chunks.values());
                let of_lane = chunks.filter(|chunk| {
                    chunk.source.account == number
                        && self.sources.get(&chunk.source).is_some_and(|source| source.lane == lane)
                });
                let computed = of_lane.map(Chunk::in_use).sum();
                all.push((
                    account.id.to_string(),
                    lane,
                    account.credit(self.shards.len()),
                    account.in_use(lane),
                    computed,
                ));
            }
        }
        all
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let chunks: usize = self.shards.values().map(|core| core.chunks.len()).sum();
        let said = self.unpublished.is_empty() && self.untold.is_empty() && self.unaccepted.is_empty();
        chunks == 0 && self.sources.is_empty() && self.singles.is_empty() && said
    }
}
