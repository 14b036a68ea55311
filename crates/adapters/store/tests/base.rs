//! What every role's store can do: transactions, offsets, the outbox, the storm; on real files.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use loa_ports::store::{Offset, Outbox, OutboxRecord, StoreError};
use loa_store::{Db, SqlOutbox, Tx, offsets, put_offsets, put_outbox, sql};
use tempfile::TempDir;

async fn store() -> (TempDir, Db) {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(&directory.path().join("role.db"), "role").await.unwrap();
    (directory, db)
}

fn offset(partition: u32, next: i64) -> Offset {
    Offset { topic: "control.v1".to_owned(), partition, next }
}

fn record(key: &str) -> OutboxRecord {
    OutboxRecord {
        topic: "control.v1".to_owned(),
        partition: 0,
        key: key.to_owned().into(),
        value: vec![0, 1, 255].into(),
    }
}

async fn put_one(tx: &mut Tx, next: i64) {
    put_offsets(tx, "reader", &[offset(3, next)]).await.unwrap();
}

#[tokio::test]
async fn offsets_stand_with_the_state_they_produced() {
    let (_directory, db) = store().await;
    let mut tx = db.begin().await.unwrap();
    put_offsets(&mut tx, "reader", &[offset(3, 7), offset(1, 9)]).await.unwrap();
    put_offsets(&mut tx, "another", &[offset(1, 1)]).await.unwrap();
    tx.commit().await.unwrap();
    let mut dropped = db.begin().await.unwrap();
    put_one(&mut dropped, 8).await;
    drop(dropped);
    assert_eq!(offsets(&db, "reader").await.unwrap(), [offset(1, 9), offset(3, 7)]);
    let mut tx = db.begin().await.unwrap();
    put_one(&mut tx, 5).await; // going back is legal: a rebuild reads again
    tx.commit().await.unwrap();
    assert_eq!(offsets(&db, "reader").await.unwrap(), [offset(1, 9), offset(3, 5)]);
    assert_eq!(offsets(&db, "nobody").await.unwrap(), []);
}

#[tokio::test]
async fn the_outbox_gives_back_what_is_not_marked() {
    let (_directory, db) = store().await;
    let outbox = SqlOutbox(db.clone());
    let mut tx = db.begin().await.unwrap();
    let first = put_outbox(&mut tx, 1_000, &[record("a"), record("b")]).await.unwrap();
    let second = put_outbox(&mut tx, 2_000, &[record("c")]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(first[0] < first[1] && first[1] < second[0]);

    let left = async |before, max| {
        let left = outbox.outbox_left(before, max).await.unwrap();
        left.into_iter().map(|(_, record)| String::from_utf8(record.key.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(left(2_000, 10).await, ["a", "b"]); // what is younger its writer publishes itself
    assert_eq!(left(3_000, 2).await, ["a", "b"]);
    assert_eq!(outbox.outbox_left(3_000, 1).await.unwrap(), [(first[0], record("a"))]);
    outbox.outbox_done(&[first[0], second[0], 12_345]).await.unwrap();
    assert_eq!(left(3_000, 10).await, ["b"]);
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_new_start() {
    let (directory, db) = store().await;
    let mut tx = db.begin().await.unwrap();
    put_one(&mut tx, 7).await;
    tx.commit().await.unwrap();
    db.close().await;
    let again = Db::open(&directory.path().join("role.db"), "role").await.unwrap();
    assert_eq!(offsets(&again, "reader").await.unwrap(), [offset(3, 7)]);
    let mode: (String, i64) =
        sql("select j.journal_mode, s.synchronous from pragma_journal_mode j, pragma_synchronous s")
            .fetch_one(&again)
            .await
            .unwrap();
    assert_eq!(mode, ("wal".to_owned(), 2)); // 2 = full
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_starts_at_once_make_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/role.db");
    let opened = futures_join((0..6).map(|_| Db::open(&path, "role"))).await;
    for db in &opened {
        let mut tx = db.as_ref().unwrap().begin().await.unwrap();
        put_one(&mut tx, 1).await;
        tx.commit().await.unwrap();
    }
}

/// Polls all at once, like `join_all`.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn two_handles_take_turns() {
    let (_directory, db) = store().await;
    let other = Db::open(db.path().unwrap(), "role").await.unwrap();
    let mut mine = db.begin().await.unwrap();
    put_one(&mut mine, 1).await;
    let theirs = async {
        let mut tx = other.begin().await.unwrap();
        let seen: i64 = sql("select next_offset from reader_offset").fetch_one(&mut tx).await.unwrap();
        put_one(&mut tx, seen + 1).await;
        tx.commit().await.unwrap();
    };
    let (_, ()) = tokio::join!(theirs, async { mine.commit().await.unwrap() });
    assert_eq!(offsets(&db, "reader").await.unwrap(), [offset(3, 2)]);
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (_directory, db) = store().await;
    let result = sql("delete from lease").execute(&db).await;
    assert!(result.unwrap_err().to_string().contains("readonly"));
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let (directory, db) = store().await;
    let insert = async || {
        let mut tx = db.begin().await?;
        sql("insert into node (node, endpoint, beat) values ('a', '', 1)").execute(&mut tx).await?;
        tx.commit().await
    };
    insert().await.unwrap();
    assert!(matches!(insert().await, Err(StoreError::Conflict { .. })));
    let negative = put_offsets(&mut db.begin().await.unwrap(), "reader", &[offset(1, -1)]).await;
    assert!(matches!(negative, Err(StoreError::Damaged { .. })), "{negative:?}");
    let no_file = directory.path().join("not-a-store.db");
    std::fs::write(&no_file, "this is a letter, not a database").unwrap();
    let opened = Db::open(&no_file, "role").await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

/// After an uncertain COMMIT the caller reads again and goes on: nothing is lost, nothing is done twice.
#[tokio::test]
async fn the_storm_takes_answers_and_mostly_not_effects() {
    let (_directory, db) = store().await;
    let db = db.with_faults(42, 0.5);
    let (mut lost, mut took_effect) = (0, 0);
    for next in 1..=60 {
        loop {
            let mut tx = db.begin().await.unwrap();
            put_one(&mut tx, next).await;
            match tx.commit().await {
                Ok(()) => break,
                Err(StoreError::Uncertain { .. }) => {
                    let stored = offsets(&db, "reader").await.unwrap();
                    if stored == [offset(3, next)] {
                        took_effect += 1;
                        break;
                    }
                    lost += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(lost > 0 && took_effect > lost, "{lost} lost, {took_effect} took effect");
    db.faults().unwrap().set_share(0.0);
    db.begin().await.unwrap().commit().await.unwrap();
}
