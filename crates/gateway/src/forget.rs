//! Claims are forgotten when nobody can ask for them any more.
//!
//! A claim is what keeps a record that comes again from being handed over again, so it is kept well beyond everything that
//! could bring one: until the campaign is final (72 h after it is over, for receipts) and 72 h more.
//!
//! Must stay true: claims of a campaign that is not over are never forgotten; by when is decided from stored times.

use std::sync::Arc;
use std::time::Duration;

use loa_domain::ids::CampaignId;
use loa_domain::limits::RECEIPT_HOURS_MAX;
use loa_ports::store::StoreError;
use loa_ports::store::claims::ClaimedFreeze;

use crate::engine::{Engine, Medium};
use crate::look::Stops;

/// How often it is looked for claims to forget.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Claims of one transaction, so that none holds up the others for long.
const BITE: u32 = 2_000;
const HOUR_US: i64 = 3_600 * 1_000_000;
/// After a campaign is over: its receipts, and as long again.
const KEEP_US: i64 = 2 * RECEIPT_HOURS_MAX * HOUR_US;
/// A notice is never over; its single sends are, a day after they were accepted at the latest.
const KEEP_SINGLE_US: i64 = (24 + RECEIPT_HOURS_MAX) * HOUR_US;

/// What to do with the claims of a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Keep,
    NoteOver,
    Forget,
}

/// What is known of a freeze's campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It may still send.
    Open,
    Over,
    Notice,
}

fn standing(stops: &dyn Stops, campaign: CampaignId) -> Standing {
    match stops.state(campaign) {
        _ if stops.is_notice(campaign) => Standing::Notice,
        Some(state) if state.is_over() => Standing::Over,
        _ => Standing::Open,
    }
}

fn due(freeze: &ClaimedFreeze, standing: Standing, now_us: i64) -> Due {
    let passed = |since: i64, keep: i64| now_us.saturating_sub(since) >= keep;
    match standing {
        Standing::Open => Due::Keep,
        Standing::Notice if passed(freeze.first_claim_at_us, KEEP_SINGLE_US) => Due::Forget,
        Standing::Notice => Due::Keep,
        Standing::Over if freeze.over_at_us == 0 => Due::NoteOver,
        Standing::Over if passed(freeze.over_at_us, KEEP_US) => Due::Forget,
        Standing::Over => Due::Keep,
    }
}

impl<M: Medium> Engine<M> {
    pub(crate) async fn forget_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.over() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.forget_what_is_over().await {
                tracing::warn!(%error, "old claims could not be forgotten yet");
            }
        }
    }

    /// Notes what is over and forgets what has been over for long.
    pub(crate) async fn forget_what_is_over(&self) -> Result<(), StoreError> {
        let now_us = self.ctx.now_us();
        for freeze in self.claims.freezes().await? {
            match due(&freeze, standing(&*self.stops, freeze.campaign), now_us) {
                Due::Keep => {}
                Due::NoteOver => self.claims.note_over(freeze.freeze, now_us).await?,
                Due::Forget => while self.claims.forget(freeze.freeze, BITE).await? == u64::from(BITE) {},
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::FreezeId;
    use uuid::Uuid;

    #[test]
    fn what_may_be_asked_for_is_kept() {
        const NOW: i64 = 1_800_000_000_000_000;
        #[track_caller]
        fn check(standing: Standing, claimed_h: i64, over_h: Option<i64>, expected: Due) {
            let freeze = ClaimedFreeze {
                freeze: FreezeId(Uuid::nil()),
                campaign: CampaignId(Uuid::nil()),
                first_claim_at_us: NOW - claimed_h * HOUR_US,
                over_at_us: over_h.map_or(0, |hours| NOW - hours * HOUR_US),
            };
            assert_eq!(due(&freeze, standing, NOW), expected);
        }
        check(Standing::Open, 10_000, None, Due::Keep);
        check(Standing::Open, 10_000, Some(9_000), Due::Keep); // it goes on after all
        check(Standing::Over, 10_000, None, Due::NoteOver);
        check(Standing::Over, 10_000, Some(143), Due::Keep);
        check(Standing::Over, 10_000, Some(144), Due::Forget);
        check(Standing::Notice, 95, None, Due::Keep);
        check(Standing::Notice, 96, None, Due::Forget);
    }
}
