//! The campaign registry: units, templates, notices, campaigns, approvals, audit.
//!
//! It alone decides the state of campaigns and notices and tells everybody through control.v1. People's calls come in by
//! gRPC ([`Registry::server`]); freezing, schedules and what is left in the outbox are worked on in the background by
//! whichever instance holds the lease.
//!
//! Must stay true: nothing runs that was not approved by somebody who did not write it; a change is stored with its audit
//! entry and its record for the log in one transaction; the reply to start, pause, resume, cancel and halt says OK only
//! after the log has it.

mod calls;
mod change;
mod control;
mod core;
mod error;
mod hold;
mod restore;
mod rules;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::pb::registry::v1::registry_service_server::RegistryServiceServer;
use loa_ports::clock::Clock;
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::store::registry::RegistryStore;
use loa_runtime::{Ctx, Service, ServiceError, limited};

pub use crate::calls::RegistryCalls;
use crate::core::Core;
pub use crate::restore::{Restored, restore};

/// The registry of one process.
pub struct Registry {
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: String,
}

impl Registry {
    /// `endpoint` is where this process's gRPC is reached.
    pub fn new(
        store: Arc<dyn RegistryStore>,
        leases: Arc<dyn Leases>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        endpoint: &str,
    ) -> Self {
        Self { core: Arc::new(Core::new(store, log, clock)), leases, endpoint: endpoint.to_owned() }
    }

    /// The gRPC service; answers whether or not [`Service::run`] runs.
    pub fn server(&self) -> RegistryServiceServer<RegistryCalls> {
        limited!(RegistryServiceServer::new(RegistryCalls::new(Arc::clone(&self.core))))
    }
}

#[async_trait]
impl Service for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        work::run(&ctx, self.core, self.leases, &self.endpoint).await
    }
}
