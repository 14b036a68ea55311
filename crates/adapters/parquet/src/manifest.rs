//! What a dataset version says of itself: counts and dictionaries, as JSON beside its files.
//!
//! Must stay true: codes are never reused: a delta's manifest begins with its base's dictionaries.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use loa_contract::pb::audience::v1 as pb;
use loa_ports::audience::DatasetError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{damaged, file};

/// The format written now.
pub(crate) const FORMAT: u32 = 1;
/// The file of a version's directory that says what the others hold.
pub(crate) const NAME: &str = "manifest.json";

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionManifest {
    pub(crate) format: u32,
    pub(crate) import_id: Uuid,
    pub(crate) dataset: String,
    pub(crate) version: u32,
    pub(crate) synthetic: bool,
    /// The import whose rows were taken over.
    pub(crate) base: Option<Uuid>,
    /// Fingerprint of the hash key that sorted the rows.
    pub(crate) hash_key: String,
    /// People, in all and in each bucket.
    pub(crate) rows: u64,
    pub(crate) buckets: Vec<u64>,
    /// Commune codes; a row holds the index.
    pub(crate) communes: Vec<String>,
    /// Tags; a row holds a bit for each.
    pub(crate) tags: Vec<String>,
    /// Names of the slots that have a column.
    pub(crate) slots: Vec<String>,
    pub(crate) report: Report,
}

/// The import's report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicates: u64,
    pub(crate) migrated: u64,
    pub(crate) with_mobile: u64,
    pub(crate) with_email: u64,
    /// Rejected rows by reason, by name; a row with two reasons counts in both.
    pub(crate) reasons: Vec<(String, u64)>,
}

impl VersionManifest {
    /// Reads the manifest of a version's directory; `None` if there is no such version.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, DatasetError> {
        let path = directory.join(NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("read", &path)(error)),
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))?;
        if manifest.format != FORMAT {
            return Err(damaged(&path, format!("its format is {}, this program reads {FORMAT}", manifest.format)));
        }
        Ok(Some(manifest))
    }

    /// Writes it durably.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), DatasetError> {
        let path = directory.join(NAME);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| damaged(&path, error))?;
        let mut out = File::create(&path).map_err(file("write", &path))?;
        out.write_all(&bytes).and_then(|()| out.sync_all()).map_err(file("write", &path))
    }

    /// The report as its owner is told.
    pub(crate) fn report(&self) -> pb::ImportReport {
        let Report { rows, accepted, rejected, duplicates, migrated, with_mobile, with_email, reasons } =
            self.report.clone();
        let reasons = reasons.into_iter().map(|(reason, rows)| pb::RejectCount { reason, rows }).collect();
        pb::ImportReport {
            dataset: self.dataset.clone(),
            version: self.version,
            import_id: self.import_id.to_string(),
            rows,
            accepted,
            rejected,
            duplicates,
            migrated,
            reasons,
            with_mobile,
            with_email,
        }
    }
}

/// The file of a bucket.
pub(crate) fn bucket_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number:02}.parquet"))
}
