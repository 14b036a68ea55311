//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis.
//!
//! Must stay true: every place has topics and databases of its own, so tests that share servers share nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use loa_harness::{Fault, Kind, SiteOptions};
use tokio::sync::Mutex;

use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::third_party::ThirdParty;

/// Roles with a store.
const ROLES: [&str; 6] = ["registry", "audience", "dispatch", "sms", "email", "report"];

/// The servers that tests of this program share, while one of them runs or waits for its turn.
static SHARED: Mutex<Weak<Parts>> = Mutex::const_new(Weak::new());

/// The servers of one site, or of several one after the other; they stop with who holds them last.
pub struct Parts {
    /// The log.
    pub kafka: Kafka,
    /// The stores.
    pub postgres: Postgres,
    /// The account buckets.
    pub redis: Redis,
    first: Place,
    places: AtomicU32,
}

/// Where a site keeps its log, stores and buckets.
#[derive(Debug, Clone)]
pub struct Place {
    /// `host:port` of the brokers.
    pub brokers: String,
    /// What stands before the name of every topic.
    pub prefix: String,
    /// The URL of the databases, with `{role}` in it.
    pub store: String,
    /// The URL of Redis.
    pub redis: String,
}

impl Parts {
    /// Starts all of them, one broker.
    pub async fn start() -> Result<Self, Fault> {
        let (kafka, postgres, redis) = tokio::try_join!(Kafka::start(), Postgres::start(), Redis::start())?;
        let first = make_place(&kafka, &postgres, &redis, 0)?;
        Ok(Self { kafka, postgres, redis, first, places: AtomicU32::new(1) })
    }

    /// Those that run already for another test of this program, or new ones. To be asked for before a turn is waited for,
    /// so that whose turn it is hands them on.
    pub async fn shared() -> Result<Arc<Self>, Fault> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// Topics and databases that nobody has used.
    pub fn place(&self) -> Result<Place, Fault> {
        make_place(&self.kafka, &self.postgres, &self.redis, self.places.fetch_add(1, Ordering::Relaxed))
    }

    /// A site of two processes on them, the same each time.
    pub fn site(&self) -> SiteOptions {
        self.first.site()
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
            text("log.prefix", &self.prefix),
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

fn make_place(kafka: &Kafka, postgres: &Postgres, redis: &Redis, number: u32) -> Result<Place, Fault> {
    let name = |role: &str| format!("loa{number}_{role}");
    for role in ROLES {
        postgres.database(&name(role))?;
    }
    let prefix = if number == 0 { String::new() } else { format!("site-{number}.") };
    Ok(Place { brokers: kafka.brokers(), prefix, store: postgres.url(&name("{role}")), redis: redis.url() })
}
