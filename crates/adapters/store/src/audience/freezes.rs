//! Freezes and their inputs.

use async_trait::async_trait;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::ids::{CampaignId, FreezeId};
use loa_ports::lease::Fence;
use loa_ports::store::StoreError;
use loa_ports::store::audience::{FreezeBegun, FreezeEnd, FreezeKey, FreezeRow, FreezeStore};
use prost::Message;

use super::datasets::newest;
use super::{SqlAudience, message, signed, state, unsigned, uuid};
use crate::fence::check_fence;
use crate::query::sql;

/// campaign, its version, freeze, state, request, done, manifest, error.
type FreezeColumns = (String, i64, String, String, Vec<u8>, i64, Option<Vec<u8>>, String);

fn freeze_row(columns: FreezeColumns) -> Result<FreezeRow, StoreError> {
    let (campaign, campaign_version, freeze, name, request, done, manifest, error) = columns;
    let campaign = CampaignId(uuid(&campaign)?);
    Ok(FreezeRow {
        key: FreezeKey { campaign, campaign_version: unsigned(campaign_version)? },
        freeze: FreezeId(uuid(&freeze)?),
        state: state(&name)?,
        request: message(&request)?,
        done: unsigned(done)?,
        manifest: manifest.as_deref().map(message).transpose()?,
        error,
    })
}

#[async_trait]
impl FreezeStore for SqlAudience {
    async fn freeze(&self, key: FreezeKey) -> Result<Option<FreezeRow>, StoreError> {
        const SQL: &str = "select campaign_id, campaign_version, freeze_id, state, request, done, manifest, error
            from freeze_job where campaign_id = $1 and campaign_version = $2";
        let query = sql(SQL).bind(key.campaign.to_string()).bind(signed(key.campaign_version));
        let row: Option<FreezeColumns> = query.fetch_optional(&self.0).await?;
        row.map(freeze_row).transpose()
    }

    async fn add_freeze(
        &self,
        request: &pb::FreezeRequest,
        key: FreezeKey,
        freeze: FreezeId,
        now_us: i64,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "insert into freeze_job (campaign_id, campaign_version, freeze_id, dataset, created_at, state,
                request, dataset_version, suppression_position, routes, done, error)
            values ($1, $2, $3, $4, $5, 'waiting', $6, 0, 0, '', 0, '')
            on conflict (campaign_id, campaign_version) do nothing";
        let mut tx = self.0.begin().await?;
        let query = sql(SQL).bind(key.campaign.to_string()).bind(signed(key.campaign_version));
        let query = query.bind(freeze.to_string()).bind(&request.dataset).bind(now_us).bind(request.encode_to_vec());
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn next_freeze(&self) -> Result<Option<FreezeRow>, StoreError> {
        const SQL: &str = "select campaign_id, campaign_version, freeze_id, state, request, done, manifest, error
            from freeze_job where state in ('waiting', 'running') order by created_at, freeze_id limit 1";
        let row: Option<FreezeColumns> = sql(SQL).fetch_optional(&self.0).await?;
        row.map(freeze_row).transpose()
    }

    async fn begin_freeze(
        &self,
        fence: &Fence,
        key: FreezeKey,
        freeze: FreezeId,
        routes: &str,
    ) -> Result<Option<FreezeBegun>, StoreError> {
        const OPEN: &str = "select freeze_id, state, dataset from freeze_job
            where campaign_id = $1 and campaign_version = $2 and state in ('waiting', 'running')";
        const POSITION: &str = "select position from suppression_position";
        const BEGIN: &str = "update freeze_job set freeze_id = $1, state = 'running', dataset_version = $2,
                suppression_position = $3, routes = $4, done = 0
            where campaign_id = $5 and campaign_version = $6";
        let (campaign, campaign_version) = (key.campaign.to_string(), signed(key.campaign_version));
        let mut tx = self.0.begin().await?;
        check_fence(&mut tx, fence).await?;
        let query = sql(OPEN).bind(&campaign).bind(campaign_version);
        let open: Option<(String, String, String)> = query.fetch_optional(&mut tx).await?;
        let (before, was, dataset) =
            open.ok_or_else(|| StoreError::Conflict { what: format!("the freeze of {campaign}") })?;
        let Some(version) = newest(&mut tx, &dataset).await? else { return Ok(None) };
        let position: i64 = sql(POSITION).fetch_one(&mut tx).await?;
        let query = sql(BEGIN).bind(freeze.to_string()).bind(i64::from(version.version)).bind(position);
        let query = query.bind(routes).bind(&campaign).bind(campaign_version);
        query.execute(&mut tx).await?;
        tx.commit().await?;
        let thrown_away = if was == "running" { Some(FreezeId(uuid(&before)?)) } else { None };
        Ok(Some(FreezeBegun { freeze, version, suppression_position: unsigned(position)?, thrown_away }))
    }

    async fn tell_freeze(&self, fence: &Fence, key: FreezeKey, done: u64) -> Result<(), StoreError> {
        const SQL: &str = "update freeze_job set done = $1
            where campaign_id = $2 and campaign_version = $3 and state = 'running'";
        let mut tx = self.0.begin().await?;
        check_fence(&mut tx, fence).await?;
        let query = sql(SQL).bind(signed(done)).bind(key.campaign.to_string());
        query.bind(signed(key.campaign_version)).execute(&mut tx).await?;
        tx.commit().await
    }

    async fn end_freeze(&self, fence: &Fence, key: FreezeKey, end: &FreezeEnd) -> Result<(), StoreError> {
        const SQL: &str = "update freeze_job set state = $1, manifest = $2, error = $3, done = $4
            where campaign_id = $5 and campaign_version = $6 and state in ('waiting', 'running')";
        let (name, manifest, error, done) = match end {
            FreezeEnd::Done { manifest } => ("done", Some(manifest.encode_to_vec()), "", people(manifest)),
            FreezeEnd::Failed { error } => ("failed", None, error.as_str(), 0),
        };
        let mut tx = self.0.begin().await?;
        check_fence(&mut tx, fence).await?;
        let query = sql(SQL).bind(name).bind(manifest).bind(error).bind(signed(done));
        let query = query.bind(key.campaign.to_string()).bind(signed(key.campaign_version));
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn forget_failed(&self, key: FreezeKey) -> Result<(), StoreError> {
        const SQL: &str =
            "delete from freeze_job where campaign_id = $1 and campaign_version = $2 and state = 'failed'";
        let mut tx = self.0.begin().await?;
        let query = sql(SQL).bind(key.campaign.to_string()).bind(signed(key.campaign_version));
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn needed_freezes(&self) -> Result<Vec<FreezeId>, StoreError> {
        const SQL: &str = "select freeze_id from freeze_job where state <> 'failed'";
        let rows: Vec<String> = sql(SQL).fetch_all(&self.0).await?;
        rows.iter().map(|text| uuid(text).map(FreezeId)).collect()
    }
}

fn people(manifest: &pb::Manifest) -> u64 {
    manifest.variants.iter().map(|variant| variant.frozen + variant.excluded.values().sum::<u64>()).sum()
}
