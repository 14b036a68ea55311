//! Watches started campaigns: tells registry when nothing is open any more.
//!
//! Held by one process at a time (lease `done`); asking registry again is harmless.

use std::collections::HashSet;
use std::time::Duration;

use loa_contract::convert;
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_domain::state::RecipientState;
use loa_ports::store::StoreError;
use loa_ports::store::report::ReportStore;
use loa_runtime::control::ControlView;

use crate::ledger::Whole;
use crate::registry::Registry;

/// How often the totals are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks once at every campaign under way.
pub(crate) async fn look(
    registry: &dyn Registry,
    store: &dyn ReportStore,
    view: &ControlView,
    told: &mut HashSet<CampaignId>,
) -> Result<(), StoreError> {
    for control in view.campaigns() {
        let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
        let Ok(id) = convert::campaign_id(&control.campaign_id) else { continue };
        if control.notice || state != Some(CampaignState::Running) || told.contains(&id) {
            continue;
        }
        let whole = Whole::read(store, view, id).await?;
        if whole.complete && whole.of(RecipientState::Open) == 0 && complete(registry, id).await {
            told.insert(id);
        }
    }
    told.retain(|id| view.state(*id) == Some(CampaignState::Running));
    Ok(())
}

async fn complete(registry: &dyn Registry, campaign: CampaignId) -> bool {
    match registry.complete(campaign).await {
        Ok(()) => true,
        Err(status) => {
            tracing::warn!(%campaign, code = ?status.code(), "registry could not be told that a campaign is done");
            false
        }
    }
}
