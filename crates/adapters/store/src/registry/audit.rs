//! The audit: rows that are only added and read.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::AuditEntry;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, Page, PageAsk};

use super::{limit, numbered, start};
use crate::db::{Db, Tx};
use crate::query::sql;

/// Adds an entry in the transaction of what it tells of.
pub(super) async fn add(tx: &mut Tx, act: &Act) -> Result<(), StoreError> {
    const SQL: &str = "insert into audit (number, happened_at, user_name, object_kind, object_id, action, detail)
        values ($1, $2, $3, $4, $5, $6, $7)";
    let number = tx.next_number(act.at_us);
    let query = sql(SQL).bind(number).bind(act.at_us).bind(&act.user).bind(act.object_kind);
    let query = query.bind(&act.object_id).bind(&act.action).bind(&act.detail);
    query.execute(&mut *tx).await?;
    Ok(())
}

pub(super) async fn read(db: &Db, object_id: &str, page: PageAsk) -> Result<Page<AuditEntry>, StoreError> {
    const SQL: &str = "select number, happened_at, user_name, object_kind, action, detail from audit
        where object_id = $1 and number > $2 order by number limit $3";
    let query = sql(SQL).bind(object_id).bind(start(page)).bind(limit(page));
    let rows: Vec<(i64, i64, String, String, String, String)> = query.fetch_all(db).await?;
    let entry = |(number, at_us, user, object_kind, action, detail): (i64, i64, String, String, String, String)| {
        let object_id = object_id.to_owned();
        (
            number,
            AuditEntry {
                number: number.unsigned_abs(),
                at: Some(timestamp(at_us)),
                user,
                object_kind,
                object_id,
                action,
                detail,
            },
        )
    };
    Ok(numbered(rows.into_iter().map(entry).collect(), page))
}
