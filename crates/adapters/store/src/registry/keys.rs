//! Idempotency keys of create-calls: the same call twice makes one object.

use loa_ports::store::StoreError;
use loa_ports::store::registry::{CreateKey, Created};

use crate::error::store_error;
use crate::sqlite::Tx;

/// Takes a key for a new object, or tells what it was used for. Forgets old keys first.
pub(super) async fn take(
    tx: &mut Tx,
    key: &CreateKey,
    object_id: &str,
    now_us: i64,
) -> Result<Option<Created>, StoreError> {
    const FORGET: &str = "delete from idempotency where stored_at < $1";
    const FIND: &str = "select body_hash, object_id from idempotency where caller = $1 and call_key = $2";
    const TAKE: &str = "insert into idempotency (caller, call_key, body_hash, object_id, stored_at)
        values ($1, $2, $3, $4, $5)";
    sqlx::query(FORGET).bind(key.forget_before_us).execute(&mut **tx).await.map_err(store_error)?;
    let query = sqlx::query_as(FIND).bind(&key.caller).bind(&key.key);
    let before: Option<(Vec<u8>, String)> = query.fetch_optional(&mut **tx).await.map_err(store_error)?;
    match before {
        Some((hash, object_id)) if hash == key.body_hash => Ok(Some(Created::Before(object_id))),
        Some(_) => Ok(Some(Created::OtherBody)),
        None => {
            let query = sqlx::query(TAKE).bind(&key.caller).bind(&key.key).bind(&key.body_hash[..]);
            query.bind(object_id).bind(now_us).execute(&mut **tx).await.map_err(store_error)?;
            Ok(None)
        }
    }
}
