//! Single sends: which were taken in, and the chunks they stand in.
//!
//! Must stay true: an id stands in one chunk at most; a caller's key means one body; a notice's day never passes its
//! ceiling.

use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, Shard};
use loa_ports::store::StoreError;
use loa_ports::store::dispatch::{Accepted, NewSingle, SingleChunk, SingleProgress};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection};

use crate::error::{damaged, store_error};
use crate::sqlite::Tx;

/// Members of one statement: two binds each.
const MEMBERS_PER_STATEMENT: usize = 400;
const COLUMNS: &str = "freeze_id, shard, notice_id, account, size, passed, is_told, expires_at, body";

/// Chunks of a shard that are still to be released or told of.
pub(super) async fn ahead(from: &mut SqliteConnection, shard: i64) -> Result<Vec<SingleChunk>, StoreError> {
    let mut query = QueryBuilder::new("select ");
    query.push(COLUMNS).push(" from single_chunk where (passed < size or is_told = 0) and shard = ").push_bind(shard);
    let rows = query.build().fetch_all(from).await.map_err(store_error)?;
    rows.iter().map(read).collect()
}

/// Chunks by key.
pub(super) async fn by_key(from: &mut SqliteConnection, keys: &[ChunkKey]) -> Result<Vec<SingleChunk>, StoreError> {
    let mut chunks = Vec::with_capacity(keys.len());
    for key in keys {
        let mut query = QueryBuilder::new("select ");
        query.push(COLUMNS).push(" from single_chunk where freeze_id = ").push_bind(key.freeze.to_vec());
        let row = query.build().fetch_optional(&mut *from).await.map_err(store_error)?;
        chunks.extend(row.as_ref().map(read).transpose()?);
    }
    Ok(chunks)
}

/// Those of the ids that stand in a chunk.
pub(super) async fn placed(from: &mut SqliteConnection, ids: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut placed = Vec::new();
    for ids in ids.chunks(MEMBERS_PER_STATEMENT) {
        let mut query = QueryBuilder::new("select id from single_member where id in (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.cast_signed());
        }
        query.push(")");
        let found: Vec<(i64,)> = query.build_query_as().fetch_all(&mut *from).await.map_err(store_error)?;
        placed.extend(found.into_iter().map(|(id,)| id.cast_unsigned()));
    }
    Ok(placed)
}

pub(super) async fn insert(tx: &mut Tx, chunks: &[SingleChunk]) -> Result<(), StoreError> {
    const SQL: &str =
        "insert into single_chunk (freeze_id, shard, notice_id, account, size, passed, is_told, expires_at, body)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    for chunk in chunks {
        sqlx::query(SQL)
            .bind(&chunk.key.freeze.as_bytes()[..])
            .bind(i64::from(chunk.shard.number()))
            .bind(&chunk.notice.as_bytes()[..])
            .bind(chunk.account.as_str())
            .bind(i64::from(chunk.size))
            .bind(i64::from(chunk.progress.passed))
            .bind(i64::from(chunk.progress.told))
            .bind(chunk.expires_us)
            .bind(&chunk.body[..])
            .execute(&mut **tx)
            .await
            .map_err(store_error)?;
        for members in chunk.members.chunks(MEMBERS_PER_STATEMENT) {
            let mut query = QueryBuilder::new("insert into single_member (id, freeze_id) ");
            query.push_values(members, |mut row, id| {
                row.push_bind(id.cast_signed()).push_bind(chunk.key.freeze.to_vec());
            });
            query.build().execute(&mut **tx).await.map_err(store_error)?;
        }
    }
    Ok(())
}

pub(super) async fn update(tx: &mut Tx, progress: &[(ChunkKey, SingleProgress)]) -> Result<(), StoreError> {
    for (key, progress) in progress {
        sqlx::query("update single_chunk set passed = $1, is_told = $2 where freeze_id = $3")
            .bind(i64::from(progress.passed))
            .bind(i64::from(progress.told))
            .bind(&key.freeze.as_bytes()[..])
            .execute(&mut **tx)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Takes one in, or says what was known of its key.
pub(super) async fn accept(tx: &mut Tx, single: &NewSingle) -> Result<Accepted, StoreError> {
    const KNOWN: &str = "select body_hash, accepted_at from single_request where caller = $1 and request_key = $2";
    const INSERT: &str =
        "insert into single_request (caller, request_key, body_hash, accepted_at) values ($1, $2, $3, $4)";
    let query = sqlx::query_as(KNOWN).bind(&single.caller).bind(&single.key);
    let known: Option<(Vec<u8>, i64)> = query.fetch_optional(&mut **tx).await.map_err(store_error)?;
    if let Some((body_hash, first_at_us)) = known {
        let same = body_hash == single.body_hash;
        return Ok(if same { Accepted::Repeat { first_at_us } } else { Accepted::OtherBody });
    }
    if !count_day(tx, single).await? {
        return Ok(Accepted::CeilingReached);
    }
    let query = sqlx::query(INSERT).bind(&single.caller).bind(&single.key).bind(&single.body_hash[..]);
    query.bind(single.at_us).execute(&mut **tx).await.map_err(store_error)?;
    Ok(Accepted::New)
}

/// Counts one more for the notice's day, unless its ceiling is reached.
async fn count_day(tx: &mut Tx, single: &NewSingle) -> Result<bool, StoreError> {
    const SQL: &str = "insert into notice_day (notice_id, day_no, accepted) values ($1, $2, 1)
        on conflict (notice_id, day_no) do update set accepted = notice_day.accepted + 1 where notice_day.accepted < $3";
    if single.daily_ceiling == 0 {
        return Ok(false);
    }
    let query =
        sqlx::query(SQL).bind(&single.notice.as_bytes()[..]).bind(single.day).bind(i64::from(single.daily_ceiling));
    let counted = query.execute(&mut **tx).await.map_err(store_error)?.rows_affected();
    Ok(counted > 0)
}

fn read(row: &SqliteRow) -> Result<SingleChunk, StoreError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(store_error);
    let bytes = |column: usize| row.try_get::<&[u8], _>(column).map_err(store_error);
    Ok(SingleChunk {
        key: ChunkKey { freeze: FreezeId::from_bytes(bytes(0)?).map_err(damaged)?, variant: 0, chunk: 0 },
        shard: Shard::new(u32::try_from(number(1)?).map_err(damaged)?).map_err(damaged)?,
        notice: CampaignId::from_bytes(bytes(2)?).map_err(damaged)?,
        account: AccountId::new(row.try_get(3).map_err(store_error)?).map_err(damaged)?,
        size: u16::try_from(number(4)?).map_err(damaged)?,
        progress: SingleProgress { passed: u16::try_from(number(5)?).map_err(damaged)?, told: number(6)? == 1 },
        expires_us: number(7)?,
        body: bytes(8)?.to_vec(),
        members: Vec::new(),
    })
}
