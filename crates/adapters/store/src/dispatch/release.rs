//! Release rows to and from SQL.
//!
//! Must stay true: what is written is read back equal.

use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_domain::mask::Mask;
use loa_domain::state::{Reason, RecipientState, Returned};
use loa_ports::store::StoreError;
use loa_ports::store::dispatch::{Decided, Progress, ReleaseRow, ReturnedIndex};

use crate::db::{Db, Snapshot, Tx};
use crate::error::damaged;
use crate::query::{Query, Row, sql};

const COLUMNS: &str =
    "r.freeze_id, r.variant, r.chunk, r.release_no, r.shard, r.campaign_id, r.channel, r.account, r.lane,
    r.is_single, r.mask, r.slice_length, r.parts, r.attempts, r.released_at, r.hand_over_by, r.decided, r.settled,
    r.in_doubt, r.returned, r.is_told, r.is_open";
/// Bytes of a decided index: index, state, reason.
const DECIDED_BYTES: usize = 4;
/// Bytes of a returned index: index, why, attempts, not before.
const RETURNED_BYTES: usize = 12;

/// All rows of each chunk that has an open row or is not all in rows.
pub(super) async fn of_shard(from: &mut Snapshot, shard: i64) -> Result<Vec<ReleaseRow>, StoreError> {
    let mut query = Query::built("with wanted as (select freeze_id, variant, chunk from release where shard = ");
    query
        .push_bind(shard)
        .push(" and is_open = 1 union select freeze_id, variant, chunk from release_cursor where shard = ");
    query.push_bind(shard).push(" union select freeze_id, 0, 0 from single_chunk where passed < size and shard = ");
    query.push_bind(shard).push(") select ").push(COLUMNS);
    query.push(
        " from wanted w join release r on r.freeze_id = w.freeze_id and r.variant = w.variant and r.chunk = w.chunk",
    );
    let rows = query.fetch_rows(from).await?;
    rows.iter().map(read).collect()
}

/// Offered, settled, in doubt, returned.
type OpenRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

/// What was offered of each open row, and of what something was heard.
pub(crate) async fn open_releases(db: &Db) -> Result<Vec<(Mask, Mask)>, StoreError> {
    let rows: Vec<OpenRow> =
        sql("select mask, settled, in_doubt, returned from release where is_open = 1").fetch_all(db).await?;
    let mask = |bytes: &[u8]| Mask::from_slice(bytes).ok_or_else(|| damaged("a mask of more than 64 bytes"));
    rows.iter()
        .map(|(offered, settled, in_doubt, returned)| {
            let returned: Mask = read_returned(returned)?.iter().map(|back| back.index).collect();
            Ok((mask(offered)?, mask(settled)?.union(&mask(in_doubt)?).union(&returned)))
        })
        .collect()
}

/// All rows of these chunks.
pub(super) async fn of_chunks(from: &mut Snapshot, chunks: &[ChunkKey]) -> Result<Vec<ReleaseRow>, StoreError> {
    if chunks.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = Query::built("select ");
    query.push(COLUMNS).push(" from release r where ");
    for (at, chunk) in chunks.iter().enumerate() {
        query.push(if at == 0 { "(r.freeze_id = " } else { " or (r.freeze_id = " }).push_bind(chunk.freeze.to_vec());
        query.push(" and r.variant = ").push_bind(i64::from(chunk.variant));
        query.push(" and r.chunk = ").push_bind(i64::from(chunk.chunk)).push(")");
    }
    let rows = query.fetch_rows(from).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn insert(tx: &mut Tx, rows: &[ReleaseRow]) -> Result<(), StoreError> {
    let mut query = Query::built(
        "insert into release (freeze_id, variant, chunk, release_no, shard, campaign_id, channel, account, lane, is_single,
            mask, slice_length, parts, attempts, released_at, hand_over_by, decided, settled, in_doubt, returned, is_told,
            is_open) ",
    );
    query.push_values(rows.iter().map(|row| {
        let (chunk, progress) = (&row.key.chunk, &row.progress);
        [
            chunk.freeze.to_vec().into(),
            i64::from(chunk.variant).into(),
            i64::from(chunk.chunk).into(),
            i64::from(row.key.release_no).into(),
            i64::from(row.shard.number()).into(),
            row.campaign.to_vec().into(),
            i64::from(row.channel.code()).into(),
            row.account.as_str().into(),
            i64::from(row.lane.code()).into(),
            i64::from(row.single).into(),
            row.mask.to_vec().into(),
            i64::from(row.slice_length).into(),
            i64::from(row.parts).into(),
            row.attempts[..].into(),
            row.released_at_us.into(),
            row.hand_over_by_us.into(),
            decided_bytes(&row.decided).into(),
            progress.settled.to_vec().into(),
            progress.in_doubt.to_vec().into(),
            returned_bytes(&progress.returned).into(),
            i64::from(progress.told).into(),
            i64::from(progress.open).into(),
        ]
    }));
    query.execute(&mut *tx).await?;
    Ok(())
}

pub(super) async fn update(tx: &mut Tx, rows: &[(ReleaseKey, Progress)]) -> Result<(), StoreError> {
    let mut query = Query::built(
        "update release set settled = v.column5, in_doubt = v.column6, returned = v.column7, is_told = v.column8,
            is_open = v.column9 from (",
    );
    query.push_values(rows.iter().map(|(key, progress)| {
        [
            key.chunk.freeze.to_vec().into(),
            i64::from(key.chunk.variant).into(),
            i64::from(key.chunk.chunk).into(),
            i64::from(key.release_no).into(),
            progress.settled.to_vec().into(),
            progress.in_doubt.to_vec().into(),
            returned_bytes(&progress.returned).into(),
            i64::from(progress.told).into(),
            i64::from(progress.open).into(),
        ]
    }));
    query.push(
        ") as v where release.freeze_id = v.column1 and release.variant = v.column2 and release.chunk = v.column3
            and release.release_no = v.column4",
    );
    query.execute(&mut *tx).await?;
    Ok(())
}

fn read(row: &Row) -> Result<ReleaseRow, StoreError> {
    let number = |column: usize| row.get::<i64>(column);
    let bytes = |column: usize| row.get::<&[u8]>(column);
    let mask = |column: usize| Mask::from_slice(bytes(column)?).ok_or_else(|| damaged("a mask of more than 64 bytes"));
    let chunk = ChunkKey {
        freeze: FreezeId::from_bytes(bytes(0)?).map_err(damaged)?,
        variant: u16::try_from(number(1)?).map_err(damaged)?,
        chunk: u32::try_from(number(2)?).map_err(damaged)?,
    };
    let code = |column: usize| number(column).and_then(|code| i32::try_from(code).map_err(damaged));
    Ok(ReleaseRow {
        key: ReleaseKey { chunk, release_no: u32::try_from(number(3)?).map_err(damaged)? },
        shard: Shard::new(u32::try_from(number(4)?).map_err(damaged)?).map_err(damaged)?,
        campaign: CampaignId::from_bytes(bytes(5)?).map_err(damaged)?,
        channel: Channel::from_code(code(6)?).ok_or_else(|| damaged("an unknown channel"))?,
        account: AccountId::new(row.get(7)?).map_err(damaged)?,
        lane: Lane::from_code(code(8)?).ok_or_else(|| damaged("an unknown lane"))?,
        single: number(9)? == 1,
        mask: mask(10)?,
        slice_length: u16::try_from(number(11)?).map_err(damaged)?,
        parts: u32::try_from(number(12)?).map_err(damaged)?,
        attempts: bytes(13)?.to_vec(),
        released_at_us: number(14)?,
        hand_over_by_us: number(15)?,
        decided: read_decided(bytes(16)?)?,
        progress: Progress {
            settled: mask(17)?,
            in_doubt: mask(18)?,
            returned: read_returned(bytes(19)?)?,
            told: number(20)? == 1,
            open: number(21)? == 1,
        },
    })
}

fn decided_bytes(decided: &[Decided]) -> Vec<u8> {
    let one = |decided: &Decided| {
        let [low, high] = decided.index.to_le_bytes();
        [low, high, decided.state.code(), decided.reason.code()]
    };
    decided.iter().flat_map(one).collect()
}

fn read_decided(bytes: &[u8]) -> Result<Vec<Decided>, StoreError> {
    let one = |bytes: &[u8; DECIDED_BYTES]| {
        let &[low, high, state, reason] = bytes;
        Some(Decided {
            index: u16::from_le_bytes([low, high]),
            state: RecipientState::from_code(state.into())?,
            reason: Reason::from_code(reason.into())?,
        })
    };
    let (entries, rest) = bytes.as_chunks();
    let read = entries.iter().map(one).collect::<Option<_>>();
    read.filter(|_| rest.is_empty()).ok_or_else(|| damaged("what is never sent of a release is not readable"))
}

fn returned_bytes(returned: &[ReturnedIndex]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(returned.len() * RETURNED_BYTES);
    for back in returned {
        bytes.extend(back.index.to_le_bytes());
        bytes.extend([back.why.code(), back.attempts]);
        bytes.extend(back.not_before_us.to_le_bytes());
    }
    bytes
}

fn read_returned(bytes: &[u8]) -> Result<Vec<ReturnedIndex>, StoreError> {
    let one = |bytes: &[u8; RETURNED_BYTES]| {
        let &[low, high, why, attempts, ref not_before @ ..] = bytes;
        Some(ReturnedIndex {
            index: u16::from_le_bytes([low, high]),
            why: Returned::from_code(why.into())?,
            attempts,
            not_before_us: i64::from_le_bytes(*not_before),
        })
    };
    let (entries, rest) = bytes.as_chunks();
    let read = entries.iter().map(one).collect::<Option<_>>();
    read.filter(|_| rest.is_empty()).ok_or_else(|| damaged("what was returned of a release is not readable"))
}
