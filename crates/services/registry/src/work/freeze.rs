//! Asks audience to freeze submitted campaigns, again and again until each has its manifest.
//!
//! Must stay true: asking is harmless, so who goes on after a crash simply asks again; an answer is taken only for the
//! version that was asked for.

use std::time::Duration;

use futures_util::future::join_all;
use loa_contract::pb::audience::v1::audience_service_client::AudienceServiceClient;
use loa_contract::pb::audience::v1::{FreezeRequest, FreezeResponse, Manifest};
use loa_contract::pb::registry::v1::{Campaign, Template};
use loa_domain::campaign::{CampaignEvent, CampaignState};
use loa_ports::lease::{Fence, Held};
use loa_ports::store::registry::StoredCampaign;
use loa_runtime::Role;
use loa_runtime::outbox::Acknowledge;
use tonic::{Code, Request, Status};

use super::{FREEZE, LOOK_EVERY, Work, manifest, note, stands_still};
use crate::calls::void;
use crate::change::{Change, NotChanged};

/// Campaigns frozen at the same time, at most.
const BATCH: u32 = 8;
/// Between two questions about the same freeze.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long audience may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Characters of an error that is kept.
const ERROR_CHARS_MAX: usize = 500;
/// Who is named in the audit.
const USER: &str = "freeze";

pub(super) async fn run(work: &Work) {
    let mut wait = LOOK_EVERY;
    loop {
        tokio::select! {
            () = work.core.bell.notified() => {}
            () = work.ctx.beat(wait) => {}
        }
        wait = LOOK_EVERY;
        let Some(held) = work.held(FREEZE) else { continue };
        match work.core.store.campaigns_in(CampaignState::Freezing, None, BATCH).await {
            Ok(freezing) if freezing.is_empty() => {}
            Ok(_) if stands_still(work).await => {}
            Ok(freezing) => {
                wait = ASK_EVERY;
                join_all(freezing.iter().map(|stored| freeze(work, &held, &stored.campaign))).await;
            }
            Err(error) => tracing::warn!(%error, "could not look for campaigns to freeze"),
        }
    }
}

async fn freeze(work: &Work, held: &Held, campaign: &Campaign) {
    let answer = match ask(work, campaign).await {
        Ok(answer) => answer,
        Err(Some(error)) => FreezeResponse { error, ..FreezeResponse::default() },
        Err(None) => return,
    };
    let fault = match &answer.manifest {
        _ if !answer.error.is_empty() => Some(answer.error.clone()),
        Some(manifest) => manifest::fault(campaign, manifest),
        None => return, // still at it
    };
    let result = match (fault, answer.manifest) {
        (None, Some(manifest)) => frozen(work, held, campaign, &manifest).await,
        (fault, _) => failed(work, held, campaign, &fault.unwrap_or_default()).await,
    };
    match result {
        Ok(campaign) => tracing::info!(campaign = campaign.id, state = campaign.state, "the freeze is over"),
        Err(error) => note(work, "the result of a freeze", &campaign.id, held, error),
    }
}

/// One question. `Err(Some)`: it cannot be done; `Err(None)`: ask again later.
async fn ask(work: &Work, campaign: &Campaign) -> Result<FreezeResponse, Option<String>> {
    let mut templates = Vec::new();
    for variant in &campaign.variants {
        let found = work.core.store.template(&variant.template, variant.template_version).await.map_err(|error| {
            tracing::warn!(%error, "could not read a template");
            None
        })?;
        let same = found.filter(|template: &Template| template.content_hash == variant.content_hash);
        templates.push(same.ok_or_else(|| Some(format!("template `{}` is not what it was", variant.template)))?);
    }
    let request = manifest::request(campaign, &templates);
    call(work, request).await.map_err(|status| match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::OutOfRange => {
            Some(status.message().to_owned())
        }
        code => {
            tracing::warn!(campaign = campaign.id, ?code, "audience could not be asked to freeze; asking again");
            None
        }
    })
}

async fn call(work: &Work, request: FreezeRequest) -> Result<FreezeResponse, Status> {
    let mut request = Request::new(request);
    request.set_timeout(ANSWER_WITHIN);
    let mut audience = AudienceServiceClient::new(work.ctx.peers().channel(Role::Audience));
    Ok(audience.freeze(request).await?.into_inner())
}

async fn frozen(work: &Work, held: &Held, asked: &Campaign, manifest: &Manifest) -> Result<Campaign, NotChanged> {
    let edit = |stored: &mut StoredCampaign| {
        let campaign = &mut stored.campaign;
        same_version(campaign, asked)?;
        campaign.freeze_id.clone_from(&manifest.freeze_id);
        campaign.manifest_hash.clone_from(&manifest.hash);
        campaign.freeze = Some(manifest::summary(manifest));
        campaign.synthetic = manifest.synthetic;
        campaign.freeze_error.clear();
        Ok(())
    };
    work.core.change(id(asked)?, change(held, CampaignEvent::Frozen, String::new()), edit).await
}

async fn failed(work: &Work, held: &Held, asked: &Campaign, fault: &str) -> Result<Campaign, NotChanged> {
    let fault: String = fault.chars().take(ERROR_CHARS_MAX).collect();
    let edit = |stored: &mut StoredCampaign| {
        let campaign = &mut stored.campaign;
        same_version(campaign, asked)?;
        void(campaign);
        campaign.freeze_error.clone_from(&fault);
        Ok(())
    };
    work.core.change(id(asked)?, change(held, CampaignEvent::FreezeFailed, fault.clone()), edit).await
}

fn change(held: &Held, event: CampaignEvent, note: String) -> Change<'static> {
    Change { user: USER, event, note, fence: Fence::of(held.clone()), acknowledge: Acknowledge::May }
}

fn same_version(campaign: &Campaign, asked: &Campaign) -> Result<(), Status> {
    if campaign.version == asked.version { Ok(()) } else { Err(Status::aborted("it was changed meanwhile")) }
}

fn id(campaign: &Campaign) -> Result<loa_domain::ids::CampaignId, NotChanged> {
    Ok(crate::error::id("id", &campaign.id)?)
}
