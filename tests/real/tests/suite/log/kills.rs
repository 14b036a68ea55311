//! Brokers are killed while records are appended and read.
//!
//! Must stay true: each test has brokers of its own; what was acknowledged is read once and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use loa_contract::topics::{BlocksTopic, ControlTopic, Topic as _};
use loa_harness::turns::beside_others;
use loa_harness::wait::until;
use loa_harness::{TestResult, fault, say};
use loa_kafka::{APPEND_WITHIN, ASK_WITHIN, KafkaConfig, KafkaLog};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::{Append, Log as _, Position};
use loa_real::kafka::Kafka;
use tokio::task::JoinSet;

use super::{READ_WITHIN, WIDE, config, next, open, record};

/// Partitions that are appended to while nodes are killed.
const PARTITIONS: u32 = 8;

/// Appends while brokers come and go; what was not acknowledged is appended again, as every caller does.
async fn append_on(
    log: &KafkaLog,
    partition: u32,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> BTreeMap<i64, String> {
    let mut taken = BTreeMap::new();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let value = format!("{partition}/{number:06}");
        loop {
            let clock = SystemClock::new();
            match log.append(vec![record(partition, value.clone())]).await {
                Ok(offsets) => {
                    assert!(taken.insert(offsets[0], value).is_none(), "an offset was given twice");
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Err(error) => assert!(error.is_away(), "{error}"),
            }
            assert!(clock.monotonic() < APPEND_WITHIN + Duration::from_secs(2), "an append was not bounded");
        }
    }
    taken
}

/// Reads all partitions that are appended to, until everything is read that the appenders have left.
async fn read_on(log: &KafkaLog, ended: &AtomicBool) -> TestResult<BTreeMap<(u32, i64), String>> {
    let mut reader =
        log.reader(WIDE, (0..PARTITIONS).map(|partition| Position { partition, offset: 0 }).collect()).await?;
    let mut read = BTreeMap::new();
    loop {
        for (partition, offset, value) in next(reader.as_mut()).await? {
            let expected = i64::try_from(read.range((partition, 0)..(partition + 1, 0)).count())?;
            assert_eq!(offset, expected, "partition {partition} skips or goes back");
            read.insert((partition, offset), value);
        }
        if ended.load(Ordering::SeqCst) {
            let ends = log.ends(WIDE).await?;
            if (0..PARTITIONS).all(|partition| reader.position(partition) == ends.get(partition as usize).copied()) {
                return Ok(read);
            }
        }
    }
}

/// Kills nodes one after the other while records are appended and read, then compares.
async fn everything_acknowledged_is_read_once(mut kafka: Kafka, log: Arc<KafkaLog>, kills: &[usize]) -> TestResult {
    let (stop, ended, acknowledged) = (Arc::default(), Arc::new(AtomicBool::new(false)), Arc::default());
    let mut appending = JoinSet::new();
    for partition in 0..PARTITIONS {
        let (log, stop, acknowledged) = (Arc::clone(&log), Arc::clone(&stop), Arc::clone(&acknowledged));
        appending.spawn(async move { (partition, append_on(&log, partition, &stop, &acknowledged).await) });
    }
    let mut reading = JoinSet::new();
    let (log_of_reader, ended_of_reader) = (Arc::clone(&log), Arc::clone(&ended));
    reading.spawn(async move { read_on(&log_of_reader, &ended_of_reader).await });

    let more = async || {
        let before = acknowledged.load(Ordering::SeqCst);
        until("appends go on", READ_WITHIN, async || acknowledged.load(Ordering::SeqCst) > before + 500).await
    };
    more().await?;
    for &node in kills {
        kafka.kill(node)?;
        if kafka.nodes() == 1 {
            until("the log is away", READ_WITHIN, async || log.end(WIDE, 0).await.is_err()).await?;
        } else {
            more().await?;
        }
        kafka.start_again(node).await?;
        more().await?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut taken = BTreeMap::new();
    for (partition, of_it) in appending.join_all().await {
        taken.extend(of_it.into_iter().map(|(offset, value)| ((partition, offset), value)));
    }
    let last = (0..PARTITIONS).map(|partition| record(partition, "the last".to_owned())).collect();
    for (partition, offset) in (0..PARTITIONS).zip(log.append(last).await?) {
        taken.insert((partition, offset), "the last".to_owned());
    }
    ended.store(true, Ordering::SeqCst);
    // Wakes the reader, whatever it has read already.
    log.append(vec![record(0, "wake".to_owned())]).await?;
    let read = reading.join_next().await.ok_or_else(|| fault("nobody read"))???;
    let missing: Vec<_> = taken.iter().filter(|(at, value)| read.get(at) != Some(value)).take(5).collect();
    assert!(missing.is_empty(), "acknowledged and not read as acknowledged: {missing:?}");
    say(format!("{} acknowledged, {} read, {} kills", taken.len(), read.len(), kills.len()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_is_killed_and_everything_acknowledged_is_read_once() -> TestResult {
    let _turn = beside_others().await;
    let kafka = Kafka::start().await?;
    let log = open(config(&kafka, "loa.")).await?;
    everything_acknowledged_is_read_once(kafka, log, &[0, 0]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_of_three_nodes_goes_on_without_one() -> TestResult {
    let _turn = beside_others().await;
    let kafka = Kafka::start_nodes(3).await?;
    let config = KafkaConfig { replication: 3, min_insync: 2, ..config(&kafka, "loa.") };
    let log = open(config).await?;
    everything_acknowledged_is_read_once(kafka, log, &[0, 1]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_readers_that_waited_over_a_restart_are_woken() -> TestResult {
    let _turn = beside_others().await;
    let mut kafka = Kafka::start().await?;
    let log = open(config(&kafka, "loa.")).await?;
    log.append((0..64).map(|partition| record(partition, "before".to_owned())).collect()).await?;
    let from = |offset| (0..64).map(move |partition| Position { partition, offset }).collect();
    let mut all = log.reader(WIDE, from(0)).await?;
    let mut seen = Vec::new();
    while seen.len() < 64 {
        seen.extend(next(all.as_mut()).await?);
    }
    let mut short = log.reader(BlocksTopic::SPEC, vec![Position { partition: 0, offset: 0 }]).await?;

    for round in 1..=2_i64 {
        let (mut waiting, mut waiting_short) = (Box::pin(next(all.as_mut())), Box::pin(next(short.as_mut())));
        let restart = async {
            kafka.kill(0)?;
            until("the log is away", READ_WITHIN, async || log.end(WIDE, 0).await.is_err()).await?;
            let append = log.append(vec![record(7, "while it is away".to_owned())]).await;
            assert!(append.is_err_and(|error| error.is_away()), "a record was taken by nobody");
            let clock = SystemClock::new();
            kafka.start_again(0).await?;
            until("the log is back", READ_WITHIN, async || log.end(WIDE, 0).await.is_ok()).await?;
            TestResult::Ok(clock.monotonic())
        };
        let restarted = tokio::select! {
            done = restart => done?,
            early = &mut waiting => return Err(fault(format!("read while nothing was appended: {early:?}"))),
            early = &mut waiting_short => return Err(fault(format!("read while nothing was appended: {early:?}"))),
        };
        let clock = SystemClock::new();
        let block = Append { topic: BlocksTopic::SPEC, ..record(0, "a block".to_owned()) };
        let append = vec![record(9, "after".to_owned()), block];
        until("an append is taken", READ_WITHIN, async || log.append(append.clone()).await.is_ok()).await?;
        let appended = clock.monotonic();
        // An append that was given up may have been taken after all; the record of the other partition comes in any case.
        let mut read = waiting.await?;
        while !read.iter().any(|(partition, ..)| *partition == 9) {
            read.extend(next(all.as_mut()).await?);
        }
        assert!(read.contains(&(9, round, "after".to_owned())), "{read:?}");
        assert_eq!(waiting_short.await?, [(0, round - 1, "a block".to_owned())]);
        let read = clock.monotonic() - appended;
        say(format!(
            "the broker was back in {restarted:?}, an append took {appended:?}, both were read after {read:?}"
        ));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_that_is_away_answers_in_time_and_comes_back() -> TestResult {
    let _turn = beside_others().await;
    let mut kafka = Kafka::start().await?;
    let log = open(config(&kafka, "loa.")).await?;
    log.append(vec![record(0, "first".to_owned())]).await?;
    kafka.kill(0)?;
    let clock = SystemClock::new();
    assert!(log.ends(WIDE).await.is_err_and(|error| error.is_away()));
    assert!(log.end(ControlTopic::SPEC, 0).await.is_err_and(|error| error.is_away()));
    let asked = clock.monotonic();
    assert!(asked < 2 * ASK_WITHIN + Duration::from_secs(1), "two questions took {asked:?}");
    assert!(log.append(vec![record(0, "second".to_owned())]).await.is_err_and(|error| error.is_away()));
    let appended = clock.monotonic() - asked;
    assert!(appended < APPEND_WITHIN + Duration::from_secs(2), "an append took {appended:?}");
    kafka.start_again(0).await?;
    let clock = SystemClock::new();
    until("an append is taken", READ_WITHIN, async || log.append(vec![record(1, "third".to_owned())]).await.is_ok())
        .await?;
    say(format!("away: 2 questions {asked:?}, an append {appended:?}; back {:?} after the start", clock.monotonic()));
    assert_eq!(log.end(WIDE, 1).await?, 1);
    log.close().await;
    assert!(log.append(vec![record(0, "fourth".to_owned())]).await.is_err_and(|error| error.is_away()));
    assert!(log.end(WIDE, 0).await.is_err_and(|error| error.is_away()));
    Ok(())
}
