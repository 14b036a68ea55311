//! Limits, by name.
//!
//! Must stay true: a call that is refused appends nothing of itself.

use bytes::Bytes;
use loa_contract::topics::TopicSpec;
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::log::{Append, LogError, Position};

use super::{LogUnderTest, SHORT, WIDE, append, read, reader, record};

/// A record of exactly so many bytes with its key and one header.
fn sized(bytes: usize) -> Append {
    let (key, name, header) = ("k".repeat(100), "h".repeat(20), vec![b'v'; 30]);
    let value = "x".repeat(bytes - key.len() - name.len() - header.len());
    Append { key: Bytes::from(key), headers: vec![(name, Bytes::from(header))], ..record(WIDE, 0, value) }
}

pub(super) async fn a_record_has_a_limit(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    let largest = sized(RECORD_BYTES_MAX);
    append(log, vec![largest.clone()]).await;
    let refused = log.append(vec![record(WIDE, 0, "small"), sized(RECORD_BYTES_MAX + 1)]).await;
    let error = refused.expect_err("a record over the limit is refused");
    let seen = matches!(error, LogError::TooLarge { topic, bytes, max: RECORD_BYTES_MAX }
        if topic == WIDE.name && bytes == RECORD_BYTES_MAX + 1);
    assert!(seen && error.to_string().contains("RECORD_BYTES_MAX"), "{error}");
    assert!(!error.is_away(), "a record that is too large is not worth another try");
    assert_eq!(log.end(WIDE, 0).await.expect("an end is told"), 1, "a refused call left something");

    let mut all = reader(log, WIDE, vec![Position { partition: 0, offset: 0 }]).await;
    let read = read(all.as_mut(), 1, 10).await.remove(0);
    assert!(
        (read.key, read.headers, read.value) == (largest.key, largest.headers, largest.value),
        "1 MiB came back changed"
    );
}

pub(super) async fn a_topic_has_so_many_partitions(under_test: LogUnderTest) {
    fn check<T: std::fmt::Debug>(result: Result<T, LogError>, of: &TopicSpec) {
        match result {
            Err(LogError::NoPartition { topic, partition }) => assert_eq!((topic, partition), (of.name, of.partitions)),
            other => panic!("no such partition was expected, not {other:?}"),
        }
    }
    let log = under_test.log.as_ref();
    for topic in [WIDE, SHORT] {
        let position = Position { partition: topic.partitions, offset: 0 };
        check(log.append(vec![record(topic, 0, "good"), record(topic, topic.partitions, "bad")]).await, topic);
        check(log.end(topic, topic.partitions).await, topic);
        check(log.reader(topic, vec![position]).await.map(|_| "a reader"), topic);
        let mut reader = reader(log, topic, Vec::new()).await;
        reader.assign(position);
        check(reader.next(1).await, topic);
        assert_eq!(
            log.ends(topic).await.expect("ends are told").iter().sum::<i64>(),
            0,
            "a refused call left something"
        );
    }
}
