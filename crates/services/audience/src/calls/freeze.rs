//! Freeze: asked again and again until there is a manifest.
//!
//! Must stay true: one campaign version has one freeze, whoever asks and however often; a failure is told once, and asking
//! again after it begins anew.

use std::time::Duration;

use loa_contract::pb::audience::v1::{FreezeRequest, FreezeResponse};
use loa_domain::channel::{Channel, Class};
use loa_domain::ids::{CampaignId, FreezeId};
use loa_ports::store::audience::{FreezeKey, FreezeRow, JobState};
use loa_runtime::rpc::{Violations, aborted, store_status};
use tonic::Status;
use uuid::Uuid;

use super::field;
use crate::core::{Core, rule};

/// How long an answer waits for the end of a freeze before it tells how far it is.
const ANSWER_AFTER: Duration = Duration::from_secs(1);
/// How often a freeze that another instance works on is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Variants of a campaign, at most.
const VARIANTS_MAX: usize = 16;
/// Characters of a unit's code or a topic, at most.
const SCOPE_CHARS_MAX: usize = 64;

pub(super) async fn freeze(core: &Core, request: FreezeRequest) -> Result<FreezeResponse, Status> {
    let key = checked(&request)?;
    let Some(row) = found_or_added(core, &request, key).await? else {
        let error = format!("there is no dataset `{}`; import it and submit again", request.dataset);
        return Ok(FreezeResponse { error, ..FreezeResponse::default() });
    };
    if row.request != request {
        return Err(aborted("this campaign version is frozen with other contents; a change makes a new version"));
    }
    let row = ended(core, key, row).await?;
    if row.state == JobState::Failed {
        core.store.forget_failed(key).await.map_err(|error| store_status(&error))?;
    }
    Ok(FreezeResponse { freeze_id: row.freeze.to_string(), manifest: row.manifest, done: row.done, error: row.error })
}

fn checked(request: &FreezeRequest) -> Result<FreezeKey, Status> {
    let mut faults = Violations::new();
    let campaign = field::id("campaign_id", &request.campaign_id, &mut faults);
    if request.campaign_version == 0 {
        faults.add("campaign_version", "it is missing; versions count from 1");
    }
    field::dataset("dataset", &request.dataset, &mut faults);
    faults.check("segment", rule(&request.segment));
    if Class::from_code(request.class).is_none() {
        faults.add("class", "it is missing or unknown; use the class of the campaign");
    }
    field::text("unit_code", &request.unit_code, SCOPE_CHARS_MAX, &mut faults);
    field::text("topic", &request.topic, SCOPE_CHARS_MAX, &mut faults);
    if request.variants.is_empty() || request.variants.len() > VARIANTS_MAX {
        faults.add("variants", format!("1 to {VARIANTS_MAX}; a campaign has a text for at least one channel"));
    }
    for (at, variant) in request.variants.iter().enumerate() {
        if Channel::from_code(variant.channel).is_none() {
            faults.add(format!("variants[{at}].channel"), "it is missing or unknown; use sms or email");
        }
    }
    faults.into_result()?;
    let campaign = campaign.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
    Ok(FreezeKey { campaign: CampaignId(campaign), campaign_version: request.campaign_version })
}

/// The freeze's row; `None` if its dataset does not exist.
async fn found_or_added(core: &Core, request: &FreezeRequest, key: FreezeKey) -> Result<Option<FreezeRow>, Status> {
    if let Some(row) = found(core, key).await? {
        return Ok(Some(row));
    }
    if core.store.newest(&request.dataset).await.map_err(|error| store_status(&error))?.is_none() {
        return Ok(None);
    }
    let id = FreezeId(Uuid::now_v7());
    let added = core.store.add_freeze(request, key, id, core.now_us()).await;
    added.map_err(|error| store_status(&error))?;
    core.ring();
    let row = found(core, key).await?;
    row.map(Some).ok_or_else(|| Status::unavailable("the freeze is gone; ask again"))
}

async fn found(core: &Core, key: FreezeKey) -> Result<Option<FreezeRow>, Status> {
    core.store.freeze(key).await.map_err(|error| store_status(&error))
}

/// The row once the freeze has ended, or as it is after a while.
async fn ended(core: &Core, key: FreezeKey, row: FreezeRow) -> Result<FreezeRow, Status> {
    let mut bell = core.bell();
    let mut newest = row;
    let wait = async {
        while matches!(newest.state, JobState::Waiting | JobState::Running) {
            tokio::select! {
                _rung = bell.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = core.ctx.stopping() => break,
            }
            match found(core, key).await? {
                Some(row) => newest = row,
                None => break,
            }
        }
        Ok(())
    };
    match tokio::time::timeout(ANSWER_AFTER, wait).await {
        Ok(Err(status)) => Err(status),
        // Still at it after a while: how far it is, is answer enough.
        Ok(Ok(())) | Err(_) => Ok(newest),
    }
}
