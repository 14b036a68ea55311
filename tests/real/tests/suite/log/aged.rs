//! Brokers that look at the clock of a test.
//!
//! A broker compares the time of a record with its own clock. Here the records are more than a year old, and every time that
//! the log is asked to drop what is old, the topics are told to keep just so much more that the broker's "too old" is the
//! test's. Then the broker is waited for: which files it must drop or compact follows from their names.
//!
//! Must stay true: only settings of topics are changed, and only ages; what goes and what stays is the broker's doing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::topics::{BlocksTopic, ControlTopic, Keep, SettlementsTopic, Topic as _, TopicSpec};
use loa_kafka::{COMPACTION_LAG, KafkaConfig, KafkaLog};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::{Append, Log, LogError, Position, Reader};
use loa_testkit::FakeClock;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, TopicPartitionList};

/// How far the test's clock stands back at first: further than any case turns it.
pub(crate) const BACK: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const STEP: Duration = Duration::from_millis(20);
const ASKS_MAX: u32 = 1_000;

/// A log whose brokers drop and compact by a clock of the test.
#[derive(Debug)]
pub(crate) struct Aged {
    log: KafkaLog,
    prefix: String,
    admin: Admin,
    data: PathBuf,
}

/// Times of all records of partition 0, microseconds since 1970, by offset.
type Times = BTreeMap<i64, i64>;

/// Changes settings of topics.
pub(crate) struct Admin(AdminClient<DefaultClientContext>);

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    pub(crate) fn new(brokers: &str) -> Self {
        Self(ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client"))
    }

    /// The settings that a topic has of its own.
    async fn own(&self, topic: &str) -> BTreeMap<String, String> {
        let described = self.0.describe_configs(&[ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await;
        let described = described.expect("topics are described").remove(0).expect("the topic is there");
        let own = described.entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect()
    }

    /// Sets some settings of a topic, leaves the others, and returns when the broker has heard of it.
    pub(crate) async fn set(&self, topic: &str, settings: &[(&str, String)]) {
        let mut all = self.own(topic).await;
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let alter = all.iter().fold(alter, |alter, (name, value)| alter.set(name, value));
        for altered in self.0.alter_configs([&alter], &AdminOptions::new()).await.expect("topics are altered") {
            altered.expect("the topic is altered");
        }
        let mut asked = 0;
        while self.own(topic).await != all {
            again(&mut asked, "the broker has the settings").await;
        }
    }

    /// Removes topics and returns when the broker has forgotten them.
    pub(crate) async fn remove(&self, names: &[&str]) {
        for removed in self.0.delete_topics(names, &AdminOptions::new()).await.expect("topics are removed") {
            removed.expect("the topic is removed");
        }
        let mut asked = 0;
        for name in names {
            while self.knows(name) {
                again(&mut asked, "the topic is forgotten").await;
            }
        }
    }

    fn knows(&self, topic: &str) -> bool {
        let metadata = self.0.inner().fetch_metadata(Some(topic), Duration::from_secs(10));
        metadata.is_ok_and(|told| told.topics().iter().all(|topic| topic.error().is_none()))
    }
}

impl Aged {
    /// Opens the log; its topics were made, and cases use three of them.
    pub(crate) async fn open(config: KafkaConfig, clock: Arc<FakeClock>, data: PathBuf) -> Self {
        let (prefix, admin) = (config.prefix.clone(), Admin::new(&config.brokers));
        let now_us = clock.now_us();
        let log = KafkaLog::open(config, clock).await.expect("the log opens");
        let aged = Self { log, prefix, admin, data };
        for topic in [SettlementsTopic::SPEC, BlocksTopic::SPEC, ControlTopic::SPEC] {
            aged.keep_as_of(topic, now_us).await;
        }
        aged
    }

    /// Makes the broker's "too old" that of the test.
    async fn keep_as_of(&self, topic: &TopicSpec, now_us: i64) {
        let behind_ms = (SystemClock::new().now_us() - now_us) / 1_000;
        let settings = match topic.keep {
            Keep::Hours(hours) => vec![("retention.ms", (i64::from(hours) * 3_600_000 + behind_ms).to_string())],
            Keep::Compacted => vec![
                ("min.compaction.lag.ms", (ms(COMPACTION_LAG) + behind_ms).to_string()),
                ("min.cleanable.dirty.ratio", "0.0".to_owned()),
            ],
        };
        self.admin.set(&format!("{}{}", self.prefix, topic.name), &settings).await;
    }

    async fn times(&self, topic: &'static TopicSpec) -> Times {
        let start = self.log.starts(topic).await.expect("starts are told")[0];
        let end = self.log.end(topic, 0).await.expect("an end is told");
        let mut reader =
            self.log.reader(topic, vec![Position { partition: 0, offset: start }]).await.expect("a reader begins");
        let mut times = BTreeMap::new();
        while reader.position(0).is_some_and(|position| position < end) {
            let records = reader.next(100).await.expect("a read succeeds");
            times.extend(records.iter().map(|record| (record.offset, record.at_us)));
        }
        times
    }

    /// First offsets of the files of partition 0.
    fn files(&self, topic: &TopicSpec) -> Vec<i64> {
        let folder = self.data.join(format!("{}{}-0", self.prefix, topic.name));
        let names = std::fs::read_dir(folder).expect("the partition has a folder");
        let names = names.map(|entry| entry.expect("an entry").path());
        let logs = names.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
        let mut bases: Vec<i64> = logs.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect();
        bases.sort_unstable();
        bases
    }

    /// Waits until files whose newest record is too old are gone.
    async fn dropped(&self, topic: &'static TopicSpec, times: Times, keep: Duration, now_us: i64) {
        let Some((newest, _)) = times.last_key_value() else { return };
        let files = self.files(topic);
        let ends = files.iter().skip(1).copied().chain([newest + 1]);
        let is_old = |&(base, end): &(i64, i64)| times.range(base..end).all(|(_, at_us)| at_us + us(keep) < now_us);
        let old = files.iter().copied().zip(ends).take_while(is_old).last();
        let Some((_, start)) = old else { return };
        let mut asked = 0;
        while self.log.starts(topic).await.map_or(0, |starts| starts[0]) < start {
            again(&mut asked, "old files are dropped").await;
        }
    }

    /// Waits until files whose records are all older than the lag are compacted; the newest file never is.
    async fn compacted(&self, topic: &'static TopicSpec, times: Times, now_us: i64) {
        let files = self.files(topic);
        let young = times.iter().find(|(_, at_us)| *at_us + us(COMPACTION_LAG) > now_us).map(|(offset, _)| *offset);
        let of_young = young.and_then(|offset| files.iter().rfind(|base| **base <= offset));
        let clean_to = of_young.or_else(|| files.last()).copied().unwrap_or(0);
        if clean_to > 0 {
            let name = format!("{}{}", self.prefix, topic.name);
            let mut asked = 0;
            while cleaned(&self.data, &name) < Some(clean_to) {
                again(&mut asked, "old files are compacted").await;
            }
        }
    }
}

/// What is written down for a group of lag tools.
pub(crate) fn committed(brokers: &str, group: &str, topic: &str, partition: i32) -> Option<i64> {
    let mut config = ClientConfig::new();
    let client: BaseConsumer =
        config.set("bootstrap.servers", brokers).set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let told = client.committed_offsets(list, Duration::from_secs(10)).expect("committed offsets are told");
    told.elements()[0].offset().to_raw()
}

/// How far a broker says that it has compacted partition 0 of a topic.
fn cleaned(data: &Path, name: &str) -> Option<i64> {
    let text = std::fs::read_to_string(data.join("cleaner-offset-checkpoint")).ok()?;
    let of_it = text.lines().find_map(|line| line.strip_prefix(&format!("{name} 0 ")))?;
    of_it.parse().ok()
}

/// Waits before a broker is asked again; it must have done what it does within the limit.
async fn again(asked: &mut u32, what: &str) {
    *asked += 1;
    assert!(*asked < ASKS_MAX, "after {:?} still not so: {what}", STEP * ASKS_MAX);
    tokio::time::sleep(STEP).await;
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("a short time")
}

fn us(time: Duration) -> i64 {
    ms(time) * 1_000
}

#[async_trait]
impl Log for Aged {
    async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
        self.log.append(records).await
    }

    async fn reader(&self, topic: &'static TopicSpec, from: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(topic, from).await
    }

    async fn end(&self, topic: &'static TopicSpec, partition: u32) -> Result<i64, LogError> {
        self.log.end(topic, partition).await
    }

    async fn ends(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.log.ends(topic).await
    }

    async fn starts(&self, topic: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
        self.log.starts(topic).await
    }

    async fn retain(&self, now_us: i64) -> Result<(), LogError> {
        self.log.retain(now_us).await?;
        let (short, compacted) = (BlocksTopic::SPEC, ControlTopic::SPEC);
        let Keep::Hours(hours) = short.keep else { panic!("`{}` is kept for a time", short.name) };
        let (short_times, compacted_times) = (self.times(short).await, self.times(compacted).await);
        self.keep_as_of(short, now_us).await;
        self.keep_as_of(compacted, now_us).await;
        self.dropped(short, short_times, Duration::from_secs(u64::from(hours) * 3_600), now_us).await;
        self.compacted(compacted, compacted_times, now_us).await;
        Ok(())
    }
}
