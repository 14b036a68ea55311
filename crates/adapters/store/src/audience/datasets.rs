//! Dataset versions and imports.

use async_trait::async_trait;
use loa_contract::pb::audience::v1 as pb;
use loa_ports::audience::Fault;
use loa_ports::lease::Fence;
use loa_ports::store::StoreError;
use loa_ports::store::audience::{DatasetStore, ImportEnd, ImportRow, NewImport, VersionRow};
use prost::Message;
use uuid::Uuid;

use super::{SqlAudience, message, signed, state, unsigned, uuid};
use crate::db::Tx;
use crate::error::damaged;
use crate::fence::check_fence;
use crate::query::{On, sql};

/// dataset, version, import, people, rejected, synthetic, created.
type VersionColumns = (String, i64, String, i64, i64, i64, i64);

fn version_row(columns: VersionColumns) -> Result<VersionRow, StoreError> {
    let (dataset, version, import_id, people, rejected, synthetic, created_at_us) = columns;
    Ok(VersionRow {
        dataset,
        version: u32::try_from(version).map_err(damaged)?,
        import_id: uuid(&import_id)?,
        rows: unsigned(people)?,
        rejected: unsigned(rejected)?,
        synthetic: synthetic == 1,
        created_at_us,
    })
}

/// import, dataset, synthetic, delta, file name, created, state, progress, report, faults.
type ImportColumns = (String, String, i64, i64, String, i64, String, Vec<u8>, Option<Vec<u8>>, String);

fn import_row(columns: ImportColumns) -> Result<ImportRow, StoreError> {
    let (import_id, dataset, synthetic, delta, file_name, created_at_us, name, progress, report, faults) = columns;
    let (import_id, synthetic, delta) = (uuid(&import_id)?, synthetic == 1, delta == 1);
    let faults: Vec<(String, String)> = serde_json::from_str(&faults).map_err(damaged)?;
    Ok(ImportRow {
        import: NewImport { import_id, dataset, synthetic, delta, file_name, created_at_us },
        state: state(&name)?,
        progress: message(&progress)?,
        report: report.as_deref().map(message).transpose()?,
        faults: faults.into_iter().map(|(field, problem)| Fault { field, problem }).collect(),
    })
}

/// The newest version, read in a transaction or out of it.
pub(super) async fn newest(on: impl Into<On<'_>>, dataset: &str) -> Result<Option<VersionRow>, StoreError> {
    const SQL: &str = "select dataset, version, import_id, people, rejected, synthetic, created_at
        from dataset_version where dataset = $1 order by version desc limit 1";
    let row: Option<VersionColumns> = sql(SQL).bind(dataset).fetch_optional(on).await?;
    row.map(version_row).transpose()
}

#[async_trait]
impl DatasetStore for SqlAudience {
    async fn newest(&self, dataset: &str) -> Result<Option<VersionRow>, StoreError> {
        newest(&self.0, dataset).await
    }

    async fn newest_page(&self, start: u64, max: u32) -> Result<Vec<VersionRow>, StoreError> {
        const SQL: &str = "select dataset, version, import_id, people, rejected, synthetic, created_at
            from dataset_version v
            where version = (select max(n.version) from dataset_version n where n.dataset = v.dataset)
            order by dataset limit $1 offset $2";
        let query = sql(SQL).bind(i64::from(max)).bind(signed(start));
        let rows: Vec<VersionColumns> = query.fetch_all(&self.0).await?;
        rows.into_iter().map(version_row).collect()
    }

    async fn add_import(&self, import: &NewImport) -> Result<(), StoreError> {
        const SQL: &str = "insert into import_job
            (import_id, dataset, synthetic, delta, file_name, created_at, state, progress, faults)
            values ($1, $2, $3, $4, $5, $6, 'waiting', $7, '[]') on conflict (import_id) do nothing";
        let mut tx = self.0.begin().await?;
        let query = sql(SQL).bind(import.import_id.to_string()).bind(&import.dataset);
        let query = query.bind(i64::from(import.synthetic)).bind(i64::from(import.delta)).bind(&import.file_name);
        let query = query.bind(import.created_at_us).bind(Vec::<u8>::new());
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn import(&self, import_id: Uuid) -> Result<Option<ImportRow>, StoreError> {
        const SQL: &str =
            "select import_id, dataset, synthetic, delta, file_name, created_at, state, progress, report, faults
            from import_job where import_id = $1";
        let query = sql(SQL).bind(import_id.to_string());
        let row: Option<ImportColumns> = query.fetch_optional(&self.0).await?;
        row.map(import_row).transpose()
    }

    async fn next_import(&self) -> Result<Option<ImportRow>, StoreError> {
        const SQL: &str =
            "select import_id, dataset, synthetic, delta, file_name, created_at, state, progress, report, faults
            from import_job where state in ('waiting', 'running') order by created_at, import_id limit 1";
        let row: Option<ImportColumns> = sql(SQL).fetch_optional(&self.0).await?;
        row.map(import_row).transpose()
    }

    async fn tell_import(
        &self,
        fence: &Fence,
        import_id: Uuid,
        progress: &pb::ImportProgress,
    ) -> Result<(), StoreError> {
        const SQL: &str = "update import_job set state = 'running', progress = $1
            where import_id = $2 and state in ('waiting', 'running')";
        let mut tx = self.0.begin().await?;
        check_fence(&mut tx, fence).await?;
        let query = sql(SQL).bind(progress.encode_to_vec()).bind(import_id.to_string());
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn end_import(&self, fence: &Fence, import_id: Uuid, end: &ImportEnd) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        check_fence(&mut tx, fence).await?;
        let (name, report, faults) = match end {
            ImportEnd::Done { report, .. } => ("done", Some(report.encode_to_vec()), &[][..]),
            ImportEnd::Failed { faults } => ("failed", None, faults.as_slice()),
        };
        // Ended before, and the answer was lost: nothing is left to do.
        if !set_ended(&mut tx, import_id, name, report, faults).await? {
            return Ok(());
        }
        if let ImportEnd::Done { version, .. } = end {
            add_version(&mut tx, version).await?;
        }
        tx.commit().await
    }

    async fn needed_imports(&self) -> Result<Vec<Uuid>, StoreError> {
        const SQL: &str = "select import_id from dataset_version union
            select import_id from import_job where state in ('waiting', 'running')";
        let rows: Vec<String> = sql(SQL).fetch_all(&self.0).await?;
        rows.iter().map(|text| uuid(text)).collect()
    }
}

/// Whether the import had not ended yet.
async fn set_ended(
    tx: &mut Tx,
    import_id: Uuid,
    name: &str,
    report: Option<Vec<u8>>,
    faults: &[Fault],
) -> Result<bool, StoreError> {
    const SQL: &str = "update import_job set state = $1, report = $2, faults = $3
        where import_id = $4 and state in ('waiting', 'running')";
    let faults: Vec<(&str, &str)> = faults.iter().map(|fault| (&*fault.field, &*fault.problem)).collect();
    let faults = serde_json::to_string(&faults).map_err(damaged)?;
    let query = sql(SQL).bind(name).bind(report).bind(faults).bind(import_id.to_string());
    Ok(query.execute(&mut *tx).await? == 1)
}

async fn add_version(tx: &mut Tx, version: &VersionRow) -> Result<(), StoreError> {
    const SQL: &str =
        "insert into dataset_version (dataset, version, import_id, people, rejected, synthetic, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)";
    let VersionRow { dataset, version, import_id, rows, rejected, synthetic, created_at_us } = version;
    let query = sql(SQL).bind(dataset).bind(i64::from(*version)).bind(import_id.to_string());
    let query = query.bind(signed(*rows)).bind(signed(*rejected)).bind(i64::from(*synthetic)).bind(created_at_us);
    query.execute(&mut *tx).await?;
    Ok(())
}
