//! Notices: what single sends may name.

use async_trait::async_trait;
use loa_contract::pb::registry::v1::Notice;
use loa_domain::ids::CampaignId;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{CreateKey, Created, Notices, Page, PageAsk, StoredNotice, Told};
use prost::Message;

use super::{SqlRegistry, audit, decode, keys, limit, numbered, start};
use crate::error::damaged;
use crate::outbox::put_outbox;
use crate::query::sql;

#[async_trait]
impl Notices for SqlRegistry {
    async fn create_notice(&self, notice: &Notice, key: &CreateKey, told: &Told) -> Result<Created, StoreError> {
        const SQL: &str = "insert into notice (id, number, version, state, body) values ($1, $2, 1, $3, $4)";
        let now_us = told.act.at_us;
        let mut tx = self.db.begin_in_turn().await?;
        if let Some(before) = keys::take(&mut tx, key, &notice.id, now_us).await? {
            return Ok(before);
        }
        let number = tx.next_number(now_us);
        let query = sql(SQL).bind(&notice.id).bind(number).bind(&notice.state).bind(notice.encode_to_vec());
        query.execute(&mut tx).await?;
        audit::add(&mut tx, &told.act).await?;
        let numbers = put_outbox(&mut tx, now_us, std::slice::from_ref(&told.record)).await?;
        tx.commit().await?;
        Ok(Created::New(numbers))
    }

    async fn change_notice(&self, stored: &StoredNotice, told: &Told) -> Result<Vec<i64>, StoreError> {
        const SQL: &str = "update notice set version = $1, state = $2, body = $3 where id = $4 and version = $1 - 1";
        let StoredNotice { notice, version } = stored;
        let version = i64::try_from(*version).map_err(damaged)?;
        let mut tx = self.db.begin().await?;
        let query = sql(SQL).bind(version).bind(&notice.state).bind(notice.encode_to_vec()).bind(&notice.id);
        let done = query.execute(&mut tx).await?;
        if done == 0 {
            return Err(StoreError::Conflict { what: format!("notice {}", notice.id) });
        }
        audit::add(&mut tx, &told.act).await?;
        let numbers = put_outbox(&mut tx, told.act.at_us, std::slice::from_ref(&told.record)).await?;
        tx.commit().await?;
        Ok(numbers)
    }

    async fn notice(&self, id: CampaignId) -> Result<Option<StoredNotice>, StoreError> {
        let query = sql("select version, body from notice where id = $1").bind(id.to_string());
        let row: Option<(i64, Vec<u8>)> = query.fetch_optional(&self.db).await?;
        row.map(|(version, body)| stored(version, &body)).transpose()
    }

    async fn notices(&self, page: PageAsk) -> Result<Page<StoredNotice>, StoreError> {
        const SQL: &str = "select number, version, body from notice where $1 = 0 or number < $1
            order by number desc limit $2";
        let query = sql(SQL).bind(start(page)).bind(limit(page));
        let rows: Vec<(i64, i64, Vec<u8>)> = query.fetch_all(&self.db).await?;
        let rows = rows.iter().map(|(number, version, body)| Ok((*number, stored(*version, body)?)));
        Ok(numbered(rows.collect::<Result<_, StoreError>>()?, page))
    }
}

fn stored(version: i64, body: &[u8]) -> Result<StoredNotice, StoreError> {
    Ok(StoredNotice { notice: decode(body)?, version: u64::try_from(version).map_err(damaged)? })
}
