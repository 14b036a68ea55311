//! Idempotency keys of create-calls: the same call twice makes one object.

use loa_ports::store::StoreError;
use loa_ports::store::registry::{CreateKey, Created};

use crate::db::{Db, Tx};
use crate::query::sql;

const FIND: &str = "select body_hash, object_id from idempotency
    where caller = $1 and call_key = $2 and stored_at >= $3";

type Row = Option<(Vec<u8>, String)>;

/// What a key was used for.
pub(super) async fn find(db: &Db, key: &CreateKey) -> Result<Option<Created>, StoreError> {
    let query = sql(FIND).bind(&key.caller).bind(&key.key).bind(key.forget_before_us);
    let before: Row = query.fetch_optional(db).await?;
    Ok(used(key, before))
}

/// Takes a key for a new object, or tells what it was used for. Forgets old keys first. The transaction has the turn, so
/// nobody takes the key meanwhile.
pub(super) async fn take(
    tx: &mut Tx,
    key: &CreateKey,
    object_id: &str,
    now_us: i64,
) -> Result<Option<Created>, StoreError> {
    const FORGET: &str = "delete from idempotency where stored_at < $1";
    const TAKE: &str = "insert into idempotency (caller, call_key, body_hash, object_id, stored_at)
        values ($1, $2, $3, $4, $5)";
    sql(FORGET).bind(key.forget_before_us).execute(&mut *tx).await?;
    let query = sql(FIND).bind(&key.caller).bind(&key.key).bind(key.forget_before_us);
    let before: Row = query.fetch_optional(&mut *tx).await?;
    if before.is_none() {
        let query = sql(TAKE).bind(&key.caller).bind(&key.key).bind(&key.body_hash[..]);
        query.bind(object_id).bind(now_us).execute(&mut *tx).await?;
    }
    Ok(used(key, before))
}

fn used(key: &CreateKey, before: Row) -> Option<Created> {
    let (hash, object_id) = before?;
    Some(if hash == key.body_hash { Created::Before(object_id) } else { Created::OtherBody })
}
