//! The log port in the process, on one SQLite file.
//!
//! One writer task takes whatever calls queued up during its last commit and stores them as one row per topic: a directory
//! of the records and their bytes one after the other. It never waits to fill a group. Readers are woken by notification
//! and are served from the newest groups in memory; only who is behind reads the file.
//!
//! Must stay true: a call is acknowledged after its COMMIT was synced, and before that no reader sees it; the file belongs
//! to one process, so what this process knows of ends and starts is what the file holds.
#![warn(missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::topics::{self, TopicSpec};
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::clock::Clock;
use loa_ports::log::{Append, Log, LogError, Position, Reader};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

pub mod beside;
mod compact;
mod error;
mod file;
mod plan;
mod reader;
mod retain;
mod row;
mod scan;
mod tail;
mod varint;
mod writer;

pub use error::OpenError;
use file::File;
use reader::EmbeddedReader;
use tail::Shared;
use writer::{Call, Change, Order, Writer};

/// Append calls that may queue for the writer.
const QUEUE_CALLS_MAX: usize = 4_096;
/// Bytes of append calls that may queue for the writer; who comes later waits.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an installation may set.
#[derive(Debug, Clone)]
pub struct Options {
    /// A record drops older ones of its key (compacted topics only) once it is itself this old.
    pub compaction_lag: Duration,
    /// Newest groups kept in memory for readers that keep up, in bytes over all topics.
    pub recent_bytes_max: usize,
    /// Size of the file; when it is full, appends fail until retention has made room.
    pub file_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compaction_lag: Duration::from_secs(60 * 60),
            recent_bytes_max: 16 * 1024 * 1024,
            file_bytes_max: 256 * 1024 * 1024 * 1024,
        }
    }
}

/// The log on one file.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    options: Options,
    calls: mpsc::Sender<Call>,
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    stop: Arc<Notify>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// One retention at a time: its steps build on each other.
    upkeep: tokio::sync::Mutex<retain::Upkeep>,
}

impl std::fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedLog").field("options", &self.options).finish_non_exhaustive()
    }
}

impl EmbeddedLog {
    /// Opens or creates the file and takes it for this process; the directory must exist.
    #[allow(clippy::disallowed_methods, reason = "the one writer task; `close` waits for it")]
    pub async fn open(path: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Self, OpenError> {
        let file = File::take(path, options.file_bytes_max)?;
        let (connection, loaded) = file.create().await?;
        let shared = Arc::new(Shared::new(file.readers(), options.recent_bytes_max, &loaded));
        let (calls, calls_of_writer) = mpsc::channel(QUEUE_CALLS_MAX);
        let (orders, orders_of_writer) = mpsc::channel(1);
        let stop = Arc::new(Notify::new());
        let writer = Writer::new(file, connection, loaded, Arc::clone(&shared), clock);
        let writer = tokio::spawn(writer.run(calls_of_writer, orders_of_writer, Arc::clone(&stop)));
        Ok(Self {
            shared,
            options,
            calls,
            orders,
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            stop,
            writer: Mutex::new(Some(writer)),
            upkeep: tokio::sync::Mutex::default(),
        })
    }

    /// Appends what has queued, then closes the file and gives it free; later calls fail with [`LogError::Away`].
    pub async fn close(&self) {
        self.stop.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the log's writer did not end well");
        }
    }

    /// Statements that readers have sent to the file so far; a reader that keeps up sends none.
    pub fn reader_statements(&self) -> u64 {
        self.shared.statements()
    }

    /// Has the writer change the file between two groups.
    async fn order(&self, change: Change) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order { change, reply }).await.map_err(|_| error::closed())?;
        answer.await.map_err(|_| error::closed())?
    }
}

/// A topic's number: its place in [`topics::ALL`].
fn number(topic: &'static TopicSpec, partition: u32) -> Result<u16, LogError> {
    let no_partition = || LogError::NoPartition { topic: topic.name, partition };
    let at = topics::ALL.iter().position(|known| known.name == topic.name).ok_or_else(no_partition)?;
    if partition < topic.partitions { u16::try_from(at).map_err(|_| no_partition()) } else { Err(no_partition()) }
}

/// A record's bytes as the limit counts them.
fn size(record: &Append) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.len() + headers + record.value.len()
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut numbers = Vec::with_capacity(records.len());
        let mut bytes = 0;
        for record in &records {
            numbers.push(number(record.topic, record.partition)?);
            let size = size(record);
            if size > RECORD_BYTES_MAX {
                return Err(LogError::TooLarge { topic: record.topic.name, bytes: size, max: RECORD_BYTES_MAX });
            }
            bytes += size;
        }
        let permits = u32::try_from(bytes.min(QUEUE_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| error::closed())?;
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call { records, numbers, bytes, reply, room }).await.map_err(|_| error::closed())?;
        answer.await.map_err(|_| error::closed())?
    }

    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
        let topic_number = number(topic, 0)?;
        self.shared.reachable()?;
        let mut reader = EmbeddedReader::new(Arc::clone(&self.shared), topic, topic_number);
        for position in from {
            number(topic, position.partition)?;
            reader.assign(position);
        }
        Ok(Box::new(reader))
    }

    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError> {
        let topic_number = number(topic, partition)?;
        self.shared.reachable()?;
        Ok(self.shared.end(topic_number, partition))
    }

    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        let topic_number = number(topic, 0)?;
        self.shared.reachable()?;
        Ok(self.shared.ends(topic_number))
    }

    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        let topic_number = number(topic, 0)?;
        self.shared.reachable()?;
        Ok(self.shared.starts(topic_number))
    }

    async fn retain(&self, now_us: i64) -> Result<(), LogError> {
        self.retain_all(now_us).await
    }
}
