//! `[log]`, `[store]` and `[redis]`: what keeps records, state and account buckets.
//!
//! Must stay true: the embedded defaults need no key beside `kind`; a key of the other kind is a fault, not a silence.

use std::path::PathBuf;

use loa_ports::carrier::Secret;

use super::accounts::secret;
use super::section::Section;
use crate::role::Role;

/// Where `{role}` stands in `store.url`.
const ROLE: &str = "{role}";
/// Characters of a topic prefix, at most; Kafka's own limit of a topic name is 249.
const PREFIX_CHARS_MAX: usize = 64;

/// `[log]`
#[derive(Debug, Clone)]
pub enum LogConfig {
    /// One file in this process.
    Embedded,
    /// Apache Kafka.
    Kafka(Box<KafkaLog>),
}

/// The keys of `[log] kind = "kafka"`.
#[derive(Debug, Clone)]
pub struct KafkaLog {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Stands before the name of every topic.
    pub prefix: String,
    /// Copies of a record.
    pub replication: u32,
    /// Copies that must be in step before a record is acknowledged.
    pub min_insync: u32,
    /// TLS towards the brokers.
    pub tls: Option<KafkaTls>,
    /// How this process logs in.
    pub sasl: Option<KafkaSasl>,
}

/// Files of TLS towards the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTls {
    /// PEM of the CA; absent = the system's.
    pub ca: Option<PathBuf>,
    /// PEM certificate of this client and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A login.
#[derive(Debug, Clone)]
pub struct KafkaSasl {
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub mechanism: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// `[store]`
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// One file per role.
    Sqlite,
    /// PostgreSQL, one database per role.
    Postgres(Secret),
}

impl StoreConfig {
    /// The database of a role.
    pub fn url(&self, role: Role) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(Secret(url)) => Some(url.replace(ROLE, role.name())),
        }
    }
}

pub(super) fn read_log(section: Section<'_>) -> LogConfig {
    let config = match section.text("kind").as_str() {
        "embedded" => LogConfig::Embedded,
        "kafka" => LogConfig::Kafka(Box::new(read_kafka(&section))),
        other => {
            section.fault("kind", format!("`{other}` is no log; use \"embedded\" or \"kafka\""));
            // The keys of a kind that nobody knows are no faults of their own.
            return LogConfig::Embedded;
        }
    };
    section.finish();
    config
}

fn read_kafka(section: &Section<'_>) -> KafkaLog {
    let brokers = section.text("brokers");
    let is_address = |text: &str| {
        text.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !brokers.is_empty() && !brokers.split(',').all(is_address) {
        section.fault("brokers", "must be host:port, separated by commas");
    }
    let prefix = section.optional_text("prefix").unwrap_or_default();
    if prefix.len() > PREFIX_CHARS_MAX
        || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        section.fault("prefix", format!("use up to {PREFIX_CHARS_MAX} of letters, digits, - _ and ."));
    }
    let [replication, min_insync] = [("replication", 3), ("min_insync", 2)]
        .map(|(key, default)| if section.has(key) { section.number(key, 1..=9) } else { default });
    if min_insync > replication {
        section.fault("min_insync", format!("must not be above log.replication = {replication}"));
    }
    KafkaLog { brokers, prefix, replication, min_insync, tls: read_kafka_tls(section), sasl: read_sasl(section) }
}

fn read_kafka_tls(section: &Section<'_>) -> Option<KafkaTls> {
    let [ca, certificate, key] =
        ["tls_ca", "tls_certificate", "tls_key"].map(|key| section.optional_text(key).map(PathBuf::from));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            section.fault("tls_certificate", "needs log.tls_key, and the other way round");
            None
        }
    };
    let wanted = if section.has("tls") { section.flag("tls") } else { ca.is_some() || identity.is_some() };
    if !wanted && (ca.is_some() || identity.is_some()) {
        section.fault("tls", "is false, and there are files of TLS; set it to true or remove them");
    }
    wanted.then_some(KafkaTls { ca, identity })
}

fn read_sasl(section: &Section<'_>) -> Option<KafkaSasl> {
    if !section.has("sasl_mechanism") {
        for key in ["sasl_user", "sasl_password"] {
            if section.has(key) {
                section.fault(key, "needs log.sasl_mechanism");
                drop(section.optional_text(key));
            }
        }
        return None;
    }
    let mechanism = section.text("sasl_mechanism");
    if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism.as_str()) {
        section
            .fault("sasl_mechanism", format!("`{mechanism}` is not served; use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"));
    }
    Some(KafkaSasl { mechanism, user: section.text("sasl_user"), password: Secret(secret(section, "sasl_password")) })
}

pub(super) fn read_store(section: Section<'_>) -> StoreConfig {
    let config = match section.text("kind").as_str() {
        "sqlite" => StoreConfig::Sqlite,
        "postgres" => {
            let url = secret(&section, "url");
            if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
                section.fault("url", "must be like postgres://user:password@host/loa_{role}");
            } else if !url.contains(ROLE) {
                section.fault("url", "must contain {role}: every role has a database of its own");
            }
            StoreConfig::Postgres(Secret(url))
        }
        other => {
            section.fault("kind", format!("`{other}` is no store; use \"sqlite\" or \"postgres\""));
            return StoreConfig::Sqlite;
        }
    };
    section.finish();
    config
}

/// The URL of Redis, if account buckets are counted over all nodes.
pub(super) fn read_redis(section: Section<'_>) -> Option<Secret> {
    let url = section.has("url").then(|| secret(&section, "url"));
    if let Some(url) = &url
        && !url.starts_with("redis://")
        && !url.starts_with("rediss://")
    {
        section.fault("url", "must be like redis://user:password@host:6379, or rediss:// for TLS");
    }
    section.finish();
    url.map(Secret)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Config, DEFAULT, Faults, Layers};
    use super::*;

    pub(in crate::config) fn check(text: &str) -> Result<Config, Vec<String>> {
        let mut layers = Layers::default();
        layers.add_toml("loa.default.toml", DEFAULT, true).unwrap();
        layers.add_toml("loa.toml", text, false).unwrap();
        Config::check(&layers).map_err(|Faults(faults)| faults.iter().map(ToString::to_string).collect())
    }

    /// The keys that are at fault.
    #[track_caller]
    pub(in crate::config) fn faulty(text: &str, keys: &[&str]) {
        let faults = check(text).unwrap_err();
        let found: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(found, keys, "{faults:#?}");
    }

    #[test]
    fn real_parts_are_read() {
        let config = check(
            "[log]\nkind = \"kafka\"\nbrokers = \"a:9092, b:9092\"\nprefix = \"loa.\"\ntls = true\n\
             sasl_mechanism = \"SCRAM-SHA-512\"\nsasl_user = \"loa\"\nsasl_password = \"hidden\"\n\
             [store]\nkind = \"postgres\"\nurl = \"postgres://loa:hidden@db/loa_{role}\"\n\
             [redis]\nurl = \"redis://cache\"\n[audience]\nsnapshots = \"shared\"\n[grpc]\nsystem_key = \"hidden\"\n",
        );
        let config = config.unwrap();
        let LogConfig::Kafka(kafka) = &config.log else { panic!("{:?}", config.log) };
        assert_eq!((kafka.replication, kafka.min_insync, kafka.prefix.as_str()), (3, 2, "loa."));
        assert_eq!(kafka.tls, Some(KafkaTls { ca: None, identity: None }));
        assert_eq!(kafka.sasl.as_ref().map(|sasl| sasl.user.as_str()), Some("loa"));
        assert_eq!(config.store.url(Role::Sms).as_deref(), Some("postgres://loa:hidden@db/loa_sms"));
        assert!(config.redis.is_some() && config.audience.snapshots.is_some() && config.grpc.system_key.is_some());
        assert!(!format!("{config:?}").contains("hidden"), "a secret is never shown");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        faulty("[log]\nkind = \"tape\"\nbrokers = \"a:1\"\n[store]\nkind = \"files\"\n", &["log.kind", "store.kind"]);
        faulty("[log]\nbrokers = \"a:9092\"\n", &["log.brokers"]); // a key of the other kind
        faulty("[log]\nkind = \"kafka\"\n", &["log.brokers"]);
        let kafka = "[log]\nkind = \"kafka\"\nbrokers = \"a:9092\"\n";
        faulty(&format!("{kafka}replication = 1\n"), &["log.min_insync"]);
        faulty(&format!("{kafka}prefix = \"a/b\"\n"), &["log.prefix"]);
        faulty(&format!("{kafka}tls = false\ntls_ca = \"ca.pem\"\n"), &["log.tls"]);
        faulty(&format!("{kafka}tls_key = \"k.pem\"\n"), &["log.tls_certificate"]);
        faulty(&format!("{kafka}sasl_user = \"loa\"\n"), &["log.sasl_user"]);
        faulty(
            &format!("{kafka}sasl_mechanism = \"GSSAPI\"\nsasl_user = \"a\"\nsasl_password = \"b\"\n"),
            &["log.sasl_mechanism"],
        );
        faulty("[store]\nkind = \"postgres\"\nurl = \"postgres://db/loa\"\n", &["store.url"]);
        faulty("[redis]\nurl = \"cache:6379\"\n", &["redis.url"]);
    }
}
