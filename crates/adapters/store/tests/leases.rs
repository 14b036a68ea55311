//! The lease port on SQLite: two handles on one file, each with its own connections.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use async_trait::async_trait;
use loa_ports::lease::{Fence, Leases};
use loa_ports::store::{OutboxRecord, StoreError};
use loa_store::{Db, SqlLeases, check_fence, put_outbox, sql};
use loa_testkit::suites::lease::{LeaseWorld, leases_port_holds};
use tempfile::TempDir;

struct World {
    _directory: TempDir,
    stores: [Db; 2],
    leases: [SqlLeases; 2],
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("role.db");
        let stores = [Db::open(&path, "role").await.unwrap(), Db::open(&path, "role").await.unwrap()];
        let leases = stores.clone().map(SqlLeases::new);
        Self { _directory: directory, stores, leases }
    }
}

#[async_trait]
impl LeaseWorld for World {
    fn leases(&self, instance: usize) -> &dyn Leases {
        &self.leases[instance]
    }

    /// The outbox keeps the words: its numbers are drawn inside the transaction.
    async fn write(&self, instance: usize, fence: &Fence, word: &str) -> Result<(), StoreError> {
        let mut tx = self.stores[instance].begin().await?;
        check_fence(&mut tx, fence).await?;
        let last: i64 = sql("select coalesce(max(number), 0) from outbox").fetch_one(&mut tx).await.unwrap();
        let record =
            OutboxRecord { topic: word.to_owned(), partition: 0, key: Vec::new().into(), value: Vec::new().into() };
        put_outbox(&mut tx, last / 1_000 + 1, &[record]).await?;
        tx.commit().await
    }

    async fn written(&self) -> Vec<String> {
        sql("select topic from outbox order by number").fetch_all(&self.stores[0]).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_port_holds() {
    leases_port_holds(&World::new().await).await;
}
