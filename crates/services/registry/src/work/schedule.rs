//! Starts campaigns whose time has come.

use loa_contract::convert::micros;
use loa_domain::campaign::{CampaignEvent, CampaignState};
use loa_ports::lease::{Fence, Held};
use loa_ports::store::registry::StoredCampaign;
use loa_runtime::outbox::Acknowledge;

use super::{LOOK_EVERY, SCHEDULE, Work, note, stands_still};
use crate::change::{Change, NotChanged};

/// Campaigns started in one look, at most.
const BATCH: u32 = 16;
/// Who is named in the audit.
const USER: &str = "schedule";

pub(super) async fn run(work: &Work) {
    loop {
        work.ctx.beat(LOOK_EVERY).await;
        let Some(held) = work.held(SCHEDULE) else { continue };
        if let Err(error) = work.core.end_what_ran_out().await {
            tracing::debug!(?error, "a hold that ran out could not be ended; it is tried again");
        }
        let now_us = work.core.now_us();
        match work.core.store.campaigns_in(CampaignState::Scheduled, Some(now_us), BATCH).await {
            Ok(due) if !due.is_empty() && stands_still(work).await => {}
            Ok(due) => {
                for stored in due {
                    begin(work, &held, &stored, now_us).await;
                }
            }
            Err(error) => tracing::warn!(%error, "could not look for campaigns that are due"),
        }
    }
}

async fn begin(work: &Work, held: &Held, due: &StoredCampaign, now_us: i64) {
    let campaign = &due.campaign;
    let Ok(id) = campaign.id.parse() else { return };
    let over = campaign.ends_at.as_ref().is_none_or(|ends| micros(ends) <= now_us);
    let fence = Fence::of(held.clone());
    let result = if over {
        let change = Change {
            user: USER,
            event: CampaignEvent::Cancel,
            note: "its end had passed before it could be started".to_owned(),
            fence,
            acknowledge: Acknowledge::May,
        };
        // Whoever gave it another time meanwhile is not overruled.
        let still_due = |stored: &mut StoredCampaign| {
            if stored.campaign == *campaign { Ok(()) } else { Err(tonic::Status::aborted("it was changed meanwhile")) }
        };
        work.core.change(id, change, still_due).await
    } else {
        work.core.start(id, USER, fence).await
    };
    match result {
        Ok(campaign) => tracing::info!(campaign = campaign.id, state = campaign.state, "its time had come"),
        Err(NotChanged::Refused(status)) if status.code() == tonic::Code::FailedPrecondition => {}
        Err(error) => note(work, "a scheduled start", &campaign.id, held, error),
    }
}
