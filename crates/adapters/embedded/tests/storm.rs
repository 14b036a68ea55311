//! The storm over a real log: it does what it says, and no more than a log may do.
//!
//! Must stay true: nothing is lost, new records keep their order, positions never pass what was not returned.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::topics::{SettlementsTopic, Topic, TopicSpec};
use loa_embedded::{EmbeddedLog, Options};
use loa_ports::log::{Append, Log, Position};
use loa_testkit::storm::log::{StormConfig, StormLog};
use loa_testkit::suites::log::{LogUnderTest, log_holds};
use loa_testkit::{FakeClock, eventually};

const TOPIC: &TopicSpec = SettlementsTopic::SPEC;

async fn storm(config: StormConfig) -> (Arc<StormLog>, tempfile::TempDir, Arc<FakeClock>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = FakeClock::new();
    let log =
        EmbeddedLog::open(&directory.path().join("log.db"), clock.clone(), Options::default()).await.expect("opens");
    (StormLog::new(Arc::new(log), config), directory, clock)
}

fn record(partition: u32, value: i64) -> Append {
    let value = Bytes::from(value.to_string());
    Append { topic: TOPIC, partition, key: Bytes::new(), headers: Vec::new(), value }
}

/// With nothing repeated and no answer lost it is a log like any other, however late and however often dropped.
#[tokio::test]
async fn a_calm_storm_is_a_log() {
    log_holds(async || {
        let (log, directory, clock) = storm(StormConfig { drop_share: 0.3, ..StormConfig::calm(7) }).await;
        let compaction_lag = Options::default().compaction_lag;
        LogUnderTest { log, clock, compaction_lag, keeps: Box::new(directory) }
    })
    .await;
}

#[tokio::test]
async fn records_come_again_and_late_but_come() {
    const RECORDS: i64 = 400;
    let rough = StormConfig { repeat_share: 0.3, delay_ms_max: 3, ..StormConfig::rough(11) };
    let (log, _directory, _clock) = storm(rough).await;
    let mut lost_answers = 0;
    for n in 0..RECORDS {
        // Appending until it is said to be taken: a lost answer makes a second record of it.
        while log.append(vec![record(1, n), record(2, n)]).await.is_err() {
            lost_answers += 1;
        }
    }
    assert!(lost_answers > 0, "no answer was lost");
    let end = log.end(TOPIC, 1).await.expect("an end is told");
    assert_eq!(end, RECORDS + lost_answers, "a lost answer is an append that took effect");

    let from = [1, 2].map(|partition| Position { partition, offset: 0 }).to_vec();
    let mut reader = log.reader(TOPIC, from).await.expect("a reader begins");
    let (mut next, mut repeats) = ([0, 0], 0);
    while next != [end, end] {
        let records = reader.next(7).await.expect("a read succeeds");
        assert!((1..=7).contains(&records.len()));
        for record in &records {
            let next = &mut next[usize::try_from(record.partition).expect("1 or 2") - 1];
            assert!(record.offset <= *next, "a record was lost");
            repeats += i64::from(record.offset < *next);
            *next = (*next).max(record.offset + 1);
        }
        assert_eq!([reader.position(1), reader.position(2)], next.map(Some), "a position is not what was returned");
        let last_of_1 = records.iter().rfind(|record| record.partition == 1);
        assert!(last_of_1.is_none_or(|last| last.offset + 1 == next[0]), "a batch ends with a repeat");
    }
    assert!(repeats > 50, "{repeats} repeats of {end} records at a share of 0.3");
}

#[tokio::test]
async fn a_log_can_go_away_and_come_back() {
    let (log, _directory, _clock) = storm(StormConfig::calm(1)).await;
    log.append(vec![record(1, 0)]).await.expect("an append is taken");
    let mut reader = log.reader(TOPIC, vec![Position { partition: 1, offset: 1 }]).await.expect("a reader begins");
    let (read, ()) = tokio::join!(reader.next(1), async {
        tokio::task::yield_now().await;
        log.away(true);
    });
    assert!(read.expect_err("a read under way is told").is_away());
    assert!(reader.next(1).await.expect_err("away").is_away());
    assert!(log.append(vec![record(1, 1)]).await.expect_err("away").is_away());
    assert!(log.end(TOPIC, 1).await.expect_err("away").is_away());
    assert!(log.ends(TOPIC).await.expect_err("away").is_away());

    log.away(false);
    assert_eq!(log.append(vec![record(1, 1)]).await.expect("an append is taken"), [1]);
    assert_eq!(reader.next(1).await.expect("a read succeeds")[0].offset, 1);
}

#[tokio::test]
async fn each_topic_has_its_own_delay() {
    let slow = StormConfig { delay_of_topic_ms_max: [(TOPIC.name, 600_000)].into(), ..StormConfig::calm(3) };
    let (log, _directory, _clock) = storm(slow).await;
    let other = loa_contract::topics::OutcomesTopic::SPEC;
    log.append(vec![record(1, 0), Append { topic: other, ..record(1, 0) }]).await.expect("an append is taken");
    let from = vec![Position { partition: 1, offset: 0 }];
    let mut late = log.reader(TOPIC, from.clone()).await.expect("a reader begins");
    let mut prompt = log.reader(other, from).await.expect("a reader begins");
    eventually("the other topic is not delayed", async || {
        prompt.position(1) == Some(1) || prompt.next(1).await.is_ok()
    })
    .await;
    let early = tokio::time::timeout(Duration::from_millis(50), late.next(1)).await;
    assert!(early.is_err(), "up to ten minutes of delay were over at once");
    assert_eq!(late.position(1), Some(0), "a delayed record counts as returned");
}
