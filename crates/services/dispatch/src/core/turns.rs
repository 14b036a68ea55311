//! Whose turn it is: campaigns take turns, and within a campaign its sources do.
//!
//! One ring per account and lane. A source stands in it while it may have something to release, at most once.
//!
//! Must stay true: a campaign with many sources gets no more turns than one with few.

use std::collections::{HashMap, VecDeque};

use loa_domain::ids::CampaignId;

use super::SourceKey;

/// The sources of one account and lane, by campaign.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    campaigns: VecDeque<CampaignId>,
    sources: HashMap<CampaignId, VecDeque<SourceKey>>,
}

impl Ring {
    /// Puts a source at the end of its campaign's turns.
    pub(crate) fn push_back(&mut self, source: SourceKey) {
        self.sources_of(source.campaign, false).push_back(source);
    }

    /// Puts a source first: what it waited for has come.
    pub(crate) fn push_front(&mut self, source: SourceKey) {
        self.sources_of(source.campaign, true).push_front(source);
    }

    fn sources_of(&mut self, campaign: CampaignId, first: bool) -> &mut VecDeque<SourceKey> {
        let sources = self.sources.entry(campaign).or_default();
        if sources.is_empty() && first {
            self.campaigns.push_front(campaign);
        } else if sources.is_empty() {
            self.campaigns.push_back(campaign);
        }
        sources
    }

    /// The next source; its campaign goes to the end if it has more.
    pub(crate) fn pop(&mut self) -> Option<SourceKey> {
        let campaign = self.campaigns.pop_front()?;
        let sources = self.sources.get_mut(&campaign)?;
        let source = sources.pop_front();
        if sources.is_empty() {
            self.sources.remove(&campaign);
        } else {
            self.campaigns.push_back(campaign);
        }
        source
    }

    /// Takes out every source that is to go.
    pub(crate) fn retain(&mut self, keep: impl Fn(&SourceKey) -> bool) {
        self.sources.values_mut().for_each(|sources| sources.retain(&keep));
        self.sources.retain(|_, sources| !sources.is_empty());
        self.campaigns.retain(|campaign| self.sources.contains_key(campaign));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::AccountNo;
    use loa_domain::ids::Shard;
    use uuid::Uuid;

    fn source(campaign: u128, shard: u32) -> SourceKey {
        let campaign = CampaignId(Uuid::from_u128(campaign));
        SourceKey { campaign, variant: 0, shard: Shard::new(shard).unwrap(), account: AccountNo(0) }
    }

    #[test]
    fn campaigns_take_turns_whatever_their_number_of_sources() {
        let mut ring = Ring::default();
        (0..4).for_each(|shard| ring.push_back(source(1, shard)));
        ring.push_back(source(2, 0));
        let mut turns = Vec::new();
        for _ in 0..6 {
            let next = ring.pop().unwrap();
            turns.push((next.campaign.0.as_u128(), next.shard.number()));
            ring.push_back(next); // each has more to release
        }
        assert_eq!(turns, [(1, 0), (2, 0), (1, 1), (2, 0), (1, 2), (2, 0)]);
    }

    #[test]
    fn what_has_waited_goes_first() {
        let mut ring = Ring::default();
        ring.push_back(source(1, 0));
        ring.push_front(source(2, 5));
        assert_eq!(ring.pop(), Some(source(2, 5)));
        ring.retain(|kept| kept.shard.number() != 0);
        assert_eq!(ring.pop(), None);
    }
}
