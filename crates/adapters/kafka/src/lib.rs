//! The log port on Apache Kafka 3.7 or newer.
//!
//! One idempotent producer and one client for questions serve the whole process; each reader that reads something has a
//! client of its own, so that none waits for another. No consumer groups and no transactions: who reads what is decided by
//! leases, and offsets stand with the state they produced.
//!
//! Must stay true: an acknowledged append is on as many copies as must be in step (with one copy: synced to the disk) and
//! below every end told later; a reader returns each record once, in the order of its partition, whatever happens to brokers
//! and connections; while the log is away every call but a read answers within a bounded time, and all of it goes on by
//! itself afterwards.
#![warn(missing_docs)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::topics::TopicSpec;
use loa_ports::clock::Clock;
use loa_ports::log::{Append, Log, LogError, Position, Reader};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;

mod asker;
mod config;
mod error;
mod reader;
mod sender;
mod topics;
mod track;
mod voice;
mod watch;

pub use asker::ASK_WITHIN;
pub use config::{APPEND_WITHIN, KafkaConfig, Mechanism, Sasl, Tls};
pub use error::OpenError;
pub use topics::{COMPACTION_LAG, Difference, Report, apply, verify};
pub use watch::LOOK_EVERY;

use asker::{Asker, all_of};
use error::{away, closed};
use reader::KafkaReader;
use sender::Sender;
use track::Readers;
use voice::Voice;

/// How long writing down how far a group has read may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// The log on Apache Kafka.
pub struct KafkaLog {
    config: Arc<KafkaConfig>,
    sender: Sender,
    asker: Arc<Asker>,
    readers: Arc<Readers>,
    watch: Mutex<Option<JoinHandle<()>>>,
    /// Groups whose offsets are being written down.
    committing: Arc<Mutex<HashSet<String>>>,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, compares the topics with the contract, and returns when the first append would wait for nothing.
    #[allow(clippy::disallowed_methods, reason = "the one task that looks at silent readers; `close` ends it")]
    pub async fn open(config: KafkaConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let refused = |error: KafkaError| OpenError::Config { why: error.to_string() };
        let config = Arc::new(config);
        let sender = Sender::open(Arc::clone(&config), Arc::clone(&clock));
        let (sender, verified) = tokio::join!(sender, topics::verify(&config));
        verified?;
        let sender = sender.map_err(refused)?;
        let asker = Asker::new(Arc::clone(&config), clock).map_err(refused)?;
        let readers = Readers::new(Arc::clone(&config), Arc::clone(&asker));
        let watch = tokio::spawn(watch::watch(Arc::clone(&readers)));
        let committing = Arc::default();
        Ok(Self { config, sender, asker, readers, watch: Mutex::new(Some(watch)), committing })
    }

    /// Waits for what is being appended, then ends; later calls fail with [`LogError::Away`].
    pub async fn close(&self) {
        self.stop_watch();
        self.readers.close();
        self.sender.close().await;
    }

    /// Writes down for lag tools how far a reader has read: the offset of the next record of each partition, under the group
    /// prefix + name. Nothing of Loa reads it, so a failure harms nobody. It takes a connection of its own: once a minute
    /// is often enough.
    pub async fn commit(&self, group: &str, topic: &'static TopicSpec, next: &[Position]) -> Result<(), LogError> {
        if self.readers.is_closed() {
            return Err(closed());
        }
        let mut list = TopicPartitionList::with_capacity(next.len());
        for position in next {
            let partition = i32::try_from(position.partition).unwrap_or(i32::MAX);
            let added = list.add_partition_offset(&self.config.name(topic), partition, Offset::Offset(position.offset));
            added.map_err(|_| LogError::NoPartition { topic: topic.name, partition: position.partition })?;
        }
        let busy = Busy::new(&self.committing, group).ok_or_else(|| away("the last commit is still under way"))?;
        let config = self.config.group(group);
        let commit = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            let client: BaseConsumer<Voice> = config.create_with_context(Voice::new("commit"))?;
            client.commit(&list, CommitMode::Sync)
        });
        let done = tokio::time::timeout(COMMIT_WITHIN, commit).await.map_err(|_| away("no answer to a commit"))?;
        done.map_err(|error| away(error.to_string()))?.map_err(|error| away(error.to_string()))
    }

    fn stop_watch(&self) {
        if let Some(watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() {
            watch.abort();
        }
    }

    fn check(&self, topic: &'static TopicSpec, partition: u32) -> Result<(), LogError> {
        if self.readers.is_closed() {
            return Err(closed());
        }
        let is_there = partition < topic.partitions;
        if is_there { Ok(()) } else { Err(LogError::NoPartition { topic: topic.name, partition }) }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.stop_watch();
        self.readers.close();
    }
}

/// A group in use until this is dropped.
struct Busy(Arc<Mutex<HashSet<String>>>, String);

impl Busy {
    fn new(all: &Arc<Mutex<HashSet<String>>>, group: &str) -> Option<Self> {
        let is_free = all.lock().unwrap_or_else(PoisonError::into_inner).insert(group.to_owned());
        is_free.then(|| Self(Arc::clone(all), group.to_owned()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.sender.append(records).await
    }

    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
        self.check(topic, 0)?;
        let mut reader = KafkaReader::new(Arc::clone(&self.readers), topic);
        for position in from {
            self.check(topic, position.partition)?;
            reader.assign(position);
        }
        Ok(Box::new(reader))
    }

    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError> {
        self.check(topic, partition)?;
        let ends = self.asker.ends(vec![(topic, partition)]).await?;
        ends.first().copied().ok_or_else(|| away("no answer"))
    }

    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.check(topic, 0)?;
        self.asker.ends(all_of(topic)).await
    }

    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.check(topic, 0)?;
        self.asker.starts(all_of(topic)).await
    }

    /// Nothing: the brokers drop what is older than a topic keeps, by the settings that `loa topics apply` gave it;
    /// [`Log::starts`] shows it.
    async fn retain(&self, _now_us: i64) -> Result<(), LogError> {
        if self.readers.is_closed() { Err(closed()) } else { Ok(()) }
    }
}
