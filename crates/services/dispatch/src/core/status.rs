//! How things stand, for people.

use loa_domain::channel::Lane;
use loa_domain::ids::{AccountId, CampaignId, Shard};

use super::Now;
use super::campaign::{Campaign, Variant};
use super::chunk::Chunk;
use super::engine::Engine;

/// What this process has under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) shards: Vec<Shard>,
    pub(crate) unsettled_rows: u64,
    pub(crate) credits: Vec<Credit>,
}

/// The credit of an account and lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) account: AccountId,
    pub(crate) lane: Lane,
    pub(crate) credit: u64,
    pub(crate) in_use: u64,
    pub(crate) bound: bool,
}

impl Engine {
    /// How things stand.
    pub(crate) fn status(&self, now: Now) -> Status {
        let rows = self.shards.values().flat_map(|core| core.chunks.values()).flat_map(|chunk: &Chunk| &chunk.rows);
        let credits = self.accounts.iter().flat_map(|(_, account)| {
            Lane::ALL.iter().map(|&lane| Credit {
                account: account.id.clone(),
                lane,
                credit: account.credit(self.shards.len()),
                in_use: account.in_use(lane),
                bound: account.is_bound(now.mono),
            })
        });
        Status {
            shards: self.shards.keys().copied().collect(),
            unsettled_rows: rows.filter(|row| !row.unsettled().is_empty()).count() as u64,
            credits: credits.collect(),
        }
    }

    /// Campaigns of which nothing is sent any more.
    pub(crate) fn over(&self) -> Vec<CampaignId> {
        self.campaigns.values().filter(|campaign| campaign.state.is_over()).map(|campaign| campaign.id).collect()
    }

    /// A notice's lane and text, if it is known.
    pub(crate) fn notice(&self, id: CampaignId) -> Option<(Lane, &Variant)> {
        let notice = self.campaigns.get(&id).filter(|campaign| Campaign::is_notice(campaign))?;
        notice.variants.values().next().map(|variant| (notice.lane, variant))
    }
}
