//! The gRPC service: every call, and the right it needs, in one table.
//!
//! Must stay true: a call without its right does nothing; a faulty request is answered with every faulty field at once.

mod campaigns;
mod create;
mod holds;
mod life;
mod notices;
mod templates;
mod units;

use std::sync::Arc;

use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_ports::store::registry::{Page, PageAsk};
use loa_runtime::rpc::{Right, Violations, page_size, page_start, page_token, require};
use tonic::{Request, Response, Status};

pub(crate) use life::void;

use crate::core::Core;

/// Answers the calls.
pub struct RegistryCalls {
    core: Arc<Core>,
}

impl RegistryCalls {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

macro_rules! calls {
    ($($right:ident: $method:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl RegistryService for RegistryCalls {
            $(
                async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    let caller = require(&request, Right::$right)?;
                    self.core.$method(&caller, request.into_inner()).await.map(Response::new)
                }
            )+
        }
    };
}

calls! {
    Operator: put_unit(PutUnitRequest) -> PutUnitResponse;
    Viewer: list_units(ListUnitsRequest) -> ListUnitsResponse;
    Author: put_template(PutTemplateRequest) -> PutTemplateResponse;
    Viewer: list_templates(ListTemplatesRequest) -> ListTemplatesResponse;
    Viewer: get_content(GetContentRequest) -> GetContentResponse;
    Viewer: preview_content(PreviewContentRequest) -> PreviewContentResponse;
    Author: create_notice(CreateNoticeRequest) -> CreateNoticeResponse;
    Approver: approve_notice(ApproveNoticeRequest) -> ApproveNoticeResponse;
    Operator: set_notice_state(SetNoticeStateRequest) -> SetNoticeStateResponse;
    Viewer: list_notices(ListNoticesRequest) -> ListNoticesResponse;
    Author: create_campaign(CreateCampaignRequest) -> CreateCampaignResponse;
    Author: update_campaign(UpdateCampaignRequest) -> UpdateCampaignResponse;
    Viewer: get_campaign(GetCampaignRequest) -> GetCampaignResponse;
    Viewer: list_campaigns(ListCampaignsRequest) -> ListCampaignsResponse;
    Author: submit_campaign(SubmitCampaignRequest) -> SubmitCampaignResponse;
    Approver: approve_campaign(ApproveCampaignRequest) -> ApproveCampaignResponse;
    Approver: reject_campaign(RejectCampaignRequest) -> RejectCampaignResponse;
    Operator: schedule_campaign(ScheduleCampaignRequest) -> ScheduleCampaignResponse;
    Operator: start_campaign(StartCampaignRequest) -> StartCampaignResponse;
    Operator: pause_campaign(PauseCampaignRequest) -> PauseCampaignResponse;
    Operator: resume_campaign(ResumeCampaignRequest) -> ResumeCampaignResponse;
    Operator: cancel_campaign(CancelCampaignRequest) -> CancelCampaignResponse;
    System: halt_campaign(HaltCampaignRequest) -> HaltCampaignResponse;
    System: complete_campaign(CompleteCampaignRequest) -> CompleteCampaignResponse;
    Operator: put_hold(PutHoldRequest) -> PutHoldResponse;
    Operator: end_hold(EndHoldRequest) -> EndHoldResponse;
    Viewer: get_hold(GetHoldRequest) -> GetHoldResponse;
    Viewer: list_audit(ListAuditRequest) -> ListAuditResponse;
}

/// The page a list call asks for.
fn page(rows: u32, token: &str, faults: &mut Violations) -> PageAsk {
    PageAsk { rows: page_size(rows, faults), start: page_start(token, faults) }
}

/// The token of the next page; empty on the last.
fn next_token<T>(page: &Page<T>) -> String {
    page.next.map(page_token).unwrap_or_default()
}
