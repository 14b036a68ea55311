//! What `loa check` says of the parts outside of this process: each is asked, all faults are told.
//!
//! Must stay true: nothing is made or changed by asking.

use loa_ports::carrier::Secret;
use loa_ports::clock::SystemClock;
use loa_redis::RedisBucket;
use loa_runtime::config::{Config, LogConfig, StoreConfig};
use loa_store::Db;

use super::logs;
use super::snapshots;
use super::stores::WITH_STORE;
use crate::exit::Failure;

/// One part and whether it answers.
pub struct Reached {
    /// What it is.
    pub part: String,
    /// Why it cannot be used.
    pub fault: Option<Failure>,
}

/// Asks everything that the configuration names outside of this process.
pub async fn reach(config: &Config) -> Vec<Reached> {
    let mut reached = Vec::new();
    if matches!(config.log, LogConfig::Kafka(_)) {
        reached.push(Reached { part: "log: Apache Kafka".to_owned(), fault: logs::reach(config).await.err() });
    }
    if matches!(config.store, StoreConfig::Postgres(_)) {
        for role in WITH_STORE {
            let url = config.store.url(role).unwrap_or_default();
            let asked = Db::reach_postgres(&url).await;
            let fault = asked.err().map(|error| Failure::of(&error));
            reached.push(Reached { part: format!("store of {role}: PostgreSQL"), fault });
        }
    }
    if let Some(Secret(url)) = &config.redis {
        let asked = match RedisBucket::new(url, "", std::sync::Arc::new(SystemClock::new())) {
            Ok(bucket) => bucket.reach().await,
            Err(error) => Err(error),
        };
        let fault = asked.err().map(|error| Failure::of(&error));
        reached.push(Reached { part: "buckets: Redis".to_owned(), fault });
    }
    if let Some(asked) = snapshots::reach(config).await {
        reached.push(Reached { part: "dataset versions and freezes: object store".to_owned(), fault: asked.err() });
    }
    reached
}
