//! A segment's rule over columns: each leaf a bit per row, the tree by and, or, not.
//!
//! Must stay true: nulls are stripped at the leaf (a missing value makes a leaf false), so `not` has two values and a rule
//! selects the same people however it is written.

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt16Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use loa_domain::admin::CommuneCode;
use loa_domain::segment::{Column, Leaf, Quantifier, Rule, Sample};
use loa_domain::text::nfc;

use crate::manifest::VersionManifest;
use crate::schema::Stored;
use crate::version::Projection;

/// Where a rule's column stands in the files.
fn stored(column: Column) -> Stored {
    match column {
        Column::Msisdn => Stored::Msisdn,
        Column::FixedNumber => Stored::FixedNumber,
        Column::Email => Stored::Email,
        Column::Service => Stored::Service,
        Column::Payment => Stored::Payment,
        Column::CustomerKind => Stored::CustomerKind,
        Column::CommuneCode => Stored::Commune,
        Column::AgeBand => Stored::AgeBand,
        Column::Language => Stored::Language,
        Column::Smartphone => Stored::Smartphone,
        Column::ConsentAds => Stored::ConsentAds,
        Column::Tags => Stored::Tags,
    }
}

/// The columns a rule reads.
pub(crate) fn columns(rule: &Rule) -> Vec<usize> {
    let mut columns: Vec<usize> = rule.columns().into_iter().map(|column| stored(column).index()).collect();
    rule.each_leaf(&mut |leaf| {
        if matches!(leaf, Leaf::Sample(_)) {
            columns.push(Stored::Key.index());
        }
    });
    columns
}

/// A rule compiled for one version and projection.
#[derive(Debug)]
pub(crate) enum Plan {
    All(Vec<Plan>),
    Any(Vec<Plan>),
    Not(Box<Plan>),
    /// There is a value.
    Present(usize),
    /// The u8 code is marked.
    Code(usize, Box<[bool; 256]>),
    /// The u16 index is marked.
    Index(usize, Vec<bool>),
    /// The answer is this one.
    Is(usize, bool),
    /// Of these bits any, or all.
    Bits(usize, u64, Quantifier),
    /// The key is in the sample.
    Sampled(usize, Sample),
    /// Nobody: the dataset has none of the values.
    Nobody,
}

impl Plan {
    /// Compiles a rule: texts become codes, bits and indices.
    pub(crate) fn new(rule: &Rule, version: &VersionManifest, projection: &Projection) -> Self {
        let all = |rules: &[Rule]| rules.iter().map(|rule| Self::new(rule, version, projection)).collect();
        match rule {
            Rule::All(rules) => Self::All(all(rules)),
            Rule::Any(rules) => Self::Any(all(rules)),
            Rule::Not(rule) => Self::Not(Box::new(Self::new(rule, version, projection))),
            Rule::Leaf(leaf) => Self::leaf(leaf, version, projection),
        }
    }

    fn leaf(leaf: &Leaf, version: &VersionManifest, projection: &Projection) -> Self {
        let place = |column: Column| projection.of(stored(column));
        match leaf {
            Leaf::Has(contact) => Self::Present(place(contact.column())),
            Leaf::Service(values) => codes(place(Column::Service), values.iter().map(|value| value.code())),
            Leaf::Payment(values) => codes(place(Column::Payment), values.iter().map(|value| value.code())),
            Leaf::CustomerKind(values) => codes(place(Column::CustomerKind), values.iter().map(|value| value.code())),
            Leaf::Language(values) => codes(place(Column::Language), values.iter().map(|value| value.code())),
            Leaf::ConsentAds(values) => codes(place(Column::ConsentAds), values.iter().map(|value| value.code())),
            Leaf::Age(bands) => codes(place(Column::AgeBand), bands.iter().map(|band| band.code())),
            Leaf::Smartphone(has) => Self::Is(place(Column::Smartphone), *has),
            Leaf::Area(area) => {
                let wanted = area.communes();
                let is_wanted = |code: &String| CommuneCode::parse(code).is_some_and(|code| wanted.contains(&code));
                Self::Index(place(Column::CommuneCode), version.communes.iter().map(is_wanted).collect())
            }
            Leaf::Tags(quantifier, tags) => Self::tags(place(Column::Tags), *quantifier, tags, version),
            Leaf::Sample(sample) => Self::Sampled(projection.of(Stored::Key), *sample),
        }
    }

    fn tags(place: usize, quantifier: Quantifier, tags: &[Box<str>], version: &VersionManifest) -> Self {
        let bit = |tag: &str| {
            let tag = nfc(tag.trim()).to_lowercase();
            version.tags.iter().position(|known| *known == tag)
        };
        let bits: Vec<Option<usize>> = tags.iter().map(|tag| bit(tag)).collect();
        let mask = bits.iter().flatten().fold(0_u64, |mask, bit| mask | 1 << bit);
        match quantifier {
            Quantifier::All if bits.contains(&None) => Self::Nobody,
            _ if mask == 0 => Self::Nobody,
            _ => Self::Bits(place, mask, quantifier),
        }
    }

    /// Who of a batch is selected.
    pub(crate) fn select(&self, batch: &RecordBatch) -> BooleanBuffer {
        let rows = batch.num_rows();
        match self {
            Self::All(plans) => fold(plans, batch, BooleanBuffer::new_set(rows), |a, b| a & b),
            Self::Any(plans) => fold(plans, batch, BooleanBuffer::new_unset(rows), |a, b| a | b),
            Self::Not(plan) => !&plan.select(batch),
            Self::Nobody => BooleanBuffer::new_unset(rows),
            Self::Present(place) => present(batch.column(*place).nulls(), rows),
            Self::Code(place, marked) => {
                let column = batch.column(*place).as_primitive::<UInt8Type>();
                let bits = BooleanBuffer::collect_bool(rows, |row| marked[usize::from(column.values()[row])]);
                stripped(bits, column.nulls())
            }
            Self::Index(place, marked) => {
                let column = batch.column(*place).as_primitive::<UInt16Type>();
                let is_marked = |row: usize| marked.get(usize::from(column.values()[row])).copied().unwrap_or(false);
                stripped(BooleanBuffer::collect_bool(rows, is_marked), column.nulls())
            }
            Self::Is(place, wanted) => {
                let column = batch.column(*place).as_boolean();
                let bits = if *wanted { column.values().clone() } else { !column.values() };
                stripped(bits, column.nulls())
            }
            Self::Bits(place, mask, quantifier) => {
                let column = batch.column(*place).as_primitive::<UInt64Type>();
                let has = |row: usize| match quantifier {
                    Quantifier::Any => column.values()[row] & mask != 0,
                    Quantifier::All => column.values()[row] & mask == *mask,
                };
                stripped(BooleanBuffer::collect_bool(rows, has), column.nulls())
            }
            Self::Sampled(place, sample) => {
                let keys = batch.column(*place).as_primitive::<UInt64Type>().values();
                BooleanBuffer::collect_bool(rows, |row| sample.selects(keys[row]))
            }
        }
    }
}

fn codes(place: usize, values: impl Iterator<Item = u8>) -> Plan {
    let mut marked = Box::new([false; 256]);
    values.for_each(|code| marked[usize::from(code)] = true);
    Plan::Code(place, marked)
}

fn fold(
    plans: &[Plan],
    batch: &RecordBatch,
    start: BooleanBuffer,
    join: fn(&BooleanBuffer, &BooleanBuffer) -> BooleanBuffer,
) -> BooleanBuffer {
    plans.iter().fold(start, |bits, plan| join(&bits, &plan.select(batch)))
}

/// Which rows have a value.
pub(crate) fn present(nulls: Option<&NullBuffer>, rows: usize) -> BooleanBuffer {
    nulls.map_or_else(|| BooleanBuffer::new_set(rows), |nulls| nulls.inner().clone())
}

fn stripped(bits: BooleanBuffer, nulls: Option<&NullBuffer>) -> BooleanBuffer {
    match nulls {
        Some(nulls) => &bits & nulls.inner(),
        None => bits,
    }
}
