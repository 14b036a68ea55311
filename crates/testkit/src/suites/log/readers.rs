//! Readers: from anywhere, of any partitions, beside each other, slow ones, and reads that are dropped.
//!
//! Must stay true: what a reader returns depends on nobody but itself.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loa_ports::log::{Position, Reader, Record};

use super::{LogUnderTest, SHORT, WIDE, append, from_zero, nothing_comes, read, reader, record, text};

/// More than any cache of recent records holds.
const SLOW_BYTES: usize = 40 * 1024 * 1024;
const SLOW_RECORD_BYTES: usize = 50_000;

fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

fn from(partition: u32, offset: i64) -> Vec<Position> {
    vec![Position { partition, offset }]
}

pub(super) async fn a_stored_offset_is_read_on_from(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    for n in 0..20 {
        append(log, vec![record(WIDE, 7, n.to_string()), record(WIDE, 8, "another")]).await;
    }
    let mut first = reader(log, WIDE, from(7, 0)).await;
    assert_eq!(first.position(7), Some(0));
    assert_eq!(first.position(8), None);
    let begin = read(first.as_mut(), 5, 3).await;
    let stored = first.position(7).expect("an assigned partition has a position");
    assert_eq!((stored, offsets(&begin)), (5, vec![0, 1, 2, 3, 4]));
    drop(first);

    let mut second = reader(log, WIDE, from(7, stored)).await;
    let rest = read(second.as_mut(), 15, 100).await;
    assert_eq!(rest.iter().map(text).collect::<Vec<_>>(), (5..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(second.position(7), Some(20));
    assert!(nothing_comes(second.as_mut()).await);

    let mut at_the_end = reader(log, WIDE, from(7, 20)).await;
    append(log, vec![record(WIDE, 7, "20")]).await;
    assert_eq!(offsets(&read(at_the_end.as_mut(), 1, 10).await), [20]);
    assert_eq!(offsets(&read(second.as_mut(), 1, 10).await), [20]);
}

pub(super) async fn two_readers_do_not_disturb_each_other(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    let mut one = reader(log, SHORT, from(0, 0)).await;
    let mut other = reader(log, SHORT, from(0, 0)).await;
    for n in 0..10 {
        append(log, vec![record(SHORT, 0, n.to_string())]).await;
        if n % 2 == 0 {
            assert_eq!(offsets(&read(one.as_mut(), 1, 1).await), [n / 2]);
        }
    }
    assert_eq!(offsets(&read(other.as_mut(), 10, 4).await), (0..10).collect::<Vec<_>>());
    assert_eq!(offsets(&read(one.as_mut(), 5, 4).await), (5..10).collect::<Vec<_>>());
}

pub(super) async fn all_partitions_by_one_reader(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    for round in 0..3 {
        append(log, (0..64).map(|partition| record(WIDE, partition, format!("{round}"))).collect()).await;
    }
    // Stored offsets differ from partition to partition: 0, 1, 2, 3, 0, …
    let stored = |partition: u32| i64::from(partition % 4);
    let positions = (0..64).map(|partition| Position { partition, offset: stored(partition) }).collect();
    let mut all = reader(log, WIDE, positions).await;
    let records = read(all.as_mut(), 16 * (3 + 2 + 1), 10).await;
    for partition in 0..64 {
        let of_it: Vec<_> = records.iter().filter(|record| record.partition == partition).cloned().collect();
        assert_eq!(offsets(&of_it), (stored(partition)..3).collect::<Vec<_>>(), "partition {partition}");
        assert_eq!(all.position(partition), Some(3));
    }
}

pub(super) async fn partitions_come_and_go(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    append(log, vec![record(WIDE, 1, "a"), record(WIDE, 2, "b"), record(WIDE, 2, "c")]).await;
    let mut some = reader(log, WIDE, Vec::new()).await;
    assert!(nothing_comes(some.as_mut()).await, "a reader of nothing returned something");
    some.assign(Position { partition: 2, offset: 0 });
    assert_eq!(text(&read(some.as_mut(), 1, 1).await[0]), "b");
    // Nothing of a partition that was let go, though it may have been read ahead.
    some.unassign(2);
    some.assign(Position { partition: 1, offset: 0 });
    assert_eq!(some.position(2), None);
    assert_eq!(text(&read(some.as_mut(), 1, 10).await[0]), "a");
    assert!(nothing_comes(some.as_mut()).await);
    // Back, and begun again: from the offset said, whatever was returned before.
    some.assign(Position { partition: 2, offset: 1 });
    assert_eq!(text(&read(some.as_mut(), 1, 10).await[0]), "c");
    some.assign(Position { partition: 2, offset: 0 });
    assert_eq!(some.position(2), Some(0));
    assert_eq!(offsets(&read(some.as_mut(), 2, 10).await), [0, 1]);
    assert_eq!((some.position(1), some.position(2)), (Some(1), Some(2)));
}

pub(super) async fn a_slow_reader_gets_everything(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    let mut slow = reader(log, WIDE, from_zero(WIDE)).await;
    let count = SLOW_BYTES / SLOW_RECORD_BYTES;
    let padding = "x".repeat(SLOW_RECORD_BYTES);
    for from in (0..count).step_by(50) {
        let value = |n: usize| format!("{n} {padding}");
        let partition = |n: usize| u32::try_from(n % 64).expect("below 64");
        append(log, (from..(from + 50).min(count)).map(|n| record(WIDE, partition(n), value(n))).collect()).await;
    }
    let mut next = BTreeMap::<u32, i64>::new();
    for record in read(slow.as_mut(), count, 7).await {
        let expected = next.entry(record.partition).or_default();
        assert_eq!(record.offset, *expected, "partition {} skips or goes back", record.partition);
        let n = *expected * 64 + i64::from(record.partition);
        assert!(text(&record).starts_with(&format!("{n} x")), "another record's value");
        *expected += 1;
    }
    assert!(nothing_comes(slow.as_mut()).await);
}

pub(super) async fn a_dropped_read_loses_nothing(under_test: LogUnderTest) {
    const RECORDS: i64 = 300;
    let appending = {
        let log = Arc::clone(&under_test.log);
        async move {
            for n in 0..RECORDS {
                append(log.as_ref(), vec![record(WIDE, 0, n.to_string()), record(WIDE, 1, n.to_string())]).await;
            }
        }
    };
    let reading = async {
        let mut reader = reader(under_test.log.as_ref(), WIDE, from_zero(WIDE)).await;
        let mut seen = [0, 0];
        while seen != [RECORDS, RECORDS] {
            // Begin and drop before what was begun can end; then one whole read of at most three.
            poll_once_and_drop(reader.as_mut(), &mut seen);
            tokio::task::yield_now().await;
            poll_once_and_drop(reader.as_mut(), &mut seen);
            // Whoever has everything would wait for ever.
            if seen != [RECORDS, RECORDS] {
                take(&mut seen, super::next(reader.as_mut(), 3).await);
            }
        }
        assert_eq!((reader.position(0), reader.position(1)), (Some(RECORDS), Some(RECORDS)));
    };
    tokio::join!(appending, reading);
}

fn poll_once_and_drop(reader: &mut dyn Reader, seen: &mut [i64; 2]) {
    let read = pin!(reader.next(3));
    if let Poll::Ready(records) = read.poll(&mut Context::from_waker(Waker::noop())) {
        take(seen, records.expect("a read succeeds"));
    }
}

fn take(seen: &mut [i64; 2], records: Vec<Record>) {
    for record in records {
        let next = &mut seen[usize::try_from(record.partition).expect("0 or 1")];
        assert_eq!((record.offset, text(&record)), (*next, next.to_string()), "partition {}", record.partition);
        *next += 1;
    }
}
