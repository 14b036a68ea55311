//! How the brokers are reached, and what every client of them is told.
//!
//! Must stay true: each limit here has a name; a password is shown nowhere.

use std::path::PathBuf;
use std::time::Duration;

use loa_contract::topics::{OutcomesTopic, ReceiptsTopic, ReferencesTopic, SettlementsTopic, Topic as _, TopicSpec};
use loa_domain::limits::RECORD_BYTES_MAX;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// A record that is not acknowledged within this time is given up: the log is away. Longer than a broker takes to start
/// again, shorter than three brokers take to notice that one was killed (9 s), whose callers try again.
pub const APPEND_WITHIN: Duration = Duration::from_secs(5);
/// One try to have records acknowledged.
const REQUEST_WITHIN: Duration = Duration::from_secs(3);
/// A request without an answer for so long closes its connection.
const SOCKET_SILENT_MAX: Duration = Duration::from_secs(10);
/// A connection that is not made within this time is tried again.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Waits before a lost connection is made again, least and most.
const RECONNECT_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// Waits before a failed request is sent again, least and most.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How long a broker holds an idle reader's question open. A partition that is added to a reader waits for as long.
const FETCH_HELD_FOR: Duration = Duration::from_millis(500);
/// Of a topic whose records may gather: a broker answers with at least so many bytes, or after so long. Each answer costs it
/// a look at every partition that the reader has, which would else be one for each record.
const GATHER_BYTES: usize = 64 * 1024;
const GATHER_FOR: Duration = Duration::from_millis(100);
/// Topics of which nobody waits for a single record.
const GATHERED: [&str; 4] =
    [ReceiptsTopic::SPEC.name, ReferencesTopic::SPEC.name, SettlementsTopic::SPEC.name, OutcomesTopic::SPEC.name];
/// How long a reader whose memory is full waits before it looks for room again.
const FETCH_FULL_WAIT: Duration = Duration::from_millis(5);
/// How long a partition rests after an error.
const FETCH_ERROR_WAIT: Duration = Duration::from_millis(100);
/// Records read ahead by one reader, in kB of 1024 bytes; one answer of each broker may come on top.
const READ_AHEAD_KB_MAX: usize = 2 * 1024;
/// One answer of a broker to one reader, compressed, in bytes.
const FETCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Appended bytes that may wait for their acknowledgement, over all calls; who comes later waits.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a record costs in memory besides its bytes, as the queue counts.
pub(crate) const RECORD_COST: usize = 512;
/// What Kafka adds to a record of [`RECORD_BYTES_MAX`] at most.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// The largest batch a broker must take, in bytes: `max.message.bytes` of every topic.
pub(crate) const BATCH_BYTES_MAX: usize = RECORD_BYTES_MAX + ENVELOPE_BYTES_MAX;

/// Apache Kafka 3.7 or newer, and this process as its client.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Stands before the name of every topic and group.
    pub prefix: String,
    /// TLS towards the brokers.
    pub tls: Option<Tls>,
    /// How this process logs in.
    pub sasl: Option<Sasl>,
    /// Copies of a record. With one, brokers sync each batch to the disk instead.
    pub replication: u32,
    /// Copies that must be in step before a record is acknowledged.
    pub min_insync: u32,
    /// The name of this node, as the brokers' logs show it.
    pub node: String,
}

/// Files of TLS towards the brokers, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The CA; absent = the system's.
    pub ca: Option<PathBuf>,
    /// Certificate of this client and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A login.
#[derive(Clone)]
pub struct Sasl {
    /// How the password is shown to a broker.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// How a login is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself; wants TLS.
    Plain,
    /// Challenge and response with SHA-256.
    ScramSha256,
    /// Challenge and response with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its name in Kafka and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mechanism, user, .. } = self;
        f.debug_struct("Sasl").field("mechanism", mechanism).field("user", user).field("password", &"***").finish()
    }
}

impl KafkaConfig {
    /// A topic's name with the prefix.
    pub(crate) fn name(&self, topic: &TopicSpec) -> String {
        format!("{}{}", self.prefix, topic.name)
    }

    /// What every client is told.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let [retry, retry_max] = RETRY_AFTER;
        let [reconnect, reconnect_max] = RECONNECT_AFTER;
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("loa-{}", self.node))
            .set("socket.timeout.ms", ms(SOCKET_SILENT_MAX))
            .set("socket.connection.setup.timeout.ms", ms(CONNECT_WITHIN))
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", ms(reconnect))
            .set("reconnect.backoff.max.ms", ms(reconnect_max))
            .set("retry.backoff.ms", ms(retry))
            .set("retry.backoff.max.ms", ms(retry_max))
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(Tls { ca, identity }) = &self.tls {
            let identity = identity.as_ref();
            let files = [
                ("ssl.ca.location", ca.as_ref()),
                ("ssl.certificate.location", identity.map(|(certificate, _)| certificate)),
                ("ssl.key.location", identity.map(|(_, key)| key)),
            ];
            for (key, file) in files {
                if let Some(file) = file {
                    config.set(key, file.to_string_lossy());
                }
            }
        }
        if let Some(Sasl { mechanism, user, password }) = &self.sasl {
            config.set("sasl.mechanism", mechanism.name()).set("sasl.username", user).set("sasl.password", password);
        }
        config
    }

    /// What the client is told that appends.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            .set("linger.ms", "0")
            .set("message.max.bytes", BATCH_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", (2 * QUEUE_BYTES_MAX / RECORD_COST).to_string())
            .set("queue.buffering.max.kbytes", (2 * QUEUE_BYTES_MAX / 1024).to_string())
            .set("delivery.timeout.ms", ms(APPEND_WITHIN))
            .set("request.timeout.ms", ms(REQUEST_WITHIN))
            // Says when the producer has its number, which is what a first record would wait for.
            .set("debug", "eos")
            .set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    /// What a reader's client is told. The group is a name only: nobody joins it and nothing is committed to it.
    pub(crate) fn reader(&self, topic: &TopicSpec, tells_ends: bool) -> ClientConfig {
        let mut config = self.client();
        let gathers = GATHERED.contains(&topic.name);
        let (bytes, held_for) = if gathers { (GATHER_BYTES, GATHER_FOR) } else { (1, FETCH_HELD_FOR) };
        config
            .set("group.id", format!("{}reader", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", tells_ends.to_string())
            .set("fetch.min.bytes", bytes.to_string())
            .set("fetch.wait.max.ms", ms(held_for))
            .set("fetch.queue.backoff.ms", ms(FETCH_FULL_WAIT))
            .set("fetch.error.backoff.ms", ms(FETCH_ERROR_WAIT))
            .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
            .set("queued.max.messages.kbytes", READ_AHEAD_KB_MAX.to_string());
        config
    }

    /// What the client is told that writes down how far somebody has read.
    pub(crate) fn group(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", format!("{}{group}", self.prefix)).set("enable.auto.commit", "false");
        config
    }
}

/// Whole milliseconds as Kafka wants them.
pub(crate) fn ms(time: Duration) -> String {
    time.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::ALL;

    fn config(tls: Option<Tls>, sasl: Option<Sasl>) -> KafkaConfig {
        let (brokers, prefix, node) = ("a:1,b:2".to_owned(), "loa.".to_owned(), "n1".to_owned());
        KafkaConfig { brokers, prefix, tls, sasl, replication: 3, min_insync: 2, node }
    }

    #[test]
    fn the_protocol_follows_from_tls_and_login() {
        let sasl = Sasl { mechanism: Mechanism::ScramSha512, user: "loa".to_owned(), password: "secret".to_owned() };
        for (tls, sasl, expected) in [
            (None, None, "plaintext"),
            (Some(Tls::default()), None, "ssl"),
            (None, Some(sasl.clone()), "sasl_plaintext"),
            (Some(Tls::default()), Some(sasl), "sasl_ssl"),
        ] {
            let client = config(tls, sasl.clone()).client();
            assert_eq!(client.get("security.protocol"), Some(expected));
            assert_eq!(client.get("sasl.mechanism"), sasl.as_ref().map(|_| "SCRAM-SHA-512"));
        }
    }

    #[test]
    fn whoever_is_waited_for_is_answered_at_once() {
        let config = config(None, None);
        let gathers = |topic: &&TopicSpec| config.reader(topic, false).get("fetch.min.bytes") != Some("1");
        let found: Vec<_> = ALL.iter().copied().filter(gathers).map(|topic| topic.name).collect();
        assert_eq!(
            found,
            ["settlements.v1", "references.v1", "receipts.v1", "outcomes.v1"],
            "no lane, and no control.v1"
        );
    }

    #[test]
    fn what_is_set_is_known_to_the_client() {
        let config = config(Some(Tls::default()), None);
        for client in [config.producer(), config.reader(ReceiptsTopic::SPEC, true), config.group("report")] {
            client.create_native_config().expect("every key and value is known");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let sasl = Sasl { mechanism: Mechanism::Plain, user: "loa".to_owned(), password: "secret".to_owned() };
        let shown = format!("{:?}", config(None, Some(sasl)));
        assert!(shown.contains("loa") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_mechanism_has_its_name() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::of(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::of("GSSAPI"), None);
    }
}
