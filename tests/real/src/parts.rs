//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis.

use loa_harness::{Fault, Kind, SiteOptions};

use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::redis::Redis;

/// Roles with a store.
const ROLES: [&str; 6] = ["registry", "audience", "dispatch", "sms", "email", "report"];

/// The servers of one site; they stop with it.
pub struct Parts {
    /// The log.
    pub kafka: Kafka,
    /// The stores.
    pub postgres: Postgres,
    /// The account buckets.
    pub redis: Redis,
    store_url: String,
}

impl Parts {
    /// Starts all of them, one broker.
    pub async fn start() -> Result<Self, Fault> {
        let (kafka, postgres, redis) = tokio::try_join!(Kafka::start(), Postgres::start(), Redis::start())?;
        let mut store_url = String::new();
        for role in ROLES {
            let name = format!("loa_{role}");
            store_url = postgres.database(&name)?.replace(&name, "loa_{role}");
        }
        Ok(Self { kafka, postgres, redis, store_url })
    }

    /// A site of two processes on them.
    pub fn site(&self) -> SiteOptions {
        SiteOptions::of(Kind::Cluster(self.settings()))
    }

    /// A site of one process for each group of roles on them; users talk to the first.
    pub fn site_of(&self, groups: &[&'static str]) -> SiteOptions {
        SiteOptions::of(Kind::Roles(self.settings(), groups.to_vec()))
    }

    /// What every process on them is told.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = |key: &str, value: &str| (key.to_owned(), format!("{value:?}"));
        let number = |key: &str, value: u32| (key.to_owned(), value.to_string());
        vec![
            text("log.kind", "kafka"),
            text("log.brokers", &self.kafka.brokers()),
            number("log.replication", 1),
            number("log.min_insync", 1),
            text("store.kind", "postgres"),
            text("store.url", &self.store_url),
            text("redis.url", &self.redis.url()),
        ]
    }
}
