//! `loa.sms.v1`: how the accounts and binds of this process stand.

use std::sync::Arc;

use loa_contract::pb::sms::v1 as pb;
use loa_contract::pb::sms::v1::sms_service_server::SmsService;
use loa_gateway::{Engine, LineState};
use loa_runtime::rpc::{Right, require};
use tonic::{Request, Response, Status};

use crate::correlator::Unmatched;
use crate::receipts::Pump;
use crate::text::Texts;

/// The service.
pub struct SmsRpc {
    pub(crate) engine: Arc<Engine<Texts>>,
    pub(crate) receipts: Arc<Pump>,
    pub(crate) unmatched: Unmatched,
    pub(crate) addresses: Vec<String>,
}

impl SmsRpc {
    fn account(&self, number: usize) -> pb::AccountStatus {
        let account = &self.engine.accounts()[number];
        let held = account.line_states();
        // What this process does not hold is somebody else's, or waits for its turn.
        let state = |slot: u32| held.iter().find(|(known, _)| *known == slot).map(|(_, line)| line);
        pb::AccountStatus {
            account: account.spec.id.to_string(),
            address: self.addresses.get(number).cloned().unwrap_or_default(),
            rate: self.engine.rate(number),
            rate_max: account.spec.rate,
            simulator: account.spec.simulator,
            binds: (0..account.spec.lines).map(|slot| bind(slot, state(slot))).collect(),
            submitted: account.meters.accepted.get(),
            receipts: self.receipts.taken(number),
            unmatched_receipts: self.unmatched.of(number),
            throttled: account.meters.throttled.get(),
        }
    }
}

fn bind(slot: u32, line: Option<&LineState>) -> pb::BindStatus {
    match line {
        Some(line) => pb::BindStatus {
            slot,
            state: line.state.to_owned(),
            last_error: line.last_error.clone(),
            in_flight: line.in_flight,
        },
        None => pb::BindStatus { slot, state: "standby".to_owned(), ..Default::default() },
    }
}

#[tonic::async_trait]
impl SmsService for SmsRpc {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        require(&request, Right::Viewer)?;
        let accounts = (0..self.engine.accounts().len()).map(|number| self.account(number)).collect();
        Ok(Response::new(pb::GetStatusResponse { accounts }))
    }
}
