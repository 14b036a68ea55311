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
use loa_real::{Parts, ThirdParty};
use tokio::sync::RwLockWriteGuard;

/// Servers and sinks of others; one test at a time.
pub(crate) struct World {
    pub(crate) parts: Parts,
    pub(crate) sinks: Arc<ThirdParty>,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Fault> {
        let turn = alone().await;
        let (parts, sinks) = tokio::try_join!(Parts::start(), ThirdParty::start())?;
        Ok(Self { parts, sinks: Arc::new(sinks), _turn: turn })
    }

    /// Two processes on the servers, whose messages go to the sinks of others.
    pub(crate) fn site(&self) -> SiteOptions {
        self.parts.third_party_site(&self.sinks)
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
