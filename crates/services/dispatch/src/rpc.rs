//! The gRPC calls of dispatch.

use std::sync::Arc;

use loa_contract::convert;
use loa_contract::pb::dispatch::v1 as pb;
use loa_contract::pb::dispatch::v1::dispatch_service_server::DispatchService;
use loa_runtime::rpc::{self, Right};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::intake::{Asked, Intake};
use crate::service::StatusCall;

/// The calls.
pub struct DispatchCalls {
    intake: Arc<Intake>,
    status: mpsc::Sender<StatusCall>,
}

impl DispatchCalls {
    pub(crate) fn new(intake: Arc<Intake>, status: mpsc::Sender<StatusCall>) -> Self {
        Self { intake, status }
    }
}

#[tonic::async_trait]
impl DispatchService for DispatchCalls {
    async fn send(&self, request: Request<pb::SendRequest>) -> Result<Response<pb::SendResponse>, Status> {
        let caller = rpc::require(&request, Right::Operator)?;
        let pb::SendRequest { notice_id, to, slots, idempotency_key, expires_at } = request.into_inner();
        let expires_at_us = expires_at.as_ref().map(convert::micros);
        let (caller, key, traceparent, reply_to) = (caller.user, idempotency_key, None, None);
        let asked = Asked { caller, key, notice_id, to, slots, expires_at_us, traceparent, reply_to };
        let id = self.intake.send(asked).await?;
        Ok(Response::new(pb::SendResponse { message_id: format!("{id:016x}") }))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        rpc::require(&request, Right::Viewer)?;
        let (answer, answered) = oneshot::channel();
        let away = |_| Status::unavailable("dispatch does not run in this process; ask a process that has the role");
        self.status.send(answer).await.map_err(|_| away(()))?;
        let status = answered.await.map_err(|_| away(()))?;
        let accounts = status.credits.into_iter().map(|credit| pb::AccountCredit {
            account: credit.account.to_string(),
            lane: credit.lane.name().to_owned(),
            credit: credit.credit,
            in_use: credit.in_use,
            bound: credit.bound,
        });
        Ok(Response::new(pb::GetStatusResponse {
            shards: status.shards.into_iter().map(loa_domain::ids::Shard::number).collect(),
            unsettled_releases: status.unsettled_rows,
            accounts: accounts.collect(),
        }))
    }
}
