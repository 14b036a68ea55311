//! Questions to the brokers about offsets: one request to each leader, for all partitions at once.
//!
//! Must stay true: an answer is of this moment and from no cache; a question takes a bounded time and no asynchronous thread.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::TopicSpec;
use loa_ports::clock::Clock;
use loa_ports::log::LogError;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::KafkaConfig;
use crate::error::away;
use crate::voice::Voice;

/// How long a question may take.
pub const ASK_WITHIN: Duration = Duration::from_millis(1_500);
/// Before a question is asked again, of another leader perhaps.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Lines of the library's own log that are taken with each question.
const LINES_MAX: usize = 8;
/// A partition was left out of an answer.
const NO_ANSWER: KafkaError = KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable);

/// Partitions of a topic.
pub(crate) type Of = (&'static TopicSpec, u32);

/// The client that asks.
pub(crate) struct Asker {
    config: Arc<KafkaConfig>,
    clock: Arc<dyn Clock>,
    client: BaseConsumer<Voice>,
}

impl Asker {
    pub(crate) fn new(config: Arc<KafkaConfig>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, KafkaError> {
        let client = config.client().create_with_context(Voice::new("ask"))?;
        Ok(Arc::new(Self { config, clock, client }))
    }

    /// The offsets after the last record of those partitions, in their order.
    pub(crate) async fn ends(self: &Arc<Self>, of: Vec<Of>) -> Result<Vec<i64>, LogError> {
        self.ask(of, Offset::End).await
    }

    /// The first offsets of those partitions, in their order.
    pub(crate) async fn starts(self: &Arc<Self>, of: Vec<Of>) -> Result<Vec<i64>, LogError> {
        self.ask(of, Offset::Beginning).await
    }

    async fn ask(self: &Arc<Self>, of: Vec<Of>, what: Offset) -> Result<Vec<i64>, LogError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let asker = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || asker.ask_until(&of, what)).await;
        asked.map_err(|error| away(error.to_string()))?.map_err(|error| away(error.to_string()))
    }

    /// Asks again until the time is over: a leader may just have changed.
    fn ask_until(&self, of: &[Of], what: Offset) -> Result<Vec<i64>, KafkaError> {
        let until = self.clock.monotonic() + ASK_WITHIN;
        let mut left = ASK_WITHIN;
        loop {
            self.hear();
            let answer = self.ask_once(of, what, left);
            left = until.saturating_sub(self.clock.monotonic());
            if answer.is_ok() || left <= AGAIN_AFTER {
                return answer;
            }
            self.learn(of, left);
            std::thread::sleep(AGAIN_AFTER);
            left = until.saturating_sub(self.clock.monotonic());
        }
    }

    /// Asks for the topics' partitions anew. After a broker was lost the client may hold a topic as one that it still waits to
    /// hear of, and believes for minutes, until it looks by itself, that the topic has no such partition.
    fn learn(&self, of: &[Of], within: Duration) {
        let topics: BTreeSet<String> = of.iter().map(|(topic, _)| self.config.name(topic)).collect();
        for topic in topics {
            if let Err(error) = self.client.fetch_metadata(Some(&topic), within) {
                tracing::debug!(topic, %error, "the partitions are not told");
            }
        }
    }

    fn ask_once(&self, of: &[Of], what: Offset, within: Duration) -> Result<Vec<i64>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(of.len());
        for &(topic, partition) in of {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            // Kafka's request tells "first" and "after the last" from a time by the very values of these offsets.
            list.add_partition(&self.config.name(topic), partition).set_offset(what)?;
        }
        let answered = self.client.offsets_for_times(list, within)?;
        let mut offsets = HashMap::with_capacity(of.len());
        for element in answered.elements() {
            offsets.insert((element.topic().to_owned(), element.partition()), told(&element)?);
        }
        let offset =
            |&(topic, partition): &Of| offsets.get(&(self.config.name(topic), i32::try_from(partition).ok()?)).copied();
        of.iter().map(|of| offset(of).ok_or(NO_ANSWER)).collect()
    }

    /// Lets the library say what it has to; `None` may be a line of its log as well as nothing.
    fn hear(&self) {
        for _ in 0..LINES_MAX {
            drop(self.client.poll(Duration::ZERO));
        }
    }

    /// An error with what the library said besides.
    pub(crate) fn explained(&self, error: &KafkaError) -> String {
        self.hear();
        let complaint = self.client.client().context().complaint();
        complaint.map_or_else(|| error.to_string(), |complaint| format!("{error}: {complaint}"))
    }

    /// For what else is asked of the brokers.
    pub(crate) fn client(&self) -> &BaseConsumer<Voice> {
        &self.client
    }
}

fn told(element: &TopicPartitionListElem<'_>) -> Result<i64, KafkaError> {
    element.error()?;
    match element.offset() {
        Offset::Offset(offset) => Ok(offset),
        _ => Err(NO_ANSWER),
    }
}

/// Every partition of a topic.
pub(crate) fn all_of(topic: &'static TopicSpec) -> Vec<Of> {
    (0..topic.partitions).map(|partition| (topic, partition)).collect()
}
