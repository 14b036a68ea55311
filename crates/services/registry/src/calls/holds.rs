//! The hold of the installation: who asks for it, and for how long.

use loa_contract::pb::registry::v1::{
    EndHoldRequest, EndHoldResponse, GetHoldRequest, GetHoldResponse, Hold, PutHoldRequest, PutHoldResponse,
};
use loa_domain::limits::HOLD_S;
use loa_runtime::rpc::{Caller, Violations, store_status};
use tonic::Status;
use uuid::Uuid;

use super::life::REASON_CHARS_MAX;
use crate::core::Core;
use crate::rules::field;

impl Core {
    pub(super) async fn put_hold(&self, caller: &Caller, request: PutHoldRequest) -> Result<PutHoldResponse, Status> {
        let PutHoldRequest { id, reason, seconds } = request;
        let mut faults = Violations::new();
        faults.check("id", Uuid::parse_str(&id));
        field::line("reason", &reason, 1..=REASON_CHARS_MAX, &mut faults);
        if !HOLD_S.contains(&seconds) {
            faults.add("seconds", format!("{} to {}; renew it before they are over", HOLD_S.start(), HOLD_S.end()));
        }
        faults.into_result()?;
        let hold = Hold { id, reason, seconds, held_by: caller.user.clone(), renewed_at: None };
        Ok(PutHoldResponse { hold: Some(self.put(&hold).await?) })
    }

    pub(super) async fn end_hold(&self, caller: &Caller, request: EndHoldRequest) -> Result<EndHoldResponse, Status> {
        let mut faults = Violations::new();
        faults.check("id", Uuid::parse_str(&request.id));
        faults.into_result()?;
        self.end(&request.id, &caller.user).await?;
        Ok(EndHoldResponse {})
    }

    pub(super) async fn get_hold(&self, _caller: &Caller, _request: GetHoldRequest) -> Result<GetHoldResponse, Status> {
        Ok(GetHoldResponse { hold: self.held().await.map_err(|error| store_status(&error))? })
    }
}
