//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis.
//!
//! Must stay true: each site has topics and databases of its own, and its own names in Redis (its hash key is part of
//! them), so that sites on the same servers do not meet.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use loa_harness::{Fault, Kind, SiteOptions};
use tokio::sync::Mutex;

use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::redis::Redis;

/// Roles with a store.
const ROLES: [&str; 6] = ["registry", "audience", "dispatch", "sms", "email", "report"];
/// Copies of a record, where there are brokers for it, and how many must be in step.
const COPIES: [usize; 2] = [3, 2];

/// The servers that tests of this program share, while one of them has them.
static SHARED: Mutex<Weak<Parts>> = Mutex::const_new(Weak::new());

/// Running servers; they stop with it.
pub struct Parts {
    /// The log.
    pub kafka: Kafka,
    /// The stores.
    pub postgres: Postgres,
    /// The account buckets.
    pub redis: Redis,
    sites: AtomicU32,
}

impl Parts {
    /// Starts all of them, with so many brokers.
    pub async fn start(brokers: usize) -> Result<Self, Fault> {
        let (kafka, postgres, redis) =
            tokio::try_join!(Kafka::start_nodes(brokers), Postgres::start(), Redis::start())?;
        Ok(Self { kafka, postgres, redis, sites: AtomicU32::new(0) })
    }

    /// Those of this program, with one broker, for tests that kill none of them. Who waits for a turn holds them meanwhile.
    pub async fn shared() -> Result<Arc<Self>, Fault> {
        let mut shared = SHARED.lock().await;
        if let Some(parts) = shared.upgrade() {
            return Ok(parts);
        }
        let parts = Arc::new(Self::start(1).await?);
        *shared = Arc::downgrade(&parts);
        Ok(parts)
    }

    /// A site of two processes on them, with topics and databases that are new.
    pub fn site(&self) -> Result<SiteOptions, Fault> {
        Ok(SiteOptions::of(Kind::Cluster(self.settings()?)))
    }

    /// A site of two processes for each group of roles.
    pub fn site_apart(&self) -> Result<SiteOptions, Fault> {
        Ok(SiteOptions::of(Kind::Apart(self.settings()?)))
    }

    fn settings(&self) -> Result<Vec<(String, String)>, Fault> {
        let site = format!("site{}", self.sites.fetch_add(1, Ordering::Relaxed));
        self.postgres.databases(&ROLES.map(|role| format!("{site}_{role}")))?;
        let brokers = self.kafka.nodes();
        let [copies, in_step] = if brokers < COPIES[0] { [1, 1] } else { COPIES };
        let text = |key: &str, value: &str| (key.to_owned(), format!("{value:?}"));
        let number = |key: &str, value: usize| (key.to_owned(), value.to_string());
        Ok(vec![
            text("log.kind", "kafka"),
            text("log.brokers", &self.kafka.brokers()),
            text("log.prefix", &format!("{site}.")),
            number("log.replication", copies),
            number("log.min_insync", in_step),
            text("store.kind", "postgres"),
            text("store.url", &self.postgres.url(&format!("{site}_{{role}}"))),
            text("redis.url", &self.redis.url()),
        ])
    }
}
