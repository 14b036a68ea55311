//! The ledger as callers read it: totals of 64 shards added up.
//!
//! Must stay true: `adds_up` compares the sum of the states with the recipients frozen, which are counted apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::report::v1 as report;
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_domain::state::RecipientState as S;
use loa_ports::store::StoreError;
use loa_ports::store::report::ReportStore;
use loa_runtime::control::ControlView;

use crate::chunk::reasons;
use crate::counts::Counts;

/// Totals of one campaign.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// By variant.
    pub variants: BTreeMap<u16, (u8, Counts)>,
    /// When the oldest shard row was written.
    pub as_of_us: i64,
    /// All recipients of the freeze are known.
    pub complete: bool,
    /// Records that the log dropped before the ledger had read them, while the campaign was under way.
    pub missed: u64,
    /// What control.v1 says.
    pub control: Option<Arc<event::CampaignControl>>,
}

impl Whole {
    /// Reads the totals.
    pub(crate) async fn read(
        store: &dyn ReportStore,
        view: &ControlView,
        campaign: CampaignId,
    ) -> Result<Self, StoreError> {
        let mut variants: BTreeMap<u16, (u8, Counts)> = BTreeMap::new();
        let mut as_of_us = i64::MAX;
        for row in store.totals(campaign).await? {
            let counts = Counts::decode(&row.counts).map_err(|error| StoreError::Damaged { why: error.to_string() })?;
            let (channel, sum) = variants.entry(row.variant).or_default();
            *channel = row.channel;
            sum.add_all(&counts);
            as_of_us = as_of_us.min(row.at_us);
        }
        let gaps = store.gaps(campaign).await?;
        // Of a topic that was made anew nobody knows how many; a gap is at least one.
        let missed = gaps.iter().map(|gap| u64::try_from(gap.next - gap.from).unwrap_or(0).max(1)).sum();
        let control = view.campaign(campaign);
        let complete = control.as_ref().is_some_and(|control| is_complete(control, &mut variants));
        Ok(Self { variants, as_of_us: if as_of_us == i64::MAX { 0 } else { as_of_us }, complete, missed, control })
    }

    /// Where the campaign stands.
    pub(crate) fn state(&self) -> Option<CampaignState> {
        CampaignState::from_code(i32::try_from(self.control.as_ref()?.state).ok()?)
    }

    /// Recipients in a state, over all variants.
    pub(crate) fn of(&self, state: S) -> u64 {
        self.variants.values().map(|(_, counts)| counts.of(state)).sum()
    }

    /// For callers.
    pub(crate) fn to_record(&self, campaign: CampaignId) -> report::CampaignLedger {
        report::CampaignLedger {
            campaign_id: campaign.to_string(),
            title: self.control.as_ref().map(|control| control.title.clone()).unwrap_or_default(),
            state: self.state().map(|state| state.name().to_owned()).unwrap_or_default(),
            variants: self
                .variants
                .iter()
                .map(|(&variant, (channel, counts))| ledger(variant, *channel, counts))
                .collect(),
            as_of: Some(timestamp(self.as_of_us)),
            complete: self.complete,
            records_missed: self.missed,
        }
    }
}

/// Every variant of the freeze has all its recipients; a variant nobody of which is known yet appears with none.
fn is_complete(control: &event::CampaignControl, variants: &mut BTreeMap<u16, (u8, Counts)>) -> bool {
    let mut complete = true;
    for frozen in &control.variants {
        let (Ok(variant), Ok(channel)) = (u16::try_from(frozen.variant), convert::channel(frozen.channel)) else {
            return false;
        };
        let (_, counts) = variants.entry(variant).or_insert_with(|| (channel.code(), Counts::default()));
        complete &= control.notice || counts.frozen == frozen.recipients;
    }
    complete
}

fn ledger(variant: u16, channel: u8, counts: &Counts) -> report::Ledger {
    report::Ledger {
        variant: u32::from(variant),
        channel: i32::from(channel),
        frozen: counts.frozen,
        open: counts.of(S::Open),
        in_doubt: counts.of(S::InDoubt),
        submitted: counts.of(S::Submitted),
        delivered: counts.of(S::Delivered),
        undelivered: counts.of(S::Undelivered),
        expired: counts.of(S::Expired),
        rejected: counts.of(S::Rejected),
        unknown: counts.of(S::Unknown),
        skipped: counts.of(S::Skipped),
        cancelled: counts.of(S::Cancelled),
        repeated: counts.repeated,
        late_bounce: 0,
        parts: counts.parts,
        reasons: reasons(counts).into_iter().collect(),
        adds_up: counts.total() == counts.frozen,
    }
}

/// A timestamp of microseconds since 1970.
pub(crate) fn timestamp(us: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(us.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: us.div_euclid(1_000_000), nanos }
}
