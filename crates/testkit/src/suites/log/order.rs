//! Order, offsets and content.
//!
//! Must stay true: nothing here depends on how records of different partitions interleave.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use loa_ports::log::{Append, Position};

use super::{LogUnderTest, SHORT, WIDE, append, from_zero, read, reader, record, text};

const PRODUCERS: u32 = 4;
const CALLS: u32 = 40;

pub(super) async fn a_partition_keeps_its_order(under_test: LogUnderTest) {
    let log = &under_test.log;
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let log = Arc::clone(log);
        producers.spawn(async move {
            let mut acknowledged = Vec::new();
            for call in 0..CALLS {
                let partitions = [producer, 63, (producer + call) % 64, 63];
                let value = |place: usize| format!("{producer}/{:06}", call * 4 + u32::try_from(place).expect("four"));
                let records = partitions.iter().enumerate().map(|(at, &p)| record(WIDE, p, value(at))).collect();
                let offsets = append(log.as_ref(), records).await;
                acknowledged.extend(partitions.into_iter().zip(offsets).enumerate().map(|(at, to)| (to, value(at))));
            }
            acknowledged
        });
    }
    let acknowledged: BTreeMap<(u32, i64), String> = producers.join_all().await.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), usize::try_from(PRODUCERS * CALLS * 4).expect("few"), "an offset was given twice");

    let mut all = reader(log.as_ref(), WIDE, from_zero(WIDE)).await;
    let records = read(all.as_mut(), acknowledged.len(), 50).await;
    let mut next = BTreeMap::<u32, i64>::new();
    let mut newest = BTreeMap::<(u32, char), String>::new();
    for record in &records {
        let expected = next.entry(record.partition).or_default();
        assert_eq!(record.offset, *expected, "partition {} skips or goes back", record.partition);
        *expected += 1;
        assert_eq!(Some(&text(record)), acknowledged.get(&(record.partition, record.offset)));
        let producer = text(record).chars().next().expect("a value names its producer");
        let before = newest.insert((record.partition, producer), text(record));
        assert!(before.is_none_or(|before| before < text(record)), "a producer's records changed their order");
    }
}

pub(super) async fn ends_are_exact(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    assert_eq!(log.ends(WIDE).await.expect("ends are told"), [0; 64]);
    assert_eq!(append(log, vec![record(WIDE, 3, "a"), record(WIDE, 3, "b"), record(WIDE, 9, "c")]).await, [0, 1, 0]);
    assert_eq!(append(log, vec![record(SHORT, 0, "d")]).await, [0]);
    assert_eq!(append(log, Vec::new()).await, [0; 0]);
    for (partition, end) in [(3, 2), (9, 1), (4, 0)] {
        assert_eq!(log.end(WIDE, partition).await.expect("an end is told"), end);
    }
    let ends = log.ends(WIDE).await.expect("ends are told");
    assert_eq!((ends.len(), ends[3], ends[9], ends.iter().sum::<i64>()), (64, 2, 1, 3));
    assert_eq!(log.starts(WIDE).await.expect("starts are told"), [0; 64]);
    assert_eq!(log.end(SHORT, 0).await.expect("an end is told"), 1);
}

pub(super) async fn what_is_read_is_what_was_appended(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    let empty = record(WIDE, 5, "");
    let full = Append {
        key: Bytes::from_static(b"the key"),
        headers: vec![
            ("traceparent".to_owned(), Bytes::from_static(b"00-1-2-01")),
            ("empty".to_owned(), Bytes::new()),
            ("đậm".to_owned(), Bytes::from_static(&[0, 255])),
        ],
        ..record(WIDE, 5, "Kính gửi bà con")
    };
    append(log, vec![empty.clone(), full.clone()]).await;
    let now_us = loa_ports::clock::Clock::now_us(under_test.clock.as_ref());
    let mut one = reader(log, WIDE, vec![Position { partition: 5, offset: 0 }]).await;
    let records = read(one.as_mut(), 2, 10).await;
    for (offset, (read, appended)) in (0_i64..).zip(records.into_iter().zip([empty, full])) {
        assert_eq!((read.partition, read.offset, read.at_us), (5, offset, now_us));
        assert_eq!((read.key, read.headers, read.value), (appended.key, appended.headers, appended.value));
    }
}
