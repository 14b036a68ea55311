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
        let store_url = databases(&postgres, "loa")?;
        Ok(Self { kafka, postgres, redis, store_url })
    }

    /// Keys that name empty databases and a log without records on the same servers.
    pub fn empty(&self) -> Result<Vec<(String, String)>, Fault> {
        let store_url = databases(&self.postgres, "other")?;
        Ok(vec![("store.url".to_owned(), format!("{store_url:?}")), ("log.prefix".to_owned(), "\"other.\"".to_owned())])
    }

    /// A site of two processes on them.
    pub fn site(&self) -> SiteOptions {
        let text = |key: &str, value: &str| (key.to_owned(), format!("{value:?}"));
        let number = |key: &str, value: u32| (key.to_owned(), value.to_string());
        SiteOptions::of(Kind::Cluster(vec![
            text("log.kind", "kafka"),
            text("log.brokers", &self.kafka.brokers()),
            number("log.replication", 1),
            number("log.min_insync", 1),
            text("store.kind", "postgres"),
            text("store.url", &self.store_url),
            text("redis.url", &self.redis.url()),
        ]))
    }
}

/// A database for every role; the URL in which the role stands open.
fn databases(postgres: &Postgres, name: &str) -> Result<String, Fault> {
    let mut url = String::new();
    for role in ROLES {
        let one = format!("{name}_{role}");
        url = postgres.database(&one)?.replace(&one, &format!("{name}_{{role}}"));
    }
    Ok(url)
}
