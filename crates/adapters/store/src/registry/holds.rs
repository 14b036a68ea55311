//! The hold of the installation: one row.

use async_trait::async_trait;
use loa_contract::convert::micros;
use loa_ports::store::registry::{Act, Holds, StoredHold};
use loa_ports::store::{OutboxRecord, StoreError};
use prost::Message;

use super::{SqlRegistry, audit, decode};
use crate::error::damaged;
use crate::outbox::put_outbox;
use crate::query::sql;

#[async_trait]
impl Holds for SqlRegistry {
    async fn hold(&self) -> Result<Option<StoredHold>, StoreError> {
        let query = sql("select version, body from hold where only_row = 1");
        let row: Option<(i64, Vec<u8>)> = query.fetch_optional(&self.db).await?;
        row.map(|(version, body)| {
            Ok(StoredHold { hold: decode(&body)?, version: u64::try_from(version).map_err(damaged)? })
        })
        .transpose()
    }

    async fn change_hold(
        &self,
        stored: &StoredHold,
        record: &OutboxRecord,
        act: Option<&Act>,
    ) -> Result<Vec<i64>, StoreError> {
        const FIRST: &str = "insert into hold (only_row, version, seconds, renewed_at, body) values (1, $1, $2, $3, $4)
            on conflict (only_row) do nothing";
        const NEXT: &str = "update hold set version = $1, seconds = $2, renewed_at = $3, body = $4
            where only_row = 1 and version = $1 - 1";
        let StoredHold { hold, version } = stored;
        let renewed_us = hold.renewed_at.as_ref().map_or(0, micros);
        let mut tx = self.db.begin().await?;
        let query = sql(if *version == 1 { FIRST } else { NEXT }).bind(i64::try_from(*version).map_err(damaged)?);
        let query = query.bind(i64::from(hold.seconds)).bind(renewed_us).bind(hold.encode_to_vec());
        if query.execute(&mut tx).await? == 0 {
            return Err(StoreError::Conflict { what: "the hold".to_owned() });
        }
        if let Some(act) = act {
            audit::add(&mut tx, act).await?;
        }
        let numbers = put_outbox(&mut tx, renewed_us, std::slice::from_ref(record)).await?;
        tx.commit().await?;
        Ok(numbers)
    }
}
