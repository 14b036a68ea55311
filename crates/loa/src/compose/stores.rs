//! Stores: one SQLite file per role, or one database per role of PostgreSQL.

use loa_contract::topics;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_runtime::Role;
use loa_runtime::config::{Config, LogConfig, StoreConfig};
use loa_runtime::service::Chain;
use loa_store::{Db, SqlRegistry, forget_offsets, offsets, skip_positions};

use super::Base;
use super::logs::OwnLog;
use crate::exit::Failure;
use crate::place::Place;

/// Roles with a store of their own.
pub const WITH_STORE: [Role; 6] =
    [Role::Registry, Role::Audience, Role::Dispatch, Role::Sms, Role::Email, Role::Report];

/// A storm over the stores: this share of COMMITs has no answer.
#[derive(Debug, Clone, Copy)]
pub struct StoreFaults {
    /// Of the dice.
    pub seed: u64,
    /// 0 to 1.
    pub share: f64,
}

/// The role's store.
pub(super) async fn open(base: &Base, role: Role) -> Result<Db, Failure> {
    let db = open_store(&base.config, role).await?;
    Ok(match base.faults {
        Some(StoreFaults { seed, share }) => db.with_faults(seed, share),
        None => db,
    })
}

/// The store of a role that the configuration names.
pub async fn open_store(config: &Config, role: Role) -> Result<Db, Failure> {
    let opened = match config.store.url(role) {
        None => Db::open(&config.node.data.join(format!("{role}.db")), role.name()).await,
        Some(url) => Db::open_postgres(&url, role.name()).await,
    };
    opened.map_err(|error| Failure::Failed(format!("the store of {role} cannot be used: {}", Chain(&error))))
}

/// Where files of the data folder are used, nobody else may.
fn alone(config: &Config) -> Result<Option<Place>, Failure> {
    let has_files = matches!(config.log, LogConfig::Embedded) || matches!(config.store, StoreConfig::Sqlite);
    has_files.then(|| Place::open(&config.node.data, false).map_err(Failure::Failed)).transpose()
}

/// Brings every store to this version; names of the roles.
pub async fn migrate(config: &Config) -> Result<Vec<&'static str>, Failure> {
    let _place = alone(config)?;
    for role in WITH_STORE {
        open_store(config, role).await?.close().await;
    }
    Ok(WITH_STORE.map(Role::name).to_vec())
}

/// What stores that were put back from a backup need before their first start; what was done to campaigns and notices.
/// Where the log is another one than theirs, it is read from its start and told everything anew.
pub async fn put_back(config: &Config, has_own_log: bool) -> Result<loa_registry::Restored, Failure> {
    let fault = |role: Role| move |error| Failure::Failed(format!("the store of {role}: {}", Chain(&error)));
    let mut restored = loa_registry::Restored::default();
    for role in WITH_STORE {
        let db = open_store(config, role).await?;
        if !has_own_log {
            forget_offsets(&db).await.map_err(fault(role))?;
        }
        if role == Role::Audience {
            skip_positions(&db).await.map_err(fault(role))?;
        }
        if role == Role::Registry {
            let now_us = SystemClock::new().now_us();
            restored = loa_registry::restore(&SqlRegistry::new(db.clone()), now_us).await.map_err(fault(role))?;
        }
        db.close().await;
    }
    Ok(restored)
}

/// How far each reader is behind, by reader and topic; where log or stores are files, those of a stopped process.
pub async fn lag(config: &Config) -> Result<Vec<(String, String, i64)>, Failure> {
    let _place = alone(config)?;
    let own = OwnLog::open(config, std::sync::Arc::new(SystemClock::new())).await?;
    let log = own.port();
    let mut rows = Vec::new();
    for role in WITH_STORE {
        let db = open_store(config, role).await?;
        for topic in topics::ALL {
            let ends = log.ends(topic).await.map_err(|error| Failure::of(&error))?;
            let read = offsets(&db, role.name()).await.map_err(|error| Failure::of(&error))?;
            let of_topic: Vec<_> = read.iter().filter(|offset| offset.topic == topic.name).collect();
            let behind =
                of_topic.iter().map(|offset| ends.get(offset.partition as usize).copied().unwrap_or(0) - offset.next);
            if !of_topic.is_empty() {
                rows.push((role.name().to_owned(), topic.name.to_owned(), behind.sum()));
            }
        }
        db.close().await;
    }
    own.close().await;
    Ok(rows)
}
