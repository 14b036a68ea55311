//! Requests of requests.v1 that are still to be answered, and gaps in the log that the ledger met.
//!
//! Must stay true: both are written in the transaction that stores the offsets, so a crash neither forgets an answer that
//! is due nor a gap that was passed.

use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::state::RecipientState;
use loa_ports::store::StoreError;
use loa_ports::store::report::{GapRow, ReplyRow};

use crate::db::{Db, Tx};
use crate::error::damaged;
use crate::query::{Row, sql};

/// Stands for `told` where nothing was told.
const NOTHING: i64 = -1;

pub(super) async fn put(tx: &mut Tx, replies: &[ReplyRow]) -> Result<(), StoreError> {
    const SQL: &str = "insert into reply (freeze_id, variant, chunk, place, shard, idempotency_key, message_id,
        partition_no, record_key, accepted_at, told)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (freeze_id, variant, chunk, place) do update set told = excluded.told";
    for reply in replies {
        sql(SQL)
            .bind(&reply.key.freeze.as_bytes()[..])
            .bind(i64::from(reply.key.variant))
            .bind(i64::from(reply.key.chunk))
            .bind(i64::from(reply.index))
            .bind(i64::from(reply.shard))
            .bind(&reply.idempotency_key)
            .bind(reply.message_id.cast_signed())
            .bind(i64::from(reply.partition))
            .bind(&reply.record_key[..])
            .bind(reply.accepted_at_us)
            .bind(reply.told.map_or(NOTHING, |state| i64::from(state.code())))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn delete(tx: &mut Tx, replied: &[(ChunkKey, u16)]) -> Result<(), StoreError> {
    const SQL: &str = "delete from reply where freeze_id = $1 and variant = $2 and chunk = $3 and place = $4";
    for (key, index) in replied {
        let query = sql(SQL).bind(&key.freeze.as_bytes()[..]).bind(i64::from(key.variant));
        let query = query.bind(i64::from(key.chunk)).bind(i64::from(*index));
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn of_shard(db: &Db, shard: u32) -> Result<Vec<ReplyRow>, StoreError> {
    const SQL: &str = "select freeze_id, variant, chunk, place, idempotency_key, message_id, partition_no, record_key,
        accepted_at, told from reply where shard = $1 order by freeze_id, variant, chunk, place";
    let rows = sql(SQL).bind(i64::from(shard)).fetch_rows(db).await?;
    rows.iter().map(|row| read(row, shard)).collect()
}

fn read(row: &Row, shard: u32) -> Result<ReplyRow, StoreError> {
    let number = |at: usize| row.get::<i64>(at);
    let bytes = |at: usize| row.get::<Vec<u8>>(at);
    let told = match number(9)? {
        NOTHING => None,
        code => {
            let state = i32::try_from(code).ok().and_then(RecipientState::from_code);
            Some(state.ok_or_else(|| damaged(format!("reply.told is {code}")))?)
        }
    };
    Ok(ReplyRow {
        key: ChunkKey {
            freeze: FreezeId::from_bytes(&bytes(0)?).map_err(damaged)?,
            variant: u16::try_from(number(1)?).map_err(damaged)?,
            chunk: u32::try_from(number(2)?).map_err(damaged)?,
        },
        index: u16::try_from(number(3)?).map_err(damaged)?,
        shard,
        idempotency_key: row.get(4)?,
        message_id: number(5)?.cast_unsigned(),
        partition: u32::try_from(number(6)?).map_err(damaged)?,
        record_key: bytes(7)?,
        accepted_at_us: number(8)?,
        told,
    })
}

pub(super) async fn put_gaps(tx: &mut Tx, gaps: &[GapRow]) -> Result<(), StoreError> {
    const SQL: &str = "insert into log_gap (campaign_id, topic, shard, from_no, next_no, noticed_at)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
    for gap in gaps {
        let query = sql(SQL).bind(&gap.campaign.as_bytes()[..]).bind(&gap.topic).bind(i64::from(gap.shard));
        let query = query.bind(gap.from).bind(gap.next).bind(gap.at_us);
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn gaps(db: &Db, campaign: CampaignId) -> Result<Vec<GapRow>, StoreError> {
    const SQL: &str = "select topic, shard, from_no, next_no, noticed_at from log_gap where campaign_id = $1
        order by topic, shard, from_no";
    let query = sql(SQL).bind(&campaign.as_bytes()[..]);
    let rows: Vec<(String, i64, i64, i64, i64)> = query.fetch_all(db).await?;
    let gap = |(topic, shard, from, next, at_us)| {
        Ok(GapRow { campaign, topic, shard: u32::try_from(shard).map_err(damaged)?, from, next, at_us })
    };
    rows.into_iter().map(gap).collect()
}
