//! Everything outside of Loa that a cluster runs on: Apache Kafka, PostgreSQL with a database for every role, Redis, and a
//! store of objects.
//!
//! Must stay true: every place has topics and databases of its own, and its own names in Redis (the hash key of its site is
//! part of them), so that sites on the same servers do not meet.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use loa_harness::{Fault, Kind, SiteOptions};
use loa_kafka::{KafkaConfig, Report, apply};
use tokio::sync::Mutex;

use crate::kafka::Kafka;
use crate::objects::Objects;
use crate::postgres::Postgres;
use crate::redis::Redis;

/// Roles with a store.
const ROLES: [&str; 6] = ["registry", "audience", "dispatch", "sms", "email", "report"];
/// Copies of a record, where there are brokers for it, and how many must be in step.
const COPIES: [u32; 2] = [3, 2];

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
    /// Dataset versions and freezes, where processes share no folder.
    pub objects: Objects,
    places: AtomicU32,
}

/// Where a site keeps its log, stores and buckets.
#[derive(Debug, Clone)]
pub struct Place {
    /// `host:port` of the brokers.
    pub brokers: String,
    /// What stands before the name of every topic.
    pub prefix: String,
    /// Copies of a record, and how many must be in step.
    pub copies: [u32; 2],
    /// The URL of the databases, with `{role}` in it.
    pub store: String,
    /// The URL of Redis.
    pub redis: String,
    /// The keys that name the store of objects, for processes that share no folder.
    pub objects: Vec<(String, String)>,
}

impl Parts {
    /// Starts all of them, with so many brokers.
    pub async fn start(brokers: usize) -> Result<Self, Fault> {
        let (kafka, postgres, redis, objects) =
            tokio::try_join!(Kafka::start_nodes(brokers), Postgres::start(), Redis::start(), Objects::start())?;
        Ok(Self { kafka, postgres, redis, objects, places: AtomicU32::new(0) })
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

    /// Topics and databases that nobody has used.
    pub fn place(&self) -> Result<Place, Fault> {
        let site = format!("site{}", self.places.fetch_add(1, Ordering::Relaxed));
        self.postgres.databases(&ROLES.map(|role| format!("{site}_{role}")))?;
        let copies = if u32::try_from(self.kafka.nodes())? < COPIES[0] { [1, 1] } else { COPIES };
        Ok(Place {
            brokers: self.kafka.brokers(),
            prefix: format!("{site}."),
            copies,
            store: self.postgres.url(&format!("{site}_{{role}}")),
            redis: self.redis.url(),
            objects: self.objects.settings(&site),
        })
    }

    /// Keys that name empty databases, a log without records and no objects on the same servers.
    pub fn empty(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(self.place()?.without_folder())
    }

    /// A site of two processes on them which share no folder, with topics, databases and objects that are new.
    pub fn site(&self) -> Result<SiteOptions, Fault> {
        Ok(self.place()?.site())
    }

    /// A site of two processes for each group of roles, which share a folder.
    pub fn site_apart(&self) -> Result<SiteOptions, Fault> {
        Ok(SiteOptions::of(Kind::Apart(self.place()?.settings())))
    }

    /// A site of one process on them; its topics are made.
    pub async fn alone(&self) -> Result<SiteOptions, Fault> {
        let place = self.place()?;
        let config = KafkaConfig {
            brokers: place.brokers.clone(),
            prefix: place.prefix.clone(),
            tls: None,
            sasl: None,
            replication: place.copies[0],
            min_insync: place.copies[1],
            node: "tests".to_owned(),
        };
        apply(&config, &mut Report::default()).await?;
        Ok(place.settings().into_iter().fold(SiteOptions::process(), |site, (key, value)| site.set(&key, value)))
    }

    /// The processes of the servers.
    pub fn pids(&self) -> Vec<u32> {
        let brokers = (0..self.kafka.nodes()).map(|node| self.kafka.pid(node));
        brokers.chain([self.postgres.pid(), self.redis.pid()]).collect()
    }
}

impl Place {
    /// A site of two processes which share no folder.
    pub fn site(&self) -> SiteOptions {
        SiteOptions::of(Kind::Cluster(self.without_folder()))
    }

    fn without_folder(&self) -> Vec<(String, String)> {
        let mut settings = self.settings();
        settings.extend_from_slice(&self.objects);
        settings
    }

    /// The keys of the configuration by which a Loa finds it.
    fn settings(&self) -> Vec<(String, String)> {
        let text = |key: &str, value: &str| (key.to_owned(), format!("{value:?}"));
        let number = |key: &str, value: u32| (key.to_owned(), value.to_string());
        vec![
            text("log.kind", "kafka"),
            text("log.brokers", &self.brokers),
            text("log.prefix", &self.prefix),
            number("log.replication", self.copies[0]),
            number("log.min_insync", self.copies[1]),
            text("store.kind", "postgres"),
            text("store.url", &self.store),
            text("redis.url", &self.redis),
        ]
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
