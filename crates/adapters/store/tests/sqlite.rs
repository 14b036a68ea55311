//! Every suite on SQLite: two handles on one file, each with its own connections; and what only a file can show.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

mod conformance;

use conformance::{Make, base, claims, dispatch, report, worlds};
use loa_ports::store::{Offset, StoreError};
use loa_store::{Db, offsets, put_offsets, sql};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Stores in a folder, one a role.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Make for Files {
    async fn open(&self, role: &'static str) -> [Db; 2] {
        let fresh = tempfile::tempdir_in(self.0.path()).unwrap().keep();
        let path = fresh.join("store.db");
        [Db::open(&path, role).await.unwrap(), Db::open(&path, role).await.unwrap()]
    }
}

#[tokio::test]
async fn what_all_stores_share_holds() {
    base::holds(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_port_holds() {
    worlds::leases_hold(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_hold() {
    claims::hold(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatch_store_holds() {
    dispatch::holds(&Files::new()).await;
}

#[tokio::test]
async fn the_report_store_holds() {
    report::holds(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_store_holds() {
    worlds::registry_holds(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audience_store_holds() {
    worlds::audience_holds(&Files::new()).await;
}

async fn put_one(db: &Db, next: i64) {
    let mut tx = db.begin().await.unwrap();
    put_offsets(&mut tx, "reader", &[Offset { topic: "control.v1".to_owned(), partition: 3, next }]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_new_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("role.db");
    let db = Db::open(&path, "role").await.unwrap();
    put_one(&db, 7).await;
    db.close().await;
    let again = Db::open(&path, "role").await.unwrap();
    assert_eq!(offsets(&again, "reader").await.unwrap()[0].next, 7);
    let mode: (String, i64) =
        sql("select j.journal_mode, s.synchronous from pragma_journal_mode j, pragma_synchronous s")
            .fetch_one(&again)
            .await
            .unwrap();
    assert_eq!(mode, ("wal".to_owned(), 2)); // 2 = full
}

/// As on a full disk: COMMIT fails, and SQLite has ended the transaction before anybody rolls it back.
#[tokio::test]
async fn a_store_goes_on_after_a_commit_that_took_the_transaction_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(&directory.path().join("role.db"), "role").await.unwrap();
    for next in 1..4 {
        let mut tx = db.begin().await.unwrap();
        sql("rollback").execute(&mut tx).await.unwrap();
        let ended = tx.commit().await;
        assert!(matches!(ended, Err(StoreError::Uncertain { .. })), "{ended:?}");
        put_one(&db, next).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_starts_at_once_make_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/role.db");
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let path = path.clone();
        starts.spawn(async move { Db::open(&path, "role").await });
    }
    for db in starts.join_all().await {
        put_one(&db.unwrap(), 1).await;
    }
}

#[tokio::test]
async fn what_is_no_store_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let no_file = directory.path().join("not-a-store.db");
    std::fs::write(&no_file, "this is a letter, not a database").unwrap();
    let opened = Db::open(&no_file, "role").await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

/// No statement of the store changes or deletes an audit entry.
#[test]
fn the_audit_is_only_added_to() {
    let sources = [
        include_str!("../src/registry/audit.rs"),
        include_str!("../src/registry/campaigns.rs"),
        include_str!("../src/registry/keys.rs"),
        include_str!("../src/registry/notices.rs"),
        include_str!("../src/registry/templates.rs"),
        include_str!("../src/registry/units.rs"),
    ];
    assert!(sources[0].contains("insert into audit"));
    for source in sources {
        assert!(!source.contains("update audit") && !source.contains("delete from audit"));
    }
}
