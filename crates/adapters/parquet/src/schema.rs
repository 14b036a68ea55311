//! The columns of a dataset version's files.
//!
//! Closed sets are their stable codes (u8), communes an index into the manifest's dictionary (u16), tags a bit mask,
//! numbers u64 digits; what is missing is null. Slot values are text columns named `slots.<name>`.
//!
//! Must stay true: the first columns are the same in every version, in this order; rows are sorted by (key, account_id).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Prefix of slot columns, in files and in CSV headers.
pub(crate) const SLOT_PREFIX: &str = "slots.";

/// A column that every version has; the discriminant is its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Stored {
    Key,
    AccountId,
    Msisdn,
    FixedNumber,
    Email,
    Service,
    Payment,
    CustomerKind,
    Commune,
    AgeBand,
    Language,
    Smartphone,
    ChannelPref,
    ConsentAds,
    ConsentAt,
    ConsentMethod,
    ConsentTextId,
    Evidence,
    Dnc,
    DncAsOf,
    Suppressed,
    Tags,
}

impl Stored {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Tags as usize + 1;

    /// Its place in the files.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Every column in order: its name, its type, and whether each row has a value.
const COLUMNS: [(Stored, &str, DataType, bool); Stored::COUNT] = [
    (Stored::Key, "key", DataType::UInt64, true),
    (Stored::AccountId, "account_id", DataType::Utf8, true),
    (Stored::Msisdn, "msisdn", DataType::UInt64, false),
    (Stored::FixedNumber, "fixed_number", DataType::UInt64, false),
    (Stored::Email, "email", DataType::Utf8, false),
    (Stored::Service, "service", DataType::UInt8, false),
    (Stored::Payment, "payment", DataType::UInt8, false),
    (Stored::CustomerKind, "customer_kind", DataType::UInt8, false),
    (Stored::Commune, "commune", DataType::UInt16, false),
    (Stored::AgeBand, "age_band", DataType::UInt8, false),
    (Stored::Language, "language", DataType::UInt8, false),
    (Stored::Smartphone, "smartphone", DataType::Boolean, false),
    (Stored::ChannelPref, "channel_pref", DataType::UInt8, false),
    (Stored::ConsentAds, "consent_ads", DataType::UInt8, false),
    (Stored::ConsentAt, "consent_at", DataType::Int64, false),
    (Stored::ConsentMethod, "consent_method", DataType::Utf8, false),
    (Stored::ConsentTextId, "consent_text_id", DataType::Utf8, false),
    (Stored::Evidence, "evidence", DataType::Utf8, false),
    (Stored::Dnc, "dnc", DataType::UInt8, false),
    (Stored::DncAsOf, "dnc_as_of", DataType::Int32, false),
    (Stored::Suppressed, "suppressed", DataType::Binary, false),
    (Stored::Tags, "tags", DataType::UInt64, false),
];

/// The schema of a version with these slots.
pub(crate) fn schema(slots: &[String]) -> SchemaRef {
    let fixed = COLUMNS.into_iter().map(|(_, name, kind, is_filled)| Field::new(name, kind, !is_filled));
    let slots = slots.iter().map(|slot| Field::new(format!("{SLOT_PREFIX}{slot}"), DataType::Utf8, true));
    Arc::new(Schema::new(fixed.chain(slots).collect::<Vec<_>>()))
}

/// How the files are written: zstd-1, no dictionary where every value is another one.
pub(crate) fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    for unique in ["key", "account_id", "msisdn", "fixed_number", "email"] {
        let path = ColumnPath::from(unique);
        properties =
            properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::PLAIN);
    }
    properties.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_agree() {
        let schema = schema(&["ten".to_owned()]);
        for (column, name, ..) in COLUMNS {
            assert_eq!(schema.field(column.index()).name(), name);
        }
        assert_eq!(schema.field(Stored::COUNT).name(), "slots.ten");
        assert_eq!(
            properties().compression(&ColumnPath::from("key")),
            Compression::ZSTD(ZstdLevel::try_new(1).unwrap())
        );
    }
}
