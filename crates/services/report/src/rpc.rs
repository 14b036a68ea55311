//! The ledger's gRPC service: parse, read, answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use loa_contract::pb::report::v1 as report;
use loa_domain::address::EmailAddress;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, MessageId};
use loa_domain::msisdn::{Column, Msisdn};
use loa_domain::state::RecipientState;
use loa_ports::store::report::ReportStore;
use loa_runtime::Ctx;
use loa_runtime::control::ControlView;
use loa_runtime::rpc::{Right, Violations, require, store_status};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::chunk::ChunkLedger;
use crate::chunks::Chunks;
use crate::ledger::{Whole, timestamp};
use crate::service::FlushCall;

/// At most two answers a second.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How long a watch stays after the campaign is over for the last receipts.
const RECEIPTS_WAIT: Duration = Duration::from_secs(30);
/// How long a caller waits for a flush.
const FLUSH_WAIT: Duration = Duration::from_secs(2);
/// Answers that may wait to be sent.
const WAITING_MAX: usize = 4;

/// The service.
pub struct ReportRpc {
    pub(crate) ctx: Ctx,
    pub(crate) store: Arc<dyn ReportStore>,
    pub(crate) view: ControlView,
    pub(crate) chunks: Arc<dyn Chunks>,
    pub(crate) flush: mpsc::Sender<FlushCall>,
}

impl ReportRpc {
    /// What this process knows is written before it is read; where that takes too long, what is written is read.
    async fn flushed(&self) {
        let (call, done) = oneshot::channel();
        let flush = async {
            if self.flush.send(call).await.is_ok() {
                done.await.unwrap_or_default();
            }
        };
        tokio::time::timeout(FLUSH_WAIT, flush).await.unwrap_or_default();
    }

    fn campaign(&self, id: &str) -> Result<CampaignId, Status> {
        let mut violations = Violations::new();
        let parsed = violations.check("campaign_id", id.parse::<CampaignId>());
        violations.into_result()?;
        let id = parsed.ok_or_else(|| Status::internal("a checked id is missing"))?;
        match self.view.campaign(id) {
            Some(_) => Ok(id),
            None => Err(Status::not_found(format!(
                "no campaign or notice {id} has been submitted; `loa campaign list` shows them"
            ))),
        }
    }
}

#[tonic::async_trait]
impl report::report_service_server::ReportService for ReportRpc {
    async fn get_ledger(
        &self,
        request: Request<report::GetLedgerRequest>,
    ) -> Result<Response<report::GetLedgerResponse>, Status> {
        require(&request, Right::Viewer)?;
        let id = self.campaign(&request.into_inner().campaign_id)?;
        self.flushed().await;
        let whole = Whole::read(self.store.as_ref(), &self.view, id).await.map_err(|error| store_status(&error))?;
        Ok(Response::new(report::GetLedgerResponse { ledger: Some(whole.to_record(id)) }))
    }

    type WatchLedgerStream = BoxStream<'static, Result<report::WatchLedgerResponse, Status>>;

    async fn watch_ledger(
        &self,
        request: Request<report::WatchLedgerRequest>,
    ) -> Result<Response<Self::WatchLedgerStream>, Status> {
        require(&request, Right::Viewer)?;
        let id = self.campaign(&request.into_inner().campaign_id)?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let watch =
            Watch { ctx: self.ctx.clone(), store: Arc::clone(&self.store), view: self.view.clone(), id, sender };
        self.ctx.spawn("ledger watch", watch.run());
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }

    async fn find(&self, request: Request<report::FindRequest>) -> Result<Response<report::FindResponse>, Status> {
        require(&request, Right::Operator)?;
        let (channel, hash) = self.hash(&request.into_inner().address)?;
        self.flushed().await;
        let shard = hash.shard().number();
        let hits = self.store.find(shard, hash).await.map_err(|error| store_status(&error))?;
        let mut found = Vec::new();
        for hit in hits.into_iter().filter(|hit| hit.facts.channel == channel.code()) {
            let chunk =
                ChunkLedger::from_blob(hit.facts, &hit.blob).map_err(|error| Status::internal(error.to_string()))?;
            if let Some(index) = chunk.index_of(hash) {
                found.extend(self.found(&chunk, index, channel));
            }
        }
        // Campaign ids are UUIDv7: the newest sorts last.
        found.sort_by(|a: &report::Found, b| b.campaign_id.cmp(&a.campaign_id));
        Ok(Response::new(report::FindResponse { found }))
    }

    type ExportLedgerStream = BoxStream<'static, Result<report::ExportLedgerResponse, Status>>;

    async fn export_ledger(
        &self,
        request: Request<report::ExportLedgerRequest>,
    ) -> Result<Response<Self::ExportLedgerStream>, Status> {
        require(&request, Right::Operator)?;
        let id = self.campaign(&request.into_inner().campaign_id)?;
        self.flushed().await;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let export = crate::export::Export {
            store: Arc::clone(&self.store),
            view: self.view.clone(),
            chunks: Arc::clone(&self.chunks),
            campaign: id,
            sender,
        };
        self.ctx.spawn("ledger export", export.run());
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }
}

impl ReportRpc {
    fn hash(&self, address: &str) -> Result<(Channel, AddressHash), Status> {
        let mut violations = Violations::new();
        let key = self.ctx.hash_key();
        let hashed = if address.contains('@') {
            let parsed = violations.check("address", EmailAddress::parse(address));
            parsed.map(|mailbox| (Channel::Email, key.mailbox(mailbox.as_str())))
        } else {
            let parsed = violations.check("address", Msisdn::parse(address, Column::Any));
            parsed.map(|parsed| (Channel::Sms, key.number(parsed.number.as_u64())))
        };
        violations.into_result()?;
        hashed.ok_or_else(|| Status::internal("a checked address is missing"))
    }

    fn found(&self, chunk: &ChunkLedger, index: u16, channel: Channel) -> Option<report::Found> {
        let entry = chunk.entry(index)?;
        let control = self.view.campaign(chunk.facts.campaign);
        let time = |us: i64| (us > 0).then(|| timestamp(us));
        Some(report::Found {
            campaign_id: chunk.facts.campaign.to_string(),
            campaign_title: control.map(|control| control.title.clone()).unwrap_or_default(),
            channel: i32::from(channel.code()),
            message_id: MessageId { chunk: chunk.facts.key, index }.to_string(),
            state: entry.known.state.name().to_owned(),
            reason: entry.reason.name().to_owned(),
            account: chunk.facts.account.clone(),
            submitted_at: time(entry.submitted_at_us),
            final_at: time(entry.final_at_us),
            parts_delivered: u32::from(entry.parts_delivered),
            parts: u32::from(entry.parts),
            as_of: Some(timestamp(self.ctx.now_us())),
        })
    }
}

struct Watch {
    ctx: Ctx,
    store: Arc<dyn ReportStore>,
    view: ControlView,
    id: CampaignId,
    sender: mpsc::Sender<Result<report::WatchLedgerResponse, Status>>,
}

impl Watch {
    async fn run(self) {
        let mut last = None;
        let mut over_since: Option<Duration> = None;
        let mut tick = tokio::time::interval(WATCH_EVERY);
        loop {
            tokio::select! {
                () = self.ctx.stopping() => return,
                () = self.sender.closed() => return,
                _ = tick.tick() => {}
            }
            let whole = match Whole::read(self.store.as_ref(), &self.view, self.id).await {
                Ok(whole) => whole,
                Err(error) => {
                    // A reader that went away needs no answer.
                    self.sender.send(Err(store_status(&error))).await.unwrap_or_default();
                    return;
                }
            };
            let record = whole.to_record(self.id);
            let told = report::CampaignLedger { as_of: None, ..record.clone() };
            if last.as_ref() != Some(&told) {
                last = Some(told);
                if self.sender.send(Ok(report::WatchLedgerResponse { ledger: Some(record) })).await.is_err() {
                    return;
                }
            }
            if self.is_settled(&whole, &mut over_since) {
                return;
            }
        }
    }

    /// The campaign is over, and so are its receipts (or they take too long to wait here).
    fn is_settled(&self, whole: &Whole, over_since: &mut Option<Duration>) -> bool {
        let over =
            whole.complete && whole.state().is_some_and(|state| state.is_over()) && whole.of(RecipientState::Open) == 0;
        if !over {
            *over_since = None;
            return false;
        }
        let since = *over_since.get_or_insert(self.ctx.monotonic());
        whole.of(RecipientState::Submitted) == 0 || self.ctx.monotonic().saturating_sub(since) > RECEIPTS_WAIT
    }
}
