//! Suppression entries.
//!
//! Must stay true: the position rises by one with every change, in the transaction of the change.

use async_trait::async_trait;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::Shard;
use loa_domain::policy::Scope;
use loa_ports::store::audience::{NewSuppression, RecordsAt, SuppressionRow, SuppressionStore, SuppressionStored};
use loa_ports::store::{OutboxRecord, StoreError};

use super::{SqlAudience, signed, unsigned};
use crate::db::Tx;
use crate::error::damaged;
use crate::outbox::put_outbox;
use crate::query::{Query, sql};

/// `lifted_position` of an entry in force.
const IN_FORCE: i64 = i64::MAX;

/// position, hash, scope, channel, hint, unit, class, topic, created, by whom.
type SuppressionColumns = (i64, i64, i64, i64, String, String, String, String, i64, String);

fn suppression_row(columns: SuppressionColumns) -> Result<SuppressionRow, StoreError> {
    let (position, hash, scope, channel, hint, unit_code, class, topic, at_us, by) = columns;
    let known = i32::try_from(channel).ok().and_then(Channel::from_code);
    let channel = known.ok_or_else(|| damaged(format!("no channel has the code {channel}")))?;
    let (hash, scope) = (AddressHash::from_ordered_i64(hash), Scope(u32::try_from(scope).map_err(damaged)?));
    let entry = NewSuppression { hash, scope, channel, hint, unit_code, class, topic, by, at_us };
    Ok(SuppressionRow { position: unsigned(position)?, entry })
}

#[async_trait]
impl SuppressionStore for SqlAudience {
    async fn suppress(&self, entry: &NewSuppression, records: &RecordsAt<'_>) -> Result<SuppressionStored, StoreError> {
        let mut tx = self.0.begin_in_turn().await?;
        let (position, at_us) = match in_force(&mut tx, entry.hash, entry.scope).await? {
            Some(found) => found,
            None => (add(&mut tx, entry).await?, entry.at_us),
        };
        let position = unsigned(position)?;
        let outbox = told(&mut tx, entry.at_us, records(position, at_us)).await?;
        tx.commit().await?;
        Ok(SuppressionStored { position, at_us, outbox })
    }

    async fn lift(
        &self,
        hash: AddressHash,
        scope: Scope,
        by: &str,
        at_us: i64,
        records: &RecordsAt<'_>,
    ) -> Result<Option<SuppressionStored>, StoreError> {
        const SQL: &str =
            "update suppression set lifted_position = $1, lifted_at = $2, lifted_by = $3 where position = $4";
        let mut tx = self.0.begin_in_turn().await?;
        let Some((entry, _)) = in_force(&mut tx, hash, scope).await? else { return Ok(None) };
        let position = next_position(&mut tx).await?;
        let query = sql(SQL).bind(position).bind(at_us).bind(by).bind(entry);
        query.execute(&mut tx).await?;
        let position = unsigned(position)?;
        let outbox = told(&mut tx, at_us, records(position, at_us)).await?;
        tx.commit().await?;
        Ok(Some(SuppressionStored { position, at_us, outbox }))
    }

    async fn suppressions_page(&self, below: u64, max: u32) -> Result<Vec<SuppressionRow>, StoreError> {
        const SQL: &str = "select position, hash, scope, channel, hint, unit_code, class, topic, created_at, created_by
            from suppression where lifted_position = $1 and position < $2 order by position desc limit $3";
        let below = if below == 0 { i64::MAX } else { signed(below) };
        let query = sql(SQL).bind(IN_FORCE).bind(below).bind(i64::from(max));
        let rows: Vec<SuppressionColumns> = query.fetch_all(&self.0).await?;
        rows.into_iter().map(suppression_row).collect()
    }

    async fn suppressed(&self, shard: Shard, scopes: &[Scope], position: u64) -> Result<Vec<AddressHash>, StoreError> {
        if scopes.is_empty() {
            return Ok(Vec::new());
        }
        let first = u64::from(shard.number()) << 58;
        let (first, last) = (AddressHash(first), AddressHash(first | ((1 << 58) - 1)));
        let mut query = Query::built("select distinct hash from suppression where hash between ");
        query.push_bind(first.to_ordered_i64()).push(" and ").push_bind(last.to_ordered_i64());
        query.push(" and position <= ").push_bind(signed(position));
        query.push(" and lifted_position > ").push_bind(signed(position)).push(" and scope in ");
        query.push_list(scopes.iter().map(|scope| i64::from(scope.0).into())).push(" order by hash");
        let rows: Vec<i64> = query.fetch_all(&self.0).await?;
        Ok(rows.into_iter().map(AddressHash::from_ordered_i64).collect())
    }
}

/// Position and time of the entry in force.
async fn in_force(tx: &mut Tx, hash: AddressHash, scope: Scope) -> Result<Option<(i64, i64)>, StoreError> {
    const SQL: &str = "select position, created_at from suppression
        where hash = $1 and scope = $2 and lifted_position = $3";
    let query = sql(SQL).bind(hash.to_ordered_i64()).bind(i64::from(scope.0)).bind(IN_FORCE);
    query.fetch_optional(&mut *tx).await
}

async fn add(tx: &mut Tx, entry: &NewSuppression) -> Result<i64, StoreError> {
    const SQL: &str = "insert into suppression (position, hash, scope, channel, hint, unit_code, class, topic,
            created_at, created_by, lifted_position, lifted_at, lifted_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '')";
    let position = next_position(tx).await?;
    let query = sql(SQL).bind(position).bind(entry.hash.to_ordered_i64()).bind(i64::from(entry.scope.0));
    let query = query.bind(i64::from(entry.channel.code())).bind(&entry.hint).bind(&entry.unit_code);
    let query = query.bind(&entry.class).bind(&entry.topic).bind(entry.at_us).bind(&entry.by).bind(IN_FORCE);
    query.execute(&mut *tx).await?;
    Ok(position)
}

async fn next_position(tx: &mut Tx) -> Result<i64, StoreError> {
    const SQL: &str = "update suppression_position set position = position + 1 returning position";
    sql(SQL).fetch_one(&mut *tx).await
}

async fn told(tx: &mut Tx, now_us: i64, records: Vec<OutboxRecord>) -> Result<Vec<(i64, OutboxRecord)>, StoreError> {
    let numbers = put_outbox(tx, now_us, &records).await?;
    Ok(numbers.into_iter().zip(records).collect())
}
