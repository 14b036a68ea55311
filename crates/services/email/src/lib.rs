//! The email gateway: renders, composes and hands mails to relays, once each.
//!
//! Claims, the last look and settlements are those of all gateways (loa-gateway); here is what is email's own.
//!
//! Must stay true: a mail is `delivered` when the next hop took it after DATA, `in doubt` if and only if the end of DATA
//! may have left and no reply came.

mod content;
mod medium;
mod relay;
mod rpc;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::pb::email::v1::email_service_server::EmailServiceServer;
use loa_gateway::{AccountSpec, BlocksView, Engine, Parts, PeerRegistry, Registry};
use loa_ports::bucket::Bucket;
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::mailer::{Composer, Mailer};
use loa_ports::store::claims::Claims;
use loa_runtime::config::EmailConfig;
use loa_runtime::control::ControlView;
use loa_runtime::{Ctx, Service, ServiceError};

pub use rpc::EmailRpc;

use crate::medium::Mime;
use crate::relay::Connections;

/// What the gateway works with.
pub struct EmailPorts {
    /// Claims of the channel.
    pub claims: Arc<dyn Claims>,
    /// Leases of the role's store.
    pub leases: Arc<dyn Leases>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Connections to relays.
    pub mailer: Arc<dyn Mailer>,
    /// Writes mails.
    pub composer: Arc<dyn Composer>,
    /// Relay buckets.
    pub bucket: Arc<dyn Bucket>,
}

/// The email gateway of one process.
pub struct EmailGateway {
    engine: Arc<Engine<Mime>>,
    leases: Arc<dyn Leases>,
    mailer: Arc<dyn Mailer>,
    config: EmailConfig,
}

impl EmailGateway {
    /// Reads blocks.v1 to its end; nothing runs yet.
    pub async fn new(
        ctx: &Ctx,
        ports: EmailPorts,
        view: ControlView,
        config: EmailConfig,
    ) -> Result<Self, ServiceError> {
        let registry = Arc::new(PeerRegistry(ctx.clone()));
        Self::with_registry(ctx, ports, view, config, registry).await
    }

    /// The same with contents from elsewhere than the registry role.
    pub async fn with_registry(
        ctx: &Ctx,
        ports: EmailPorts,
        view: ControlView,
        config: EmailConfig,
        registry: Arc<dyn Registry>,
    ) -> Result<Self, ServiceError> {
        let EmailPorts { claims, leases, log, mailer, composer, bucket } = ports;
        let blocks = BlocksView::start(ctx, Arc::clone(&log)).await?;
        let accounts = config.relays.iter().map(|relay| AccountSpec {
            id: relay.relay.id.clone(),
            rate: relay.rate,
            // A connection asks for one mail at a time: a larger window would keep room free that is never asked for.
            window: 1,
            lines: relay.connections,
            partitions: relay.partitions.clone(),
            simulator: relay.simulator,
            lazy_lines: true,
        });
        let return_domains = config.relays.iter().map(|relay| relay.return_domain.clone()).collect();
        let parts = Parts {
            medium: Mime::new(composer, return_domains),
            claims,
            log,
            bucket,
            registry,
            stops: Arc::new(view),
            blocks,
            accounts: accounts.collect(),
        };
        Ok(Self { engine: Engine::new(ctx, parts), leases, mailer, config })
    }

    /// Its gRPC service.
    pub fn server(&self) -> EmailServiceServer<EmailRpc> {
        let addresses = self.config.relays.iter().map(|relay| relay.relay.address.clone()).collect();
        loa_runtime::limited!(EmailServiceServer::new(EmailRpc::new(Arc::clone(&self.engine), addresses)))
    }
}

#[async_trait]
impl Service for EmailGateway {
    fn name(&self) -> &'static str {
        "email"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let relays = self.config.relays.iter().map(|relay| relay.relay.clone()).collect();
        let lines = Connections::new(Arc::clone(&self.engine), self.mailer, relays);
        loa_gateway::run(&ctx, self.engine, self.leases, Arc::new(lines), None).await
    }
}
