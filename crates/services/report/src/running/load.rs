//! Chunks of campaigns, asked of audience once per campaign and shard; their keys again, of the store, where they are needed.
//!
//! Must stay true: a campaign counts as loaded only when every chunk of all its variants is known.

use futures_util::StreamExt as _;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_domain::campaign::CampaignState;
use loa_domain::hash::AddressHash;

use super::Running;
use crate::chunks::Wanted;
use crate::shard::Missing;

impl Running {
    /// Makes the chunk of a word known; whether it is.
    pub(super) async fn load_missing(&mut self, missing: Missing, shard: u32) -> bool {
        let Some(control) = self.view.campaign(missing.campaign) else { return false };
        if control.notice {
            let channel = control.variants.first().and_then(|variant| convert::channel(variant.channel).ok());
            let code = channel.map_or(0, loa_domain::channel::Channel::code);
            if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                // Who its recipients are is told by outcomes.v1.
                ledger.add_single_chunk(missing.chunk, missing.campaign, code, "");
            }
        } else {
            self.load_campaign(&control).await;
        }
        self.shards.get(&shard).is_some_and(|(_, ledger)| ledger.chunk(missing.chunk).is_some())
    }

    /// Reads who the recipients are of all chunks in which an address may stand; whether any were not known.
    pub(super) async fn load_keys(&mut self, hash: AddressHash, shard: u32) -> bool {
        match self.store.find(shard, hash).await {
            Ok(hits) => self.shards.get_mut(&shard).is_some_and(|(_, ledger)| ledger.take_keys(hits)),
            Err(error) => {
                tracing::warn!(shard, %error, "the recipients of a chunk could not be read; they are asked for again");
                false
            }
        }
    }

    pub(super) async fn load_campaigns(&mut self) {
        for control in self.view.campaigns() {
            let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
            if !control.notice && state.is_some_and(CampaignState::is_started) {
                self.load_campaign(&control).await;
            }
        }
    }

    /// Reads the campaign's chunks for every owned shard that does not have them.
    async fn load_campaign(&mut self, control: &event::CampaignControl) {
        let (Ok(campaign), Ok(freeze)) =
            (convert::campaign_id(&control.campaign_id), loa_domain::ids::FreezeId::from_bytes(&control.freeze_id))
        else {
            return;
        };
        let lacking: Vec<u32> = self
            .shards
            .iter()
            .filter(|(_, (_, ledger))| !ledger.has_loaded(campaign))
            .map(|(&shard, _)| shard)
            .collect();
        if lacking.is_empty() {
            return;
        }
        for variant in &control.variants {
            let (Ok(number), Ok(channel)) = (u16::try_from(variant.variant), convert::channel(variant.channel)) else {
                continue;
            };
            let wanted = Wanted { campaign, freeze, variant: number, channel, shard: None };
            if let Err(status) = self.load_variant(wanted, &lacking).await {
                tracing::warn!(%campaign, code = ?status.code(), "the chunks of a campaign could not be read; they are asked for again");
                return;
            }
        }
        for shard in lacking {
            if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                ledger.set_loaded(campaign);
            }
        }
    }

    async fn load_variant(&mut self, wanted: Wanted, lacking: &[u32]) -> Result<(), tonic::Status> {
        /// Up to here shards are asked for one by one, above all at once.
        const ONE_BY_ONE_MAX: usize = 16;
        let shards: Vec<Option<u32>> = match lacking.len() {
            0..=ONE_BY_ONE_MAX => lacking.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        for shard in shards {
            let mut stream = self.chunks.keys(Wanted { shard, ..wanted.clone() }).await?;
            while let Some(facts) = stream.next().await {
                let facts = facts?;
                if let Some((_, ledger)) = self.shards.get_mut(&facts.shard).filter(|_| lacking.contains(&facts.shard))
                {
                    ledger.add_chunk(facts);
                }
            }
        }
        Ok(())
    }
}
