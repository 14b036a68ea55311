//! What every log must do, whichever technology keeps it.
//!
//! What needs a second process (reading on after kill -9) stands with the adapter; this is all that one process can see.
//!
//! Must stay true: a case knows the port alone and gets a log with nothing in it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::topics::{BlocksTopic, ControlTopic, SettlementsTopic, Topic, TopicSpec};
use loa_ports::log::{Append, Log, LogError, Position, Reader, Record};

use crate::clock::FakeClock;

mod age;
mod limits;
mod order;
mod readers;
mod wake;

/// 64 partitions, kept for 14 days.
const WIDE: &TopicSpec = SettlementsTopic::SPEC;
/// 1 partition, kept for 1 hour.
const SHORT: &TopicSpec = BlocksTopic::SPEC;
/// 1 partition, compacted.
const COMPACTED: &TopicSpec = ControlTopic::SPEC;
/// Any call that should answer, answers within this.
const LIMIT: Duration = Duration::from_secs(30);

/// An empty log and the clock it looks at.
pub struct LogUnderTest {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Ages records as the log sees them.
    pub clock: Arc<FakeClock>,
    /// The youngest age at which a record may drop older ones of its key.
    pub compaction_lag: Duration,
    /// Whatever must live as long as the log, such as its directory.
    pub keeps: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for LogUnderTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogUnderTest").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Runs every case, each on a log of its own.
pub async fn log_holds(make: impl AsyncFn() -> LogUnderTest) {
    order::a_partition_keeps_its_order(make().await).await;
    order::ends_are_exact(make().await).await;
    order::what_is_read_is_what_was_appended(make().await).await;
    readers::a_stored_offset_is_read_on_from(make().await).await;
    readers::two_readers_do_not_disturb_each_other(make().await).await;
    readers::all_partitions_by_one_reader(make().await).await;
    readers::partitions_come_and_go(make().await).await;
    readers::a_slow_reader_gets_everything(make().await).await;
    readers::a_dropped_read_loses_nothing(make().await).await;
    wake::a_reader_is_woken_and_does_not_poll(make().await).await;
    limits::a_record_has_a_limit(make().await).await;
    limits::a_topic_has_so_many_partitions(make().await).await;
    age::what_is_old_goes_and_what_is_young_stays(make().await).await;
    age::an_idle_topic_empties_and_goes_on(make().await).await;
    age::below_the_start_is_a_gap(make().await).await;
    age::the_newest_of_each_key_stays(make().await).await;
}

fn record(topic: &'static TopicSpec, partition: u32, value: impl Into<String>) -> Append {
    Append { topic, partition, key: Bytes::new(), headers: Vec::new(), value: Bytes::from(value.into()) }
}

fn keyed(topic: &'static TopicSpec, key: &'static str, value: &'static str) -> Append {
    Append { key: Bytes::from_static(key.as_bytes()), ..record(topic, 0, value) }
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.to_vec()).expect("the suite appends text")
}

/// Every partition of a topic from its beginning.
fn from_zero(topic: &TopicSpec) -> Vec<Position> {
    (0..topic.partitions).map(|partition| Position { partition, offset: 0 }).collect()
}

async fn append(log: &dyn Log, records: Vec<Append>) -> Vec<i64> {
    within("an append", log.append(records)).await.expect("an append is taken")
}

async fn reader(log: &dyn Log, topic: &'static TopicSpec, from: Vec<Position>) -> Box<dyn Reader> {
    within("a reader", log.reader(topic, from)).await.expect("a reader begins")
}

async fn next(reader: &mut dyn Reader, records_max: usize) -> Vec<Record> {
    within("a read", reader.next(records_max)).await.expect("a read succeeds")
}

/// Reads so many records, at most `records_max` at once.
async fn read(reader: &mut dyn Reader, count: usize, records_max: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < count {
        let wanted = records_max.min(count - all.len());
        let records = next(reader, wanted).await;
        assert!((1..=wanted).contains(&records.len()), "{} records where 1 to {wanted} may come", records.len());
        all.extend(records);
    }
    all
}

/// Whether nothing is there to be read now.
async fn nothing_comes(reader: &mut dyn Reader) -> bool {
    tokio::time::timeout(Duration::from_millis(50), reader.next(1)).await.is_err()
}

async fn within<T>(what: &str, call: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, call).await.unwrap_or_else(|_| panic!("{what} had no answer within {LIMIT:?}"))
}

fn gap(result: Result<Vec<Record>, LogError>) -> (u32, i64, i64) {
    match result {
        Err(LogError::Gap { partition, start, wanted, .. }) => (partition, start, wanted),
        other => panic!("a gap was expected, not {other:?}"),
    }
}
