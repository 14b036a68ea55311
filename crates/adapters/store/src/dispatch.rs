//! Dispatch's rows: releases, cursors, suppression entries, single sends.
//!
//! Must stay true: a commit is one transaction over many shards, fenced first; a stored release never changes but for its
//! progress.

mod release;
mod retain;
mod single;

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, ChunkKey, FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_ports::lease::Fence;
use loa_ports::store::dispatch::{
    Accepted, BlockRow, Commit, CursorRow, DispatchStore, NewSingle, ReleaseRow, Retention, SingleChunk, StoredShard,
};
use loa_ports::store::{Offset, StoreError};
use sqlx::{QueryBuilder, SqliteConnection};

use crate::error::{damaged, store_error};
use crate::fence::check_fence;
use crate::offsets::{offsets, put_offsets};
use crate::sqlite::{Db, Tx};

/// The reader's name in the store.
const READER: &str = "dispatch";
/// Rows of one statement; the widest has 22 binds a row.
const ROWS_PER_STATEMENT: usize = 40;

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
            offsets: offsets(&self.db, READER)
                .await?
                .into_iter()
                .filter(|offset| offset.partition == shard.number())
                .collect(),
            blocks: read_blocks(&mut snapshot, number).await?,
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
        for block in &commit.blocks {
            put_block(&mut tx, block).await?;
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
        let mut answers = Vec::with_capacity(singles.len());
        for single in singles {
            answers.push(single::accept(&mut tx, single).await?);
        }
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

async fn read_cursors(from: &mut SqliteConnection, shard: Shard) -> Result<Vec<CursorRow>, StoreError> {
    const SQL: &str = "select freeze_id, variant, account, chunk, index_no from release_cursor where shard = $1";
    let query = sqlx::query_as(SQL).bind(i64::from(shard.number()));
    let rows: Vec<(Vec<u8>, i64, String, i64, i64)> = query.fetch_all(from).await.map_err(store_error)?;
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
    let mut query =
        QueryBuilder::new("insert into release_cursor (freeze_id, variant, shard, account, chunk, index_no) ");
    query.push_values(cursors, |mut row, cursor| {
        row.push_bind(cursor.freeze.to_vec())
            .push_bind(i64::from(cursor.variant))
            .push_bind(i64::from(cursor.shard.number()))
            .push_bind(cursor.account.as_str())
            .push_bind(i64::from(cursor.chunk))
            .push_bind(i64::from(cursor.index));
    });
    query.push(" on conflict (shard, freeze_id, variant, account) do update set chunk = excluded.chunk, index_no = excluded.index_no");
    query.build().execute(&mut **tx).await.map_err(store_error)?;
    Ok(())
}

async fn read_finished(from: &mut SqliteConnection, shard: i64) -> Result<Vec<FreezeId>, StoreError> {
    let query = sqlx::query_scalar("select freeze_id from freeze_finished where shard = $1").bind(shard);
    let rows: Vec<Vec<u8>> = query.fetch_all(from).await.map_err(store_error)?;
    rows.into_iter().map(|freeze| FreezeId::from_bytes(&freeze).map_err(damaged)).collect()
}

async fn put_finished(tx: &mut Tx, finished: &[(FreezeId, Shard)]) -> Result<(), StoreError> {
    const SQL: &str = "insert into freeze_finished (shard, freeze_id) values ($1, $2) on conflict do nothing";
    for (freeze, shard) in finished {
        let query = sqlx::query(SQL).bind(i64::from(shard.number())).bind(&freeze.as_bytes()[..]);
        query.execute(&mut **tx).await.map_err(store_error)?;
    }
    Ok(())
}

async fn read_blocks(from: &mut SqliteConnection, shard: i64) -> Result<Vec<(AddressHash, Scope)>, StoreError> {
    let query = sqlx::query_as("select address, scope from suppression where shard = $1").bind(shard);
    let rows: Vec<(i64, i64)> = query.fetch_all(from).await.map_err(store_error)?;
    let block =
        |(address, scope)| Ok((AddressHash::from_ordered_i64(address), Scope(u32::try_from(scope).map_err(damaged)?)));
    rows.into_iter().map(block).collect()
}

async fn put_block(tx: &mut Tx, block: &BlockRow) -> Result<(), StoreError> {
    const SET: &str = "insert into suppression (shard, address, scope) values ($1, $2, $3) on conflict do nothing";
    const LIFT: &str = "delete from suppression where shard = $1 and address = $2 and scope = $3";
    let query = sqlx::query(if block.lifted { LIFT } else { SET })
        .bind(i64::from(block.shard.number()))
        .bind(block.address.to_ordered_i64())
        .bind(i64::from(block.scope.0));
    query.execute(&mut **tx).await.map_err(store_error)?;
    Ok(())
}
