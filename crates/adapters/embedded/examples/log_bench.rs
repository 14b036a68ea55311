//! Prints what the log does here: appends a second, and the time from an append to its reader. Asserts nothing.
//!
//! `cargo run --release -p loa-embedded --example log_bench [DIRECTORY]`; without a directory, a temporary one.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use loa_contract::topics::{OutcomesTopic, SettlementsTopic, Topic, TopicSpec};
use loa_embedded::{EmbeddedLog, Options};
use loa_ports::clock::SystemClock;
use loa_ports::log::{Append, Log, Position};
use tokio::task::JoinSet;

const PRODUCERS: u32 = 512;
const RUN: Duration = Duration::from_secs(3);
const TOPIC: &TopicSpec = SettlementsTopic::SPEC;
const OTHER: &TopicSpec = OutcomesTopic::SPEC;

#[tokio::main]
async fn main() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for (bytes, producers) in [(200, 1), (200, PRODUCERS), (16_000, PRODUCERS)] {
        let log = fresh(&directory).await;
        let cpu = cpu();
        let (records, seconds) = produce(&log, bytes, producers).await;
        let us = (cpu_since(cpu)) / records;
        println!("append {bytes} B, {producers} producers: {:.0} rec/s, {us:.1} us CPU a record", records / seconds);
        let (read, seconds) = read_all(&log).await;
        println!("  read 64 partitions from the start: {:.0} rec/s", read / seconds);
        log.close().await;
    }
    let log = fresh(&directory).await;
    latency("idle", &log).await;
    let load = tokio::spawn(load(Arc::clone(&log)));
    latency("with 500 x 16 kB/s on another topic", &log).await;
    load.abort();
    log.close().await;
}

async fn fresh(directory: &Path) -> Arc<EmbeddedLog> {
    for name in ["bench.db", "bench.db-wal", "bench.db-shm"] {
        std::fs::remove_file(directory.join(name)).ok();
    }
    let clock = Arc::new(SystemClock::new());
    let log = EmbeddedLog::open(&directory.join("bench.db"), clock, Options::default()).await;
    Arc::new(log.expect("the log opens"))
}

fn record(topic: &'static TopicSpec, partition: u32, value: Bytes) -> Append {
    Append { topic, partition, key: Bytes::new(), headers: Vec::new(), value }
}

async fn produce(log: &Arc<EmbeddedLog>, bytes: usize, producers: u32) -> (f64, f64) {
    let value = Bytes::from(vec![7; bytes]);
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let (log, value) = (Arc::clone(log), value.clone());
        tasks.spawn(async move {
            let mut records = 0.0;
            while begin.elapsed() < RUN {
                log.append(vec![record(TOPIC, producer % 64, value.clone())]).await.expect("an append is taken");
                records += 1.0;
            }
            records
        });
    }
    (tasks.join_all().await.into_iter().sum(), begin.elapsed().as_secs_f64())
}

async fn read_all(log: &Arc<EmbeddedLog>) -> (f64, f64) {
    let begin = Instant::now();
    let ends = log.ends(TOPIC).await.expect("ends are told");
    let from = (0..64).map(|partition| Position { partition, offset: 0 }).collect();
    let mut reader = log.reader(TOPIC, from).await.expect("a reader begins");
    let (mut left, mut read) = (ends.iter().sum::<i64>(), 0.0);
    while left > 0 {
        for _ in reader.next(10_000).await.expect("a read succeeds") {
            left -= 1;
            read += 1.0;
        }
    }
    (read, begin.elapsed().as_secs_f64())
}

async fn load(log: Arc<EmbeddedLog>) {
    let from = (0..64).map(|partition| Position { partition, offset: 0 }).collect();
    let mut reader = log.reader(OTHER, from).await.expect("a reader begins");
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    loop {
        tick.tick().await;
        let value = Bytes::from(vec![7; 16_000]);
        log.append((0..5).map(|partition| record(OTHER, partition, value.clone())).collect()).await.expect("is taken");
        reader.next(10).await.expect("a read succeeds");
    }
}

async fn latency(what: &str, log: &Arc<EmbeddedLog>) {
    let ends = log.ends(TOPIC).await.expect("ends are told");
    let from = (0..).zip(ends).map(|(partition, offset)| Position { partition, offset }).collect();
    let mut reader = log.reader(TOPIC, from).await.expect("a reader begins");
    let (told, mut seen) = tokio::sync::mpsc::channel(1);
    let reading = tokio::spawn(async move {
        while let Ok(records) = reader.next(10).await {
            let now = Instant::now();
            for _ in records {
                if told.send(now).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut all = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for n in 0..250 {
        tick.tick().await;
        let begin = Instant::now();
        let append = vec![record(TOPIC, n % 64, Bytes::from(vec![7; 1_000]))];
        log.append(append).await.expect("an append is taken");
        all.push(seen.recv().await.expect("the record is read").duration_since(begin));
    }
    reading.abort();
    all.sort_unstable();
    let at = |share: usize| all[(all.len() - 1) * share / 100];
    println!("append to reader, {what}: p50 {:?}, p90 {:?}, p99 {:?}, max {:?}", at(50), at(90), at(99), at(100));
}

/// Microseconds of processor time so far (Linux; 0 elsewhere).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |n: usize| stat.split_whitespace().nth(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) * 10_000.0
}

fn cpu_since(before: f64) -> f64 {
    cpu() - before
}
