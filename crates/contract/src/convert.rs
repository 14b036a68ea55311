//! From records to domain types and back.
//!
//! Must stay true: a record that names something the domain does not know is refused with the name of the field.

use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, MessageId, ReleaseKey, Shard, SliceKey};
use loa_domain::mask::Mask;

use crate::pb::event::v1 as event;

/// A record's field does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record field `{field}` is not valid: {why}")]
pub struct BadRecord {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong.
    pub why: String,
}

impl BadRecord {
    /// A fault of a field.
    pub fn new(field: &'static str, why: impl ToString) -> Self {
        Self { field, why: why.to_string() }
    }
}

/// A chunk key from its record form.
pub fn chunk_key(key: Option<&event::ChunkKey>) -> Result<ChunkKey, BadRecord> {
    let key = key.ok_or_else(|| BadRecord::new("chunk", "missing"))?;
    Ok(ChunkKey {
        freeze: FreezeId::from_bytes(&key.freeze_id).map_err(|error| BadRecord::new("chunk.freeze_id", error))?,
        variant: u16::try_from(key.variant).map_err(|error| BadRecord::new("chunk.variant", error))?,
        chunk: key.chunk,
    })
}

/// The record form of a chunk key.
pub fn chunk_key_record(key: ChunkKey) -> event::ChunkKey {
    event::ChunkKey { freeze_id: key.freeze.to_vec(), variant: u32::from(key.variant), chunk: key.chunk }
}

/// A campaign id from its record form.
pub fn campaign_id(bytes: &[u8]) -> Result<CampaignId, BadRecord> {
    CampaignId::from_bytes(bytes).map_err(|error| BadRecord::new("campaign_id", error))
}

/// A shard from its record form.
pub fn shard(number: u32) -> Result<Shard, BadRecord> {
    Shard::new(number).map_err(|error| BadRecord::new("shard", error))
}

/// A mask from its record form.
pub fn mask(bytes: &[u8]) -> Result<Mask, BadRecord> {
    Mask::from_slice(bytes).ok_or_else(|| BadRecord::new("mask", "more than 64 bytes"))
}

/// A channel from its record form.
pub fn channel(code: i32) -> Result<Channel, BadRecord> {
    Channel::from_code(code).ok_or_else(|| BadRecord::new("channel", code))
}

/// A lane from its record form.
pub fn lane(code: i32) -> Result<Lane, BadRecord> {
    Lane::from_code(code).ok_or_else(|| BadRecord::new("lane", code))
}

/// A class from its record form.
pub fn class(code: i32) -> Result<Class, BadRecord> {
    Class::from_code(code).ok_or_else(|| BadRecord::new("class", code))
}

/// The key of a release record.
pub fn release_key(release: &event::Release) -> Result<ReleaseKey, BadRecord> {
    Ok(ReleaseKey { chunk: chunk_key(release.chunk.as_ref())?, release_no: release.release_no })
}

/// The key of a settlement record.
pub fn slice_key(settled: &event::SliceSettled) -> Result<SliceKey, BadRecord> {
    let release = ReleaseKey { chunk: chunk_key(settled.chunk.as_ref())?, release_no: settled.release_no };
    let slice = u16::try_from(settled.slice).map_err(|error| BadRecord::new("slice", error))?;
    Ok(SliceKey { release, slice })
}

/// The outcome of the `at`-th recipient of a settled slice; one byte alone stands for all.
pub fn outcome_at(settled: &event::SliceSettled, at: usize) -> Result<event::SliceOutcome, BadRecord> {
    let byte = match settled.outcomes.as_slice() {
        [one] => *one,
        many => *many.get(at).ok_or_else(|| BadRecord::new("outcomes", "fewer than recipients"))?,
    };
    event::SliceOutcome::try_from(i32::from(byte)).map_err(|error| BadRecord::new("outcomes", error))
}

/// The id of a message named by a chunk and an index.
pub fn message_id(chunk: ChunkKey, index: u32) -> Result<MessageId, BadRecord> {
    let index = u16::try_from(index).map_err(|error| BadRecord::new("index", error))?;
    Ok(MessageId { chunk, index })
}

/// Microseconds since 1970 of a Protobuf time, cut to a microsecond; the ends of time do not overflow.
pub fn micros(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1_000)
}

/// A Protobuf time from microseconds since 1970.
pub fn timestamp(at_us: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(at_us.rem_euclid(1_000_000) * 1_000).expect("below a billion");
    prost_types::Timestamp { seconds: at_us.div_euclid(1_000_000), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunk_keys_come_back(freeze: u128, variant: u16, chunk: u32) {
            let key = ChunkKey { freeze: FreezeId::from_bytes(&freeze.to_be_bytes()).unwrap(), variant, chunk };
            prop_assert_eq!(chunk_key(Some(&chunk_key_record(key))), Ok(key));
        }
    }

    proptest! {
        #[test]
        fn times_come_back(at_us in -1_000_000_000_000_000i64..4_000_000_000_000_000) {
            prop_assert_eq!(micros(&timestamp(at_us)), at_us);
        }
    }

    #[test]
    fn enums_agree_with_the_domain() {
        for &value in Channel::ALL {
            assert_eq!(
                event::Channel::try_from(i32::from(value.code())).unwrap().as_str_name(),
                format!("CHANNEL_{}", value.name().to_uppercase())
            );
        }
        for &value in Lane::ALL {
            assert_eq!(
                event::Lane::try_from(i32::from(value.code())).unwrap().as_str_name(),
                format!("LANE_{}", value.name().to_uppercase())
            );
        }
        for &value in Class::ALL {
            assert_eq!(
                event::Class::try_from(i32::from(value.code())).unwrap().as_str_name(),
                format!("CLASS_{}", value.name().to_uppercase())
            );
        }
    }

    #[test]
    fn a_bad_record_names_its_field() {
        let error = chunk_key(Some(&event::ChunkKey { freeze_id: vec![1], ..Default::default() })).unwrap_err();
        assert_eq!(error.field, "chunk.freeze_id");
    }
}
