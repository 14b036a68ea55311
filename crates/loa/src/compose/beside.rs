//! Stores and log of an installation that runs, looked at and copied from outside of its processes.
//!
//! Must stay true: nothing is changed or brought to another version by looking; where the log is a file, what was
//! acknowledged before a look is seen by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loa_contract::topics::{self, TopicSpec};
use loa_embedded::beside;
use loa_ports::clock::SystemClock;
use loa_ports::store::StoreError;
use loa_runtime::Role;
use loa_runtime::config::{Config, LogConfig};
use loa_runtime::service::Chain;
use loa_store::{Db, Still, all_offsets, unsettled_releases};

use super::logs::OwnLog;
use super::stores::WITH_STORE;
use crate::exit::Failure;

/// Where each topic begins and ends, by name.
pub type Bounds = BTreeMap<&'static str, Vec<(i64, i64)>>;

/// An installation, from outside.
pub struct Beside {
    stores: BTreeMap<&'static str, Db>,
    log: LogBeside,
    config: Config,
}

enum LogBeside {
    File(PathBuf),
    Kafka(Box<OwnLog>),
}

impl Beside {
    /// Connects to every store and to the log.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let mut stores = BTreeMap::new();
        for role in WITH_STORE {
            let file = config.node.data.join(format!("{role}.db"));
            let attached = match config.store.url(role) {
                None if !file.exists() => {
                    let folder = config.node.data.display();
                    return Err(Failure::Usage(format!(
                        "--data `{folder}`: there is no {role}.db; name the data folder of the loa that runs"
                    )));
                }
                None => Db::attach(&file, role.name()).await,
                Some(url) => Db::attach_postgres(&url, role.name()).await,
            };
            stores.insert(role.name(), attached.map_err(|error| fault(role, &error))?);
        }
        let log = match config.log {
            LogConfig::Embedded => LogBeside::File(config.node.data.join("log.db")),
            LogConfig::Kafka(_) => {
                LogBeside::Kafka(Box::new(OwnLog::open(config, Arc::new(SystemClock::new())).await?))
            }
        };
        Ok(Self { stores, log, config: config.clone() })
    }

    fn store(&self, role: Role) -> Result<&Db, Failure> {
        self.stores.get(role.name()).ok_or_else(|| Failure::Failed(format!("no store of {role} is open")))
    }

    /// Releases that were offered and not answered.
    pub async fn unsettled(&self) -> Result<u64, Failure> {
        unsettled_releases(self.store(Role::Dispatch)?).await.map_err(|error| fault(Role::Dispatch, &error))
    }

    /// How far a role has stored what it read, by topic and partition; the furthest of its readers.
    pub async fn read_up_to(&self, role: Role) -> Result<BTreeMap<(String, u32), i64>, Failure> {
        let mut read = BTreeMap::new();
        for offset in all_offsets(self.store(role)?).await.map_err(|error| fault(role, &error))? {
            let next = read.entry((offset.topic, offset.partition)).or_insert(offset.next);
            *next = offset.next.max(*next);
        }
        Ok(read)
    }

    /// Where each topic begins and ends.
    pub async fn bounds(&self) -> Result<Bounds, Failure> {
        match &self.log {
            LogBeside::File(path) => beside::bounds(path).await.map_err(|error| Failure::of(&error)),
            LogBeside::Kafka(own) => {
                let log = own.port();
                let mut bounds = Bounds::new();
                for topic in topics::ALL {
                    let starts = log.starts(topic).await.map_err(|error| Failure::of(&error))?;
                    let ends = log.ends(topic).await.map_err(|error| Failure::of(&error))?;
                    bounds.insert(topic.name, starts.into_iter().zip(ends).collect());
                }
                Ok(bounds)
            }
        }
    }

    /// The store of a role as it is now: a file is copied at once, a database is kept readable and dumped later.
    pub async fn take(&self, role: Role, folder: &Path) -> Result<Option<Still>, Failure> {
        let db = self.store(role)?;
        let taken = match self.config.store.url(role) {
            None => db.copy_to(&folder.join(format!("{role}.db"))).await.map(|()| None),
            Some(_) => db.still().await.map(Some),
        };
        taken.map_err(|error| fault(role, &error))
    }

    /// Copies the log where it is a file; whether it is one.
    pub async fn take_log(&self, to: &Path) -> Result<bool, Failure> {
        match &self.log {
            LogBeside::File(path) => beside::copy(path, to).await.map(|()| true).map_err(|error| Failure::of(&error)),
            LogBeside::Kafka(_) => Ok(false),
        }
    }

    /// The major version of the PostgreSQL servers, the newest of them; 0 where the stores are files.
    pub async fn server_version(&self) -> Result<u32, Failure> {
        let mut newest = 0;
        for role in WITH_STORE {
            newest = newest.max(self.store(role)?.server_version().await.map_err(|error| fault(role, &error))?);
        }
        Ok(newest)
    }

    /// Ends every connection.
    pub async fn close(&self) {
        for db in self.stores.values() {
            db.close().await;
        }
        if let LogBeside::Kafka(own) = &self.log {
            own.close().await;
        }
    }
}

/// Topics that hold records, of a log that must be empty.
pub async fn records_of(config: &Config) -> Result<Vec<&'static TopicSpec>, Failure> {
    let own = OwnLog::open(config, Arc::new(SystemClock::new())).await?;
    let log = own.port();
    let mut found = Vec::new();
    for topic in topics::ALL {
        let ends = log.ends(topic).await.map_err(|error| Failure::of(&error))?;
        if ends.iter().any(|&end| end > 0) {
            found.push(*topic);
        }
    }
    own.close().await;
    Ok(found)
}

fn fault(role: Role, error: &StoreError) -> Failure {
    Failure::Failed(format!("the store of {role} cannot be copied: {}", Chain(error)))
}
