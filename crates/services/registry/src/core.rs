//! What calls and background work share: the store, the log, the clock, and a bell for new work.
//!
//! Must stay true: no state of campaigns is kept here; the store is asked each time, so two instances never disagree.

use std::sync::Arc;

use loa_domain::ids::CampaignId;
use loa_ports::clock::Clock;
use loa_ports::log::Log;
use loa_ports::store::registry::RegistryStore;
use loa_runtime::outbox::Publisher;
use tokio::sync::Notify;
use uuid::{NoContext, Timestamp, Uuid};

/// Shared by all calls.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn RegistryStore>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) publisher: Publisher,
    pub(crate) clock: Arc<dyn Clock>,
    /// Rung when a campaign was submitted or scheduled here.
    pub(crate) bell: Notify,
}

impl Core {
    pub(crate) fn new(store: Arc<dyn RegistryStore>, log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Self {
        let publisher = Publisher::new(store.clone(), log.clone());
        Self { store, log, publisher, clock, bell: Notify::new() }
    }

    /// Microseconds since 1970.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    /// An id that sorts by the time of its creation.
    pub(crate) fn new_id(&self) -> CampaignId {
        let now_us = u64::try_from(self.now_us()).unwrap_or_default();
        let nanos = u32::try_from(now_us % 1_000_000).unwrap_or_default() * 1_000;
        CampaignId(Uuid::new_v7(Timestamp::from_unix(NoContext, now_us / 1_000_000, nanos)))
    }
}
