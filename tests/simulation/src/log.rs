//! The log in memory, and how one process reaches it.
//!
//! Repeats, late records and appends whose answer is lost are made by the storm of loa-testkit, which each process has over
//! its own way to the log.
//!
//! Must stay true: an append is there whole or not at all; offsets of a partition ascend by one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::topics::TopicSpec;
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::log::{Append, Log, LogError, Position, Reader, Record};
use tokio::sync::watch;

use crate::gate::Gate;

type Place = (&'static str, u32);

/// Every record there is.
#[derive(Debug)]
pub(crate) struct Records {
    partitions: Mutex<BTreeMap<Place, Vec<Record>>>,
    changed: watch::Sender<u64>,
    away: AtomicBool,
    clock: Arc<SystemClock>,
}

impl Records {
    pub(crate) fn new(clock: Arc<SystemClock>) -> Arc<Self> {
        Arc::new(Self {
            partitions: Mutex::default(),
            changed: watch::Sender::new(0),
            away: AtomicBool::new(false),
            clock,
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Place, Vec<Record>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody reaches the log, or everybody again.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Appends at once, for those of the world that are no process.
    pub(crate) fn append(&self, appends: Vec<Append>) -> Vec<i64> {
        let at_us = self.clock.now_us();
        let mut all = self.all();
        let mut offsets = Vec::with_capacity(appends.len());
        for Append { topic, partition, key, headers, value } in appends {
            let records = all.entry((topic.name, partition)).or_default();
            let offset = i64::try_from(records.len()).unwrap_or(i64::MAX);
            records.push(Record { partition, offset, at_us, key, headers, value });
            offsets.push(offset);
        }
        drop(all);
        self.changed.send_modify(|count| *count += 1);
        offsets
    }

    fn end(&self, topic: &'static TopicSpec, partition: u32) -> i64 {
        let all = self.all();
        i64::try_from(all.get(&(topic.name, partition)).map_or(0, Vec::len)).unwrap_or(i64::MAX)
    }
}

/// The log as one process reaches it.
#[derive(Debug)]
pub(crate) struct GateLog {
    records: Arc<Records>,
    gate: Arc<Gate>,
}

impl GateLog {
    pub(crate) fn new(records: Arc<Records>, gate: Arc<Gate>) -> Self {
        Self { records, gate }
    }

    async fn reach(&self) -> Result<(), LogError> {
        self.gate.travel().await;
        if self.records.is_away() {
            return Err(away().await);
        }
        Ok(())
    }
}

async fn away() -> LogError {
    tokio::time::sleep(Duration::from_millis(50)).await;
    LogError::Away { why: "it is away".to_owned() }
}

#[async_trait]
impl Log for GateLog {
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        let offsets = self.records.append(records);
        self.gate.travel().await;
        Ok(offsets)
    }

    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
        self.reach().await?;
        let positions = from.into_iter().map(|position| (position.partition, position.offset)).collect();
        let changed = self.records.changed.subscribe();
        let (records, gate) = (Arc::clone(&self.records), Arc::clone(&self.gate));
        Ok(Box::new(GateReader { records, gate, topic, positions, changed, last: 0 }))
    }

    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError> {
        self.reach().await?;
        let end = self.records.end(topic, partition);
        self.gate.travel().await;
        Ok(end)
    }

    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        let ends = (0..topic.partitions).map(|partition| self.records.end(topic, partition)).collect();
        self.gate.travel().await;
        Ok(ends)
    }

    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        Ok(vec![0; topic.partitions as usize])
    }

    async fn retain(&self, _: i64) -> Result<(), LogError> {
        self.reach().await
    }
}

struct GateReader {
    records: Arc<Records>,
    gate: Arc<Gate>,
    topic: &'static TopicSpec,
    positions: BTreeMap<u32, i64>,
    changed: watch::Receiver<u64>,
    /// The partition that was read last: the others come first next time.
    last: u32,
}

impl GateReader {
    fn take(&mut self, records_max: usize) -> Vec<Record> {
        let (mut found, all) = (Vec::new(), self.records.all());
        let after = self.positions.range(self.last + 1..).map(|(&partition, _)| partition);
        let before = self.positions.range(..=self.last).map(|(&partition, _)| partition);
        let order: Vec<u32> = after.chain(before).collect();
        for partition in order {
            let Some(position) = self.positions.get_mut(&partition) else { continue };
            let records = all.get(&(self.topic.name, partition)).map_or(&[][..], Vec::as_slice);
            let from = usize::try_from(*position).unwrap_or(usize::MAX).min(records.len());
            let new = &records[from..records.len().min(from + records_max - found.len())];
            *position += i64::try_from(new.len()).unwrap_or(0);
            found.extend_from_slice(new);
            if found.len() >= records_max {
                self.last = partition;
                break;
            }
        }
        found
    }
}

#[async_trait]
impl Reader for GateReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        loop {
            self.gate.pass().await;
            if self.records.is_away() {
                return Err(away().await);
            }
            self.changed.mark_unchanged();
            let found = self.take(records_max.max(1));
            if !found.is_empty() {
                return Ok(found);
            }
            let _gone = self.changed.changed().await;
        }
    }

    fn assign(&mut self, position: Position) {
        self.positions.insert(position.partition, position.offset);
        self.changed.mark_changed();
    }

    fn unassign(&mut self, partition: u32) {
        self.positions.remove(&partition);
    }

    fn position(&self, partition: u32) -> Option<i64> {
        self.positions.get(&partition).copied()
    }
}
