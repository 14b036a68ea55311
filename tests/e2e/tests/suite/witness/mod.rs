//! The promises, each under the fault that would break it, and told by somebody else: what message centres and a mail
//! server that are not ours have accepted is compared with the ledger, recipient by recipient.
//!
//! Must stay true: everything here is real (processes, Apache Kafka, PostgreSQL, Redis, sinks of others) but for what a
//! file says that it must simulate, and why.

mod bind_dies;
mod carrier_stalls;
mod commit_lost;
mod dispatch_killed;
mod freeze_killed;
mod gate;
mod gateway_stands_still;
mod lane_deleted;
mod receipts_burst;
mod redis_emptied;
mod submits;
mod third_party;

use std::sync::Arc;

use loa_harness::turns::alone;
use loa_harness::{Fault, Plan, SiteOptions};
use loa_real::parts::Place;
use loa_real::{Parts, ThirdParty};
use tokio::sync::RwLockWriteGuard;

/// Servers that these tests share, a place of its own on them, and sinks of others; one test at a time.
pub(crate) struct World {
    pub(crate) parts: Arc<Parts>,
    pub(crate) place: Place,
    pub(crate) sinks: Arc<ThirdParty>,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Fault> {
        let parts = Parts::shared().await?;
        let turn = alone().await;
        // What the account buckets of another test's accounts have sold is not this one's.
        parts.redis.ask("FLUSHALL").await?;
        let (place, sinks) = (parts.place()?, Arc::new(ThirdParty::start().await?));
        Ok(Self { parts, place, sinks, _turn: turn })
    }

    /// Two processes on the place, whose messages go to the sinks of others.
    pub(crate) fn site(&self) -> SiteOptions {
        self.place.site().sinks(Arc::clone(&self.sinks) as _)
    }
}

/// A campaign of texts alone.
pub(crate) fn texts() -> Plan {
    Plan { email: None, segment: "has mobile".to_owned(), ..Plan::default() }
}

/// A count of a test that a long run may raise.
pub(crate) fn count(name: &str, usual: u64) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "how long a test run may take is no configuration of the product")]
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// An address, as configuration takes it for both accounts.
pub(crate) fn carrier_at(options: SiteOptions, address: std::net::SocketAddr) -> SiteOptions {
    options.set("sms.account.sim-a.address", address).set("sms.account.sim-b.address", address)
}
