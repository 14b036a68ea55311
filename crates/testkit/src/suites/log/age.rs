//! Retention by age and compaction.
//!
//! Must stay true: a log may keep longer than it must (its pieces are dropped whole), never shorter.

use std::collections::BTreeMap;
use std::time::Duration;

use loa_ports::clock::Clock;
use loa_ports::log::{Log, Position, Reader};

use super::{COMPACTED, LogUnderTest, SHORT, append, gap, keyed, nothing_comes, read, reader, record, text, within};

const MINUTE: Duration = Duration::from_secs(60);

impl LogUnderTest {
    async fn retain(&self) {
        within("retention", self.log.retain(self.clock.now_us())).await.expect("retention runs");
    }

    async fn start(&self) -> i64 {
        self.log.starts(SHORT).await.expect("starts are told")[0]
    }
}

fn at(offset: i64) -> Vec<Position> {
    vec![Position { partition: 0, offset }]
}

pub(super) async fn what_is_old_goes_and_what_is_young_stays(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    append(log, vec![record(SHORT, 0, "0"), record(SHORT, 0, "1")]).await;
    under_test.clock.turn(40 * MINUTE);
    append(log, vec![record(SHORT, 0, "2")]).await;
    under_test.retain().await;
    assert_eq!(under_test.start().await, 0, "what is younger than the topic keeps was dropped");

    under_test.clock.turn(40 * MINUTE);
    append(log, vec![record(SHORT, 0, "3")]).await;
    under_test.retain().await;
    assert!(under_test.start().await <= 2, "what is younger than the topic keeps was dropped");

    // Twice the age that the topic keeps: however large the pieces are, these are gone.
    under_test.clock.turn(100 * MINUTE);
    append(log, vec![record(SHORT, 0, "4")]).await;
    under_test.retain().await;
    let start = under_test.start().await;
    assert!((3..=4).contains(&start), "after three hours the log begins at {start}");
    let mut rest = reader(log, SHORT, at(4)).await;
    assert_eq!(text(&read(rest.as_mut(), 1, 10).await[0]), "4");
    assert_eq!(log.end(SHORT, 0).await.expect("an end is told"), 5);
}

pub(super) async fn an_idle_topic_empties_and_goes_on(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    append(log, (0..10).map(|n| record(SHORT, 0, n.to_string())).collect()).await;
    let mut behind = reader(log, SHORT, at(0)).await;
    read(behind.as_mut(), 3, 3).await;
    under_test.clock.turn(180 * MINUTE);
    under_test.retain().await;
    assert_eq!((under_test.start().await, log.end(SHORT, 0).await.expect("an end is told")), (10, 10));
    told_or_read_ahead(behind.as_mut(), 10).await;

    let mut waiting = reader(log, SHORT, at(10)).await;
    assert!(nothing_comes(waiting.as_mut()).await);
    assert_eq!(append(log, vec![record(SHORT, 0, "10")]).await, [10]);
    assert_eq!(text(&read(waiting.as_mut(), 1, 10).await[0]), "10");
}

/// A reader that fell behind is told so where it stands; what it had read ahead before it may return.
async fn told_or_read_ahead(behind: &mut dyn Reader, start: i64) {
    while let Some(position) = behind.position(0)
        && position < start
    {
        match within("a read", behind.next(10)).await {
            Ok(records) => {
                records.iter().zip(position..).for_each(|(record, offset)| assert_eq!(record.offset, offset))
            }
            told => return assert_eq!(gap(told), (0, start, position), "a reader that fell behind must be told"),
        }
    }
}

pub(super) async fn below_the_start_is_a_gap(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    append(log, (0..5).map(|n| record(SHORT, 0, n.to_string())).collect()).await;
    under_test.clock.turn(180 * MINUTE);
    under_test.retain().await;
    append(log, vec![record(SHORT, 0, "5")]).await;
    let mut reader = reader(log, SHORT, at(2)).await;
    assert_eq!(gap(reader.next(10).await), (0, 5, 2));
    assert_eq!(gap(reader.next(10).await), (0, 5, 2), "a gap stays until somebody decides");
    let start = under_test.start().await;
    reader.assign(Position { partition: 0, offset: start });
    assert_eq!(text(&read(reader.as_mut(), 1, 10).await[0]), "5");
}

pub(super) async fn the_newest_of_each_key_stays(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    for (key, value) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("a", "a3"), ("b", "b2")] {
        append(log, vec![keyed(COMPACTED, key, value)]).await;
    }
    under_test.clock.turn(under_test.compaction_lag / 2);
    under_test.retain().await;
    assert_eq!(contents(log, 6).await.len(), 6, "what is younger than the lag was compacted");

    // a4 is young: it may not drop a3, or a reader could see only a4 before anybody could answer it.
    under_test.clock.turn(under_test.compaction_lag * 2);
    append(log, vec![keyed(COMPACTED, "a", "a4")]).await;
    under_test.retain().await;
    let left = contents(log, 7).await;
    assert_eq!(
        left,
        BTreeMap::from([(3, "c1"), (4, "a3"), (5, "b2"), (6, "a4")].map(|(at, value)| (at, value.to_owned())))
    );

    under_test.clock.turn(under_test.compaction_lag * 2);
    append(log, vec![keyed(COMPACTED, "d", "d1"), keyed(COMPACTED, "d", "d2")]).await;
    under_test.retain().await;
    under_test.clock.turn(300 * 24 * 60 * MINUTE);
    append(log, vec![keyed(COMPACTED, "e", "e1")]).await;
    under_test.retain().await;
    let left = contents(log, 10).await;
    let expected = [(3, "c1"), (5, "b2"), (6, "a4"), (8, "d2"), (9, "e1")];
    assert_eq!(left, BTreeMap::from(expected.map(|(at, value)| (at, value.to_owned()))));
}

/// Everything readable from offset 0 by a new reader, which stands at the end afterwards.
async fn contents(log: &dyn Log, end: i64) -> BTreeMap<i64, String> {
    let mut all = reader(log, COMPACTED, at(0)).await;
    let mut left = BTreeMap::new();
    while all.position(0) != Some(end) {
        left.extend(read_some(all.as_mut()).await);
    }
    left
}

async fn read_some(reader: &mut dyn Reader) -> Vec<(i64, String)> {
    super::next(reader, 2).await.iter().map(|record| (record.offset, text(record))).collect()
}
