//! Appends: a few idempotent producers for the whole process, each with its share of the partitions. A broker takes one batch
//! after the other from a connection and syncs each, so several connections are several syncs at a time. One is made anew
//! when Kafka has declared it broken, or when a partition has refused every call for long: after a broker was lost the client
//! may wait for ever for what it has missed.
//!
//! Must stay true: a partition has one producer; the records of a call are handed over in its order and before those of a
//! later call, so each partition has them in that order; a call that is refused has handed over nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::clock::Clock;
use loa_ports::log::{Append, LogError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::util::Timeout;
use tokio::sync::{Semaphore, oneshot};

use crate::config::{APPEND_WITHIN, KafkaConfig, QUEUE_BYTES_MAX, RECORD_COST};
use crate::error::{away, closed, of_append};
use crate::voice::Voice;

/// How long the opening waits for the producer's number. Without it the first record waits for it instead.
const NUMBER_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop waits for records that are on their way.
const FLUSH_WITHIN: Duration = APPEND_WITHIN;

/// One wait of the thread that takes acknowledgements; each is taken at once. A shorter wait costs an idle process more,
/// since the library spins through the last millisecond of it; a producer that is let go lives on for so long.
const ACKNOWLEDGEMENTS_FOR: Duration = Duration::from_secs(2);

/// From the first failure of a partition to one behind which the producer is made anew: a second time-out. While brokers are
/// away a new one is no worse.
const PATIENCE: Duration = APPEND_WITHIN;

/// Producers of a process.
const PRODUCERS: usize = 4;

type Producer = Arc<BaseProducer<Acknowledged>>;
/// Which record of a call was not taken, and why.
type Refused = (usize, KafkaError);
/// The offset of a record, once it has one.
type Delivery = oneshot::Receiver<Result<i64, KafkaError>>;

/// Tells each call what became of its records.
struct Acknowledged(Voice);

impl ClientContext for Acknowledged {
    fn log(&self, level: RDKafkaLogLevel, code: &str, line: &str) {
        self.0.log(level, code, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<oneshot::Sender<Result<i64, KafkaError>>>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, tell: Self::DeliveryOpaque) {
        let offset = match delivered {
            Ok(message) if message.offset() >= 0 => Ok(message.offset()),
            // Taken as a repeat of something that the broker no longer knows the place of.
            Ok(_) => Err(KafkaError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber)),
            Err((error, _)) => Err(error.clone()),
        };
        // A call that was dropped wants no answer.
        let _unheard = tell.send(offset);
    }
}

/// The one who appends.
pub(crate) struct Sender {
    config: Arc<KafkaConfig>,
    clock: Arc<dyn Clock>,
    /// None once closed.
    producers: Mutex<Vec<Producer>>,
    room: Arc<Semaphore>,
    failing: Mutex<Failing>,
}

/// Partitions of which every call since a moment has failed.
#[derive(Debug, Default)]
struct Failing(HashMap<(&'static str, u32), Duration>);

impl Failing {
    /// A call that names this partition has failed; whether the producer is to be made anew.
    fn fails(&mut self, topic: &'static str, partition: u32, now: Duration) -> bool {
        let since = *self.0.entry((topic, partition)).or_insert(now);
        let for_long = now.saturating_sub(since) >= PATIENCE;
        if for_long {
            // The successor of its producer has the same time; the partitions of the others go on counting.
            self.0.retain(|&(_, other), _| producer_at(other) != producer_at(partition));
        }
        for_long
    }

    /// These are acknowledged.
    fn succeeds(&mut self, records: &[Append]) {
        if !self.0.is_empty() {
            for record in records {
                self.0.remove(&(record.topic.name, record.partition));
            }
        }
    }
}

impl Sender {
    /// Connects and asks for the number that an idempotent producer needs.
    pub(crate) async fn open(config: Arc<KafkaConfig>, clock: Arc<dyn Clock>) -> Result<Self, KafkaError> {
        let voices: Vec<Voice> = (0..PRODUCERS).map(|_| Voice::new("append")).collect();
        let producers = voices.iter().map(|voice| make(&config, voice.clone())).collect::<Result<_, _>>()?;
        let numbered = join_all(voices.iter().map(|voice| voice.numbered.notified()));
        if tokio::time::timeout(NUMBER_WITHIN, numbered).await.is_err() {
            tracing::warn!("a producer has no number yet; its first record waits for it");
        }
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        Ok(Self { config, clock, producers: Mutex::new(producers), room, failing: Mutex::default() })
    }

    /// Appends and answers with the offsets once all copies that must be in step have the records.
    pub(crate) async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        let sizes = sizes(&records)?;
        let cost = (sizes.iter().sum::<usize>() + records.len() * RECORD_COST).min(QUEUE_BYTES_MAX);
        let room = self.room.acquire_many(u32::try_from(cost).unwrap_or(u32::MAX));
        let _room = tokio::time::timeout(APPEND_WITHIN, room)
            .await
            .map_err(|_| away(format!("{QUEUE_BYTES_MAX} bytes wait for their acknowledgement")))?
            .map_err(|_| closed())?;
        let (producers, sent) = self.send(&records);
        let sent = sent.map_err(|(at, error)| self.failed(&producers, error, &records, &sizes, at));
        let (mut offsets, mut first) = (Vec::with_capacity(records.len()), None);
        // Every answer is waited for, so that the room is given back when the client has forgotten the records; and every
        // failure is noted, so that producers that are broken together are made anew together.
        for (at, delivery) in sent?.into_iter().enumerate() {
            match delivery.await.unwrap_or(Err(KafkaError::Canceled)) {
                Ok(offset) => offsets.push(offset),
                Err(error) => {
                    let failed = self.failed(&producers, error, &records, &sizes, at);
                    first.get_or_insert(failed);
                }
            }
        }
        match first {
            None => {
                self.failing.lock().unwrap_or_else(PoisonError::into_inner).succeeds(&records);
                Ok(offsets)
            }
            Some(failed) => Err(failed),
        }
    }

    /// Hands all records over; nothing is awaited in between, so no other call's records stand among them.
    fn send(&self, records: &[Append]) -> (Vec<Producer>, Result<Vec<Delivery>, Refused>) {
        let at_ms = self.clock.now_us() / 1_000;
        let held = self.producers.lock().unwrap_or_else(PoisonError::into_inner);
        let send = |(at, record): (usize, &Append)| {
            let producer = producer_of(&held, record).ok_or((at, KafkaError::Canceled))?;
            self.send_one(producer, record, at_ms).map_err(|error| (at, error))
        };
        let sent = records.iter().enumerate().map(send).collect();
        (held.clone(), sent)
    }

    fn send_one(&self, producer: &Producer, record: &Append, at_ms: i64) -> Result<Delivery, KafkaError> {
        let topic = self.config.name(record.topic);
        let partition = i32::try_from(record.partition).unwrap_or(i32::MAX);
        let key: &[u8] = &record.key;
        let value: &[u8] = &record.value;
        let (tell, delivery) = oneshot::channel();
        let to_send = BaseRecord::with_opaque_to(&topic, Box::new(tell));
        let mut to_send = to_send.partition(partition).key(key).payload(value).timestamp(at_ms);
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let insert = |headers: OwnedHeaders, (name, value): &(String, bytes::Bytes)| {
                let value: &[u8] = value;
                headers.insert(Header { key: name, value: Some(value) })
            };
            to_send = to_send.headers(record.headers.iter().fold(headers, insert));
        }
        producer.send(to_send).map(|()| delivery).map_err(|(error, _)| error)
    }

    /// Makes the producer anew if it is broken; says what the failure means to the caller.
    fn failed(
        &self,
        producers: &[Producer],
        error: KafkaError,
        records: &[Append],
        sizes: &[usize],
        at: usize,
    ) -> LogError {
        let Some(producer) = producer_of(producers, &records[at]) else { return closed() };
        let Append { topic, partition, .. } = &records[at];
        let refused = of_append(&error, topic, *partition, sizes[at]);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let for_long = refused.is_away() && failing.fails(topic.name, *partition, self.clock.monotonic());
        drop(failing);
        if for_long || producer.client().fatal_error().is_some() {
            self.renew(producer);
        }
        refused
    }

    /// Replaces a producer that is broken for good. What was on its way may or may not be in the log: its callers were told
    /// so and append again.
    fn renew(&self, broken: &Producer) {
        let mut held = self.producers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_broken = |it: &&mut Producer| it.client().native_ptr() == broken.client().native_ptr();
        let Some(current) = held.iter_mut().find(is_broken) else { return };
        match make(&self.config, Voice::new("append")) {
            Ok(producer) => {
                tracing::warn!(reason = ?broken.client().fatal_error(), "a producer is made anew");
                retire(std::mem::replace(current, producer));
            }
            Err(error) => tracing::error!(%error, "a producer could not be made anew"),
        }
    }

    /// Waits for what is on its way; later calls are refused.
    pub(crate) async fn close(&self) {
        self.room.close();
        let producers = std::mem::take(&mut *self.producers.lock().unwrap_or_else(PoisonError::into_inner));
        let flush =
            |producer: Producer| tokio::task::spawn_blocking(move || producer.flush(Timeout::After(FLUSH_WITHIN)));
        for flushed in join_all(producers.into_iter().map(flush)).await {
            match flushed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "records were on their way when the log was closed"),
                Err(error) => tracing::error!(%error, "a producer did not end well"),
            }
        }
    }
}

/// The one that has the record's partition; none once closed.
fn producer_of<'a>(producers: &'a [Producer], record: &Append) -> Option<&'a Producer> {
    producers.get(producer_at(record.partition))
}

/// Which of the producers has a partition.
fn producer_at(partition: u32) -> usize {
    usize::try_from(partition).unwrap_or_default() % PRODUCERS
}

fn make(config: &KafkaConfig, voice: Voice) -> Result<Producer, KafkaError> {
    let producer: Producer = Arc::new(config.producer().create_with_context(Acknowledged(voice))?);
    let held = Arc::downgrade(&producer);
    let thread = std::thread::Builder::new().name("acknowledgements".to_owned());
    thread.spawn(move || acknowledge(&held)).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    Ok(producer)
}

/// Takes acknowledgements as long as anybody else holds the producer.
fn acknowledge(producer: &Weak<BaseProducer<Acknowledged>>) {
    while let Some(producer) = producer.upgrade() {
        producer.poll(ACKNOWLEDGEMENTS_FOR);
    }
}

/// Lets a client end beside the asynchronous threads, since that waits for its own threads.
pub(crate) fn retire<T: Send + 'static>(client: T) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn_blocking(move || drop(client)));
    }
}

/// The size of each record as the limit counts it; the first that is refused refuses all.
fn sizes(records: &[Append]) -> Result<Vec<usize>, LogError> {
    let size = |record: &Append| {
        if record.partition >= record.topic.partitions {
            return Err(LogError::NoPartition { topic: record.topic.name, partition: record.partition });
        }
        let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = record.key.len() + headers + record.value.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(LogError::TooLarge { topic: record.topic.name, bytes, max: RECORD_BYTES_MAX });
        }
        Ok(bytes)
    };
    records.iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::{ReceiptsTopic, SettlementsTopic, Topic as _};

    #[test]
    fn a_partition_that_refuses_for_long_wants_a_new_producer() {
        let seconds = Duration::from_secs;
        let acknowledged = |topic, partition| {
            let none = bytes::Bytes::new;
            Append { topic, partition, key: none(), headers: Vec::new(), value: none() }
        };
        let (receipts, settlements) = (ReceiptsTopic::SPEC, SettlementsTopic::SPEC);
        let mut failing = Failing::default();
        assert!(!failing.fails(receipts.name, 3, seconds(10)));
        assert!(!failing.fails(receipts.name, 3, seconds(14)));
        failing.succeeds(&[acknowledged(receipts, 4), acknowledged(settlements, 3)]);
        assert!(failing.fails(receipts.name, 3, seconds(15)), "what others acknowledge is no help to it");
        assert!(!failing.fails(receipts.name, 3, seconds(16)), "the new one has its time");
        failing.succeeds(&[acknowledged(receipts, 3)]);
        assert!(!failing.fails(receipts.name, 3, seconds(60)), "it was well in between");
    }

    #[test]
    fn producers_that_fail_together_are_made_anew_together() {
        let seconds = Duration::from_secs;
        let name = ReceiptsTopic::SPEC.name;
        let all = 0..u32::try_from(PRODUCERS).unwrap();
        let mut failing = Failing::default();
        assert!(all.clone().all(|partition| !failing.fails(name, partition, seconds(10))));
        assert!(all.clone().all(|partition| failing.fails(name, partition, seconds(15))));
        assert!(all.clone().all(|partition| !failing.fails(name, partition, seconds(16))), "each has its time again");
    }
}
