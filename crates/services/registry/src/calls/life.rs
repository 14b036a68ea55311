//! The life of a campaign: submit, approve, schedule, start, stop.
//!
//! Must stay true: an approval names what was looked at and is somebody else's than the authors'; the replies to start,
//! pause, resume, cancel and halt say OK only after the log has it (T0).

use loa_contract::convert::{micros, timestamp};
use loa_contract::pb::registry::v1::*;
use loa_domain::campaign::{CampaignEvent, CampaignState};
use loa_ports::lease::Fence;
use loa_ports::store::registry::StoredCampaign;
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{Caller, Violations, failed_precondition};
use tonic::Status;

use super::campaigns::{add_author, name_contents, written};
use crate::change::{Change, NotChanged};
use crate::core::Core;
use crate::error;
use crate::rules::{campaign, field};

/// Characters of a reason, at most.
pub(super) const REASON_CHARS_MAX: usize = 200;
/// Bytes of a manifest's hash.
const HASH_BYTES: usize = 32;

impl Core {
    pub(super) async fn submit_campaign(
        &self,
        caller: &Caller,
        request: SubmitCampaignRequest,
    ) -> Result<SubmitCampaignResponse, Status> {
        let id = error::id("id", &request.id)?;
        let seen = self.stored(id).await?.campaign;
        let facts = self.facts_of(&seen).await?;
        let mut faults = Violations::new();
        campaign::check(&written(seen.clone()), &facts, &mut faults);
        let faults = faults.into_result().map_err(|status| status.message().to_owned());
        let edit = |stored: &mut StoredCampaign| {
            let campaign = &mut stored.campaign;
            if campaign.state == CampaignState::Freezing.name() {
                return Ok(());
            }
            if campaign.version != seen.version {
                return Err(loa_runtime::rpc::aborted("the campaign was changed meanwhile; read it and submit again"));
            }
            faults.clone().map_err(|list| failed_precondition("CAMPAIGN_INVALID", list))?;
            name_contents(&mut campaign.variants, &facts);
            for variant in &mut campaign.variants {
                let named = (variant.template.clone(), variant.template_version);
                variant.template_version = facts.templates.get(&named).map_or(0, |template| template.version);
            }
            campaign.freeze_error.clear();
            add_author(stored, &caller.user);
            Ok(())
        };
        let campaign = self.change(id, by(caller, CampaignEvent::Submit, Acknowledge::May), edit).await?;
        self.bell.notify_one();
        Ok(SubmitCampaignResponse { campaign: Some(campaign) })
    }

    pub(super) async fn approve_campaign(
        &self,
        caller: &Caller,
        request: ApproveCampaignRequest,
    ) -> Result<ApproveCampaignResponse, Status> {
        let mut faults = Violations::new();
        let id = faults.check("id", request.id.parse());
        if request.manifest_hash.len() != HASH_BYTES {
            faults.add("manifest_hash", "the 32 bytes of GetCampaign's manifest_hash: what is approved");
        }
        faults.into_result()?;
        let id = id.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
        let now = timestamp(self.now_us());
        let edit = |stored: &mut StoredCampaign| {
            if stored.authors.contains(&caller.user) {
                return Err(error::four_eyes(&caller.user, "campaign"));
            }
            let campaign = &mut stored.campaign;
            if campaign.manifest_hash != request.manifest_hash {
                let message =
                    "the recipients were frozen again since you looked; GetCampaign shows the new manifest_hash";
                return Err(failed_precondition("MANIFEST_CHANGED", message));
            }
            if campaign.approved_by.is_empty() {
                campaign.approved_by.clone_from(&caller.user);
                campaign.approved_at = Some(now);
            }
            Ok(())
        };
        let campaign = self.change(id, by(caller, CampaignEvent::Approve, Acknowledge::May), edit).await?;
        Ok(ApproveCampaignResponse { campaign: Some(campaign) })
    }

    pub(super) async fn reject_campaign(
        &self,
        caller: &Caller,
        request: RejectCampaignRequest,
    ) -> Result<RejectCampaignResponse, Status> {
        let (id, reason) = id_and_reason(&request.id, &request.reason)?;
        let change = Change { note: reason, ..by(caller, CampaignEvent::Reject, Acknowledge::May) };
        let edit = |stored: &mut StoredCampaign| {
            void(&mut stored.campaign);
            Ok(())
        };
        Ok(RejectCampaignResponse { campaign: Some(self.change(id, change, edit).await?) })
    }

    pub(super) async fn schedule_campaign(
        &self,
        caller: &Caller,
        request: ScheduleCampaignRequest,
    ) -> Result<ScheduleCampaignResponse, Status> {
        let mut faults = Violations::new();
        let id = faults.check("id", request.id.parse());
        let at_us = field::time("at", request.at.as_ref(), &mut faults);
        faults.into_result()?;
        let id = id.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
        let at_us = at_us.unwrap_or_default();
        let edit = |stored: &mut StoredCampaign| {
            if stored.campaign.started_at.is_some() {
                let message = "it has been started, so it cannot be scheduled; resume or cancel it";
                return Err(failed_precondition("WRONG_STATE", message));
            }
            in_window(&stored.campaign, at_us)?;
            stored.campaign.halt_reason.clear();
            stored.campaign.scheduled_at = Some(timestamp(at_us));
            Ok(())
        };
        let campaign = self.change(id, by(caller, CampaignEvent::Schedule, Acknowledge::May), edit).await?;
        self.bell.notify_one();
        Ok(ScheduleCampaignResponse { campaign: Some(campaign) })
    }

    pub(super) async fn start_campaign(
        &self,
        caller: &Caller,
        request: StartCampaignRequest,
    ) -> Result<StartCampaignResponse, Status> {
        let id = error::id("id", &request.id)?;
        let campaign = self.start(id, &caller.user, Fence::default()).await?;
        Ok(StartCampaignResponse { campaign: Some(campaign) })
    }

    /// Starts a campaign now: a person's call, or its schedule.
    pub(crate) async fn start(
        &self,
        id: loa_domain::ids::CampaignId,
        user: &str,
        fence: Fence,
    ) -> Result<Campaign, NotChanged> {
        let change =
            Change { user, event: CampaignEvent::Start, note: String::new(), fence, acknowledge: Acknowledge::Must };
        let now_us = self.now_us();
        let edit = |stored: &mut StoredCampaign| {
            if stored.campaign.state != CampaignState::Running.name() {
                in_window(&stored.campaign, now_us)?;
                stored.campaign.started_at = Some(timestamp(now_us));
            }
            Ok(())
        };
        self.change(id, change, edit).await
    }

    pub(super) async fn pause_campaign(
        &self,
        caller: &Caller,
        request: PauseCampaignRequest,
    ) -> Result<PauseCampaignResponse, Status> {
        let campaign = self.stop_or_go(caller, &request.id, CampaignEvent::Pause).await?;
        Ok(PauseCampaignResponse { campaign: Some(campaign) })
    }

    pub(super) async fn resume_campaign(
        &self,
        caller: &Caller,
        request: ResumeCampaignRequest,
    ) -> Result<ResumeCampaignResponse, Status> {
        let campaign = self.stop_or_go(caller, &request.id, CampaignEvent::Resume).await?;
        Ok(ResumeCampaignResponse { campaign: Some(campaign) })
    }

    pub(super) async fn cancel_campaign(
        &self,
        caller: &Caller,
        request: CancelCampaignRequest,
    ) -> Result<CancelCampaignResponse, Status> {
        let campaign = self.stop_or_go(caller, &request.id, CampaignEvent::Cancel).await?;
        Ok(CancelCampaignResponse { campaign: Some(campaign) })
    }

    async fn stop_or_go(&self, caller: &Caller, id: &str, event: CampaignEvent) -> Result<Campaign, Status> {
        let (id, now_us) = (error::id("id", id)?, self.now_us());
        let edit = |stored: &mut StoredCampaign| {
            if event == CampaignEvent::Resume {
                stored.campaign.halt_reason.clear();
                // Halted before it was ever started: this is its start.
                if stored.campaign.started_at.is_none() {
                    in_window(&stored.campaign, now_us)?;
                    stored.campaign.started_at = Some(timestamp(now_us));
                }
            }
            Ok(())
        };
        Ok(self.change(id, by(caller, event, Acknowledge::Must), edit).await?)
    }

    pub(super) async fn halt_campaign(
        &self,
        caller: &Caller,
        request: HaltCampaignRequest,
    ) -> Result<HaltCampaignResponse, Status> {
        let (id, reason) = id_and_reason(&request.id, &request.reason)?;
        let change = Change { note: reason.clone(), ..by(caller, CampaignEvent::Halt, Acknowledge::Must) };
        let edit = |stored: &mut StoredCampaign| {
            if stored.campaign.state == CampaignState::Running.name() {
                stored.campaign.halt_reason.clone_from(&reason);
            }
            Ok(())
        };
        Ok(HaltCampaignResponse { campaign: Some(self.change(id, change, edit).await?) })
    }

    pub(super) async fn complete_campaign(
        &self,
        caller: &Caller,
        request: CompleteCampaignRequest,
    ) -> Result<CompleteCampaignResponse, Status> {
        let id = error::id("id", &request.id)?;
        let change = by(caller, CampaignEvent::Complete, Acknowledge::May);
        Ok(CompleteCampaignResponse { campaign: Some(self.change(id, change, |_| Ok(())).await?) })
    }
}

fn by(caller: &Caller, event: CampaignEvent, acknowledge: Acknowledge) -> Change<'_> {
    Change { user: &caller.user, event, note: String::new(), fence: Fence::default(), acknowledge }
}

fn id_and_reason(id: &str, reason: &str) -> Result<(loa_domain::ids::CampaignId, String), Status> {
    let mut faults = Violations::new();
    let id = faults.check("id", id.parse());
    field::line("reason", reason, 1..=REASON_CHARS_MAX, &mut faults);
    faults.into_result()?;
    let id = id.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
    Ok((id, reason.to_owned()))
}

/// Takes back what rested on the freeze: the author begins again.
pub(crate) fn void(campaign: &mut Campaign) {
    campaign.freeze_id.clear();
    campaign.manifest_hash.clear();
    campaign.freeze = None;
    campaign.approved_by.clear();
    campaign.approved_at = None;
    campaign.scheduled_at = None;
}

/// Messages leave between the campaign's start and its end.
fn in_window(campaign: &Campaign, at_us: i64) -> Result<(), Status> {
    let starts = campaign.starts_at.as_ref().map_or(0, micros);
    let ends = campaign.ends_at.as_ref().map_or(0, micros);
    if at_us < starts {
        return Err(failed_precondition("TOO_EARLY", "that is before the campaign's starts_at; schedule it for then"));
    }
    if at_us >= ends {
        return Err(failed_precondition(
            "TOO_LATE",
            "that is not before the campaign's ends_at; edit it and submit again",
        ));
    }
    Ok(())
}
