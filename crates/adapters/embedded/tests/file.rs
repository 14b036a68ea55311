//! The file as an operator meets it: in use, of another release, full, closed, and opened again.
//!
//! Must stay true: what a refusal says names the file or the topic, and the cure.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::topics::{BlocksTopic, SettlementsTopic, Topic, TopicSpec};
use loa_embedded::{EmbeddedLog, OpenError, Options};
use loa_ports::clock::Clock;
use loa_ports::log::{Append, Log, LogError, Position};
use loa_testkit::{FakeClock, eventually};
use sqlx::Connection;

const WIDE: &TopicSpec = SettlementsTopic::SPEC;
const SHORT: &TopicSpec = BlocksTopic::SPEC;
const MIB: u64 = 1024 * 1024;

async fn open(path: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(path, FakeClock::new(), Options::default()).await
}

fn record(topic: &'static TopicSpec, partition: u32, bytes: usize) -> Append {
    Append { topic, partition, key: Bytes::new(), headers: Vec::new(), value: Bytes::from(vec![7; bytes]) }
}

fn from(partition: u32, offset: i64) -> Vec<Position> {
    vec![Position { partition, offset }]
}

async fn change(path: &Path, sql: &'static str) {
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("opens");
    sqlx::query(sql).execute(&mut connection).await.expect("the file is changed");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn a_second_process_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.db");
    let first = open(&path).await.expect("a new log opens");
    let refused = open(&path).await.expect_err("the file is taken");
    assert!(matches!(refused, OpenError::InUse { .. }) && refused.to_string().contains("another process"), "{refused}");
    first.close().await;
    open(&path).await.expect("a closed log is free");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.db");
    let nowhere = open(&directory.path().join("no such directory/log.db")).await.expect_err("there is no directory");
    assert!(matches!(nowhere, OpenError::Io { .. }), "{nowhere}");

    open(&path).await.expect("a new log opens").close().await;
    change(&path, "update topic set partitions = 65 where number = 12").await;
    let differs = open(&path).await.expect_err("a topic differs").to_string();
    assert!(differs.contains("`settlements.v1` with 65 partitions") && differs.contains("with 64"), "{differs}");
    change(&path, "update topic set partitions = 64 where number = 12").await;
    change(&path, "pragma user_version = 2").await;
    let newer = open(&path).await.expect_err("the format is newer").to_string();
    assert!(newer.contains("format 2 and this release knows 1"), "{newer}");

    std::fs::write(&path, "this is no database, but long enough to be looked at as if it were one")
        .expect("is written");
    let no_database = open(&path).await.expect_err("that is no database");
    assert!(matches!(no_database, OpenError::Database { .. }), "{no_database}");
}

#[tokio::test]
async fn a_closed_log_is_away() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = open(&directory.path().join("log.db")).await.expect("a new log opens");
    let mut waiting = log.reader(SHORT, from(0, 0)).await.expect("a reader begins");
    let (read, ()) = tokio::join!(waiting.next(1), log.close());
    assert!(read.expect_err("nothing can come any more").is_away());
    for error in [
        log.append(vec![record(SHORT, 0, 1)]).await.expect_err("closed"),
        log.end(SHORT, 0).await.expect_err("closed"),
        log.reader(SHORT, from(0, 0)).await.map(|_| "a reader").expect_err("closed"),
        log.retain(0).await.expect_err("closed"),
    ] {
        assert!(error.is_away(), "{error}");
    }
    log.close().await;
}

#[tokio::test]
async fn an_opened_file_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.db");
    let mut appended = 0;
    // Past several marks, opened again at different distances from the last.
    for appends in [1, 127, 1, 200, 61] {
        let log = open(&path).await.expect("the log opens");
        assert_eq!(log.end(WIDE, 5).await.expect("an end is told"), appended);
        for _ in 0..appends {
            let offsets = log.append(vec![record(WIDE, 5, 10), record(WIDE, 6, 10)]).await.expect("an append is taken");
            assert_eq!(offsets, [appended, appended]);
            appended += 1;
        }
        for offset in [0, appended / 2, appended - 1] {
            let mut reader = log.reader(WIDE, from(6, offset)).await.expect("a reader begins");
            assert_eq!(reader.next(1).await.expect("a read succeeds")[0].offset, offset);
        }
        log.close().await;
    }
}

#[tokio::test]
async fn who_keeps_up_leaves_the_file_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = open(&directory.path().join("log.db")).await.expect("a new log opens");
    let mut reader = log.reader(WIDE, from(5, 0)).await.expect("a reader begins");
    for offset in 0..100 {
        log.append(vec![record(WIDE, 5, 1_000), record(SHORT, 0, 1)]).await.expect("an append is taken");
        assert_eq!(reader.next(10).await.expect("a read succeeds")[0].offset, offset);
    }
    assert_eq!(log.reader_statements(), 0);
}

#[tokio::test]
async fn a_position_past_the_end_is_damage() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = open(&directory.path().join("log.db")).await.expect("a new log opens");
    log.append(vec![record(SHORT, 0, 1)]).await.expect("an append is taken");
    let mut reader = log.reader(SHORT, from(0, 2)).await.expect("a reader begins");
    let error = reader.next(1).await.expect_err("offset 1 is missing");
    assert!(matches!(error, LogError::Damaged { .. }) && error.to_string().contains("ends at 1"), "{error}");
}

/// A full disk and a full file fail alike; the file's own limit can be reached without one.
#[tokio::test]
async fn a_full_file_is_away_until_there_is_room() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = FakeClock::new();
    let options = Options { file_bytes_max: 8 * MIB, ..Options::default() };
    let log = EmbeddedLog::open(&directory.path().join("log.db"), clock.clone(), options).await.expect("opens");
    let mut taken = 0;
    let error = loop {
        match log.append(vec![record(SHORT, 0, 500_000)]).await {
            Ok(offsets) => assert_eq!(offsets, [taken], "a failed append has moved the offsets"),
            Err(error) => break error,
        }
        taken += 1;
        assert!(taken < 20, "8 MiB hold more than 10 MB");
    };
    assert!(error.is_away() && taken > 10, "{taken} taken, then {error}");
    assert!(log.append(vec![record(SHORT, 0, 500_000)]).await.expect_err("still full").is_away());

    let mut reader = log.reader(SHORT, from(0, 0)).await;
    if reader.is_err() {
        // Away is what a question gets until the writer's own trial has found room for something small.
        eventually("the log answers again", async || log.end(SHORT, 0).await.is_ok_and(|end| end == taken)).await;
        reader = log.reader(SHORT, from(0, 0)).await;
    }
    let mut reader = reader.expect("a reader begins");
    for offset in 0..taken {
        let read = reader.next(1).await.expect("what was taken can be read");
        assert_eq!((read[0].offset, read[0].value.len()), (offset, 500_000));
    }

    clock.turn(Duration::from_secs(3 * 3_600));
    log.retain(clock.now_us()).await.expect("retention needs no room");
    eventually("appends are taken again", async || log.append(vec![record(SHORT, 0, 500_000)]).await.is_ok()).await;
    assert_eq!(log.end(SHORT, 0).await.expect("an end is told"), taken + 1);
}
