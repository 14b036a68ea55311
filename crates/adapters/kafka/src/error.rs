//! What can go wrong while the log is opened, and what the codes of Kafka mean to who appends and reads.

use loa_contract::topics::TopicSpec;
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::topics::Difference;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The client library refuses the configuration.
    #[error("could not make a client of Apache Kafka: check [log] brokers, tls and sasl: {why}")]
    Config {
        /// What it says.
        why: String,
    },
    /// No broker answers.
    #[error("could not reach Apache Kafka at {brokers}: {why}")]
    Away {
        /// The addresses.
        brokers: String,
        /// What was noticed.
        why: String,
    },
    /// A topic is missing or is not what the contract wants.
    #[error("the topics of Apache Kafka are not as wanted; run `loa topics apply` and do what it says: {}", list(.differences))]
    Topics {
        /// What is missing or differs.
        differences: Vec<Difference>,
    },
    /// A topic could not be made.
    #[error("could not create the topic `{topic}`: {why}")]
    Create {
        /// Its name with the prefix.
        topic: String,
        /// What the broker says.
        why: String,
    },
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

/// Try again.
pub(crate) fn away(why: impl Into<String>) -> LogError {
    LogError::Away { why: why.into() }
}

/// The log was closed by this process.
pub(crate) fn closed() -> LogError {
    away("it was closed")
}

/// What it means that a record was not taken.
pub(crate) fn of_append(error: &KafkaError, topic: &'static TopicSpec, partition: u32, bytes: usize) -> LogError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            LogError::TooLarge { topic: topic.name, bytes, max: RECORD_BYTES_MAX }
        }
        Some(RDKafkaErrorCode::UnknownPartition) => LogError::NoPartition { topic: topic.name, partition },
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            away(format!("`{}` is missing; run `loa topics apply`", topic.name))
        }
        _ => away(error.to_string()),
    }
}

/// What an error among the records that are read means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Everything of the partition was read.
    End(u32),
    /// An offset may be outside of the log.
    Suspect,
    /// The client is of no more use.
    Broken,
    /// The topic is not there, or not as it was; it may be made anew.
    Missing,
    /// It mends itself; the reader waits.
    Passing,
    /// Somebody must act.
    Refused,
}

/// Looks at an error that a reader's client tells.
pub(crate) fn of_read(error: &KafkaError) -> Meaning {
    if let KafkaError::PartitionEOF(partition) = error {
        return u32::try_from(*partition).map_or(Meaning::Passing, Meaning::End);
    }
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Meaning::Broken;
    }
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::LogTruncation
            | RDKafkaErrorCode::NoOffset,
        ) => Meaning::Suspect,
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression,
        ) => Meaning::Refused,
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId,
        ) => Meaning::Missing,
        _ => Meaning::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::topics::{ControlTopic, Topic as _};

    #[test]
    fn a_refused_record_says_whether_to_try_again() {
        let of = |code| of_append(&KafkaError::MessageProduction(code), ControlTopic::SPEC, 3, 9);
        for code in
            [RDKafkaErrorCode::MessageTimedOut, RDKafkaErrorCode::NotEnoughReplicas, RDKafkaErrorCode::PurgeQueue]
        {
            assert!(of(code).is_away(), "{code:?}");
        }
        assert!(matches!(of(RDKafkaErrorCode::UnknownPartition), LogError::NoPartition { partition: 3, .. }));
        assert!(matches!(of(RDKafkaErrorCode::MessageSizeTooLarge), LogError::TooLarge { bytes: 9, .. }));
    }

    #[test]
    fn an_error_while_reading_has_a_meaning() {
        let of = |code| of_read(&KafkaError::MessageConsumption(code));
        assert_eq!(of(RDKafkaErrorCode::AutoOffsetReset), Meaning::Suspect);
        assert_eq!(of(RDKafkaErrorCode::AllBrokersDown), Meaning::Passing);
        assert_eq!(of(RDKafkaErrorCode::TopicAuthorizationFailed), Meaning::Refused);
        assert_eq!(of(RDKafkaErrorCode::UnknownTopicOrPartition), Meaning::Missing);
        assert_eq!(of_read(&KafkaError::PartitionEOF(7)), Meaning::End(7));
    }
}
