//! A dataset version opened for reading: its manifest, and its buckets column by column.
//!
//! Must stay true: only the columns that are asked for are read and decoded.

use std::fs::File;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use loa_domain::hash::HashKey;
use loa_ports::audience::DatasetError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use uuid::Uuid;

use crate::error::{damaged, file, parquet};
use crate::layout::Layout;
use crate::manifest::{VersionManifest, bucket_path};
use crate::schema::Stored;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 16 * 1024;

/// An open version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) manifest: VersionManifest,
    directory: PathBuf,
}

/// Some columns of a version, by their places in its files, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Projection(Vec<usize>);

impl Projection {
    pub(crate) fn new(columns: impl IntoIterator<Item = usize>) -> Self {
        let mut columns: Vec<usize> = columns.into_iter().collect();
        columns.sort_unstable();
        columns.dedup();
        Self(columns)
    }

    /// Where a column of the version stands in what is read.
    pub(crate) fn place(&self, column: usize) -> usize {
        self.0
            .binary_search(&column)
            .unwrap_or_else(|_| unreachable!("column {column} is read but not in the projection"))
    }

    pub(crate) fn of(&self, column: Stored) -> usize {
        self.place(column.index())
    }
}

impl Version {
    /// Opens the version of an import.
    pub(crate) fn open(layout: &Layout, import: Uuid, key: &HashKey) -> Result<Self, DatasetError> {
        let directory = layout.version(import);
        let manifest = VersionManifest::read(&directory)?;
        let manifest = manifest.ok_or_else(|| DatasetError::Missing { what: format!("version of import {import}") })?;
        if manifest.hash_key != key.fingerprint() {
            return Err(damaged(&directory, "it was sorted with another hash key; use the key file it was made with"));
        }
        Ok(Self { manifest, directory })
    }

    /// The column of a slot, whatever the case of its name.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        let found = self.manifest.slots.iter().position(|slot| slot.eq_ignore_ascii_case(name));
        found.map(|index| Stored::COUNT + index)
    }

    /// Calls `each` with every batch of a bucket.
    pub(crate) fn read(
        &self,
        bucket: usize,
        projection: &Projection,
        mut each: impl FnMut(&RecordBatch) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        let path = bucket_path(&self.directory, bucket);
        let opened = File::open(&path).map_err(file("open", &path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(parquet(&path))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), projection.0.iter().copied());
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(parquet(&path))?;
        for batch in reader {
            each(&batch.map_err(|error| damaged(&path, error))?)?;
        }
        Ok(())
    }
}
