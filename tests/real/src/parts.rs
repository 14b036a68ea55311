//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis.
//!
//! Must stay true: what a site is told of these servers is a [`Place`], so a test can put something of its own between.

use std::net::SocketAddr;
use std::sync::Arc;

use loa_harness::{Fault, Kind, SiteOptions};

use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::third_party::ThirdParty;

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
    /// Where a site finds them.
    pub place: Place,
}

/// Where a site keeps its log, stores and buckets.
#[derive(Debug, Clone)]
pub struct Place {
    /// `host:port` of the brokers.
    pub brokers: String,
    /// The URL of the databases, with `{role}` in it.
    pub store: String,
    /// The URL of Redis.
    pub redis: String,
}

impl Parts {
    /// Starts all of them, one broker.
    pub async fn start() -> Result<Self, Fault> {
        let (kafka, postgres, redis) = tokio::try_join!(Kafka::start(), Postgres::start(), Redis::start())?;
        let mut store = String::new();
        for role in ROLES {
            let name = format!("loa_{role}");
            store = postgres.database(&name)?.replace(&name, "loa_{role}");
        }
        let place = Place { brokers: kafka.brokers(), store, redis: redis.url() };
        Ok(Self { kafka, postgres, redis, place })
    }

    /// A site of two processes on them.
    pub fn site(&self) -> SiteOptions {
        self.place.site()
    }

    /// The same, and its messages go to sinks of others.
    pub fn third_party_site(&self, sinks: &Arc<ThirdParty>) -> SiteOptions {
        self.site().sinks(Arc::clone(sinks) as _)
    }
}

impl Place {
    /// A site of two processes.
    pub fn site(&self) -> SiteOptions {
        let text = |key: &str, value: &str| (key.to_owned(), format!("{value:?}"));
        let number = |key: &str, value: u32| (key.to_owned(), value.to_string());
        SiteOptions::of(Kind::Cluster(vec![
            text("log.kind", "kafka"),
            text("log.brokers", &self.brokers),
            number("log.replication", 1),
            number("log.min_insync", 1),
            text("store.kind", "postgres"),
            text("store.url", &self.store),
            text("redis.url", &self.redis),
        ]))
    }

    /// The name of a role's database.
    pub fn database(&self, role: &str) -> String {
        let (_, name) = self.store.rsplit_once('/').unwrap_or(("", &self.store));
        name.replace("{role}", role)
    }

    /// The URL of the databases by way of a proxy, which does not speak TLS.
    pub fn store_by(&self, proxy: SocketAddr) -> String {
        let (user, rest) = self.store.split_once('@').unwrap_or(("", &self.store));
        let (_, database) = rest.split_once('/').unwrap_or(("", rest));
        format!("{user}@{proxy}/{database}?sslmode=disable")
    }
}
