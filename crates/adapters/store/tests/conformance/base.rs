//! What every role's store can do: transactions, snapshots, offsets, the outbox, the storm.

use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::store::{Offset, Outbox, OutboxRecord, StoreClock as _, StoreError};
use loa_store::{Db, SqlOutbox, Tx, offsets, put_offsets, put_outbox, sql};

use super::Make;

/// Runs the whole suite.
pub(crate) async fn holds(make: &impl Make) {
    offsets_stand_with_the_state_they_produced(make).await;
    the_outbox_gives_back_what_is_not_marked(make).await;
    two_handles_take_turns(make).await;
    a_reader_changes_nothing(make).await;
    errors_say_what_to_do(make).await;
    the_storm_takes_answers_and_mostly_not_effects(make).await;
    a_snapshot_sees_one_state(make).await;
    texts_are_sorted_by_their_bytes(make).await;
    the_database_tells_its_time(make).await;
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

/// Adds one to what is stored.
async fn raise(tx: &mut Tx) {
    sql("update reader_offset set next_offset = next_offset + 1").execute(&mut *tx).await.unwrap();
}

async fn put_one(tx: &mut Tx, next: i64) {
    put_offsets(tx, "reader", &[offset(3, next)]).await.unwrap();
}

async fn offsets_stand_with_the_state_they_produced(make: &impl Make) {
    let [db, _] = make.open("role").await;
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

async fn the_outbox_gives_back_what_is_not_marked(make: &impl Make) {
    let [db, _] = make.open("role").await;
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

async fn two_handles_take_turns(make: &impl Make) {
    let [db, other] = make.open("role").await;
    let mut mine = db.begin().await.unwrap();
    put_one(&mut mine, 1).await;
    let theirs = async {
        let mut tx = other.begin().await.unwrap();
        raise(&mut tx).await;
        tx.commit().await.unwrap();
    };
    let (_, ()) = tokio::join!(theirs, async { mine.commit().await.unwrap() });
    for _ in 0..20 {
        let one = async |db: &Db| {
            let mut tx = db.begin().await.unwrap();
            raise(&mut tx).await;
            tx.commit().await.unwrap();
        };
        tokio::join!(one(&db), one(&other));
    }
    let stored = offsets(&db, "reader").await.unwrap();
    assert!(stored == [offset(3, 41)] || stored == [offset(3, 42)], "the first may have come before there was a row");
}

async fn a_reader_changes_nothing(make: &impl Make) {
    let [db, _] = make.open("role").await;
    sql("delete from lease").execute(&db).await.unwrap_err();
    let mut snapshot = db.snapshot().await.unwrap();
    sql("delete from lease").execute(&mut snapshot).await.unwrap_err();
}

async fn errors_say_what_to_do(make: &impl Make) {
    let [db, _] = make.open("role").await;
    let insert = async || {
        let mut tx = db.begin().await?;
        sql("insert into node (node, endpoint, beat) values ('a', '', 1)").execute(&mut tx).await?;
        tx.commit().await
    };
    insert().await.unwrap();
    assert!(matches!(insert().await, Err(StoreError::Conflict { .. })));
    let negative = put_offsets(&mut db.begin().await.unwrap(), "reader", &[offset(1, -1)]).await;
    assert!(matches!(negative, Err(StoreError::Damaged { .. })), "{negative:?}");
}

/// After an uncertain COMMIT the caller reads again and goes on: nothing is lost, nothing is done twice.
async fn the_storm_takes_answers_and_mostly_not_effects(make: &impl Make) {
    let [db, _] = make.open("role").await;
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

async fn a_snapshot_sees_one_state(make: &impl Make) {
    let [db, other] = make.open("role").await;
    let write = async |next| {
        let mut tx = other.begin().await.unwrap();
        put_one(&mut tx, next).await;
        tx.commit().await.unwrap();
    };
    write(1).await;
    let mut snapshot = db.snapshot().await.unwrap();
    for next in 2..5 {
        let seen: i64 = sql("select next_offset from reader_offset").fetch_one(&mut snapshot).await.unwrap();
        assert_eq!(seen, 1, "whatever is written meanwhile");
        write(next).await;
        assert_eq!(offsets(&db, "reader").await.unwrap(), [offset(3, next)]);
    }
}

/// Small letters sort behind all capitals and letters with accents behind both, whatever the language of the database.
async fn texts_are_sorted_by_their_bytes(make: &impl Make) {
    let [db, _] = make.open("role").await;
    let mut tx = db.begin().await.unwrap();
    for node in ["b", "Đ", "B", "a", "ă", "_", "a-b", "ab"] {
        let query = sql("insert into node (node, endpoint, beat) values ($1, '', 1)").bind(node);
        query.execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let sorted: Vec<String> = sql("select node from node order by node").fetch_all(&db).await.unwrap();
    assert_eq!(sorted, ["B", "_", "a", "a-b", "ab", "b", "ă", "Đ"]);
}

async fn the_database_tells_its_time(make: &impl Make) {
    let [db, _] = make.open("role").await;
    let clock = SystemClock::new();
    let (before, told, after) = (clock.now_us(), db.database_now_us().await.unwrap(), clock.now_us());
    assert!((before - 1_000..=after).contains(&told), "{before} {told} {after}"); // SQLite counts in milliseconds
}
