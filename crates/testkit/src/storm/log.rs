//! The storm over a log: records come again or late, appends fail after they took effect, the log goes away.
//!
//! Must stay true: no record is lost or overtakes another of its partition; a repeated record is one of the same partition
//! that was returned before, and stands directly before a new one, so the last of a partition is always the newest;
//! positions move with new records alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::topics::TopicSpec;
use loa_ports::log::{Append, Log, LogError, Position, Reader, Record};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dice::Dice;

/// Records of a partition that may come again: the newest so many.
const RECENT_MAX: usize = 16;
/// How long a log that is away takes to say so.
const AWAY_ANSWER: Duration = Duration::from_millis(10);
/// A dropped read is dropped within so many milliseconds.
const DROP_MS_MAX: u64 = 3;

/// How hard it blows.
#[derive(Debug, Clone)]
pub struct StormConfig {
    /// Everything else follows from it.
    pub seed: u64,
    /// Share of records before which an earlier one of the partition comes again.
    pub repeat_share: f64,
    /// Share of append calls that take effect and then fail with [`LogError::Away`].
    pub append_uncertain_share: f64,
    /// Share of reads whose future is dropped half-way and begun again.
    pub drop_share: f64,
    /// Longest delay of what is read, for topics not named in `delay_of_topic_ms_max`.
    pub delay_ms_max: u64,
    /// Longest delay of single topics, by name.
    pub delay_of_topic_ms_max: BTreeMap<&'static str, u64>,
}

impl StormConfig {
    /// Nothing happens until a field is raised.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            repeat_share: 0.0,
            append_uncertain_share: 0.0,
            drop_share: 0.0,
            delay_ms_max: 0,
            delay_of_topic_ms_max: BTreeMap::new(),
        }
    }

    /// A bit of everything: what the end-to-end suite runs under.
    pub fn rough(seed: u64) -> Self {
        Self {
            repeat_share: 0.05,
            append_uncertain_share: 0.02,
            drop_share: 0.05,
            delay_ms_max: 100,
            ..Self::calm(seed)
        }
    }

    fn delay_ms_max(&self, topic: &TopicSpec) -> u64 {
        self.delay_of_topic_ms_max.get(topic.name).copied().unwrap_or(self.delay_ms_max)
    }
}

/// A log in a storm.
#[derive(Debug)]
pub struct StormLog {
    inner: Arc<dyn Log>,
    config: StormConfig,
    dice: Mutex<Dice>,
    readers: AtomicU64,
    away: watch::Sender<bool>,
}

impl StormLog {
    /// Puts a storm over a log.
    pub fn new(inner: Arc<dyn Log>, config: StormConfig) -> Arc<Self> {
        let dice = Mutex::new(Dice::new(config.seed, 0));
        Arc::new(Self { inner, config, dice, readers: AtomicU64::new(0), away: watch::Sender::new(false) })
    }

    /// Makes the log unreachable, or reachable again: until then every call and every read under way fails with
    /// [`LogError::Away`]; what was appended before it stays.
    pub fn away(&self, away: bool) {
        self.away.send_replace(away);
    }

    async fn reach(&self) -> Result<(), LogError> {
        let away = *self.away.borrow();
        if away { Err(unreachable_log().await) } else { Ok(()) }
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of a log that is away; not at once, so that who asks without end does not eat the machine.
async fn unreachable_log() -> LogError {
    tokio::time::sleep(AWAY_ANSWER).await;
    LogError::Away { why: "the storm has stopped the log".to_owned() }
}

#[async_trait]
impl Log for StormLog {
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        let uncertain = self.dice().happens(self.config.append_uncertain_share);
        let offsets = self.inner.append(records).await?;
        if uncertain {
            return Err(LogError::Away { why: "the storm has lost the answer to an append".to_owned() });
        }
        self.reach().await?;
        Ok(offsets)
    }

    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
        self.reach().await?;
        let stream = self.readers.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Box::new(StormReader {
            inner: self.inner.reader(topic, from).await?,
            dice: Dice::new(self.config.seed, stream),
            delay_ms_max: self.config.delay_ms_max(topic),
            config: self.config.clone(),
            away: self.away.subscribe(),
            recent: BTreeMap::new(),
            waiting: VecDeque::new(),
            due: Instant::now(),
        }))
    }

    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError> {
        self.reach().await?;
        self.inner.end(topic, partition).await
    }

    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        self.inner.ends(topic).await
    }

    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.reach().await?;
        self.inner.starts(topic).await
    }

    async fn retain(&self, now_us: i64) -> Result<(), LogError> {
        self.reach().await?;
        self.inner.retain(now_us).await
    }
}

/// A record on its way to the reader.
struct Delivery {
    record: Record,
    again: bool,
}

struct StormReader {
    inner: Box<dyn Reader>,
    dice: Dice,
    delay_ms_max: u64,
    config: StormConfig,
    away: watch::Receiver<bool>,
    /// The newest records of each partition, for repeats.
    recent: BTreeMap<u32, VecDeque<Record>>,
    /// Read from the log and not yet returned.
    waiting: VecDeque<Delivery>,
    /// When what waits may be returned.
    due: Instant,
}

impl StormReader {
    /// Reads from the log; one read in some is dropped half-way first.
    async fn read(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        if self.dice.happens(self.config.drop_share) {
            let half_way = Duration::from_millis(self.dice.below(DROP_MS_MAX));
            if let Ok(read) = tokio::time::timeout(half_way, self.inner.next(records_max)).await {
                return read;
            }
        }
        self.inner.next(records_max).await
    }

    /// Puts what was read in line, with repeats between, and draws its delay.
    fn arrived(&mut self, records: Vec<Record>) {
        for record in records {
            let recent = self.recent.entry(record.partition).or_default();
            if !recent.is_empty() && self.dice.happens(self.config.repeat_share) {
                let earlier = recent[self.dice.index(recent.len())].clone();
                self.waiting.push_back(Delivery { record: earlier, again: true });
            }
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(record.clone());
            self.waiting.push_back(Delivery { record, again: false });
        }
        self.due = Instant::now() + Duration::from_millis(self.dice.below(self.delay_ms_max + 1));
    }

    /// Takes what may be returned; never ends with a repeat.
    fn deliver(&mut self, records_max: usize) -> Vec<Record> {
        let mut out = Vec::new();
        while out.len() < records_max.max(1) {
            let Some(delivery) = self.waiting.pop_front() else { break };
            let room_for_the_new_one = out.len() + 1 < records_max;
            if !delivery.again || room_for_the_new_one {
                out.push(delivery.record);
            }
        }
        out
    }

    fn is_away(&self) -> bool {
        *self.away.borrow()
    }
}

/// Resolves when the log is made unreachable.
async fn goes_away(mut away: watch::Receiver<bool>) {
    if away.wait_for(|away| *away).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Reader for StormReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        loop {
            if self.is_away() {
                return Err(unreachable_log().await);
            }
            let away = goes_away(self.away.clone());
            if self.waiting.is_empty() {
                tokio::select! {
                    biased;
                    () = away => continue,
                    read = self.read(records_max) => { let records = read?; self.arrived(records); }
                }
            } else {
                tokio::select! {
                    biased;
                    () = away => continue,
                    () = tokio::time::sleep_until(self.due) => return Ok(self.deliver(records_max)),
                }
            }
        }
    }

    fn assign(&mut self, position: Position) {
        self.waiting.retain(|delivery| delivery.record.partition != position.partition);
        self.recent.remove(&position.partition);
        self.inner.assign(position);
    }

    fn unassign(&mut self, partition: u32) {
        self.waiting.retain(|delivery| delivery.record.partition != partition);
        self.recent.remove(&partition);
        self.inner.unassign(partition);
    }

    fn position(&self, partition: u32) -> Option<i64> {
        let inner = self.inner.position(partition)?;
        let new = |delivery: &&Delivery| !delivery.again && delivery.record.partition == partition;
        Some(self.waiting.iter().find(new).map_or(inner, |delivery| delivery.record.offset))
    }
}
