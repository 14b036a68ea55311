//! Import: a spooled CSV file becomes a dataset version.
//!
//! ```text
//! spool ─▶ header ─▶ blocks ─▶ rows checked on threads ─▶ 64 buckets by key hash ─▶ sort, newest row of each account ─▶ Parquet
//!                                      └─▶ rejects.csv
//! ```
//!
//! Must stay true: `rows = accepted + rejected + duplicates`; a file that is refused leaves nothing behind but its rejects;
//! importing the same spool again gives the same version.

mod blocks;
mod bucket;
mod check;
mod dictionary;
mod header;
mod person;
mod read;
mod rejects;
mod rows;

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering;

use loa_domain::hash::HashKey;
use loa_domain::limits::SLOTS_MAX;
use loa_ports::audience::{DatasetError, Fault, ImportJob, Imported, Progress, Stage, Watch};

use self::blocks::Cutter;
use self::bucket::{BucketJob, BucketTotals};
use self::dictionary::{Communes, TAGS_MAX, Tags};
use self::header::{Column, Header};
use self::read::{Sources, Totals};
use self::rejects::RejectsWriter;
use crate::error::{file, storage};
use crate::layout::{Layout, Temp};
use crate::manifest::{FORMAT, Report, VersionManifest, bucket_path};
use crate::schema::schema;
use crate::spill::{BUCKETS, Spill};
use crate::workers::each_bucket;

/// What an import needs of the engine.
pub(crate) struct Importer<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) key: &'a HashKey,
    pub(crate) threads: usize,
}

impl Importer<'_> {
    /// Imports; done before, it only answers again.
    pub(crate) fn import(&self, job: &ImportJob, watch: &dyn Watch) -> Result<Imported, DatasetError> {
        if let Some(manifest) = self.done(job)? {
            return self.finish(&manifest);
        }
        match self.make(job, watch) {
            Ok(manifest) => self.finish(&manifest),
            // Whoever stops it begins it again.
            Err(DatasetError::Stopped) => Err(DatasetError::Stopped),
            // A worker that was believed dead was faster, and has removed the spool.
            Err(error @ DatasetError::Missing { .. }) => self.done(job)?.map_or(Err(error), |done| self.finish(&done)),
            Err(error) => {
                remove(&self.layout.spool(job.import_id))?;
                Err(error)
            }
        }
    }

    /// The version, if this job was done before.
    fn done(&self, job: &ImportJob) -> Result<Option<VersionManifest>, DatasetError> {
        let found = VersionManifest::read(&self.layout.version(job.import_id))?;
        Ok(found.filter(|found| found.version == job.version && found.base == job.base))
    }

    fn make(&self, job: &ImportJob, watch: &dyn Watch) -> Result<VersionManifest, DatasetError> {
        let (place, temp) = (self.layout.version(job.import_id), self.layout.temp()?);
        let manifest = self.build(job, &temp, watch)?;
        manifest.write(temp.path())?;
        if !temp.publish(&place)? && self.done(job)?.is_none() {
            // Of an attempt under another number, which nobody was ever told.
            fs::remove_dir_all(&place).map_err(file("replace", &place))?;
            temp.publish(&place)?;
        }
        Ok(manifest)
    }

    fn finish(&self, manifest: &VersionManifest) -> Result<Imported, DatasetError> {
        remove(&self.layout.spool(manifest.import_id))?;
        Ok(Imported { report: manifest.report(), rows: manifest.rows })
    }

    fn build(&self, job: &ImportJob, temp: &Temp, watch: &dyn Watch) -> Result<VersionManifest, DatasetError> {
        let base = self.base(job)?;
        let (base_communes, base_tags) =
            base.as_ref().map_or((&[][..], &[][..]), |base| (base.communes.as_slice(), base.tags.as_slice()));
        let (communes, tags) = (Communes::new(base_communes), Tags::new(base_tags));

        let spool = self.layout.spool(job.import_id);
        let input = match File::open(&spool) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DatasetError::Missing { what: format!("spooled file of import {}", job.import_id) });
            }
            opened => opened.map_err(file("open", &spool))?,
        };
        let mut cutter = Cutter::new(input).map_err(file("read", &spool))?;
        let (head, is_complete) = cutter.head();
        let header = header::read(head, is_complete).map_err(refused)?;
        cutter.skip_header(header.bytes, header.delimiter);
        let header = with_base_slots(header, base.as_ref())?;

        let spill = Spill::new(temp.path(), "people");
        let rejects_path = temp.path().join("rejects.csv");
        let mut rejects = RejectsWriter::create(&rejects_path, &header.names)?;
        let sources = Sources { header: &header, key: self.key, communes: &communes, tags: &tags, spill: &spill };
        let (totals, bytes) = read::read(cutter, &sources, &mut rejects, self.threads, watch)?;
        let tags = tags.into_names().map_err(|tag| {
            let problem = format!(
                "the dataset would have more than {TAGS_MAX} different tags ({tag:?} is one too many); use fewer"
            );
            refused(vec![Fault::new("tags", problem)])
        });

        let progress = progress(&totals, bytes);
        let found = tags.and_then(|tags| {
            worth_a_version(&totals)?;
            let buckets = self.write(job, &header, &spill, temp.path(), progress, watch)?;
            Ok((tags, buckets))
        });
        // The rejects are kept whatever becomes of the file: they say what to mend.
        let mut pairs: Vec<(u64, u64)> =
            found.iter().flat_map(|(_, buckets)| buckets).flat_map(|bucket| bucket.pairs.iter().copied()).collect();
        pairs.sort_unstable();
        rejects.duplicates(&pairs)?;
        let reasons = rejects.reasons.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect();
        rejects.finish()?;
        let kept = self.layout.rejects(job.import_id);
        fs::rename(&rejects_path, &kept).map_err(file("keep", &kept))?;

        let (tags, buckets) = found?;
        let report = report(&totals, &buckets, reasons);
        Ok(VersionManifest {
            format: FORMAT,
            import_id: job.import_id,
            dataset: job.dataset.clone(),
            version: job.version,
            synthetic: job.synthetic,
            base: job.base,
            hash_key: self.key.fingerprint(),
            rows: buckets.iter().map(|bucket| bucket.rows).sum(),
            buckets: buckets.iter().map(|bucket| bucket.rows).collect(),
            communes: communes.codes().to_vec(),
            tags,
            slots: header.slots,
            report,
        })
    }

    fn base(&self, job: &ImportJob) -> Result<Option<VersionManifest>, DatasetError> {
        let Some(id) = job.base else { return Ok(None) };
        let base = VersionManifest::read(&self.layout.version(id))?;
        let base = base.ok_or_else(|| DatasetError::Missing { what: format!("version of import {id}") })?;
        if base.synthetic != job.synthetic {
            let problem = "synthetic and real people cannot stand in one dataset; import them under two names";
            return Err(refused(vec![Fault::new("synthetic", problem)]));
        }
        Ok(Some(base))
    }

    fn write(
        &self,
        job: &ImportJob,
        header: &Header,
        spill: &Spill,
        directory: &Path,
        progress: Progress,
        watch: &dyn Watch,
    ) -> Result<Vec<BucketTotals>, DatasetError> {
        let schema = schema(&header.slots);
        let base = job.base.map(|id| self.layout.version(id));
        each_bucket(self.threads, |number| {
            if !watch.go_on(progress) {
                return Err(DatasetError::Stopped);
            }
            let job = BucketJob {
                schema: &schema,
                slots: header.slots.len(),
                base: base.as_ref().map(|directory| bucket_path(directory, number)),
                out: bucket_path(directory, number),
            };
            bucket::write(&spill.take(number)?, &job)
        })
    }
}

fn refused(faults: Vec<Fault>) -> DatasetError {
    DatasetError::Refused { faults }
}

fn remove(path: &Path) -> Result<(), DatasetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(storage("remove the spooled file")(error)),
        _ => Ok(()),
    }
}

/// The base's slots, then the file's new ones; the file's columns point to their places.
fn with_base_slots(mut header: Header, base: Option<&VersionManifest>) -> Result<Header, DatasetError> {
    let mut slots = base.map(|base| base.slots.clone()).unwrap_or_default();
    for column in &mut header.columns {
        let Column::Slot(index) = column else { continue };
        let name = header.slots.get(*index).cloned().unwrap_or_default();
        *index = slots.iter().position(|slot| *slot == name).unwrap_or(slots.len());
        if *index == slots.len() {
            slots.push(name);
        }
    }
    if slots.len() > SLOTS_MAX {
        let problem = format!(
            "with those of the older version there would be {} slots, at most {SLOTS_MAX} are allowed",
            slots.len()
        );
        return Err(refused(vec![Fault::new("slots", problem)]));
    }
    header.slots = slots;
    Ok(header)
}

/// A version without people, or one that replaces good data by nothing, helps nobody.
fn worth_a_version(totals: &Totals) -> Result<(), DatasetError> {
    let (rows, rejected) = (totals.rows.load(Ordering::Relaxed), totals.rejected.load(Ordering::Relaxed));
    let problem = match rows {
        0 => "the file has a header and no rows; it needs a row for each person".to_owned(),
        _ if rows == rejected => {
            format!("all {rows} rows were rejected; read the rejects of this import and mend the file")
        }
        _ => return Ok(()),
    };
    Err(refused(vec![Fault::new("file", problem)]))
}

fn progress(totals: &Totals, bytes: u64) -> Progress {
    Progress {
        stage: Stage::Writing,
        bytes,
        rows: totals.rows.load(Ordering::Relaxed),
        rejected: totals.rejected.load(Ordering::Relaxed),
    }
}

fn report(totals: &Totals, buckets: &[BucketTotals], reasons: Vec<(String, u64)>) -> Report {
    debug_assert_eq!(buckets.len(), BUCKETS);
    let sum = |field: fn(&BucketTotals) -> u64| buckets.iter().map(field).sum();
    Report {
        rows: totals.rows.load(Ordering::Relaxed),
        accepted: sum(|bucket| bucket.accepted),
        rejected: totals.rejected.load(Ordering::Relaxed),
        duplicates: sum(|bucket| bucket.duplicates),
        migrated: totals.migrated.load(Ordering::Relaxed),
        with_mobile: sum(|bucket| bucket.with_mobile),
        with_email: sum(|bucket| bucket.with_email),
        reasons,
    }
}
