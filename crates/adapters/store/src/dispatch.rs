//! Dispatch's rows: releases, cursors, suppression entries, single sends.
//!
//! Must stay true: a commit is one transaction over many shards, fenced first; a stored release never changes but for its
//! progress.

mod release;
mod retain;
mod single;

use std::collections::BTreeMap;

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, ChunkKey, FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_ports::lease::Fence;
use loa_ports::store::dispatch::{
    Accepted, BlockRow, Commit, CursorRow, DispatchStore, NewSingle, ReleaseRow, Retention, SingleChunk, StoredShard,
};
use loa_ports::store::{Offset, StoreError};

use crate::db::{Db, Snapshot, Tx};
use crate::error::damaged;
use crate::fence::check_fence;
use crate::offsets::{offsets, put_offsets};
use crate::query::{Query, Value, sql};

/// The reader's name in the store.
const READER: &str = "dispatch";
/// Rows of one statement; the widest has 22 binds a row.
const ROWS_PER_STATEMENT: usize = 40;

pub(crate) use release::open_releases;

/// Dispatch's tables in one SQL store.
#[derive(Debug, Clone)]
pub struct SqlDispatch {
    db: Db,
}

impl SqlDispatch {
    /// A store of role `dispatch`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl DispatchStore for SqlDispatch {
    async fn shard(&self, shard: Shard) -> Result<StoredShard, StoreError> {
        let mut snapshot = self.db.snapshot().await?;
        let number = i64::from(shard.number());
        Ok(StoredShard {
            cursors: read_cursors(&mut snapshot, shard).await?,
            finished: read_finished(&mut snapshot, number).await?,
            releases: release::of_shard(&mut snapshot, number).await?,
            singles: single::ahead(&mut snapshot, number).await?,
            offsets: read_offsets(&mut snapshot, shard).await?,
            blocks: read_blocks(&mut snapshot, shard).await?,
        })
    }

    async fn releases(&self, chunks: &[ChunkKey]) -> Result<Vec<ReleaseRow>, StoreError> {
        let mut snapshot = self.db.snapshot().await?;
        let mut rows = Vec::new();
        for chunks in chunks.chunks(ROWS_PER_STATEMENT) {
            rows.extend(release::of_chunks(&mut snapshot, chunks).await?);
        }
        Ok(rows)
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        check_fence(&mut tx, &commit.fence).await?;
        for rows in commit.rows.chunks(ROWS_PER_STATEMENT) {
            release::insert(&mut tx, rows).await?;
        }
        for progress in commit.progress.chunks(ROWS_PER_STATEMENT) {
            release::update(&mut tx, progress).await?;
        }
        for cursors in commit.cursors.chunks(ROWS_PER_STATEMENT) {
            put_cursors(&mut tx, cursors).await?;
        }
        put_finished(&mut tx, &commit.finished).await?;
        for blocks in last_of_each(&commit.blocks).chunks(ROWS_PER_STATEMENT) {
            put_blocks(&mut tx, blocks).await?;
        }
        single::insert(&mut tx, &commit.singles).await?;
        single::update(&mut tx, &commit.passed).await?;
        put_offsets(&mut tx, READER, &commit.offsets).await?;
        tx.commit().await
    }

    async fn single_chunks(&self, keys: &[ChunkKey]) -> Result<Vec<SingleChunk>, StoreError> {
        let mut snapshot = self.db.snapshot().await?;
        single::by_key(&mut snapshot, keys).await
    }

    async fn placed(&self, ids: &[u64]) -> Result<Vec<u64>, StoreError> {
        let mut snapshot = self.db.snapshot().await?;
        single::placed(&mut snapshot, ids).await
    }

    async fn accept(
        &self,
        fence: &Fence,
        singles: &[NewSingle],
        offsets: &[Offset],
    ) -> Result<Vec<Accepted>, StoreError> {
        let mut tx = self.db.begin().await?;
        check_fence(&mut tx, fence).await?;
        let answers = single::accept(&mut tx, singles).await?;
        put_offsets(&mut tx, READER, offsets).await?;
        tx.commit().await?;
        Ok(answers)
    }

    async fn offsets(&self, topic: &str) -> Result<Vec<Offset>, StoreError> {
        Ok(offsets(&self.db, READER).await?.into_iter().filter(|offset| offset.topic == topic).collect())
    }

    async fn retain(&self, retention: &Retention) -> Result<u64, StoreError> {
        retain::run(&self.db, retention).await
    }
}

async fn read_cursors(from: &mut Snapshot, shard: Shard) -> Result<Vec<CursorRow>, StoreError> {
    const SQL: &str = "select freeze_id, variant, account, chunk, index_no from release_cursor where shard = $1";
    let query = sql(SQL).bind(i64::from(shard.number()));
    let rows: Vec<(Vec<u8>, i64, String, i64, i64)> = query.fetch_all(from).await?;
    let cursor = |(freeze, variant, account, chunk, index): (Vec<u8>, i64, String, i64, i64)| {
        Ok(CursorRow {
            freeze: FreezeId::from_bytes(&freeze).map_err(damaged)?,
            variant: u16::try_from(variant).map_err(damaged)?,
            shard,
            account: AccountId::new(&account).map_err(damaged)?,
            chunk: u32::try_from(chunk).map_err(damaged)?,
            index: u16::try_from(index).map_err(damaged)?,
        })
    };
    rows.into_iter().map(cursor).collect()
}

async fn put_cursors(tx: &mut Tx, cursors: &[CursorRow]) -> Result<(), StoreError> {
    let mut query = Query::built("insert into release_cursor (freeze_id, variant, shard, account, chunk, index_no) ");
    query.push_values(cursors.iter().map(|cursor| {
        [
            cursor.freeze.to_vec().into(),
            i64::from(cursor.variant).into(),
            i64::from(cursor.shard.number()).into(),
            cursor.account.as_str().into(),
            i64::from(cursor.chunk).into(),
            i64::from(cursor.index).into(),
        ]
    }));
    query.push(" on conflict (shard, freeze_id, variant, account) do update set chunk = excluded.chunk, index_no = excluded.index_no");
    query.execute(&mut *tx).await?;
    Ok(())
}

/// In the same snapshot as the rows: an offset without what it led to would lose that.
async fn read_offsets(from: &mut Snapshot, shard: Shard) -> Result<Vec<Offset>, StoreError> {
    const SQL: &str = "select topic, next_offset from reader_offset where reader = $1 and partition_no = $2";
    let query = sql(SQL).bind(READER).bind(i64::from(shard.number()));
    let rows: Vec<(String, i64)> = query.fetch_all(from).await?;
    Ok(rows.into_iter().map(|(topic, next)| Offset { topic, partition: shard.number(), next }).collect())
}

async fn read_finished(from: &mut Snapshot, shard: i64) -> Result<Vec<FreezeId>, StoreError> {
    let query = sql("select freeze_id from freeze_finished where shard = $1").bind(shard);
    let rows: Vec<Vec<u8>> = query.fetch_all(from).await?;
    rows.into_iter().map(|freeze| FreezeId::from_bytes(&freeze).map_err(damaged)).collect()
}

async fn put_finished(tx: &mut Tx, finished: &[(FreezeId, Shard)]) -> Result<(), StoreError> {
    const DONE: &str = "insert into freeze_finished (shard, freeze_id) values ($1, $2) on conflict do nothing";
    // Nobody asks any more where its rows end.
    const CURSORS: &str = "delete from release_cursor where shard = $1 and freeze_id = $2";
    for (freeze, shard) in finished {
        for statement in [DONE, CURSORS] {
            let query = sql(statement).bind(i64::from(shard.number())).bind(&freeze.as_bytes()[..]);
            query.execute(&mut *tx).await?;
        }
    }
    Ok(())
}

async fn read_blocks(from: &mut Snapshot, shard: Shard) -> Result<Vec<BlockRow>, StoreError> {
    const SQL: &str = "select address, scope, position_no, changed_at, is_lifted from suppression where shard = $1";
    let query = sql(SQL).bind(i64::from(shard.number()));
    let rows: Vec<(i64, i64, i64, i64, i64)> = query.fetch_all(from).await?;
    let block = |(address, scope, position, at_us, lifted): (i64, i64, i64, i64, i64)| {
        Ok(BlockRow {
            shard,
            address: AddressHash::from_ordered_i64(address),
            scope: Scope(u32::try_from(scope).map_err(damaged)?),
            lifted: lifted == 1,
            position: position.cast_unsigned(),
            at_us,
        })
    };
    rows.into_iter().map(block).collect()
}

async fn put_blocks(tx: &mut Tx, blocks: &[BlockRow]) -> Result<(), StoreError> {
    let mut query =
        Query::built("insert into suppression (shard, address, scope, position_no, changed_at, is_lifted) ");
    query.push_values(blocks.iter().map(|block| {
        [
            i64::from(block.shard.number()),
            block.address.to_ordered_i64(),
            i64::from(block.scope.0),
            block.position.cast_signed(),
            block.at_us,
            i64::from(block.lifted),
        ]
        .map(Value::from)
    }));
    query.push(
        " on conflict (shard, address, scope) do update set position_no = excluded.position_no,
            changed_at = excluded.changed_at, is_lifted = excluded.is_lifted
            where suppression.position_no < excluded.position_no",
    );
    query.execute(&mut *tx).await?;
    Ok(())
}

/// What is stored last of each address and scope: one statement may not touch a row twice.
fn last_of_each(blocks: &[BlockRow]) -> Vec<BlockRow> {
    let mut last = BTreeMap::new();
    for block in blocks {
        last.insert((block.shard, block.address, block.scope), *block);
    }
    last.into_values().collect()
}
