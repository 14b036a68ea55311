//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis.
//!
//! Must stay true: each site has topics and databases of its own, and its own names in Redis (its hash key is part of
//! them), so that sites on the same servers do not meet.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use loa_harness::{Fault, Kind, SiteOptions};
use loa_kafka::{KafkaConfig, Report, apply};
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

    /// A site of one process on them; its topics are made.
    pub async fn alone(&self) -> Result<SiteOptions, Fault> {
        let settings = self.settings()?;
        let text = |key: &str| {
            let found = settings.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.trim_matches('"').to_owned()).unwrap_or_default()
        };
        let config = KafkaConfig {
            brokers: text("log.brokers"),
            prefix: text("log.prefix"),
            tls: None,
            sasl: None,
            replication: text("log.replication").parse()?,
            min_insync: text("log.min_insync").parse()?,
            node: "tests".to_owned(),
        };
        apply(&config, &mut Report::default()).await?;
        Ok(settings.into_iter().fold(SiteOptions::process(), |site, (key, value)| site.set(&key, value)))
    }

    /// The processes of the servers.
    pub fn pids(&self) -> Vec<u32> {
        let brokers = (0..self.kafka.nodes()).map(|node| self.kafka.pid(node));
        brokers.chain([self.postgres.pid(), self.redis.pid()]).collect()
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
