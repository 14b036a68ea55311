//! The topics of the contract as Kafka must have them: created once, then compared, never changed.
//!
//! Must stay true: whoever runs with topics that differ was told each difference, and how to mend it, and did not start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::{self, Keep, TopicSpec};
use loa_ports::clock::SystemClock;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::asker::{Asker, all_of};
use crate::config::{BATCH_BYTES_MAX, KafkaConfig, ms};
use crate::error::OpenError;
use crate::voice::Voice;

/// How long a question about topics may take.
const TOPICS_WITHIN: Duration = Duration::from_secs(10);
/// How long new topics may take until every broker serves its partitions.
const SERVED_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks whether they are served.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The youngest age at which a record may drop older ones of its key.
pub const COMPACTION_LAG: Duration = Duration::from_secs(60 * 60);
/// Age at which a compacted topic begins a new file, which is when compaction may touch the old one.
const COMPACTED_ROLL: Duration = Duration::from_secs(60 * 60);
/// A topic begins this many files in the time it keeps records: a file goes when its last record is too old.
const FILES_KEPT: u64 = 4;

/// What `loa topics apply` found and did.
#[derive(Debug, Default)]
pub struct Report {
    /// Names, with the prefix, of topics that were created.
    pub created: Vec<String>,
    /// Names of topics that were there and are as wanted.
    pub kept: Vec<String>,
    /// What is not as wanted and was left as it is.
    pub differences: Vec<Difference>,
}

/// One thing about a topic that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The topic with the prefix.
    pub topic: String,
    /// What differs: a setting's name, `partitions`, `replication`, or `topic` if it is missing.
    pub what: String,
    /// What the contract and the configuration want.
    pub wanted: String,
    /// What the brokers have.
    pub found: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, what, wanted, found, cure } = self;
        write!(f, "`{topic}`: {what} is {found}, wanted {wanted}: {cure}")
    }
}

/// How a found value is compared with the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Exactly,
    AtLeast,
    AtMost,
}

/// A setting of a topic.
struct Setting {
    name: &'static str,
    wanted: String,
    rule: Rule,
}

/// Creates what is missing and compares what is there. Differences are an error, after all of them are in the report.
pub async fn apply(config: &KafkaConfig, report: &mut Report) -> Result<(), OpenError> {
    let topics = Topics::new(config)?;
    let found = topics.found().await?;
    let missing: Vec<_> = topics::ALL.iter().copied().filter(|topic| !found.contains_key(topic.name)).collect();
    if !missing.is_empty() {
        topics.create(&missing).await?;
        report.created.extend(missing.iter().map(|topic| config.name(topic)));
        topics.wait_for(&missing).await?;
    }
    let found = topics.found().await?;
    report.differences = topics.compare(&found).await?;
    let differs = |name: &String| report.differences.iter().any(|difference| difference.topic == *name);
    let kept = topics::ALL.iter().map(|topic| config.name(topic));
    report.kept = kept.filter(|name| !report.created.contains(name) && !differs(name)).collect();
    told(&report.differences)
}

/// Compares and creates nothing.
pub async fn verify(config: &KafkaConfig) -> Result<(), OpenError> {
    let topics = Topics::new(config)?;
    let found = topics.found().await?;
    told(&topics.compare(&found).await?)
}

fn told(differences: &[Difference]) -> Result<(), OpenError> {
    if differences.is_empty() { Ok(()) } else { Err(OpenError::Topics { differences: differences.to_vec() }) }
}

/// Partitions and copies of a topic.
#[derive(Debug, Clone, Copy)]
struct Found {
    partitions: usize,
    /// Of the partition that has fewest.
    copies: usize,
}

struct Topics<'a> {
    config: &'a KafkaConfig,
    asker: Arc<Asker>,
    admin: AdminClient<Voice>,
}

impl<'a> Topics<'a> {
    fn new(config: &'a KafkaConfig) -> Result<Self, OpenError> {
        let refused = |error: KafkaError| OpenError::Config { why: error.to_string() };
        let asker = Asker::new(Arc::new(config.clone()), Arc::new(SystemClock::new())).map_err(refused)?;
        let admin = config.client().create_with_context(Voice::new("topics")).map_err(refused)?;
        Ok(Self { config, asker, admin })
    }

    fn away(&self, error: impl fmt::Display) -> OpenError {
        OpenError::Away { brokers: self.config.brokers.clone(), why: error.to_string() }
    }

    /// The topics of the contract that exist.
    async fn found(&self) -> Result<HashMap<&'static str, Found>, OpenError> {
        let asker = Arc::clone(&self.asker);
        let names: Vec<_> = topics::ALL.iter().map(|topic| (topic.name, self.config.name(topic))).collect();
        let look = move || {
            let mut found = HashMap::new();
            for (topic, name) in names {
                if let Some(at) = look_for(&asker, &name)? {
                    found.insert(topic, at);
                }
            }
            Ok(found)
        };
        let looked: Result<Result<_, KafkaError>, _> = tokio::task::spawn_blocking(look).await;
        looked.map_err(|error| self.away(error))?.map_err(|error| self.away(self.asker.explained(&error)))
    }

    async fn create(&self, missing: &[&'static TopicSpec]) -> Result<(), OpenError> {
        let names: Vec<_> = missing.iter().map(|topic| self.config.name(topic)).collect();
        let all: Vec<_> = missing.iter().map(|topic| settings(topic, self.config)).collect();
        let copies = i32::try_from(self.config.replication).unwrap_or(i32::MAX);
        let wanted: Vec<_> = missing
            .iter()
            .zip(names.iter().zip(&all))
            .map(|(topic, (name, settings))| {
                let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                let new = NewTopic::new(name, partitions, TopicReplication::Fixed(copies));
                settings.iter().fold(new, |new, setting| new.set(setting.name, &setting.wanted))
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(TOPICS_WITHIN)).request_timeout(Some(TOPICS_WITHIN));
        for created in self.admin.create_topics(&wanted, &options).await.map_err(|error| self.away(error))? {
            match created {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(OpenError::Create { topic, why: code.to_string() }),
            }
        }
        Ok(())
    }

    /// Waits until the brokers serve every partition of new topics.
    async fn wait_for(&self, missing: &[&'static TopicSpec]) -> Result<(), OpenError> {
        let all_served = async {
            for topic in missing {
                while self.asker.ends(all_of(topic)).await.is_err() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        };
        let waited = tokio::time::timeout(SERVED_WITHIN, all_served).await;
        waited.map_err(|_| self.away("the new topics are not served yet; run `loa topics apply` again"))
    }

    /// Every difference between what is wanted and what is there.
    async fn compare(&self, found: &HashMap<&'static str, Found>) -> Result<Vec<Difference>, OpenError> {
        let (mut differences, mut there) = (Vec::new(), Vec::new());
        for &topic in topics::ALL {
            match found.get(topic.name) {
                Some(&at) => {
                    differences.extend(shape(topic, at, self.config));
                    there.push((topic, self.config.name(topic)));
                }
                None => differences.push(missing(topic, self.config)),
            }
        }
        let asked: Vec<_> = there.iter().map(|(_, name)| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(TOPICS_WITHIN));
        let told = if asked.is_empty() {
            Vec::new()
        } else {
            self.admin.describe_configs(&asked, &options).await.map_err(|error| self.away(error))?
        };
        for ((topic, _), resource) in there.iter().zip(told) {
            let resource = resource.map_err(|code| self.away(format!("`{}` is not described: {code}", topic.name)))?;
            differences.extend(unlike(topic, &resource, self.config));
        }
        Ok(differences)
    }
}

fn look_for(asker: &Asker, name: &str) -> Result<Option<Found>, KafkaError> {
    let metadata = asker.client().fetch_metadata(Some(name), TOPICS_WITHIN)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
    let led =
        topic.filter(|topic| !topic.partitions().is_empty() && topic.partitions().iter().all(|at| at.leader() >= 0));
    Ok(led.map(|topic| Found {
        partitions: topic.partitions().len(),
        copies: topic.partitions().iter().map(|at| at.replicas().len()).min().unwrap_or(0),
    }))
}

fn missing(topic: &TopicSpec, config: &KafkaConfig) -> Difference {
    Difference {
        topic: config.name(topic),
        what: "topic".to_owned(),
        wanted: format!("{} partitions", topic.partitions),
        found: "missing".to_owned(),
        cure: "run `loa topics apply`".to_owned(),
    }
}

/// Partitions and copies that are not as wanted.
fn shape(topic: &TopicSpec, found: Found, config: &KafkaConfig) -> Vec<Difference> {
    let name = config.name(topic);
    let mut differences = Vec::new();
    if index(topic.partitions) != found.partitions {
        differences.push(Difference {
            topic: name.clone(),
            what: "partitions".to_owned(),
            wanted: topic.partitions.to_string(),
            found: found.partitions.to_string(),
            cure:
                "a shard's place never moves: use another [log] prefix, or delete the topic while nothing runs and run \
                   `loa topics apply`"
                    .to_owned(),
        });
    }
    if found.copies < index(config.replication) {
        differences.push(Difference {
            topic: name,
            what: "replication".to_owned(),
            wanted: format!("at least {}", config.replication),
            found: found.copies.to_string(),
            cure: "move its partitions to more brokers with kafka-reassign-partitions.sh, or set [log] replication"
                .to_owned(),
        });
    }
    differences
}

/// Settings that are not as wanted.
fn unlike(topic: &TopicSpec, found: &ConfigResource, config: &KafkaConfig) -> Vec<Difference> {
    let name = config.name(topic);
    let difference = |setting: Setting| {
        let value = found.get(setting.name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        let Setting { name: what, wanted, rule } = setting;
        if rule.holds(&value, &wanted) {
            return None;
        }
        let cure = format!("kafka-configs.sh --alter --topic {name} --add-config {what}={wanted}");
        let wanted = match rule {
            Rule::Exactly => wanted,
            Rule::AtLeast => format!("at least {wanted}"),
            Rule::AtMost => format!("at most {wanted}"),
        };
        Some(Difference { topic: name.clone(), what: what.to_owned(), wanted, found: value, cure })
    };
    settings(topic, config).into_iter().filter_map(difference).collect()
}

impl Rule {
    fn holds(self, found: &str, wanted: &str) -> bool {
        let numbers = found.parse::<i64>().ok().zip(wanted.parse::<i64>().ok());
        match self {
            Self::Exactly => found == wanted,
            Self::AtLeast => numbers.is_some_and(|(found, wanted)| found >= wanted),
            Self::AtMost => numbers.is_some_and(|(found, wanted)| found <= wanted),
        }
    }
}

/// What a topic is created with and compared with.
fn settings(topic: &TopicSpec, config: &KafkaConfig) -> Vec<Setting> {
    let set = |name, wanted: String, rule| Setting { name, wanted, rule };
    let mut all = vec![
        set("max.message.bytes", BATCH_BYTES_MAX.to_string(), Rule::AtLeast),
        set("min.insync.replicas", config.min_insync.to_string(), Rule::AtLeast),
        set("unclean.leader.election.enable", "false".to_owned(), Rule::Exactly),
        // The time of a record is that of who appended it.
        set("message.timestamp.type", "CreateTime".to_owned(), Rule::Exactly),
        set("retention.bytes", "-1".to_owned(), Rule::Exactly),
    ];
    match topic.keep {
        Keep::Compacted => all.extend([
            set("cleanup.policy", "compact".to_owned(), Rule::Exactly),
            set("min.compaction.lag.ms", ms(COMPACTION_LAG), Rule::AtLeast),
            set("segment.ms", ms(COMPACTED_ROLL), Rule::AtMost),
        ]),
        Keep::Hours(hours) => {
            let keep = Duration::from_secs(u64::from(hours) * 60 * 60);
            all.extend([
                set("cleanup.policy", "delete".to_owned(), Rule::Exactly),
                set("retention.ms", ms(keep), Rule::Exactly),
                set("segment.ms", (keep.as_millis() / u128::from(FILES_KEPT)).to_string(), Rule::AtMost),
            ]);
        }
    }
    if config.replication == 1 {
        // Nobody else has it: acknowledged means on the disk.
        all.push(set("flush.messages", "1".to_owned(), Rule::Exactly));
    }
    all
}

fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::{BlocksTopic, ControlTopic, Topic as _};
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    fn config(replication: u32) -> KafkaConfig {
        let (brokers, prefix, node) = ("a:1".to_owned(), "loa.".to_owned(), "n1".to_owned());
        KafkaConfig { brokers, prefix, tls: None, sasl: None, replication, min_insync: 1, node }
    }

    fn found(values: &[(&str, &str)], topic: &TopicSpec, config: &KafkaConfig) -> Vec<String> {
        let mut entries: HashMap<_, _> = settings(topic, config).into_iter().map(|s| (s.name, s.wanted)).collect();
        entries.extend(values.iter().map(|&(name, value)| (name, value.to_owned())));
        let entry = |(name, value): (&str, String)| ConfigEntry {
            name: name.to_owned(),
            value: Some(value),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        let resource = ConfigResource {
            specifier: OwnedResourceSpecifier::Topic(config.name(topic)),
            entries: entries.into_iter().map(entry).collect(),
        };
        unlike(topic, &resource, config).into_iter().map(|difference| difference.what).collect()
    }

    #[test]
    fn a_topic_may_be_stricter_and_not_weaker() {
        let (control, blocks, config) = (ControlTopic::SPEC, BlocksTopic::SPEC, config(3));
        for (topic, values, expected) in [
            (blocks, vec![], vec![]),
            (blocks, vec![("retention.ms", "3599999")], vec!["retention.ms"]),
            (blocks, vec![("retention.ms", "7200000")], vec!["retention.ms"]),
            (blocks, vec![("max.message.bytes", "9000000")], vec![]),
            (blocks, vec![("max.message.bytes", "1048588")], vec!["max.message.bytes"]),
            (blocks, vec![("segment.ms", "60000")], vec![]),
            (blocks, vec![("segment.ms", "604800000")], vec!["segment.ms"]),
            (control, vec![("cleanup.policy", "delete")], vec!["cleanup.policy"]),
            (control, vec![("min.compaction.lag.ms", "0")], vec!["min.compaction.lag.ms"]),
            (control, vec![("unclean.leader.election.enable", "true")], vec!["unclean.leader.election.enable"]),
        ] {
            assert_eq!(found(&values, topic, &config), expected, "{} {values:?}", topic.name);
        }
    }

    #[test]
    fn one_copy_is_synced_to_the_disk() {
        let flushes = |copies| settings(ControlTopic::SPEC, &config(copies)).iter().any(|s| s.name == "flush.messages");
        assert!(flushes(1) && !flushes(3));
    }

    #[test]
    fn a_difference_says_what_to_do() {
        let at = |partitions, copies| shape(BlocksTopic::SPEC, Found { partitions, copies }, &config(3));
        assert_eq!(at(1, 3), []);
        let told: Vec<_> = at(2, 1).iter().map(Difference::to_string).collect();
        assert!(told[0].starts_with("`loa.blocks.v1`: partitions is 2, wanted 1: "), "{told:?}");
        assert!(told[1].contains("replication is 1, wanted at least 3"), "{told:?}");
    }
}
