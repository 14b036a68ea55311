//! Campaigns, and who wrote them.

use async_trait::async_trait;
use loa_contract::convert::micros;
use loa_contract::pb::registry::v1::Campaign;
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_ports::lease::Fence;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Campaigns, CreateKey, Created, Page, PageAsk, StoredCampaign, Told};
use prost::Message;

use super::{SqlRegistry, audit, decode, keys, limit, numbered, start};
use crate::db::Tx;
use crate::error::damaged;
use crate::fence::check_fence;
use crate::outbox::put_outbox;
use crate::query::sql;

#[async_trait]
impl Campaigns for SqlRegistry {
    async fn create_campaign(
        &self,
        stored: &StoredCampaign,
        key: &CreateKey,
        told: &Told,
    ) -> Result<Created, StoreError> {
        const SQL: &str = "insert into campaign (id, number, version, state, scheduled_at, authors, body)
            values ($1, $2, $3, $4, 0, $5, $6)";
        let Campaign { id, version, state, .. } = &stored.campaign;
        let mut tx = self.db.begin_in_turn().await?;
        if let Some(before) = keys::take(&mut tx, key, id, told.act.at_us).await? {
            return Ok(before);
        }
        let number = tx.next_number(told.act.at_us);
        let query = sql(SQL).bind(id).bind(number).bind(i64::try_from(*version).map_err(damaged)?).bind(state);
        let query = query.bind(authors(stored)?).bind(stored.campaign.encode_to_vec());
        query.execute(&mut tx).await?;
        Ok(Created::New(tell(tx, told).await?))
    }

    async fn change_campaign(
        &self,
        stored: &StoredCampaign,
        told: &Told,
        fence: &Fence,
    ) -> Result<Vec<i64>, StoreError> {
        const SQL: &str = "update campaign set version = $1, state = $2, scheduled_at = $3, authors = $4, body = $5
            where id = $6 and version = $1 - 1";
        let Campaign { id, version, state, scheduled_at, .. } = &stored.campaign;
        let scheduled_at = scheduled_at.as_ref().map_or(0, micros);
        let mut tx = self.db.begin().await?;
        check_fence(&mut tx, fence).await?;
        let query = sql(SQL).bind(i64::try_from(*version).map_err(damaged)?).bind(state).bind(scheduled_at);
        let query = query.bind(authors(stored)?).bind(stored.campaign.encode_to_vec()).bind(id);
        if query.execute(&mut tx).await? == 0 {
            return Err(StoreError::Conflict { what: format!("campaign {id}") });
        }
        tell(tx, told).await
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<StoredCampaign>, StoreError> {
        let query = sql("select authors, body from campaign where id = $1").bind(id.to_string());
        let row: Option<(String, Vec<u8>)> = query.fetch_optional(&self.db).await?;
        row.map(|(authors, body)| stored(&authors, &body)).transpose()
    }

    async fn campaigns(&self, page: PageAsk) -> Result<Page<StoredCampaign>, StoreError> {
        const SQL: &str = "select number, authors, body from campaign where $1 = 0 or number < $1
            order by number desc limit $2";
        let query = sql(SQL).bind(start(page)).bind(limit(page));
        let rows: Vec<(i64, String, Vec<u8>)> = query.fetch_all(&self.db).await?;
        let rows = rows.iter().map(|(number, authors, body)| Ok((*number, stored(authors, body)?)));
        Ok(numbered(rows.collect::<Result<_, StoreError>>()?, page))
    }

    async fn campaigns_in(
        &self,
        state: CampaignState,
        due_us: Option<i64>,
        max: u32,
    ) -> Result<Vec<StoredCampaign>, StoreError> {
        const SQL: &str = "select authors, body from campaign where state = $1 and scheduled_at <= $2
            order by scheduled_at, number limit $3";
        let query = sql(SQL).bind(state.name()).bind(due_us.unwrap_or(i64::MAX)).bind(i64::from(max));
        let rows: Vec<(String, Vec<u8>)> = query.fetch_all(&self.db).await?;
        rows.iter().map(|(authors, body)| stored(authors, body)).collect()
    }
}

/// Audit and outbox, and the end of the transaction.
async fn tell(mut tx: Tx, told: &Told) -> Result<Vec<i64>, StoreError> {
    audit::add(&mut tx, &told.act).await?;
    let numbers = put_outbox(&mut tx, told.act.at_us, std::slice::from_ref(&told.record)).await?;
    tx.commit().await?;
    Ok(numbers)
}

fn authors(stored: &StoredCampaign) -> Result<String, StoreError> {
    serde_json::to_string(&stored.authors).map_err(damaged)
}

fn stored(authors: &str, body: &[u8]) -> Result<StoredCampaign, StoreError> {
    Ok(StoredCampaign { campaign: decode(body)?, authors: serde_json::from_str(authors).map_err(damaged)? })
}
