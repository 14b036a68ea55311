//! Units: a row for each date from which something about an organisation is so.

use async_trait::async_trait;
use loa_contract::convert::micros;
use loa_contract::pb::registry::v1::Unit;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, Page, PageAsk, Units};
use prost::Message;

use super::{SqlRegistry, audit, counted, decode, limit, start};
use crate::query::sql;

#[async_trait]
impl Units for SqlRegistry {
    async fn put_unit(&self, unit: &Unit, act: &Act) -> Result<(), StoreError> {
        const SQL: &str = "insert into unit (code, valid_from, valid_to, body) values ($1, $2, $3, $4)
            on conflict (code, valid_from) do update set valid_to = excluded.valid_to, body = excluded.body";
        const SAME: &str = "select count(*) from unit where code = $1 and valid_from = $2 and body = $3";
        let body = unit.encode_to_vec();
        let (from, to) = (unit.valid_from.as_ref().map_or(0, micros), unit.valid_to.as_ref().map_or(i64::MAX, micros));
        let mut tx = self.db.begin_in_turn().await?;
        let query = sql(SAME).bind(&unit.code).bind(from).bind(&body);
        let same: i64 = query.fetch_one(&mut tx).await?;
        if same > 0 {
            return Ok(());
        }
        let query = sql(SQL).bind(&unit.code).bind(from).bind(to).bind(&body);
        query.execute(&mut tx).await?;
        audit::add(&mut tx, act).await?;
        tx.commit().await
    }

    async fn units(&self, at_us: i64, page: PageAsk) -> Result<Page<Unit>, StoreError> {
        const SQL: &str = "select u.body from unit u where u.valid_to > $1 and u.valid_from =
            (select max(v.valid_from) from unit v where v.code = u.code and v.valid_from <= $1)
            order by u.code limit $2 offset $3";
        let query = sql(SQL).bind(at_us).bind(limit(page)).bind(start(page));
        let rows: Vec<Vec<u8>> = query.fetch_all(&self.db).await?;
        let units = rows.iter().map(|body| decode(body)).collect::<Result<_, _>>()?;
        Ok(counted(units, page))
    }

    async fn unit(&self, code: &str, at_us: i64) -> Result<Option<Unit>, StoreError> {
        const SQL: &str = "select valid_to, body from unit where code = $1 and valid_from <= $2
            order by valid_from desc limit 1";
        let query = sql(SQL).bind(code).bind(at_us);
        let row: Option<(i64, Vec<u8>)> = query.fetch_optional(&self.db).await?;
        row.filter(|(valid_to, _)| *valid_to > at_us).map(|(_, body)| decode(&body)).transpose()
    }
}
