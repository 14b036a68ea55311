//! Notices: a template version, class, sender and daily ceiling that somebody else has approved for single sends.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{
    ApproveNoticeRequest, ApproveNoticeResponse, CreateNoticeRequest, CreateNoticeResponse, ListNoticesRequest,
    ListNoticesResponse, Notice, SetNoticeStateRequest, SetNoticeStateResponse, Template,
};
use loa_ports::store::registry::{Act, StoredNotice, Told};
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{Caller, Violations, failed_precondition, idempotency_key, store_status};
use tonic::Status;

use super::create::Made;
use super::{next_token, page};
use crate::core::Core;
use crate::rules::notice;
use crate::{control, error};

const PROPOSED: &str = "proposed";
const APPROVED: &str = "approved";
const STOPPED: &str = "stopped";

impl Core {
    pub(super) async fn create_notice(
        &self,
        caller: &Caller,
        request: CreateNoticeRequest,
    ) -> Result<CreateNoticeResponse, Status> {
        let written = written(request.notice.unwrap_or_default());
        let key = self.key(caller, &request.idempotency_key, "CreateNotice", &written);
        if let Some(id) = self.created_before(&key).await? {
            return self.created_notice(&id).await;
        }
        let named = std::iter::once((&written.template, written.template_version));
        let facts = self.facts(std::iter::once(&written.unit_code), named).await?;
        let mut faults = Violations::new();
        notice::check(&written, &facts, &mut faults);
        idempotency_key(&request.idempotency_key, &mut faults);
        faults.into_result()?;
        let template = facts.templates.into_values().next().unwrap_or_default();
        let stored = StoredNotice { notice: self.proposed(caller, written, template), version: 1 };
        let told = self.proposal(caller, &stored);
        match self.create(&stored.notice.id, || self.store.create_notice(&stored.notice, &key, &told)).await? {
            Made::New(numbers) => {
                self.publisher.publish(&[told.record], &numbers, Acknowledge::May).await?;
                Ok(CreateNoticeResponse { notice: Some(stored.notice) })
            }
            Made::Before(id) => self.created_notice(&id).await,
        }
    }

    async fn created_notice(&self, id: &str) -> Result<CreateNoticeResponse, Status> {
        let before = self.store.notice(error::id("id", id)?).await.map_err(|error| store_status(&error))?;
        Ok(CreateNoticeResponse { notice: before.map(|stored| stored.notice) })
    }

    fn proposed(&self, caller: &Caller, written: Notice, template: Template) -> Notice {
        Notice {
            id: self.new_id().to_string(),
            template_version: template.version,
            content_hash: template.content_hash,
            channel: template.content.map_or(0, |content| content.channel),
            slots: template.slots,
            state: PROPOSED.to_owned(),
            created_by: caller.user.clone(),
            created_at: Some(timestamp(self.now_us())),
            ..written
        }
    }

    fn proposal(&self, caller: &Caller, stored: &StoredNotice) -> Told {
        let now_us = self.now_us();
        let Notice { id, template, template_version, .. } = &stored.notice;
        let act = Act {
            at_us: now_us,
            user: caller.user.clone(),
            object_kind: "notice",
            object_id: id.clone(),
            action: PROPOSED.to_owned(),
            detail: format!("template {template} version {template_version}"),
        };
        Told { act, record: control::record(&control::of_notice(stored, now_us)) }
    }

    pub(super) async fn approve_notice(
        &self,
        caller: &Caller,
        request: ApproveNoticeRequest,
    ) -> Result<ApproveNoticeResponse, Status> {
        let id = error::id("id", &request.id)?;
        let approve = |notice: &mut Notice| match notice.state.as_str() {
            _ if notice.created_by == caller.user => Err(error::four_eyes(&caller.user, "notice")),
            STOPPED => Err(wrong_state("stopped; SetNoticeState lets it go on")),
            _ => {
                notice.approved_by.clone_from(&caller.user);
                Ok(())
            }
        };
        let notice = self.change_notice(id, &caller.user, APPROVED, approve).await?;
        Ok(ApproveNoticeResponse { notice: Some(notice) })
    }

    pub(super) async fn set_notice_state(
        &self,
        caller: &Caller,
        request: SetNoticeStateRequest,
    ) -> Result<SetNoticeStateResponse, Status> {
        let id = error::id("id", &request.id)?;
        let state = if request.stopped { STOPPED } else { APPROVED };
        let approved_once = |notice: &mut Notice| match notice.state.as_str() {
            APPROVED | STOPPED => Ok(()),
            _ => Err(wrong_state("proposed; it must be approved first")),
        };
        let notice = self.change_notice(id, &caller.user, state, approved_once).await?;
        Ok(SetNoticeStateResponse { notice: Some(notice) })
    }

    pub(super) async fn list_notices(
        &self,
        _caller: &Caller,
        request: ListNoticesRequest,
    ) -> Result<ListNoticesResponse, Status> {
        let mut faults = Violations::new();
        let page = page(request.page_size, &request.page_token, &mut faults);
        faults.into_result()?;
        let page = self.store.notices(page).await.map_err(|error| store_status(&error))?;
        let next_page_token = next_token(&page);
        let notices = page.rows.into_iter().map(|stored| stored.notice).collect();
        Ok(ListNoticesResponse { notices, next_page_token })
    }
}

/// What an author writes; the rest is the registry's.
fn written(notice: Notice) -> Notice {
    Notice {
        title: notice.title,
        template: notice.template,
        template_version: notice.template_version,
        class: notice.class,
        lane: notice.lane,
        sender: notice.sender,
        sender_name: notice.sender_name,
        unit_code: notice.unit_code,
        daily_ceiling: notice.daily_ceiling,
        ..Notice::default()
    }
}

fn wrong_state(is: &str) -> Status {
    failed_precondition("WRONG_STATE", format!("the notice is {is}"))
}
