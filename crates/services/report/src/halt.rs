//! When the ledger itself stops bulk campaigns: it is so far behind that words may soon be lost, or some were.
//!
//! A ledger that misses words cannot show who was not reached, and a campaign that runs on makes the hole larger. Urgent and
//! normal messages go on: they wait for nobody's figures.
//!
//! Must stay true: only running bulk campaigns are halted; halting again is harmless, so it is tried until it is done.

use std::collections::BTreeMap;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{Keep, TopicSpec};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::ids::CampaignId;
use loa_runtime::control::ControlView;

use crate::registry::Registry;

const HOUR_US: i64 = 3_600 * 1_000_000;

/// The oldest record that was not taken yet, by topic, since the last look.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    oldest_us: BTreeMap<&'static str, (&'static TopicSpec, i64)>,
}

/// A topic in which the ledger is too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The topic.
    pub topic: &'static str,
    /// How far.
    pub hours: i64,
    /// How far it may be.
    pub hours_max: i64,
}

impl Backlog {
    /// A record of that time was not taken yet.
    pub(crate) fn note(&mut self, topic: &'static TopicSpec, at_us: i64) {
        let (_, oldest_us) = self.oldest_us.entry(topic.name).or_insert((topic, at_us));
        *oldest_us = at_us.min(*oldest_us);
    }

    /// Where it is too far behind; begins anew.
    pub(crate) fn take_behind(&mut self, now_us: i64) -> Option<Behind> {
        let oldest_us = std::mem::take(&mut self.oldest_us);
        oldest_us.into_values().find_map(|(topic, oldest_us)| behind(topic, oldest_us, now_us))
    }
}

/// The rule: more than half of the time that the topic keeps records.
fn behind(topic: &'static TopicSpec, oldest_us: i64, now_us: i64) -> Option<Behind> {
    let Keep::Hours(keep) = topic.keep else { return None };
    let hours_max = i64::from(keep) / 2;
    let behind_us = now_us.saturating_sub(oldest_us);
    (behind_us > hours_max * HOUR_US).then_some(Behind { topic: topic.name, hours: behind_us / HOUR_US, hours_max })
}

impl Behind {
    /// For the operator, who reads it at the campaign.
    pub(crate) fn reason(&self) -> String {
        let Self { topic, hours, hours_max } = self;
        format!(
            "LOA-023: the ledger is {hours} h behind on {topic} (at most {hours_max}); resume once it has caught up"
        )
    }
}

/// Whether the rules of this module stop it.
fn is_stoppable(control: &event::CampaignControl) -> bool {
    let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
    !control.notice && state == Some(CampaignState::Running) && control.lane == i32::from(Lane::Bulk.code())
}

/// Halts running bulk campaigns, all or those named; whether none is left running.
pub(crate) async fn halt_bulk(
    registry: &dyn Registry,
    view: &ControlView,
    named: Option<&[CampaignId]>,
    reason: &str,
) -> bool {
    let mut all = true;
    for control in view.campaigns().iter().filter(|control| is_stoppable(control)) {
        let Ok(id) = convert::campaign_id(&control.campaign_id) else { continue };
        if named.is_none_or(|named| named.contains(&id)) {
            all &= halt(registry, id, reason).await;
        }
    }
    all
}

async fn halt(registry: &dyn Registry, id: CampaignId, reason: &str) -> bool {
    match registry.halt(id, reason).await {
        Ok(()) => {
            tracing::error!(campaign = %id, reason, "a campaign was halted");
            true
        }
        // Over or cancelled meanwhile: there is nothing to halt.
        Err(status) if status.code() == tonic::Code::FailedPrecondition => true,
        Err(status) => {
            tracing::error!(campaign = %id, code = ?status.code(), "a campaign could not be halted; it is tried again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::{ControlTopic, OutcomesTopic, SettlementsTopic, Topic as _};

    #[test]
    fn more_than_half_of_the_retention_is_too_far() {
        #[track_caller]
        fn check(topic: &'static TopicSpec, age_us: i64, expected: Option<i64>) {
            let now_us = 1_764_000_000_000_000;
            assert_eq!(behind(topic, now_us - age_us, now_us).map(|behind| behind.hours), expected);
        }
        check(SettlementsTopic::SPEC, 0, None);
        check(SettlementsTopic::SPEC, -HOUR_US, None);
        check(SettlementsTopic::SPEC, 168 * HOUR_US, None);
        check(SettlementsTopic::SPEC, 168 * HOUR_US + 1, Some(168));
        check(OutcomesTopic::SPEC, 400 * HOUR_US, Some(400));
        check(ControlTopic::SPEC, 9_999 * HOUR_US, None);
    }

    #[test]
    fn the_oldest_record_counts_until_it_was_looked_at() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.take_behind(0), None);
        for hour in [500, 1, 900] {
            backlog.note(OutcomesTopic::SPEC, hour * HOUR_US);
        }
        let found = backlog.take_behind(1_000 * HOUR_US);
        assert_eq!(found, Some(Behind { topic: "outcomes.v1", hours: 999, hours_max: 168 }));
        assert_eq!(backlog.take_behind(1_000 * HOUR_US), None, "caught up");
    }

    #[test]
    fn the_reason_fits_and_names_its_page() {
        let reason = Behind { topic: "settlements.v1", hours: i64::MAX / HOUR_US, hours_max: 168 }.reason();
        assert!(reason.starts_with("LOA-023: ") && reason.chars().count() <= 200, "{reason}");
    }

    #[test]
    fn only_running_bulk_campaigns_are_stopped() {
        #[track_caller]
        fn check(state: CampaignState, lane: Lane, notice: bool, expected: bool) {
            let (state, lane) = (u32::from(state.code()), i32::from(lane.code()));
            let control = event::CampaignControl { state, lane, notice, ..Default::default() };
            assert_eq!(is_stoppable(&control), expected);
        }
        check(CampaignState::Running, Lane::Bulk, false, true);
        check(CampaignState::Running, Lane::Bulk, true, false);
        check(CampaignState::Running, Lane::Normal, false, false);
        check(CampaignState::Running, Lane::Urgent, false, false);
        check(CampaignState::Paused, Lane::Bulk, false, false);
        check(CampaignState::Halted, Lane::Bulk, false, false);
    }
}
