//! Audience: datasets, segments, frozen chunks, suppression.
//!
//! Calls come in by gRPC ([`Audience::server`]) at any instance. Imports and freezes are stored as rows and done in the
//! background by the instance that holds their lease; whoever was asked follows the row. A suppression is stored and told
//! to everybody before it is answered.
//!
//! Must stay true: two instances on one store and one data directory never both publish a version or a manifest; the reply
//! to a suppression says OK only after the log has it; a repeat of any call is harmless.

mod calls;
mod core;
mod error;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::pb::audience::v1::audience_service_server::AudienceServiceServer;
use loa_ports::audience::{Datasets, Router};
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::store::Outbox;
use loa_ports::store::audience::AudienceStore;
use loa_runtime::outbox::Publisher;
use loa_runtime::{Ctx, Service, ServiceError, limited};

pub use crate::calls::AudienceCalls;
use crate::core::Core;

/// What audience asks of the world.
pub struct Ports {
    /// The engine that holds people.
    pub datasets: Arc<dyn Datasets>,
    /// Its tables.
    pub store: Arc<dyn AudienceStore>,
    /// Leases in that store.
    pub leases: Arc<dyn Leases>,
    /// The outbox in that store.
    pub outbox: Arc<dyn Outbox>,
    /// The log.
    pub log: Arc<dyn Log>,
}

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where this process's gRPC is reached; empty if it is not served.
    pub endpoint: String,
    /// Which account takes which address.
    pub router: Router,
    /// Public information respects the do-not-call register too.
    pub respect_dnc_for_public: bool,
}

/// The audience of one process.
pub struct Audience {
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: String,
}

impl Audience {
    /// Made once per process.
    pub fn new(ctx: &Ctx, ports: Ports, options: Options) -> Self {
        let Ports { datasets, store, leases, outbox, log } = ports;
        let Options { endpoint, router, respect_dnc_for_public } = options;
        let core = Core::new(ctx.clone(), datasets, store, Publisher::new(outbox, log), router, respect_dnc_for_public);
        Self { core: Arc::new(core), leases, endpoint }
    }

    /// The gRPC service; imports and freezes are done only while [`Service::run`] runs, here or elsewhere.
    pub fn server(&self) -> AudienceServiceServer<AudienceCalls> {
        limited!(AudienceServiceServer::new(AudienceCalls::new(Arc::clone(&self.core))))
    }
}

#[async_trait]
impl Service for Audience {
    fn name(&self) -> &'static str {
        "audience"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        work::run(&ctx, self.core, self.leases, &self.endpoint).await
    }
}
