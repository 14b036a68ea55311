//! From where a reader goes on.
//!
//! Must stay true: an offset is stored in the transaction that stored what was read before it, so a replay starts exactly
//! where the state stands.

use loa_ports::store::{Offset, StoreError};

use crate::db::{Db, Tx};
use crate::error::damaged;
use crate::query::sql;

/// Stores the next offsets of a reader (its name within the role).
pub async fn put_offsets(tx: &mut Tx, reader: &str, offsets: &[Offset]) -> Result<(), StoreError> {
    const SQL: &str = "insert into reader_offset (reader, topic, partition_no, next_offset) values ($1, $2, $3, $4)
        on conflict (reader, topic, partition_no) do update set next_offset = excluded.next_offset";
    for offset in offsets {
        let query = sql(SQL).bind(reader).bind(&offset.topic).bind(i64::from(offset.partition));
        query.bind(offset.next).execute(&mut *tx).await?;
    }
    Ok(())
}

/// The stored offsets of a reader.
pub async fn offsets(db: &Db, reader: &str) -> Result<Vec<Offset>, StoreError> {
    const SQL: &str = "select topic, partition_no, next_offset from reader_offset where reader = $1
        order by topic, partition_no";
    let rows: Vec<(String, i64, i64)> = sql(SQL).bind(reader).fetch_all(db).await?;
    rows.into_iter()
        .map(|(topic, partition, next)| {
            Ok(Offset { topic, partition: u32::try_from(partition).map_err(damaged)?, next })
        })
        .collect()
}
