//! Retention and compaction as the file shows them, over restarts and beside appends.
//!
//! Must stay true: what is dropped leaves the file, not only the readers' sight; a crash between two steps is mended by the
//! next run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::topics::{BlocksTopic, ControlTopic, Topic, TopicSpec};
use loa_embedded::{EmbeddedLog, Options};
use loa_ports::clock::Clock;
use loa_ports::log::{Append, Log, LogError, Position};
use loa_testkit::FakeClock;
use sqlx::Connection;

const SHORT: &TopicSpec = BlocksTopic::SPEC;
const COMPACTED: &TopicSpec = ControlTopic::SPEC;
const HOURS_3: Duration = Duration::from_secs(3 * 3_600);

struct World {
    path: PathBuf,
    clock: Arc<FakeClock>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { path: directory.path().join("log.db"), clock: FakeClock::new(), _directory: directory }
    }

    async fn open(&self) -> EmbeddedLog {
        EmbeddedLog::open(&self.path, self.clock.clone(), Options::default()).await.expect("the log opens")
    }

    async fn retain(&self, log: &EmbeddedLog) {
        log.retain(self.clock.now_us()).await.expect("retention runs");
    }
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("opens");
    let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("the file is asked");
    connection.close().await.expect("closes");
    count
}

async fn append(log: &EmbeddedLog, topic: &'static TopicSpec, key: &str, bytes: usize) -> i64 {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from(vec![7; bytes]));
    log.append(vec![Append { topic, partition: 0, key, headers: Vec::new(), value }]).await.expect("is taken")[0]
}

async fn offsets(log: &EmbeddedLog, topic: &'static TopicSpec, from: i64) -> Vec<i64> {
    let end = log.end(topic, 0).await.expect("an end is told");
    let position = Position { partition: 0, offset: from };
    let mut reader = log.reader(topic, vec![position]).await.expect("a reader begins");
    let mut offsets = Vec::new();
    while reader.position(0) != Some(end) {
        offsets.extend(reader.next(10).await.expect("a read succeeds").iter().map(|record| record.offset));
    }
    offsets
}

#[tokio::test]
async fn what_is_cut_off_leaves_the_file() {
    let world = World::new();
    let log = world.open().await;
    // Some 15 MB in 300 rows: several bites, by rows and by bytes.
    for n in 0..300 {
        append(&log, SHORT, "", if n < 150 { 100_000 } else { 10 }).await;
    }
    world.clock.turn(HOURS_3);
    let young = append(&log, SHORT, "", 10).await;
    // Appends go on while it runs.
    let (more, ()) = tokio::join!(append(&log, SHORT, "", 10), world.retain(&log));
    assert_eq!(count(&world.path, "select count(*) from batch").await, 2);
    assert_eq!(log.starts(SHORT).await.expect("starts are told"), [young]);
    log.close().await;

    let log = world.open().await;
    assert_eq!(log.starts(SHORT).await.expect("starts are told"), [young]);
    assert_eq!(offsets(&log, SHORT, young).await, [young, more]);
    world.clock.turn(HOURS_3);
    world.retain(&log).await;
    assert_eq!(count(&world.path, "select count(*) from batch").await, 0);
    assert_eq!(count(&world.path, "select count(*) from mark").await, 1);
    log.close().await;

    let log = world.open().await;
    assert_eq!(append(&log, SHORT, "", 10).await, more + 1, "an emptied topic has forgotten its end");
}

#[tokio::test]
async fn a_crash_between_cut_and_delete_is_mended() {
    let world = World::new();
    let log = world.open().await;
    for _ in 0..130 {
        append(&log, SHORT, "", 10).await;
    }
    log.close().await;
    // As if the process had died when the topic's beginning had been moved and no row was deleted yet.
    let left = count(
        &world.path,
        "delete from mark where id = (select min(id) from mark) returning (select count(*) from batch)",
    );
    assert_eq!(left.await, 130);

    let log = world.open().await;
    assert_eq!(log.starts(SHORT).await.expect("starts are told"), [128]);
    let mut behind = log.reader(SHORT, vec![Position { partition: 0, offset: 127 }]).await.expect("a reader begins");
    assert!(matches!(behind.next(1).await, Err(LogError::Gap { start: 128, wanted: 127, .. })));
    world.retain(&log).await;
    assert_eq!(count(&world.path, "select count(*) from batch").await, 2);
    assert_eq!(offsets(&log, SHORT, 128).await, [128, 129]);
}

#[tokio::test]
async fn a_compacted_topic_stays_small() {
    let world = World::new();
    let log = world.open().await;
    for n in 0..600 {
        append(&log, COMPACTED, &format!("account/{}", n % 3), 10).await;
    }
    append(&log, COMPACTED, "", 10).await;
    world.clock.turn(HOURS_3);
    world.retain(&log).await;
    let left = [597, 598, 599, 600];
    assert_eq!(offsets(&log, COMPACTED, 0).await, left);
    assert_eq!(count(&world.path, "select count(*) from batch").await, 4);
    assert!(count(&world.path, "select count(*) from mark").await <= 2, "marks between which nothing is left stayed");
    log.close().await;

    let log = world.open().await;
    assert_eq!(log.starts(COMPACTED).await.expect("starts are told"), [0], "a compacted topic has no gap");
    assert_eq!(offsets(&log, COMPACTED, 0).await, left);
    assert_eq!(offsets(&log, COMPACTED, 599).await, [599, 600]);
    assert_eq!(append(&log, COMPACTED, "account/0", 10).await, 601);
}
