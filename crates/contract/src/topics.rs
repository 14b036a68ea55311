//! Every topic, declared once: its one Protobuf type, key, partitions and retention.
//!
//! Must stay true: readers and writers take the topic *type*, so the wrong message on a topic does not compile; a new
//! topic stands in [`ALL`], which is what `loa topics apply` creates and proto/README.md lists.

use loa_domain::channel::{Channel, Lane};
use loa_domain::limits::{CORRELATIONS, SHARDS};

use crate::pb::event::v1 as event;

/// How long records stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// At least this many hours.
    Hours(u32),
    /// The newest record of each key, for ever.
    Compacted,
}

/// What a topic is.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name, ending in a version.
    pub name: &'static str,
    /// Partitions, for the installation's life.
    pub partitions: u32,
    /// How long records stay.
    pub keep: Keep,
    /// What decides the partition.
    pub key: &'static str,
    /// The Protobuf message of its records.
    pub record: &'static str,
    /// From whom to whom, in one line.
    pub purpose: &'static str,
}

/// A topic: its name and its one Protobuf type.
pub trait Topic {
    /// The record.
    type Event: prost::Message + Default;
    /// The declaration.
    const SPEC: &'static TopicSpec;
}

const DAY: u32 = 24;
const PARTITIONS: u32 = SHARDS as u32;
const CORRELATED: u32 = CORRELATIONS as u32;

macro_rules! topic {
    ($(#[$doc:meta])* $name:ident, $event:ident, $text:literal, $partitions:expr, $keep:expr, $key:literal, $purpose:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Topic for $name {
            type Event = event::$event;
            const SPEC: &'static TopicSpec = &TopicSpec {
                name: $text, partitions: $partitions, keep: $keep, key: $key, record: stringify!($event), purpose: $purpose,
            };
        }
    };
}

topic!(/// Absolute, versioned campaign and account states.
    ControlTopic, Control, "control.v1", 1, Keep::Compacted, "object", "registry, dispatch, gateways → every process: campaign and account states");
topic!(/// New opt-outs, blocks and erasures.
    BlocksTopic, Blocks, "blocks.v1", 1, Keep::Hours(1), "none", "audience → gateways: each new opt-out, block, erasure");
topic!(/// Single sends asked for by internal services.
    RequestsTopic, SendRequest, "requests.v1", 16, Keep::Hours(3 * DAY), "sender's", "internal services → dispatch intake (CloudEvents)");
topic!(/// What became of those requests.
    ResultsTopic, SendResult, "results.v1", 16, Keep::Hours(7 * DAY), "sender's", "report → internal services (CloudEvents)");
topic!(/// Accepted single sends.
    SinglesTopic, Singles, "singles.v1", PARTITIONS, Keep::Hours(3 * DAY), "shard", "intake → dispatch");
topic!(/// The suppression list's changes.
    SuppressionTopic, Blocks, "suppression.v1", PARTITIONS, Keep::Hours(14 * DAY), "shard", "audience → dispatch");
topic!(/// Releases of urgent texts.
    SmsUrgentTopic, Release, "sms.urgent.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → sms gateways");
topic!(/// Releases of normal texts.
    SmsNormalTopic, Release, "sms.normal.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → sms gateways");
topic!(/// Releases of bulk texts.
    SmsBulkTopic, Release, "sms.bulk.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → sms gateways");
topic!(/// Releases of urgent mails.
    EmailUrgentTopic, Release, "email.urgent.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → email gateways");
topic!(/// Releases of normal mails.
    EmailNormalTopic, Release, "email.normal.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → email gateways");
topic!(/// Releases of bulk mails.
    EmailBulkTopic, Release, "email.bulk.v1", PARTITIONS, Keep::Hours(DAY), "account's partitions[shard mod length]", "dispatch → email gateways");
topic!(/// What became of each slice.
    SettlementsTopic, Settlements, "settlements.v1", PARTITIONS, Keep::Hours(14 * DAY), "shard", "gateways → dispatch, report: what became of each slice");
topic!(/// The carriers' ids of what was submitted.
    ReferencesTopic, References, "references.v1", CORRELATED, Keep::Hours(3 * DAY), "hash of (account, id)", "sms gateways → correlator");
topic!(/// What carriers said of submitted parts.
    ReceiptsTopic, Receipts, "receipts.v1", CORRELATED, Keep::Hours(3 * DAY), "hash of (account, id)", "sms gateways → correlator");
topic!(/// Final words about recipients.
    OutcomesTopic, Outcomes, "outcomes.v1", PARTITIONS, Keep::Hours(14 * DAY), "shard", "correlator, email, dispatch → report: receipts, bounces, skips");

/// Every topic; a topic's place here is its number in the embedded log, so new ones are added at the end.
pub const ALL: &[&TopicSpec] = &[
    ControlTopic::SPEC,
    BlocksTopic::SPEC,
    RequestsTopic::SPEC,
    ResultsTopic::SPEC,
    SinglesTopic::SPEC,
    SuppressionTopic::SPEC,
    SmsUrgentTopic::SPEC,
    SmsNormalTopic::SPEC,
    SmsBulkTopic::SPEC,
    EmailUrgentTopic::SPEC,
    EmailNormalTopic::SPEC,
    EmailBulkTopic::SPEC,
    SettlementsTopic::SPEC,
    ReferencesTopic::SPEC,
    ReceiptsTopic::SPEC,
    OutcomesTopic::SPEC,
];

/// The topic that carries the releases of a channel and lane.
pub fn releases(channel: Channel, lane: Lane) -> &'static TopicSpec {
    match (channel, lane) {
        (Channel::Sms, Lane::Urgent) => SmsUrgentTopic::SPEC,
        (Channel::Sms, Lane::Normal) => SmsNormalTopic::SPEC,
        (Channel::Sms, Lane::Bulk) => SmsBulkTopic::SPEC,
        (Channel::Email, Lane::Urgent) => EmailUrgentTopic::SPEC,
        (Channel::Email, Lane::Normal) => EmailNormalTopic::SPEC,
        (Channel::Email, Lane::Bulk) => EmailBulkTopic::SPEC,
    }
}

/// The table of proto/README.md.
pub fn markdown() -> String {
    let mut table =
        String::from("| Topic | Record | Partitions | Key | Keep | From → to |\n|---|---|---|---|---|---|\n");
    for spec in ALL {
        let keep = match spec.keep {
            Keep::Compacted => "compacted".to_owned(),
            Keep::Hours(hours) if hours % DAY == 0 => format!("{} d", hours / DAY),
            Keep::Hours(hours) => format!("{hours} h"),
        };
        let TopicSpec { name, record, partitions, key, purpose, .. } = spec;
        table.push_str(&format!("| {name} | {record} | {partitions} | {key} | {keep} | {purpose} |\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_versioned() {
        let names: BTreeSet<_> = ALL.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.ends_with(".v1")));
    }

    #[test]
    fn every_lane_has_its_topic() {
        for &channel in Channel::ALL {
            for &lane in Lane::ALL {
                assert_eq!(releases(channel, lane).name, format!("{channel}.{lane}.v1"));
            }
        }
    }
}
