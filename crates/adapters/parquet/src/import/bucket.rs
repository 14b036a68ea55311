//! One bucket: sorted, older rows of the same key dropped, written as a Parquet file; for a delta merged with its base.
//!
//! Must stay true: rows stand in order of (key, account_id), each account once; of rows with the same account the one that
//! stands last in the file wins, and a delta's row wins over its base's.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, UInt8Builder,
    UInt16Builder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use loa_ports::audience::DatasetError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::person::{Codes, Person, Spilled};
use crate::error::{damaged, file, parquet};
use crate::schema::{Stored, properties};

/// Rows that are held as columns at once.
const BATCH_ROWS: usize = 32 * 1024;
/// Dropped rows of one bucket that are listed among the rejects, at most.
const PAIRS_MAX: usize = 1_000;

/// What became of a bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct BucketTotals {
    /// Rows in the bucket's file.
    pub(super) rows: u64,
    /// Of the imported file.
    pub(super) accepted: u64,
    pub(super) with_mobile: u64,
    pub(super) with_email: u64,
    /// Rows dropped for a newer one.
    pub(super) duplicates: u64,
    /// (dropped line, line that was taken) of the first of them.
    pub(super) pairs: Vec<(u64, u64)>,
}

/// What a bucket is written to, and from what beside the spilled rows.
pub(super) struct BucketJob<'a> {
    pub(super) schema: &'a SchemaRef,
    pub(super) slots: usize,
    /// The same bucket of the base.
    pub(super) base: Option<PathBuf>,
    pub(super) out: PathBuf,
}

/// Sorts and writes a bucket.
pub(super) fn write(bytes: &[u8], job: &BucketJob<'_>) -> Result<BucketTotals, DatasetError> {
    let mut totals = BucketTotals::default();
    let rows = newest(Spilled::all(bytes), &mut totals);
    let mut writer = Writer::create(&job.out, job.schema)?;
    match &job.base {
        None => {
            for rows in rows.chunks(BATCH_ROWS) {
                writer.write(&columns(rows, job, &mut totals)?)?;
            }
        }
        Some(base) => merge(base, &columns(&rows, job, &mut totals)?, job.schema, &mut writer)?,
    }
    totals.rows = writer.finish()?;
    Ok(totals)
}

/// The last row of each account, sorted.
fn newest<'a>(mut rows: Vec<Spilled<'a>>, totals: &mut BucketTotals) -> Vec<Spilled<'a>> {
    rows.sort_unstable_by(|a, b| {
        (a.key.cmp(&b.key)).then_with(|| a.account_id().cmp(b.account_id())).then_with(|| b.line.cmp(&a.line))
    });
    let mut kept: Vec<Spilled<'a>> = Vec::with_capacity(rows.len());
    for row in rows {
        match kept.last() {
            Some(last) if last.key == row.key && last.account_id() == row.account_id() => {
                totals.duplicates += 1;
                if totals.pairs.len() < PAIRS_MAX {
                    totals.pairs.push((row.line, last.line));
                }
            }
            _ => kept.push(row),
        }
    }
    totals.accepted = u64::try_from(kept.len()).unwrap_or(0);
    kept
}

/// The rows as columns.
fn columns(rows: &[Spilled<'_>], job: &BucketJob<'_>, totals: &mut BucketTotals) -> Result<RecordBatch, DatasetError> {
    let mut columns = Columns::new(rows.len(), job.slots);
    let mut person = Person::default();
    for row in rows {
        row.decode(job.slots, &mut person);
        totals.with_mobile += u64::from(person.msisdn != 0);
        totals.with_email += u64::from(!person.email.is_empty());
        columns.push(row.key, &person);
    }
    RecordBatch::try_new(job.schema.clone(), columns.finish()).map_err(|error| damaged(&job.out, error))
}

/// Builders of all columns.
struct Columns {
    key: UInt64Builder,
    account_id: StringBuilder,
    numbers: [UInt64Builder; 2],
    email: StringBuilder,
    codes: [UInt8Builder; 8],
    commune: UInt16Builder,
    smartphone: BooleanBuilder,
    consent_at: Int64Builder,
    consent: [StringBuilder; 3],
    dnc_as_of: Int32Builder,
    suppressed: BinaryBuilder,
    tags: UInt64Builder,
    slots: Vec<StringBuilder>,
}

impl Columns {
    fn new(rows: usize, slots: usize) -> Self {
        let numbers = || UInt64Builder::with_capacity(rows);
        let text = || StringBuilder::with_capacity(rows, 0);
        Self {
            key: numbers(),
            account_id: text(),
            numbers: std::array::from_fn(|_| numbers()),
            email: text(),
            codes: std::array::from_fn(|_| UInt8Builder::with_capacity(rows)),
            commune: UInt16Builder::with_capacity(rows),
            smartphone: BooleanBuilder::with_capacity(rows),
            consent_at: Int64Builder::with_capacity(rows),
            consent: std::array::from_fn(|_| text()),
            dnc_as_of: Int32Builder::with_capacity(rows),
            suppressed: BinaryBuilder::with_capacity(rows, 0),
            tags: numbers(),
            slots: (0..slots).map(|_| text()).collect(),
        }
    }

    fn push(&mut self, key: u64, person: &Person) {
        let Codes { service, payment, customer_kind, age_band, language, smartphone, channel_pref, consent_ads, dnc } =
            person.codes;
        self.key.append_value(key);
        self.account_id.append_value(&person.account_id);
        for (builder, number) in self.numbers.iter_mut().zip([person.msisdn, person.fixed_number]) {
            builder.append_option((number != 0).then_some(number));
        }
        append(&mut self.email, &person.email);
        let codes = [service, payment, customer_kind, age_band, language, channel_pref, consent_ads, dnc];
        for (builder, code) in self.codes.iter_mut().zip(codes) {
            builder.append_option((code != 0).then_some(code));
        }
        self.commune.append_option(person.commune.checked_sub(1));
        self.smartphone.append_option((smartphone != 0).then_some(smartphone == 2));
        self.consent_at.append_option(person.consent_at);
        let consent = [&person.consent_method, &person.consent_text_id, &person.evidence];
        for (builder, text) in self.consent.iter_mut().zip(consent) {
            append(builder, text);
        }
        self.dnc_as_of.append_option(person.dnc_as_of);
        let scopes = Some(&person.suppressed).filter(|scopes| !scopes.is_empty());
        self.suppressed.append_option(scopes);
        self.tags.append_option((person.tags != 0).then_some(person.tags));
        for (builder, text) in self.slots.iter_mut().zip(&person.slots) {
            append(builder, text);
        }
    }

    /// The columns in the order of the schema.
    fn finish(mut self) -> Vec<ArrayRef> {
        let [msisdn, fixed_number] = self.numbers.each_mut().map(done);
        let [service, payment, kind, age, language, pref, consent_ads, dnc] = self.codes.each_mut().map(done);
        let [method, text_id, evidence] = self.consent.each_mut().map(done);
        let mut arrays = vec![
            done(&mut self.key),
            done(&mut self.account_id),
            msisdn,
            fixed_number,
            done(&mut self.email),
            service,
            payment,
            kind,
            done(&mut self.commune),
            age,
            language,
            done(&mut self.smartphone),
            pref,
            consent_ads,
            done(&mut self.consent_at),
            method,
            text_id,
            evidence,
            dnc,
            done(&mut self.dnc_as_of),
            done(&mut self.suppressed),
            done(&mut self.tags),
        ];
        arrays.extend(self.slots.iter_mut().map(done));
        arrays
    }
}

fn done(builder: &mut impl ArrayBuilder) -> ArrayRef {
    builder.finish()
}

fn append(builder: &mut StringBuilder, text: &str) {
    if text.is_empty() {
        builder.append_null();
    } else {
        builder.append_value(text);
    }
}

/// Walks base and delta together; both are sorted.
fn merge(base: &Path, delta: &RecordBatch, schema: &SchemaRef, writer: &mut Writer) -> Result<(), DatasetError> {
    let opened = File::open(base).map_err(file("open", base))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(parquet(base))?;
    let bad = |error: ArrowError| damaged(base, error);
    let mut next = 0;
    for batch in reader {
        let batch = with_schema(&batch.map_err(bad)?, schema).map_err(bad)?;
        let mut order = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            while next < delta.num_rows() && order_of(delta, next) < order_of(&batch, row) {
                order.push((0, next));
                next += 1;
            }
            // The delta's row of the same account stands in its place.
            if next == delta.num_rows() || order_of(delta, next) != order_of(&batch, row) {
                order.push((1, row));
            }
        }
        if !order.is_empty() {
            writer.write(&interleave_record_batch(&[delta, &batch], &order).map_err(bad)?)?;
        }
    }
    writer.write(&delta.slice(next, delta.num_rows() - next))
}

/// Where a row stands.
fn order_of(batch: &RecordBatch, row: usize) -> (u64, &str) {
    let key = batch.column(Stored::Key.index()).as_primitive::<UInt64Type>().value(row);
    (key, batch.column(Stored::AccountId.index()).as_string::<i32>().value(row))
}

/// The base's columns under the new schema: slots that it does not have are null.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |name: &String| batch.column_by_name(name).cloned();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name()).unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows())));
    RecordBatch::try_new(schema.clone(), columns.collect())
}

/// A bucket's file.
struct Writer {
    out: ArrowWriter<File>,
    path: PathBuf,
    rows: u64,
}

impl Writer {
    fn create(path: &Path, schema: &SchemaRef) -> Result<Self, DatasetError> {
        let created = File::create(path).map_err(file("write", path))?;
        let out = ArrowWriter::try_new(created, schema.clone(), Some(properties())).map_err(parquet(path))?;
        Ok(Self { out, path: path.to_owned(), rows: 0 })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), DatasetError> {
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(0);
        self.out.write(batch).map_err(parquet(&self.path))
    }

    fn finish(self) -> Result<u64, DatasetError> {
        let written = self.out.into_inner().map_err(parquet(&self.path))?;
        written.sync_all().map_err(file("sync", &self.path))?;
        Ok(self.rows)
    }
}
