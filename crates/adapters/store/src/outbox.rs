//! What a transaction wants on the log, stored beside what it changed.
//!
//! Must stay true: a record is deleted here only after the log has acknowledged it; publishing one twice is harmless, since
//! readers keep the highest version of an object.

use async_trait::async_trait;
use loa_ports::store::{Outbox, OutboxRecord, StoreError};

use crate::db::{Db, Tx};
use crate::error::damaged;
use crate::query::sql;

/// Stores records to publish; their numbers are for [`Outbox::outbox_done`].
pub async fn put_outbox(tx: &mut Tx, now_us: i64, records: &[OutboxRecord]) -> Result<Vec<i64>, StoreError> {
    const SQL: &str = "insert into outbox (number, stored_at, topic, partition_no, record_key, record)
        values ($1, $2, $3, $4, $5, $6)";
    let mut numbers = Vec::with_capacity(records.len());
    for record in records {
        let number = tx.next_number(now_us);
        let query = sql(SQL).bind(number).bind(now_us).bind(&record.topic).bind(i64::from(record.partition));
        query.bind(&record.key[..]).bind(&record.value[..]).execute(&mut *tx).await?;
        numbers.push(number);
    }
    Ok(numbers)
}

/// The outbox of one role's store.
#[derive(Debug, Clone)]
pub struct SqlOutbox(pub Db);

#[async_trait]
impl Outbox for SqlOutbox {
    async fn outbox_left(&self, stored_before_us: i64, max: u32) -> Result<Vec<(i64, OutboxRecord)>, StoreError> {
        const SQL: &str = "select number, topic, partition_no, record_key, record from outbox where stored_at < $1
            order by number limit $2";
        let query = sql(SQL).bind(stored_before_us).bind(i64::from(max));
        let rows: Vec<(i64, String, i64, Vec<u8>, Vec<u8>)> = query.fetch_all(&self.0).await?;
        rows.into_iter()
            .map(|(number, topic, partition, key, value)| {
                let partition = u32::try_from(partition).map_err(damaged)?;
                Ok((number, OutboxRecord { topic, partition, key: key.into(), value: value.into() }))
            })
            .collect()
    }

    async fn outbox_done(&self, numbers: &[i64]) -> Result<(), StoreError> {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable(); // the writer and the holder of the lease may mark the same
        let mut tx = self.0.begin().await?;
        for number in numbers {
            let query = sql("delete from outbox where number = $1").bind(number);
            query.execute(&mut tx).await?;
        }
        tx.commit().await
    }
}
