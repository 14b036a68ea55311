//! A reader: a client of its own that is given partitions by hand, each from an offset on.
//!
//! The client is made when there is something to read and dropped when there is not. It begins a partition once; to begin
//! one again elsewhere, to leave a silent connection or after a fatal error, a new client takes over from the positions.
//!
//! Must stay true: a position moves only in the moment its record is returned, never across an await, so a dropped `next`
//! loses nothing; no client ever holds records of two beginnings of one partition, so none is mistaken for another.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use loa_contract::topics::TopicSpec;
use loa_ports::log::{LogError, Position, Reader, Record};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;

use crate::error::{Meaning, away, closed, of_read};
use crate::sender::retire;
use crate::track::{Behind, Readers, Track, index};
use crate::voice::Voice;

/// Bytes of one answer after which no further record is added.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

type Consumer = StreamConsumer<Voice>;

/// Reads some partitions of a topic.
pub(crate) struct KafkaReader {
    readers: Arc<Readers>,
    track: Arc<Track>,
    topic: &'static TopicSpec,
    /// The topic's name with the prefix.
    name: String,
    /// A partition that was assigned and that the topic does not have.
    no_partition: Option<u32>,
    /// Partitions that were assigned or let go and that the client has not heard of.
    changed: BTreeSet<u32>,
    client: Option<Client>,
    /// A client that is being made.
    making: Option<JoinHandle<Result<Consumer, KafkaError>>>,
    /// Ends that the next client must reach, because the last one fell silent below them.
    owed: Vec<Behind>,
    /// Whether an offset may be outside of the log.
    is_suspect: bool,
    /// A partition that cannot be read on from where it stands.
    stuck: Option<Stuck>,
    /// What the client said after records that were still returned.
    failed: Option<LogError>,
}

struct Client {
    consumer: Consumer,
    /// Whether a partition was ever begun by this client.
    began: Vec<bool>,
    owed: Vec<Behind>,
}

/// A position outside of the log.
#[derive(Debug, Clone, Copy)]
struct Stuck {
    partition: u32,
    wanted: i64,
    start: i64,
}

/// What a look at the client brought.
enum Look {
    Records(Vec<Record>),
    Again,
}

impl KafkaReader {
    /// A reader of nothing yet.
    pub(crate) fn new(readers: Arc<Readers>, topic: &'static TopicSpec) -> Self {
        let (track, name) = (readers.begin(topic), readers.config.name(topic));
        Self {
            readers,
            track,
            topic,
            name,
            no_partition: None,
            changed: BTreeSet::new(),
            client: None,
            making: None,
            owed: Vec::new(),
            is_suspect: false,
            stuck: None,
            failed: None,
        }
    }

    /// Compares all positions with what the log has.
    async fn examine(&mut self) -> Result<(), LogError> {
        let positions = self.track.positions();
        let of: Vec<_> = positions.iter().map(|&(partition, _)| (self.topic, partition)).collect();
        let starts = self.readers.asker.starts(of.clone()).await?;
        let ends = self.readers.asker.ends(of).await?;
        let mut found = positions.iter().zip(starts.into_iter().zip(ends));
        self.stuck = found
            .find(|&(&(_, wanted), (start, end))| wanted < start || wanted > end)
            .map(|(&(partition, wanted), (start, _))| Stuck { partition, wanted, start });
        self.is_suspect = false;
        // The client has given the partition up; a new one begins it again.
        self.retire();
        Ok(())
    }

    /// Refuses to go on from where nothing can be read.
    fn check(&mut self) -> Result<(), LogError> {
        let topic = self.topic.name;
        if self.readers.is_closed() {
            return Err(closed());
        }
        if let Some(partition) = self.no_partition {
            return Err(LogError::NoPartition { topic, partition });
        }
        // Behind the end, too, a gap is all that is left: the topic was made anew, or the brokers have lost records.
        if let Some(Stuck { partition, wanted, start }) = self.stuck {
            return Err(LogError::Gap { topic, partition, start, wanted });
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Lets the client go; the next one begins where the positions stand.
    fn retire(&mut self) {
        if let Some(client) = self.client.take() {
            retire(client.consumer);
        }
    }

    /// Has the client read what is assigned.
    async fn follow(&mut self) -> Result<(), LogError> {
        if let Some(owed) = self.track.take_silent() {
            tracing::warn!(topic = self.topic.name, "a reader's connection fell silent and is made anew");
            self.owed = owed;
            self.retire();
        }
        let positions = self.track.positions();
        if positions.is_empty() {
            self.retire();
        }
        if self.client.is_some() && !self.changed.is_empty() && !self.tell_changes()? {
            self.retire();
        }
        if self.client.is_none() && !positions.is_empty() {
            self.make().await?;
        }
        self.changed.clear();
        Ok(())
    }

    /// Tells the client what changed; false if it takes a new client.
    fn tell_changes(&mut self) -> Result<bool, LogError> {
        let Some(client) = self.client.as_mut() else { return Ok(false) };
        let (mut more, mut less) = (TopicPartitionList::new(), TopicPartitionList::new());
        for &partition in &self.changed {
            let began = client.began.get_mut(index(partition));
            match (self.track.position(partition), began) {
                (Some(_), Some(true)) => return Ok(false),
                (Some(offset), Some(began)) => {
                    *began = true;
                    add(&mut more, &self.name, partition, offset)?;
                }
                (None, Some(true)) => drop(less.add_partition(&self.name, number(partition))),
                (None, _) | (_, None) => {}
            }
        }
        // What was let go twice is unknown to the client the second time.
        if less.count() > 0 && client.consumer.incremental_unassign(&less).is_err() {
            return Ok(false);
        }
        Ok(more.count() == 0 || client.consumer.incremental_assign(&more).is_ok())
    }

    /// Makes a client and gives it every partition.
    async fn make(&mut self) -> Result<(), LogError> {
        let readers = &self.readers;
        let tells_ends = !self.owed.is_empty();
        let making = self.making.get_or_insert_with(|| {
            let config = readers.config.reader(self.topic, tells_ends);
            tokio::task::spawn_blocking(move || config.create_with_context(Voice::new("read")))
        });
        let made = making.await;
        self.making = None;
        let consumer: Consumer =
            made.map_err(|error| away(error.to_string()))?.map_err(|error| away(error.to_string()))?;
        let mut list = TopicPartitionList::new();
        let mut began = vec![false; index(self.topic.partitions)];
        for (partition, offset) in self.track.positions() {
            add(&mut list, &self.name, partition, offset)?;
            began[index(partition)] = true;
        }
        consumer.assign(&list).map_err(|error| away(error.to_string()))?;
        self.client = Some(Client { consumer, began, owed: std::mem::take(&mut self.owed) });
        Ok(())
    }

    /// Waits for the first record and takes what else is there.
    async fn look(&mut self, records_max: usize) -> Look {
        let Some(client) = self.client.as_ref() else {
            self.track.wake.notified().await;
            return Look::Again;
        };
        let first = {
            let _waiting = self.track.wait();
            tokio::select! {
                biased;
                event = client.consumer.recv() => event,
                () = self.track.wake.notified() => return Look::Again,
            }
        };
        let (mut records, mut bytes, mut event) = (Vec::new(), 0, Some(first));
        let mut told = None;
        while let Some(one) = event {
            match one {
                Ok(message) => {
                    if let Some(record) = take(&self.track, &message) {
                        bytes += size(&record);
                        records.push(record);
                    }
                }
                Err(error) => {
                    told = Some(error);
                    break;
                }
            }
            let is_full = records.len() >= records_max || bytes >= READ_BYTES_MAX;
            event = if is_full { None } else { client.consumer.recv().now_or_never() };
        }
        let advanced = told.is_some_and(|error| self.hear(&error));
        if records.is_empty() && !advanced { Look::Again } else { Look::Records(records) }
    }

    /// Notes what the client said; true if a position advanced over offsets that hold no record.
    fn hear(&mut self, error: &KafkaError) -> bool {
        match of_read(error) {
            Meaning::End(partition) => return self.reach(partition),
            Meaning::Suspect => self.is_suspect = true,
            Meaning::Broken => self.retire(),
            Meaning::Missing => {
                // A topic that was made anew begins at its start again, and a client that knew the old one may not see it.
                self.failed = Some(away(error.to_string()));
                self.is_suspect = true;
            }
            Meaning::Passing => tracing::debug!(topic = self.topic.name, %error, "a reader waits"),
            Meaning::Refused => self.failed = Some(away(error.to_string())),
        }
        false
    }

    /// Everything of a partition was returned: what ends it without a record (the mark of somebody's transaction) is passed.
    fn reach(&mut self, partition: u32) -> bool {
        let owed = self.client.iter().flat_map(|client| &client.owed).find(|owed| owed.partition == partition);
        let (Some(owed), Some(position)) = (owed, self.track.position(partition)) else { return false };
        position < owed.end && self.track.set(partition, Some(owed.end))
    }
}

#[async_trait]
impl Reader for KafkaReader {
    /// As the port says. An empty answer says that a position advanced over offsets that hold no record.
    async fn next(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        // Who always finds something must leave room for others, too.
        tokio::task::coop::consume_budget().await;
        loop {
            if self.is_suspect {
                self.examine().await?;
            }
            self.check()?;
            self.follow().await?;
            if let Look::Records(records) = self.look(records_max.max(1)).await {
                return Ok(records);
            }
        }
    }

    fn assign(&mut self, position: Position) {
        let Position { partition, offset } = position;
        if self.track.set(partition, Some(offset)) {
            self.change(partition);
        } else {
            self.no_partition = Some(partition);
        }
    }

    fn unassign(&mut self, partition: u32) {
        if self.track.set(partition, None) {
            self.change(partition);
        } else {
            self.no_partition = self.no_partition.filter(|bad| *bad != partition);
        }
    }

    fn position(&self, partition: u32) -> Option<i64> {
        self.track.position(partition)
    }
}

impl KafkaReader {
    fn change(&mut self, partition: u32) {
        self.changed.insert(partition);
        self.owed.retain(|owed| owed.partition != partition);
        if self.stuck.is_some_and(|stuck| stuck.partition == partition) {
            self.stuck = None;
            // Another partition may be outside of the log as well.
            self.is_suspect = !self.track.positions().is_empty();
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.retire();
    }
}

/// The message as a record, its position passed; nothing if it is not the reader's any more.
fn take(track: &Track, message: &BorrowedMessage<'_>) -> Option<Record> {
    let partition = u32::try_from(message.partition()).ok()?;
    if !track.pass(partition, message.offset()) {
        return None;
    }
    let copy = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
    Some(Record {
        partition,
        offset: message.offset(),
        at_us: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000),
        key: copy(message.key()),
        headers: message.headers().map(headers).unwrap_or_default(),
        value: copy(message.payload()),
    })
}

/// Headers whose names are text. The library panics at others, which only a foreign producer can write: they are left out,
/// so that none can end this process.
fn headers(all: &BorrowedHeaders) -> Vec<(String, Bytes)> {
    let one = |at| {
        let header = catch_unwind(AssertUnwindSafe(|| all.try_get(at))).ok()??;
        Some((header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default())))
    };
    (0..all.count()).filter_map(one).collect()
}

fn size(record: &Record) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.len() + headers + record.value.len()
}

fn add(list: &mut TopicPartitionList, name: &str, partition: u32, offset: i64) -> Result<(), LogError> {
    let added = list.add_partition_offset(name, number(partition), Offset::Offset(offset));
    added.map_err(|error| LogError::Damaged { why: format!("offset {offset} of `{name}` was stored: {error}") })
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loa_contract::topics::{SettlementsTopic, Topic as _};
    use loa_ports::clock::SystemClock;
    use loa_ports::log::Append;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::asker::Asker;
    use crate::config::KafkaConfig;
    use crate::sender::Sender;
    use crate::watch;

    const WIDE: &TopicSpec = SettlementsTopic::SPEC;

    /// A reader's client is told, behind the reader's back, to read nothing more: what a connection does that fell silent.
    fn fall_silent(reader: &KafkaReader, partition: u32) {
        let client = reader.client.as_ref().expect("the reader has a client");
        let mut list = TopicPartitionList::new();
        list.add_partition(&reader.name, number(partition));
        client.consumer.incremental_unassign(&list).expect("the partition was assigned");
    }

    async fn append(sender: &Sender, value: &'static str) -> i64 {
        let (key, value) = (Bytes::new(), Bytes::from_static(value.as_bytes()));
        let record = Append { topic: WIDE, partition: 5, key, headers: Vec::new(), value };
        sender.append(vec![record]).await.expect("an append is taken")[0]
    }

    async fn next(reader: &mut KafkaReader) -> Vec<(i64, Bytes)> {
        let records = tokio::time::timeout(Duration::from_secs(30), reader.next(10)).await.expect("something comes");
        records.expect("a read succeeds").into_iter().map(|record| (record.offset, record.value)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_fell_silent_goes_on_where_it_stood() {
        let brokers = MockCluster::new(1).expect("brokers in this process");
        let partitions = i32::try_from(WIDE.partitions).expect("64");
        brokers.create_topic(WIDE.name, partitions, 1).expect("a topic");
        let config = Arc::new(KafkaConfig {
            brokers: brokers.bootstrap_servers(),
            prefix: String::new(),
            tls: None,
            sasl: None,
            replication: 1,
            min_insync: 1,
            node: "test".to_owned(),
        });
        let clock = Arc::new(SystemClock::new());
        let sender = Sender::open(Arc::clone(&config), clock.clone()).await.expect("a producer");
        let readers = Readers::new(Arc::clone(&config), Asker::new(config, clock).expect("a client"));
        let mut reader = KafkaReader::new(Arc::clone(&readers), WIDE);
        reader.assign(Position { partition: 5, offset: 0 });
        append(&sender, "one").await;
        assert_eq!(next(&mut reader).await, [(0, Bytes::from_static(b"one"))]);

        fall_silent(&reader, 5);
        append(&sender, "two").await;
        let silence = tokio::time::timeout(Duration::from_millis(700), reader.next(10)).await;
        assert!(silence.is_err(), "a client without partitions has read {silence:?}");

        let waits = async {
            let read = next(&mut reader).await;
            (read, reader.position(5))
        };
        let looks = async {
            // The reader begins to wait when it is polled first.
            while readers.tracks().iter().all(|track| track.waiting_at().is_none()) {
                tokio::task::yield_now().await;
            }
            watch::look(&readers).await;
            watch::look(&readers).await;
        };
        let (read, ()) = tokio::join!(waits, looks);
        assert_eq!(read, (vec![(1, Bytes::from_static(b"two"))], Some(2)), "nothing is lost, nothing comes twice");
        append(&sender, "three").await;
        assert_eq!(next(&mut reader).await, [(2, Bytes::from_static(b"three"))]);
    }
}
