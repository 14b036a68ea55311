//! The gateway's gRPC service: how the relays of this process stand.

use std::sync::Arc;

use loa_contract::pb::email::v1 as pb;
use loa_gateway::Engine;
use loa_runtime::rpc::{Right, require};
use tonic::{Request, Response, Status};

use crate::medium::Mime;

/// The service.
pub struct EmailRpc {
    engine: Arc<Engine<Mime>>,
    addresses: Vec<String>,
}

impl EmailRpc {
    pub(crate) fn new(engine: Arc<Engine<Mime>>, addresses: Vec<String>) -> Self {
        Self { engine, addresses }
    }
}

#[tonic::async_trait]
impl pb::email_service_server::EmailService for EmailRpc {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        require(&request, Right::Viewer)?;
        let relays = self.engine.accounts().iter().zip(&self.addresses).map(|(account, address)| {
            let lines = account.line_states();
            let open = lines.iter().filter(|(_, line)| line.open).count();
            pb::RelayStatus {
                account: account.spec.id.to_string(),
                address: address.clone(),
                connections: u32::try_from(open).unwrap_or(u32::MAX),
                last_error: lines
                    .into_iter()
                    .map(|(_, line)| line.last_error)
                    .find(|why| !why.is_empty())
                    .unwrap_or_default(),
                delivered: account.meters.accepted.get(),
                refused: account.meters.refused.get(),
                in_doubt: account.meters.in_doubt.get(),
                rate_max: account.spec.rate,
                simulator: account.spec.simulator,
            }
        });
        Ok(Response::new(pb::GetStatusResponse { relays: relays.collect() }))
    }
}
