//! The report role as the process runs it.

use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::topics::{OutcomesTopic, SettlementsTopic, Topic as _};
use loa_domain::limits::SHARDS;
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::store::report::ReportStore;
use loa_runtime::config::ReportConfig;
use loa_runtime::control::ControlView;
use loa_runtime::lease::{LeaseKeeper, Want};
use loa_runtime::{Ctx, Service, ServiceError};
use tokio::sync::{mpsc, oneshot};

use crate::chunks::{Chunks, RemoteChunks};
use crate::registry::{Registry, RemoteRegistry};
use crate::rpc::ReportRpc;
use crate::running::{DONE, Running, SHARD};

/// Callers that may wait for a flush at once.
const FLUSH_CALLS_MAX: usize = 64;

/// A caller waits until what is known is written.
pub(crate) type FlushCall = oneshot::Sender<()>;

/// The report role.
pub struct Report {
    pub(crate) store: Arc<dyn ReportStore>,
    leases: Arc<dyn Leases>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) config: ReportConfig,
    pub(crate) view: ControlView,
    pub(crate) chunks: Arc<dyn Chunks>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) calls: mpsc::Receiver<FlushCall>,
    call: mpsc::Sender<FlushCall>,
    ctx: Ctx,
}

impl Report {
    /// The role over its ports.
    pub fn new(
        ctx: &Ctx,
        store: Arc<dyn ReportStore>,
        leases: Arc<dyn Leases>,
        log: Arc<dyn Log>,
        view: ControlView,
        config: ReportConfig,
    ) -> Self {
        let peers = (Arc::new(RemoteChunks(ctx.clone())) as _, Arc::new(RemoteRegistry(ctx.clone())) as _);
        Self::with_peers(ctx, (store, leases, log), view, config, peers)
    }

    /// The role with others in the place of audience and registry.
    pub fn with_peers(
        ctx: &Ctx,
        (store, leases, log): (Arc<dyn ReportStore>, Arc<dyn Leases>, Arc<dyn Log>),
        view: ControlView,
        config: ReportConfig,
        (chunks, registry): (Arc<dyn Chunks>, Arc<dyn Registry>),
    ) -> Self {
        let (call, calls) = mpsc::channel(FLUSH_CALLS_MAX);
        Self { store, leases, log, config, view, chunks, registry, calls, call, ctx: ctx.clone() }
    }

    /// Its gRPC service.
    pub fn server(&self) -> loa_contract::pb::report::v1::report_service_server::ReportServiceServer<ReportRpc> {
        let rpc = ReportRpc {
            ctx: self.ctx.clone(),
            store: Arc::clone(&self.store),
            view: self.view.clone(),
            chunks: Arc::clone(&self.chunks),
            flush: self.call.clone(),
        };
        loa_runtime::limited!(loa_contract::pb::report::v1::report_service_server::ReportServiceServer::new(rpc))
    }
}

#[async_trait]
impl Service for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let wants = vec![
            Want { kind: SHARD.to_owned(), count: u32::from(SHARDS), drains: true },
            Want { kind: DONE.to_owned(), count: 1, drains: false },
        ];
        let keeper = LeaseKeeper::start(&ctx, Arc::clone(&self.leases), "", wants).await?;
        let settlements = self.log.reader(SettlementsTopic::SPEC, Vec::new()).await?;
        let outcomes = self.log.reader(OutcomesTopic::SPEC, Vec::new()).await?;
        Running::new(ctx, *self, keeper, (settlements, outcomes)).run().await;
        Ok(())
    }
}
