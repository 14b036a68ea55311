//! The log on Apache Kafka: what every log must do, and what only brokers can do to it.
//!
//! Must stay true: what was acknowledged is read once and in order, whatever is killed.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::{SettlementsTopic, Topic as _, TopicSpec};
use loa_harness::TestResult;
use loa_kafka::{KafkaConfig, KafkaLog, Report, apply};
use loa_ports::clock::SystemClock;
use loa_ports::log::{Append, Reader};
use loa_real::kafka::Kafka;

mod aged;
mod kills;
mod quiet;

const WIDE: &TopicSpec = SettlementsTopic::SPEC;
/// Any read that should answer, answers within this; longer than a broker takes to start again on a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(120);

fn config(kafka: &Kafka, prefix: &str) -> KafkaConfig {
    KafkaConfig {
        brokers: kafka.brokers(),
        prefix: prefix.to_owned(),
        tls: None,
        sasl: None,
        replication: 1,
        min_insync: 1,
        node: "test".to_owned(),
    }
}

async fn open(config: KafkaConfig) -> TestResult<Arc<KafkaLog>> {
    apply(&config, &mut Report::default()).await?;
    Ok(Arc::new(KafkaLog::open(config, Arc::new(SystemClock::new())).await?))
}

fn record(partition: u32, value: String) -> Append {
    Append { topic: WIDE, partition, key: Default::default(), headers: Vec::new(), value: value.into() }
}

async fn next(reader: &mut dyn Reader) -> TestResult<Vec<(u32, i64, String)>> {
    let records = tokio::time::timeout(READ_WITHIN, reader.next(100)).await??;
    let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(records.iter().map(|record| (record.partition, record.offset, value(&record.value))).collect())
}
