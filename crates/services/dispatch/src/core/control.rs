//! What control.v1 says, taken in.
//!
//! Must stay true: a control that cannot be read changes nothing and releases nothing.

use std::time::Duration;

use loa_contract::convert::BadRecord;
use loa_contract::pb::event::v1 as event;
use loa_domain::ids::CampaignId;

use super::Now;
use super::campaign::Campaign;
use super::engine::Engine;
use super::timers::Timer;

impl Engine {
    /// Takes a campaign's state.
    pub(crate) fn hear_campaign(&mut self, control: &event::CampaignControl, now: Now) -> Result<(), BadRecord> {
        let campaign = Campaign::read(control, &self.rules, &self.hash_key)?;
        let id = campaign.id;
        if self.campaigns.get(&id) == Some(&campaign) {
            return Ok(());
        }
        if let Some(freeze) = campaign.freeze {
            self.freezes.insert(freeze, id);
        }
        self.campaigns.insert(id, campaign);
        let shards: Vec<_> = self.shards.keys().copied().collect();
        shards.into_iter().for_each(|shard| self.want_plans(id, shard));
        self.gate_changed(id, now);
        Ok(())
    }

    /// A campaign's gate may have changed: its sources go where it sends them now.
    pub(super) fn gate_changed(&mut self, id: CampaignId, now: Now) {
        let Some(campaign) = self.campaigns.get(&id) else { return };
        if let Some(at_us) = campaign.gate_changes_at_us(now.us) {
            self.timers.set(at_us, Timer::Campaign(id));
        }
        let sources: Vec<_> = self.of_campaign.get(&id).into_iter().flatten().copied().collect();
        sources.into_iter().for_each(|key| self.enqueue(key, false, now));
    }

    /// Takes what an account announced, read at that monotonic time.
    pub(crate) fn hear_account(
        &mut self,
        control: &event::AccountControl,
        heard_at: Duration,
    ) -> Result<(), BadRecord> {
        self.accounts.hear(control, heard_at)
    }
}
