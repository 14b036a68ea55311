//! Which chunks are ahead: asked of audience once per campaign variant and shard.
//!
//! Must stay true: every chunk of a started campaign is in the plan of exactly one source, or in rows; a freeze is
//! finished in a shard only when all its plans are known and at their end.

use std::collections::BTreeMap;

use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, Shard};

use super::engine::Engine;
use super::fetch::{Fetch, Head};
use super::shard::Part;
use super::source::Planned;
use super::{AccountNo, Now, SourceKey};

impl Engine {
    /// Asks for the chunks of a campaign in a shard, if they are needed and not asked for yet.
    pub(super) fn want_plans(&mut self, id: CampaignId, shard: Shard) {
        let Some(campaign) = self.campaigns.get(&id).filter(|campaign| campaign.started) else { return };
        let (Some(freeze), Some(core)) = (campaign.freeze, self.shards.get_mut(&shard)) else { return };
        if core.finished.contains(&freeze) || core.parts.contains_key(&id) {
            return;
        }
        core.parts.insert(id, Part { plans_left: campaign.variants.keys().copied().collect(), sources_left: 0 });
        for &variant in campaign.variants.keys() {
            self.library.want(Fetch::Heads { campaign: id, freeze, variant, shard });
        }
    }

    /// The chunks of a variant in a shard are known.
    pub(crate) fn planned(
        &mut self,
        shard: Shard,
        id: CampaignId,
        freeze: FreezeId,
        variant: u16,
        heads: Vec<Head>,
        now: Now,
    ) {
        let Some(campaign) = self.campaigns.get(&id) else { return };
        let (lane, channel) = (campaign.lane, campaign.variants.get(&variant).map(|variant| variant.channel));
        let Some(channel) = channel.filter(|_| self.plan_is_missing(shard, id, variant)) else { return };
        let mut routes: BTreeMap<AccountNo, Vec<Planned>> = BTreeMap::new();
        for head in heads {
            let key = ChunkKey { freeze, variant, chunk: head.chunk };
            routes.entry(self.accounts.number(&head.account)).or_default().push(Planned { key, size: head.size });
        }
        let mut keys = Vec::new();
        for (account, chunks) in routes {
            let key = SourceKey { campaign: id, variant, shard, account };
            let cursor =
                self.shards.get(&shard).and_then(|core| core.cursors.get(&(freeze, variant, account))).copied();
            let (chunk, index) = cursor.unwrap_or((0, 0));
            let source = self.source(key, channel, lane);
            source.end_chunk = chunks.iter().map(|planned| planned.key.chunk + 1).max().unwrap_or(0);
            source.plan = chunks.into_iter().filter(|planned| planned.key.chunk >= chunk).collect();
            source.plan.make_contiguous().sort_by_key(|planned| planned.key.chunk);
            // A stored index belongs to the chunk that the cursor names.
            source.at = source.plan.front().filter(|front| front.key.chunk == chunk).map_or(0, |_| index);
            keys.push((key, !source.plan.is_empty()));
        }
        self.count_plan(shard, id, variant, keys.iter().filter(|&&(_, ahead)| ahead).count());
        self.note_finished(shard, id);
        keys.into_iter().for_each(|(key, _)| self.enqueue(key, false, now));
    }

    /// A plan that was asked for twice (the shard was dropped in between) is taken once.
    fn plan_is_missing(&self, shard: Shard, id: CampaignId, variant: u16) -> bool {
        let part = self.shards.get(&shard).and_then(|core| core.parts.get(&id));
        part.is_some_and(|part| part.plans_left.contains(&variant))
    }

    fn count_plan(&mut self, shard: Shard, id: CampaignId, variant: u16, sources: usize) {
        if let Some(part) = self.shards.get_mut(&shard).and_then(|core| core.parts.get_mut(&id)) {
            part.plans_left.remove(&variant);
            part.sources_left += sources;
        }
    }

    /// A source came to its end.
    pub(super) fn source_ended(&mut self, key: SourceKey) {
        if let Some(part) = self.shards.get_mut(&key.shard).and_then(|core| core.parts.get_mut(&key.campaign)) {
            part.sources_left = part.sources_left.saturating_sub(1);
        }
        self.note_finished(key.shard, key.campaign);
    }

    /// Notes that all chunks of a freeze are in rows, if they are.
    fn note_finished(&mut self, shard: Shard, id: CampaignId) {
        let freeze = self.campaigns.get(&id).and_then(|campaign| campaign.freeze);
        let (Some(freeze), Some(core)) = (freeze, self.shards.get_mut(&shard)) else { return };
        if core.parts.get(&id).is_some_and(|part| part.plans_left.is_empty() && part.sources_left == 0) {
            core.finished.insert(freeze);
            core.cursors.retain(|(of, _, _), _| *of != freeze);
            self.changes.finished.insert((freeze, shard));
        }
    }
}
