//! The first pass: who of a bucket is selected, and to which shard each address belongs.
//!
//! Must stay true: for every variant, everybody selected is either spilled or counted as without an address.

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, RecordBatch, StringArray};
use loa_domain::channel::Channel;
use loa_domain::hash::HashKey;
use loa_domain::policy::{Consent, PersonFacts, Scope};
use loa_domain::segment::{AgeBand, Consent as ConsentCode};
use loa_ports::audience::DatasetError;

use super::plan::{FreezePlan, VariantPlan};
use super::recipient::{Flags, encode};
use crate::schema::Stored;
use crate::spill::{Spill, SpillWriter};
use crate::version::Version;

/// Codes of `dnc` that forbid texts.
const DNC_SMS: [u8; 2] = [2, 4];

/// What a bucket had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) selected: u64,
    /// Of each variant: selected without an address of its channel.
    pub(super) without_address: Vec<u64>,
}

/// What the first pass needs.
pub(super) struct Selector<'a> {
    pub(super) plan: &'a FreezePlan,
    pub(super) version: &'a Version,
    pub(super) key: &'a HashKey,
    /// Scopes that cover the campaign; for entries that stand in the file.
    pub(super) covering: &'a [Scope],
    /// One for each variant.
    pub(super) spills: &'a [Spill],
}

impl Selector<'_> {
    /// Reads one bucket.
    pub(super) fn bucket(&self, bucket: usize) -> Result<Selected, DatasetError> {
        let mut writers: Vec<SpillWriter<'_>> = self.spills.iter().map(Spill::writer).collect();
        let mut found = Selected { selected: 0, without_address: vec![0; self.plan.variants.len()] };
        self.version.read(bucket, &self.plan.projection, |batch| self.batch(batch, &mut writers, &mut found))?;
        writers.into_iter().try_for_each(SpillWriter::finish)?;
        Ok(found)
    }

    fn batch(
        &self,
        batch: &RecordBatch,
        writers: &mut [SpillWriter<'_>],
        found: &mut Selected,
    ) -> Result<(), DatasetError> {
        let selected = self.plan.rule.select(batch);
        found.selected += u64::try_from(selected.count_set_bits()).unwrap_or(0);
        let facts = Facts::new(batch, self);
        for (at, (variant, writer)) in self.plan.variants.iter().zip(writers).enumerate() {
            let address = batch.column(variant.address);
            let slots: Vec<&StringArray> =
                variant.places.iter().map(|place| batch.column(*place).as_string()).collect();
            for row in selected.set_indices() {
                if address.is_null(row) {
                    found.without_address[at] += 1;
                } else {
                    self.spill(variant, address, &slots, &facts, row, writer)?;
                }
            }
        }
        Ok(())
    }

    fn spill(
        &self,
        variant: &VariantPlan,
        address: &ArrayRef,
        slots: &[&StringArray],
        facts: &Facts<'_>,
        row: usize,
        writer: &mut SpillWriter<'_>,
    ) -> Result<(), DatasetError> {
        let values = slots.iter().map(|slot| if slot.is_null(row) { "" } else { slot.value(row) });
        let (key, flags) = (facts.keys.value(row), facts.flags(row, variant.channel));
        let hash = match variant.channel {
            Channel::Sms => {
                let number = address.as_primitive::<UInt64Type>().value(row);
                let hash = self.key.number(number).0;
                encode(hash, key, flags, &number.to_le_bytes(), values, writer.buffer(hash));
                hash
            }
            Channel::Email => {
                let mailbox = address.as_string::<i32>().value(row);
                let hash = self.key.mailbox(mailbox).0;
                encode(hash, key, flags, mailbox.as_bytes(), values, writer.buffer(hash));
                hash
            }
        };
        writer.appended(hash)
    }
}

/// The columns that decide.
struct Facts<'a> {
    keys: &'a PrimitiveArray<UInt64Type>,
    dnc: &'a PrimitiveArray<UInt8Type>,
    consent: &'a PrimitiveArray<UInt8Type>,
    age: &'a PrimitiveArray<UInt8Type>,
    suppressed: &'a BinaryArray,
    covering: Vec<[u8; 4]>,
}

impl<'a> Facts<'a> {
    fn new(batch: &'a RecordBatch, selector: &Selector<'_>) -> Self {
        let column = |column: Stored| batch.column(selector.plan.projection.of(column));
        Self {
            keys: column(Stored::Key).as_primitive(),
            dnc: column(Stored::Dnc).as_primitive(),
            consent: column(Stored::ConsentAds).as_primitive(),
            age: column(Stored::AgeBand).as_primitive(),
            suppressed: column(Stored::Suppressed).as_binary(),
            covering: selector.covering.iter().map(|scope| scope.0.to_le_bytes()).collect(),
        }
    }

    fn flags(&self, row: usize, channel: Channel) -> Flags {
        let code = |column: &PrimitiveArray<UInt8Type>| if column.is_null(row) { 0 } else { column.value(row) };
        let consent = match ConsentCode::from_code(i32::from(code(self.consent))) {
            Some(ConsentCode::Granted) => Consent::Granted,
            Some(ConsentCode::Withdrawn) => Consent::Withdrawn,
            Some(ConsentCode::None) | None => Consent::None,
        };
        let suppressed = !self.suppressed.is_null(row)
            && self
                .suppressed
                .value(row)
                .chunks_exact(4)
                .any(|scope| self.covering.iter().any(|wanted| wanted == scope));
        // The register is about numbers.
        let dnc = channel == Channel::Sms && DNC_SMS.contains(&code(self.dnc));
        Flags::new(PersonFacts { suppressed, dnc, consent }, code(self.age) == AgeBand::Under16.code())
    }
}
