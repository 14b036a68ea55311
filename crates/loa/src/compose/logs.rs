//! The log: the file of this process, or Apache Kafka.

use std::path::Path;
use std::sync::Arc;

use loa_embedded::EmbeddedLog;
use loa_kafka::{KafkaConfig, KafkaLog, Mechanism, Report, Sasl, Tls};
use loa_ports::carrier::Secret;
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::log::Log;
use loa_runtime::config::{self, Config, LogConfig};

use crate::exit::Failure;
use crate::place::Place;

/// A log that this process has opened and closes.
#[derive(Clone)]
pub enum OwnLog {
    /// The file.
    Embedded(Arc<EmbeddedLog>),
    /// Apache Kafka.
    Kafka(Arc<KafkaLog>),
}

impl OwnLog {
    /// What the configuration names.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        match &config.log {
            LogConfig::Embedded => embedded(&config.node.data, clock).await.map(Arc::new).map(Self::Embedded),
            LogConfig::Kafka(kafka) => {
                let opened = KafkaLog::open(kafka_config(kafka, &config.node.name)?, clock).await;
                opened.map(Arc::new).map(Self::Kafka).map_err(|error| Failure::of(&error))
            }
        }
    }

    /// As the roles see it.
    pub fn port(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => Arc::clone(log) as _,
            Self::Kafka(log) => Arc::clone(log) as _,
        }
    }

    /// Waits for what is being appended, then ends.
    pub async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Kafka(log) => log.close().await,
        }
    }
}

async fn embedded(data: &Path, clock: Arc<dyn Clock>) -> Result<EmbeddedLog, Failure> {
    let opened = EmbeddedLog::open(&data.join("log.db"), clock, loa_embedded::Options::default()).await;
    opened.map_err(|error| Failure::of(&error))
}

/// Makes the topics that are missing; lines for the operator. A topic that differs is refused, with every difference.
pub async fn apply_topics(config: &Config) -> Result<Vec<String>, Failure> {
    match &config.log {
        LogConfig::Embedded => {
            // The embedded log makes its topics from the declaration when it is opened.
            let _place = Place::open(&config.node.data, false).map_err(Failure::Failed)?;
            embedded(&config.node.data, Arc::new(SystemClock::new())).await?.close().await;
            Ok(Vec::new())
        }
        LogConfig::Kafka(kafka) => {
            let mut report = Report::default();
            let applied = loa_kafka::apply(&kafka_config(kafka, &config.node.name)?, &mut report).await;
            applied.map_err(|error| Failure::of(&error))?;
            Ok(report.created.iter().map(|topic| format!("{topic}: created")).collect())
        }
    }
}

/// Whether the log answers and has its topics.
pub(crate) async fn reach(config: &Config) -> Result<(), Failure> {
    let LogConfig::Kafka(kafka) = &config.log else { return Ok(()) };
    let verified = loa_kafka::verify(&kafka_config(kafka, &config.node.name)?).await;
    verified.map_err(|error| Failure::of(&error))
}

fn kafka_config(kafka: &config::KafkaLog, node: &str) -> Result<KafkaConfig, Failure> {
    let sasl = |sasl: &config::KafkaSasl| {
        let mechanism = Mechanism::of(&sasl.mechanism)
            .ok_or_else(|| Failure::Usage(format!("log.sasl_mechanism: `{}` is not served", sasl.mechanism)))?;
        let Secret(password) = sasl.password.clone();
        Ok::<_, Failure>(Sasl { mechanism, user: sasl.user.clone(), password })
    };
    Ok(KafkaConfig {
        brokers: kafka.brokers.clone(),
        prefix: kafka.prefix.clone(),
        tls: kafka.tls.clone().map(|config::KafkaTls { ca, identity }| Tls { ca, identity }),
        sasl: kafka.sasl.as_ref().map(sasl).transpose()?,
        replication: kafka.replication,
        min_insync: kafka.min_insync,
        node: node.to_owned(),
    })
}
