//! Leases as rows.
//!
//! Must stay true: every change of owner raises the epoch, freeing too, so a holder that was taken over, or that has let
//! go, cannot commit any more.

use async_trait::async_trait;
use loa_ports::lease::{Held, LeaseRow, Leases, NodeRow};
use loa_ports::store::StoreError;

use crate::db::Db;
use crate::error::damaged;
use crate::query::sql;

/// The leases of one role's store.
#[derive(Debug, Clone)]
pub struct SqlLeases {
    db: Db,
    beats: Db,
}

impl SqlLeases {
    /// Beats and leases in the same store.
    pub fn new(db: Db) -> Self {
        Self { beats: db.clone(), db }
    }

    /// Beats in another store, which several roles of a node may share; any store has the table.
    pub fn with_beats(db: Db, beats: Db) -> Self {
        Self { db, beats }
    }
}

#[async_trait]
impl Leases for SqlLeases {
    async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError> {
        const SQL: &str = "insert into node (node, endpoint, beat) values ($1, $2, 1)
            on conflict (node) do update set endpoint = excluded.endpoint, beat = node.beat + 1";
        let mut tx = self.beats.begin().await?;
        sql(SQL).bind(node).bind(endpoint).execute(&mut tx).await?;
        tx.commit().await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            sql("select node, endpoint, beat from node order by node").fetch_all(&self.beats).await?;
        Ok(rows.into_iter().map(|(node, endpoint, beat)| NodeRow { node, endpoint, beat }).collect())
    }

    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
        let rows = read(&self.db, kind, count).await?;
        if rows.len() == count as usize {
            return Ok(rows);
        }
        self.create(kind, count).await?;
        read(&self.db, kind, count).await
    }

    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "update lease set node = $1, epoch = epoch + 1 where kind = $2 and number = $3 and epoch = $4
            returning epoch";
        let mut tx = self.db.begin().await?;
        let query = sql(SQL).bind(node).bind(kind).bind(i64::from(number)).bind(seen);
        let epoch: Option<i64> = query.fetch_optional(&mut tx).await?;
        if epoch.is_some() {
            tx.commit().await?;
        }
        Ok(epoch)
    }

    async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
        const SQL: &str =
            "update lease set node = '', epoch = epoch + 1 where kind = $1 and number = $2 and epoch = $3";
        let mut held: Vec<&Held> = held.iter().collect();
        held.sort_unstable_by_key(|held| (&held.kind, held.number)); // in the order of the fence
        let mut tx = self.db.begin().await?;
        for held in held {
            let query = sql(SQL).bind(&held.kind).bind(i64::from(held.number)).bind(held.epoch);
            query.execute(&mut tx).await?;
        }
        tx.commit().await
    }
}

impl SqlLeases {
    async fn create(&self, kind: &str, count: u32) -> Result<(), StoreError> {
        const SQL: &str =
            "insert into lease (kind, number, node, epoch, seq) values ($1, $2, '', 0, 0) on conflict do nothing";
        let mut tx = self.db.begin().await?;
        for number in 0..count {
            let query = sql(SQL).bind(kind).bind(i64::from(number));
            query.execute(&mut tx).await?;
        }
        tx.commit().await
    }
}

async fn read(db: &Db, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
    const SQL: &str = "select number, node, epoch from lease where kind = $1 and number < $2 order by number";
    let query = sql(SQL).bind(kind).bind(i64::from(count));
    let rows: Vec<(i64, String, i64)> = query.fetch_all(db).await?;
    rows.into_iter()
        .map(|(number, node, epoch)| {
            let number = u32::try_from(number).map_err(damaged)?;
            Ok(LeaseRow { kind: kind.to_owned(), number, node, epoch })
        })
        .collect()
}
