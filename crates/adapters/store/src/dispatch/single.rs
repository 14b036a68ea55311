//! Single sends: which were taken in, and the chunks they stand in.
//!
//! Must stay true: an id stands in one chunk at most; a caller's key means one body; a notice's day never passes its
//! ceiling.

use std::collections::BTreeSet;

use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, Shard};
use loa_ports::store::StoreError;
use loa_ports::store::dispatch::{Accepted, NewSingle, SingleChunk, SingleProgress};

use crate::db::{Snapshot, Tx};
use crate::error::damaged;
use crate::query::{Query, Row, sql};

/// Members of one statement: two binds each.
const MEMBERS_PER_STATEMENT: usize = 400;
const COLUMNS: &str = "freeze_id, shard, notice_id, account, size, passed, is_told, expires_at, body";

/// Chunks of a shard that are still to be released or told of.
pub(super) async fn ahead(from: &mut Snapshot, shard: i64) -> Result<Vec<SingleChunk>, StoreError> {
    let mut query = Query::built("select ");
    query.push(COLUMNS).push(" from single_chunk where (passed < size or is_told = 0) and shard = ").push_bind(shard);
    let rows = query.fetch_rows(from).await?;
    rows.iter().map(read).collect()
}

/// Chunks by key.
pub(super) async fn by_key(from: &mut Snapshot, keys: &[ChunkKey]) -> Result<Vec<SingleChunk>, StoreError> {
    let mut chunks = Vec::with_capacity(keys.len());
    for key in keys {
        let mut query = Query::built("select ");
        query.push(COLUMNS).push(" from single_chunk where freeze_id = ").push_bind(key.freeze.to_vec());
        let row = query.fetch_row(&mut *from).await?;
        chunks.extend(row.as_ref().map(read).transpose()?);
    }
    Ok(chunks)
}

/// Those of the ids that stand in a chunk.
pub(super) async fn placed(from: &mut Snapshot, ids: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut placed = Vec::new();
    for ids in ids.chunks(MEMBERS_PER_STATEMENT) {
        let mut query = Query::built("select id from single_member where id in ");
        query.push_list(ids.iter().map(|id| id.cast_signed().into()));
        let found: Vec<i64> = query.fetch_all(&mut *from).await?;
        placed.extend(found.into_iter().map(i64::cast_unsigned));
    }
    Ok(placed)
}

pub(super) async fn insert(tx: &mut Tx, chunks: &[SingleChunk]) -> Result<(), StoreError> {
    const SQL: &str =
        "insert into single_chunk (freeze_id, shard, notice_id, account, size, passed, is_told, expires_at, body)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    for chunk in chunks {
        sql(SQL)
            .bind(&chunk.key.freeze.as_bytes()[..])
            .bind(i64::from(chunk.shard.number()))
            .bind(&chunk.notice.as_bytes()[..])
            .bind(chunk.account.as_str())
            .bind(i64::from(chunk.size))
            .bind(i64::from(chunk.progress.passed))
            .bind(i64::from(chunk.progress.told))
            .bind(chunk.expires_us)
            .bind(&chunk.body[..])
            .execute(&mut *tx)
            .await?;
        for members in chunk.members.chunks(MEMBERS_PER_STATEMENT) {
            let mut query = Query::built("insert into single_member (id, freeze_id) ");
            query.push_values(members.iter().map(|id| [id.cast_signed().into(), chunk.key.freeze.to_vec().into()]));
            query.execute(&mut *tx).await?;
        }
    }
    Ok(())
}

pub(super) async fn update(tx: &mut Tx, progress: &[(ChunkKey, SingleProgress)]) -> Result<(), StoreError> {
    for (key, progress) in progress {
        sql("update single_chunk set passed = $1, is_told = $2 where freeze_id = $3")
            .bind(i64::from(progress.passed))
            .bind(i64::from(progress.told))
            .bind(&key.freeze.as_bytes()[..])
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Takes some in, in order, or says what was known of their keys.
pub(super) async fn accept(tx: &mut Tx, singles: &[NewSingle]) -> Result<Vec<Accepted>, StoreError> {
    hold_days(tx, singles).await?;
    let mut answers = Vec::with_capacity(singles.len());
    for single in singles {
        answers.push(accept_one(tx, single).await?);
    }
    Ok(answers)
}

/// Holds the days of several notices in one order, so that two intakes wait for each other in a line, not in a circle.
async fn hold_days(tx: &mut Tx, singles: &[NewSingle]) -> Result<(), StoreError> {
    const SQL: &str = "insert into notice_day (notice_id, day_no, accepted) values ($1, $2, 0)
        on conflict (notice_id, day_no) do update set accepted = notice_day.accepted";
    let days: BTreeSet<_> = singles.iter().map(|single| (single.notice, single.day)).collect();
    if days.len() > 1 {
        for (notice, day) in days {
            sql(SQL).bind(&notice.as_bytes()[..]).bind(day).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// The day is counted before the key is taken: who waits for the day holds no key that somebody else waits for.
async fn accept_one(tx: &mut Tx, single: &NewSingle) -> Result<Accepted, StoreError> {
    const TAKE: &str =
        "insert into single_request (caller, request_key, body_hash, accepted_at) values ($1, $2, $3, $4)
        on conflict (caller, request_key) do nothing";
    const GIVE_BACK: &str = "update notice_day set accepted = accepted - 1 where notice_id = $1 and day_no = $2";
    let counted = count_day(tx, single).await?;
    if counted {
        let query = sql(TAKE).bind(&single.caller).bind(&single.key).bind(&single.body_hash[..]).bind(single.at_us);
        if query.execute(&mut *tx).await? == 1 {
            return Ok(Accepted::New);
        }
        sql(GIVE_BACK).bind(&single.notice.as_bytes()[..]).bind(single.day).execute(&mut *tx).await?;
    }
    match known(tx, single).await? {
        Some((body_hash, first_at_us)) if body_hash == single.body_hash => Ok(Accepted::Repeat { first_at_us }),
        Some(_) => Ok(Accepted::OtherBody),
        None if counted => Err(StoreError::Conflict { what: "the key of a single send".to_owned() }),
        None => Ok(Accepted::CeilingReached),
    }
}

/// Body and time of the request that used the key.
async fn known(tx: &mut Tx, single: &NewSingle) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
    const SQL: &str = "select body_hash, accepted_at from single_request where caller = $1 and request_key = $2";
    sql(SQL).bind(&single.caller).bind(&single.key).fetch_optional(&mut *tx).await
}

/// Counts one more for the notice's day, unless its ceiling is reached.
async fn count_day(tx: &mut Tx, single: &NewSingle) -> Result<bool, StoreError> {
    const SQL: &str = "insert into notice_day (notice_id, day_no, accepted) values ($1, $2, 1)
        on conflict (notice_id, day_no) do update set accepted = notice_day.accepted + 1 where notice_day.accepted < $3";
    if single.daily_ceiling == 0 {
        return Ok(false);
    }
    let query = sql(SQL).bind(&single.notice.as_bytes()[..]).bind(single.day).bind(i64::from(single.daily_ceiling));
    let counted = query.execute(&mut *tx).await?;
    Ok(counted > 0)
}

fn read(row: &Row) -> Result<SingleChunk, StoreError> {
    let number = |column: usize| row.get::<i64>(column);
    let bytes = |column: usize| row.get::<&[u8]>(column);
    Ok(SingleChunk {
        key: ChunkKey { freeze: FreezeId::from_bytes(bytes(0)?).map_err(damaged)?, variant: 0, chunk: 0 },
        shard: Shard::new(u32::try_from(number(1)?).map_err(damaged)?).map_err(damaged)?,
        notice: CampaignId::from_bytes(bytes(2)?).map_err(damaged)?,
        account: AccountId::new(row.get(3)?).map_err(damaged)?,
        size: u16::try_from(number(4)?).map_err(damaged)?,
        progress: SingleProgress { passed: u16::try_from(number(5)?).map_err(damaged)?, told: number(6)? == 1 },
        expires_us: number(7)?,
        body: bytes(8)?.to_vec(),
        members: Vec::new(),
    })
}
