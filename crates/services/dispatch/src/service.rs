//! The role as the process runs it.

use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::pb::dispatch::v1::dispatch_service_server::DispatchServiceServer;
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::store::dispatch::DispatchStore;
use loa_runtime::control::ControlView;
use loa_runtime::{Ctx, Service, ServiceError, limited};
use tokio::sync::{mpsc, oneshot};

use crate::chunks::{Chunks, RemoteChunks};
use crate::content::{Contents, Library, RemoteContents};
use crate::core::Status;
use crate::intake::Intake;
use crate::options::Options;
use crate::rpc::DispatchCalls;
use crate::work;

/// Callers of GetStatus that may wait at once.
const STATUS_CALLS_MAX: usize = 64;

/// A caller who wants to know how things stand.
pub(crate) type StatusCall = oneshot::Sender<Status>;

/// The dispatch role of one process.
pub struct Dispatch {
    pub(crate) store: Arc<dyn DispatchStore>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) view: ControlView,
    pub(crate) options: Options,
    pub(crate) chunks: Arc<dyn Chunks>,
    pub(crate) contents: Arc<Library>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) status_calls: mpsc::Receiver<StatusCall>,
    call: mpsc::Sender<StatusCall>,
}

impl Dispatch {
    /// The role over its ports; chunks come from audience, contents from registry.
    pub fn new(
        ctx: &Ctx,
        store: Arc<dyn DispatchStore>,
        leases: Arc<dyn Leases>,
        log: Arc<dyn Log>,
        view: ControlView,
        options: Options,
    ) -> Self {
        let (chunks, contents) = (Arc::new(RemoteChunks(ctx.clone())), Arc::new(RemoteContents(ctx.clone())));
        Self::with_sources(ctx, (store, leases, log), view, options, (chunks, contents))
    }

    /// The role with other sources of chunks and contents.
    pub fn with_sources(
        ctx: &Ctx,
        (store, leases, log): (Arc<dyn DispatchStore>, Arc<dyn Leases>, Arc<dyn Log>),
        view: ControlView,
        options: Options,
        (chunks, contents): (Arc<dyn Chunks>, Arc<dyn Contents>),
    ) -> Self {
        let contents = Arc::new(Library::new(contents));
        let intake = Intake {
            ctx: ctx.clone(),
            store: Arc::clone(&store),
            log: Arc::clone(&log),
            view: view.clone(),
            contents: Arc::clone(&contents),
            router: options.router.clone(),
        };
        let (call, status_calls) = mpsc::channel(STATUS_CALLS_MAX);
        Self { store, leases, log, view, options, chunks, contents, intake: Arc::new(intake), status_calls, call }
    }

    /// The gRPC service. Send works whether or not [`Service::run`] runs.
    pub fn server(&self) -> DispatchServiceServer<DispatchCalls> {
        limited!(DispatchServiceServer::new(self.calls()))
    }

    /// The calls themselves.
    pub(crate) fn calls(&self) -> DispatchCalls {
        DispatchCalls::new(Arc::clone(&self.intake), self.call.clone())
    }
}

#[async_trait]
impl Service for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        Box::pin(work::run(ctx, *self)).await
    }
}
