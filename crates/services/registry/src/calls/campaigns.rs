//! Campaigns as they are written and read.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{
    AuditEntry, Campaign, CreateCampaignRequest, CreateCampaignResponse, GetCampaignRequest, GetCampaignResponse,
    ListAuditRequest, ListAuditResponse, ListCampaignsRequest, ListCampaignsResponse, UpdateCampaignRequest,
    UpdateCampaignResponse, Variant,
};
use loa_domain::campaign::{CampaignEvent, CampaignState};
use loa_ports::lease::Fence;
use loa_ports::store::registry::{Act, Page, StoredCampaign, Told};
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{Caller, Violations, aborted, idempotency_key, store_status};
use tonic::Status;

use super::create::Made;
use super::{next_token, page};
use crate::change::Change;
use crate::core::Core;
use crate::rules::campaign::{self, Facts};
use crate::{control, error};

impl Core {
    pub(super) async fn create_campaign(
        &self,
        caller: &Caller,
        request: CreateCampaignRequest,
    ) -> Result<CreateCampaignResponse, Status> {
        let written = written(request.campaign.unwrap_or_default());
        let key = self.key(caller, &request.idempotency_key, "CreateCampaign", &written);
        if let Some(id) = self.created_before(&key).await? {
            let before = self.stored(error::id("id", &id)?).await?;
            return Ok(CreateCampaignResponse { campaign: Some(before.campaign) });
        }
        let facts = self.facts_of(&written).await?;
        let mut faults = Violations::new();
        campaign::check(&written, &facts, &mut faults);
        idempotency_key(&request.idempotency_key, &mut faults);
        faults.into_result()?;
        let stored = self.draft(caller, written, &facts);
        let told = self.creation(caller, &stored.campaign);
        match self.create(&stored.campaign.id, || self.store.create_campaign(&stored, &key, &told)).await? {
            Made::New(numbers) => {
                self.publisher.publish(&[told.record], &numbers, Acknowledge::May).await?;
                Ok(CreateCampaignResponse { campaign: Some(stored.campaign) })
            }
            Made::Before(id) => {
                let before = self.stored(error::id("id", &id)?).await?;
                Ok(CreateCampaignResponse { campaign: Some(before.campaign) })
            }
        }
    }

    fn draft(&self, caller: &Caller, written: Campaign, facts: &Facts) -> StoredCampaign {
        let now = Some(timestamp(self.now_us()));
        let mut campaign = Campaign {
            id: self.new_id().to_string(),
            version: 1,
            state: CampaignState::Draft.name().to_owned(),
            created_by: caller.user.clone(),
            created_at: now,
            updated_at: now,
            ..written
        };
        name_contents(&mut campaign.variants, facts);
        StoredCampaign { campaign, authors: vec![caller.user.clone()] }
    }

    fn creation(&self, caller: &Caller, campaign: &Campaign) -> Told {
        let now_us = self.now_us();
        let act = Act {
            at_us: now_us,
            user: caller.user.clone(),
            object_kind: "campaign",
            object_id: campaign.id.clone(),
            action: "create".to_owned(),
            detail: CampaignState::Draft.name().to_owned(),
        };
        Told { act, record: control::record(&control::of_campaign(campaign, now_us)) }
    }

    pub(super) async fn update_campaign(
        &self,
        caller: &Caller,
        request: UpdateCampaignRequest,
    ) -> Result<UpdateCampaignResponse, Status> {
        let given = request.campaign.unwrap_or_default();
        let (id, version) = (given.id.parse(), given.version);
        let written = written(given);
        let facts = self.facts_of(&written).await?;
        let mut faults = Violations::new();
        let id = faults.check("campaign.id", id);
        campaign::check(&written, &facts, &mut faults);
        faults.into_result()?;
        let id = id.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
        let edit = |stored: &mut StoredCampaign| {
            if stored.campaign.version != version {
                let is = stored.campaign.version;
                return Err(aborted(format!("the campaign has version {is} by now, not {version}; read it again")));
            }
            let mut next = written.clone();
            name_contents(&mut next.variants, &facts);
            keep_identity(&mut next, &stored.campaign);
            stored.campaign = next;
            add_author(stored, &caller.user);
            Ok(())
        };
        let change = Change {
            user: &caller.user,
            event: CampaignEvent::Edit,
            note: String::new(),
            fence: Fence::default(),
            acknowledge: Acknowledge::May,
        };
        Ok(UpdateCampaignResponse { campaign: Some(self.change(id, change, edit).await?) })
    }

    pub(super) async fn get_campaign(
        &self,
        _caller: &Caller,
        request: GetCampaignRequest,
    ) -> Result<GetCampaignResponse, Status> {
        let stored = self.stored(error::id("id", &request.id)?).await?;
        Ok(GetCampaignResponse { campaign: Some(stored.campaign) })
    }

    pub(super) async fn list_campaigns(
        &self,
        _caller: &Caller,
        request: ListCampaignsRequest,
    ) -> Result<ListCampaignsResponse, Status> {
        let mut faults = Violations::new();
        let page = page(request.page_size, &request.page_token, &mut faults);
        faults.into_result()?;
        let page = self.store.campaigns(page).await.map_err(|error| store_status(&error))?;
        let next_page_token = next_token(&page);
        let campaigns = page.rows.into_iter().map(|stored| stored.campaign).collect();
        Ok(ListCampaignsResponse { campaigns, next_page_token })
    }

    pub(super) async fn list_audit(
        &self,
        _caller: &Caller,
        request: ListAuditRequest,
    ) -> Result<ListAuditResponse, Status> {
        let mut faults = Violations::new();
        if !(1..=64).contains(&request.object_id.len()) {
            faults.add("object_id", "a campaign's or notice's id, a template's name, or a unit's code");
        }
        let page = page(request.page_size, &request.page_token, &mut faults);
        faults.into_result()?;
        let page: Page<AuditEntry> =
            self.store.audit(&request.object_id, page).await.map_err(|error| store_status(&error))?;
        Ok(ListAuditResponse { next_page_token: next_token(&page), entries: page.rows })
    }

    /// What a campaign's check must know of units and templates.
    pub(super) async fn facts_of(&self, campaign: &Campaign) -> Result<Facts, Status> {
        let units = campaign.lead_units.iter().chain(&campaign.coordinating_units);
        let templates = campaign.variants.iter().map(|variant| (&variant.template, variant.template_version));
        self.facts(units, templates).await
    }
}

/// What an author writes; the rest is the registry's.
pub(super) fn written(campaign: Campaign) -> Campaign {
    let variant = |variant: Variant| Variant { channel: 0, content_hash: Vec::new(), ..variant };
    Campaign {
        title: campaign.title,
        task_ref: campaign.task_ref,
        lead_units: campaign.lead_units,
        coordinating_units: campaign.coordinating_units,
        legal_basis: campaign.legal_basis,
        class: campaign.class,
        lane: campaign.lane,
        topic: campaign.topic,
        starts_at: campaign.starts_at,
        ends_at: campaign.ends_at,
        hours: campaign.hours,
        variants: campaign.variants.into_iter().map(variant).collect(),
        dataset: campaign.dataset,
        segment: campaign.segment,
        resend_in_doubt: campaign.resend_in_doubt,
        ..Campaign::default()
    }
}

/// An edit voids freeze, approval and schedule; these stay.
fn keep_identity(next: &mut Campaign, stored: &Campaign) {
    next.id.clone_from(&stored.id);
    next.version = stored.version;
    next.state.clone_from(&stored.state);
    next.created_by.clone_from(&stored.created_by);
    next.created_at = stored.created_at;
    next.updated_at = stored.updated_at;
}

/// Channel and content of each variant, from the template version that it names (0 = the newest of now).
pub(super) fn name_contents(variants: &mut [Variant], facts: &Facts) {
    for variant in variants {
        if let Some(template) = facts.templates.get(&(variant.template.clone(), variant.template_version)) {
            variant.channel = template.content.as_ref().map_or(0, |content| content.channel);
            variant.content_hash.clone_from(&template.content_hash);
        }
    }
}

/// Whoever has a hand in the content may not approve it.
pub(super) fn add_author(stored: &mut StoredCampaign, user: &str) {
    if !stored.authors.iter().any(|author| author == user) {
        stored.authors.push(user.to_owned());
    }
}
