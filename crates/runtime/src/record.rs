//! Records to and from bytes, with the trace context in their headers.

use bytes::Bytes;
use loa_contract::convert::BadRecord;
use loa_contract::topics::{Topic, TopicSpec};
use loa_ports::log::{Append, Record};
use prost::Message;

/// The header that carries the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// A record of a topic, ready to append.
pub fn append<T: Topic>(partition: u32, key: impl Into<Bytes>, event: &T::Event) -> Append {
    append_to(T::SPEC, partition, key.into(), event)
}

/// A record of a topic that is chosen at run time (a lane's).
pub fn append_to(topic: &'static TopicSpec, partition: u32, key: Bytes, event: &impl Message) -> Append {
    append_encoded(topic, partition, key, event.encode_to_vec().into())
}

/// A record that was encoded before, as a store kept it.
pub fn append_encoded(topic: &'static TopicSpec, partition: u32, key: Bytes, value: Bytes) -> Append {
    let headers = crate::telemetry::traceparent().map(|text| (TRACEPARENT.to_owned(), Bytes::from(text)));
    Append { topic, partition, key, headers: headers.into_iter().collect(), value }
}

/// The record's message.
pub fn decode<M: Message + Default>(record: &Record) -> Result<M, BadRecord> {
    M::decode(record.value.clone()).map_err(|error| BadRecord::new("record", error))
}
