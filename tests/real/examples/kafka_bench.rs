//! Measures the log on one Kafka broker of this machine: append to read, records a second, and what idle readers cost.
//!
//! `cargo run -p loa-real --example kafka_bench`, after `tests/real/install`. The broker shares the machine, so the figures
//! are a lower bound.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::{self, SettlementsTopic, SmsBulkTopic, Topic as _, TopicSpec};
use loa_harness::{TestResult, fault, say};
use loa_kafka::{KafkaConfig, KafkaLog, Report, apply};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::{Append, Log, Position, Reader};
use loa_real::kafka::Kafka;
use tokio::task::JoinSet;

const WIDE: &TopicSpec = SettlementsTopic::SPEC;
const BULK: &TopicSpec = SmsBulkTopic::SPEC;
/// One record every so often, for the latency.
const EVERY: Duration = Duration::from_millis(20);
const RECORDS: usize = 500;
/// Who appends batches at once, how many calls each makes, and how many records are in a call.
const CALLERS: u32 = 8;
const CALLS: usize = 100;
const IN_A_CALL: u32 = 10;
const BATCH_BYTES: usize = 16_000;
const IDLE: Duration = Duration::from_secs(20);
const READERS: usize = 20;
/// A second has so many ticks in `/proc`.
const TICKS: f64 = 100.0;

#[tokio::main]
async fn main() -> TestResult {
    let kafka = Kafka::start().await?;
    let config = KafkaConfig {
        brokers: kafka.brokers(),
        prefix: "loa.".to_owned(),
        tls: None,
        sasl: None,
        replication: 1,
        min_insync: 1,
        node: "bench".to_owned(),
    };
    apply(&config, &mut Report::default()).await?;
    let clock = SystemClock::new();
    let log = Arc::new(KafkaLog::open(config, Arc::new(SystemClock::new())).await?);
    say(format!("open: {:?}", clock.monotonic()));
    let clock = SystemClock::new();
    log.append(vec![record(WIDE, 0, 1_000)]).await?;
    say(format!("first append: {:?}", clock.monotonic()));
    latency(&log).await?;
    throughput(&log).await?;
    idle(&log, kafka.pid(0)).await
}

fn record(topic: &'static TopicSpec, partition: u32, bytes: usize) -> Append {
    // Half of it does not repeat, as in records of hashes and ids.
    let value: Vec<u8> = (0..bytes).map(|at| if at % 2 == 0 { b'x' } else { mixed(at) }).collect();
    Append { topic, partition, key: Default::default(), headers: Vec::new(), value: value.into() }
}

fn mixed(at: usize) -> u8 {
    at.wrapping_mul(2_654_435_761).rotate_right(13).to_le_bytes()[0]
}

fn all(topic: &TopicSpec, offsets: Vec<i64>) -> Vec<Position> {
    (0..topic.partitions).zip(offsets).map(|(partition, offset)| Position { partition, offset }).collect()
}

async fn latency(log: &Arc<KafkaLog>) -> TestResult {
    let mut reader = log.reader(WIDE, all(WIDE, log.ends(WIDE).await?)).await?;
    log.append(vec![record(WIDE, 0, 1_000)]).await?;
    reader.next(1).await?;
    let clock = SystemClock::new();
    let (mut acknowledged, mut read) = (Vec::new(), Vec::new());
    let mut tick = tokio::time::interval(EVERY);
    for at in 0..RECORDS {
        tick.tick().await;
        let begun = clock.monotonic();
        let append = async {
            let done = log.append(vec![record(WIDE, u32::try_from(at % 64)?, 1_000)]).await.map(drop);
            TestResult::Ok((done?, clock.monotonic() - begun).1)
        };
        let arrival = async { TestResult::Ok((reader.next(1).await?, clock.monotonic() - begun).1) };
        let (taken, came) = tokio::join!(append, arrival);
        acknowledged.push(taken?);
        read.push(came?);
    }
    say(format!("append → acknowledged, 50/s x 1 kB: {}", quantiles(acknowledged)?));
    say(format!("append → read, 50/s x 1 kB, 64 partitions: {}", quantiles(read)?));
    Ok(())
}

fn quantiles(mut times: Vec<Duration>) -> TestResult<String> {
    times.sort_unstable();
    let last = times.len().checked_sub(1).ok_or_else(|| fault("nothing was measured"))?;
    let at = |of_100: usize| times[last * of_100 / 100].as_secs_f64() * 1_000.0;
    Ok(format!("p50 {:.1} ms, p90 {:.1}, p99 {:.1}, max {:.1}", at(50), at(90), at(99), at(100)))
}

async fn throughput(log: &Arc<KafkaLog>) -> TestResult {
    let count = CALLERS as usize * CALLS * IN_A_CALL as usize;
    let mut reader = log.reader(BULK, all(BULK, log.ends(BULK).await?)).await?;
    let clock = SystemClock::new();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let log = Arc::clone(log);
        callers.spawn(async move {
            for call in 0..CALLS {
                let partition = |at: u32| (caller * IN_A_CALL + at + u32::try_from(call).unwrap_or(0)) % 64;
                let records = (0..IN_A_CALL).map(|at| record(BULK, partition(at), BATCH_BYTES)).collect();
                log.append(records).await?;
            }
            TestResult::Ok(())
        });
    }
    let reading = async {
        drain(reader.as_mut(), count).await?;
        TestResult::Ok(clock.monotonic())
    };
    let appending = async {
        callers.join_all().await.into_iter().collect::<TestResult>()?;
        TestResult::Ok(clock.monotonic())
    };
    let (read, appended) = tokio::join!(reading, appending);
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    say(format!("16 kB batches: {:.0}/s appended, {:.0}/s read beside it", rate(appended?), rate(read?)));

    let clock = SystemClock::new();
    let mut again = log.reader(BULK, all(BULK, log.starts(BULK).await?)).await?;
    drain(again.as_mut(), count).await?;
    say(format!("16 kB batches read again by who is behind: {:.0}/s", rate(clock.monotonic())));
    Ok(())
}

async fn drain(reader: &mut dyn Reader, count: usize) -> TestResult {
    let mut left = count;
    while left > 0 {
        left = left.saturating_sub(reader.next(64).await?.len());
    }
    Ok(())
}

async fn idle(log: &Arc<KafkaLog>, broker: u32) -> TestResult {
    let own = std::process::id();
    say(format!("without readers: {}", cost(own, broker).await?));
    let mut readers = JoinSet::new();
    for at in 0..READERS {
        let topic = topics::ALL[at % topics::ALL.len()];
        let mut reader = log.reader(topic, all(topic, log.ends(topic).await?)).await?;
        readers.spawn(async move { reader.next(1).await.map(drop) });
    }
    say(format!("{READERS} readers of all partitions, waiting: {}", cost(own, broker).await?));
    let asking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(400));
        loop {
            tick.tick().await;
            for topic in [topics::ControlTopic::SPEC, topics::BlocksTopic::SPEC] {
                log.end(topic, 0).await?;
            }
        }
    };
    tokio::select! {
        asked = asking => { let asked: TestResult = asked; asked }
        told = cost(own, broker) => { say(format!("and two ends asked every 400 ms: {}", told?)); Ok(()) }
    }
}

/// What this process and the broker use while nothing happens.
async fn cost(own: u32, broker: u32) -> TestResult<String> {
    // What has just begun comes to rest first.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = [ticks(own)?, ticks(broker)?];
    tokio::time::sleep(IDLE).await;
    let after = [ticks(own)?, ticks(broker)?];
    let share = |at: usize| (after[at] - before[at]) / TICKS / IDLE.as_secs_f64() * 100.0;
    let status = std::fs::read_to_string(format!("/proc/{own}/status"))?;
    let told = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    let (threads, memory) = (told("Threads:"), told("VmRSS:"));
    Ok(format!("{:.2} % of a core, {threads} threads, {memory}; the broker {:.1} %", share(0), share(1)))
}

/// User and system time of a process.
fn ticks(pid: u32) -> TestResult<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").ok_or_else(|| fault("no such process"))?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}
