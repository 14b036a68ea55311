//! Imports, one after the other, oldest first.
//!
//! Must stay true: a version's number is the newest one's plus one, given in the fenced transaction that ends the import;
//! an import that is begun again gives the same version.

use std::time::Duration;

use loa_ports::audience::{DatasetError, Fault, ImportJob, Imported, Needed};
use loa_ports::lease::Held;
use loa_ports::store::StoreError;
use loa_ports::store::audience::{ImportEnd, NewImport, VersionRow};

use super::{IMPORT, Work, job, look};
use crate::error::mishap;

/// How often leftovers of crashes are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

pub(super) async fn run(work: &Work) {
    let mut bell = work.core.bell();
    let mut swept_at: Option<Duration> = None;
    while look(work, &mut bell).await {
        let Some(held) = work.held(IMPORT) else { continue };
        if let Err(error) = waiting(work, &held).await {
            tracing::warn!(%error, "could not look for imports");
        }
        let now = work.ctx.monotonic();
        if swept_at.is_none_or(|at| now.saturating_sub(at) >= SWEEP_EVERY) {
            swept_at = Some(now);
            sweep(work).await;
        }
    }
}

/// Does every import that waits.
async fn waiting(work: &Work, held: &Held) -> Result<(), StoreError> {
    while work.holds(held) {
        let Some(row) = work.core.store.next_import().await? else { break };
        if !import(work, held, row.import).await? {
            break;
        }
    }
    Ok(())
}

/// Whether the import has ended.
async fn import(work: &Work, held: &Held, import: NewImport) -> Result<bool, StoreError> {
    let newest = work.core.store.newest(&import.dataset).await?;
    let end = match job_of(&import, newest) {
        Err(fault) => ImportEnd::Failed { faults: vec![fault] },
        Ok(job) => {
            let version = job.version;
            let row = job::Row::Import(import.import_id);
            match job::run(work, held, row, move |datasets, watch| datasets.import(&job, watch)).await {
                Ok(imported) => done(work, &import, version, imported),
                Err(DatasetError::Stopped) => return Ok(false),
                Err(DatasetError::Refused { faults }) => ImportEnd::Failed { faults },
                Err(error) => ImportEnd::Failed { faults: vec![mishap(&error)] },
            }
        }
    };
    count(work, &end);
    Ok(job::end(work, held, &job::End::Import(import.import_id, end)).await)
}

fn job_of(import: &NewImport, newest: Option<VersionRow>) -> Result<ImportJob, Fault> {
    let base = newest.as_ref().filter(|_| import.delta).map(|newest| newest.import_id);
    if import.delta && base.is_none() {
        return Err(Fault::new("start.delta", "the dataset has no version yet; import the whole file first"));
    }
    Ok(ImportJob {
        import_id: import.import_id,
        dataset: import.dataset.clone(),
        version: newest.map_or(0, |newest| newest.version) + 1,
        synthetic: import.synthetic,
        base,
    })
}

fn done(work: &Work, import: &NewImport, version: u32, imported: Imported) -> ImportEnd {
    let Imported { report, rows } = imported;
    let version = VersionRow {
        dataset: import.dataset.clone(),
        version,
        import_id: import.import_id,
        rows,
        rejected: report.rejected,
        synthetic: import.synthetic,
        created_at_us: work.core.now_us(),
    };
    tracing::info!(dataset = version.dataset, version = version.version, rows, rejected = version.rejected, "imported");
    ImportEnd::Done { version, report }
}

fn count(work: &Work, end: &ImportEnd) {
    let metrics = work.ctx.metrics();
    let name = match end {
        ImportEnd::Done { .. } => "done",
        ImportEnd::Failed { .. } => "failed",
    };
    metrics.counter_vec("loa_imports_total", "imports by how they ended", &["end"]).with_label_values(&[name]).inc();
    if let ImportEnd::Done { report, .. } = end {
        metrics.counter("loa_import_rows_total", "rows read by imports").inc_by(report.rows);
        metrics.counter("loa_import_rejected_total", "rows rejected by imports").inc_by(report.rejected);
    }
}

async fn sweep(work: &Work) {
    let needed = async {
        let (imports, freezes) = (work.core.store.needed_imports().await?, work.core.store.needed_freezes().await?);
        Ok::<_, StoreError>(Needed { imports, freezes })
    };
    let swept = match needed.await {
        Ok(needed) => work.core.heavy(move |datasets| datasets.sweep(&needed)).await,
        Err(error) => return tracing::warn!(%error, "could not ask which files are needed"),
    };
    match swept {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed files that nobody needs"),
        Err(error) => tracing::warn!(%error, "could not remove files that nobody needs"),
    }
}
